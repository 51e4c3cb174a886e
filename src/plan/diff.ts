/** What differs between two plans, decision by decision and figure by figure. */
import type { Plan } from './types.js';

export interface PlanDifference {
  /** Path in plan.json, such as `degrees.tp` or `prediction.stepTimeSec`. */
  readonly field: string;
  readonly before: string | number | boolean | null;
  readonly after: string | number | boolean | null;
}

/** Differences in the order of plan.json. Long lists (ops, shardings) count as one field each. */
export function diffPlans(before: Plan, after: Plan): PlanDifference[] {
  const a = leaves(before);
  const b = leaves(after);
  const fields = [...a.keys(), ...[...b.keys()].filter((field) => !a.has(field))];
  return fields
    .filter((field) => a.get(field) !== b.get(field))
    .map((field) => ({ field, before: a.get(field) ?? null, after: b.get(field) ?? null }));
}

type Leaf = string | number | boolean | null;

function leaves(plan: Plan): Map<string, Leaf> {
  const found = new Map<string, Leaf>();
  const pending: [string, unknown][] = [['', plan]];
  while (pending.length > 0) {
    const [path, value] = pending.pop()!;
    if (path.endsWith('.ops')) found.set(path, (value as string[]).join(' '));
    else if (path === 'shardings') {
      for (const s of plan.shardings)
        found.set(`shardings.${s.tensor}`, s.dims.map((axes) => axes.join('*') || '-').join(' '));
    } else if (value !== null && typeof value === 'object') {
      const entries = Object.entries(value).reverse();
      for (const [key, item] of entries)
        pending.push([Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`, item]);
    } else found.set(path, value as Leaf);
  }
  return found;
}
