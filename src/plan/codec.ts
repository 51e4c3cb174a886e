/** plan.json, written and read: the same plan gives the same bytes, and what was written reads back the same. */
import { PartitionError, invariant } from '../util/errors.js';
import { PLAN_SHAPE } from './schema.js';
import { conform } from './shape.js';
import type { Plan } from './types.js';

/** Values whose one-line form is at most this long stand on one line. */
const LINE_WIDTH = 110;

/** Canonical text: keys in schema order, two-space indent, small values on one line, newline at the end. */
export function encodePlan(plan: Plan): string {
  let canonical: unknown;
  try {
    canonical = conform(plan, PLAN_SHAPE, 'plan');
  } catch (e) {
    if (!(e instanceof PartitionError)) throw e;
    invariant(false, `a plan that does not fit its own schema: ${e.message}`);
  }
  return `${print(canonical, '', 0)}\n`;
}

/**
 * Reads plan.json.
 *
 * @param where file name for messages
 * @throws PartitionError `input`: not JSON, or the first field that does not fit
 */
export function decodePlan(text: string, where: string): Plan {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw new PartitionError('input', `expected a plan in JSON, ${(e as Error).message}`, where);
  }
  const version = (value as { schemaVersion?: unknown } | null)?.schemaVersion;
  if (typeof version === 'number' && version > 1)
    throw new PartitionError(
      'input',
      `field schemaVersion: expected 1, found ${version}`,
      where,
      'the plan was written by a newer release',
    );
  return conform(value, PLAN_SHAPE, where) as Plan;
}

/** Depth is bounded by the schema. `used` is the width already taken on the line by indent and key. */
function print(value: unknown, indent: string, used: number): string {
  const line = inline(value);
  if (used + line.length <= LINE_WIDTH || value === null || typeof value !== 'object') return line;
  const inner = `${indent}  `;
  if (Array.isArray(value))
    return `[\n${value.map((item) => inner + print(item, inner, inner.length + 1)).join(',\n')}\n${indent}]`;
  const rows = Object.entries(value).map(([key, item]) => {
    const head = `${inner}${JSON.stringify(key)}: `;
    return head + print(item, inner, head.length + 1);
  });
  return `{\n${rows.join(',\n')}\n${indent}}`;
}

function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const rows = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${inline(item)}`);
  return rows.length === 0 ? '{}' : `{ ${rows.join(', ')} }`;
}
