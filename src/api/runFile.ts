/** run.json, which stands beside a plan: how, when and where it was made; and where the plan's model is found. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Condition } from '../cluster/condition.js';
import type { Plan } from '../plan/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import type { RiskFlags } from './risk.js';

/** What run.json says; what it does not say, or not in the right type, is absent. */
export interface RunFile {
  /** Path of the model as it was given. */
  readonly model?: string;
  readonly cluster?: string;
  readonly calibration?: string;
  readonly bind?: Readonly<Record<string, number>>;
  /** What was said of failures, deadline and cost. */
  readonly failures?: RiskFlags;
  /** The command line, ready for a shell. */
  readonly command?: string;
  readonly host?: string;
  /** ISO 8601. */
  readonly date?: string;
  readonly wallSec?: number;
  readonly evaluations?: number;
  /** Of a plan made for a running job: what was wrong with its cluster, and how many devices that has. */
  readonly condition?: Condition;
  readonly devices?: number;
}

/** run.json beside a plan. Absent or unreadable, it says nothing. */
export function readRun(planPath: string): RunFile {
  const path = join(dirname(planPath), 'run.json');
  if (!existsSync(path)) return {};
  try {
    const run = JSON.parse(readTextFile(path, 'run.json')) as Record<string, unknown>;
    const request = (run['request'] ?? {}) as Record<string, unknown>;
    const bind = request['bind'];
    const condition = run['condition'];
    const failures = (request['failures'] ?? {}) as Record<string, unknown>;
    return {
      ...typed(run, 'string', ['model', 'command', 'host', 'date']),
      ...typed(run, 'number', ['wallSec', 'evaluations', 'devices']),
      ...typed(request, 'string', ['cluster', 'calibration']),
      ...(isCondition(condition) ? { condition } : {}),
      failures: typed(failures, 'string', ['mtbf', 'deadline', 'start', 'maxCost']),
      ...(typeof bind === 'object' && bind !== null ? { bind: bind as Record<string, number> } : {}),
    };
  } catch {
    return {};
  }
}

function isCondition(value: unknown): value is Condition {
  const c = value as Partial<Condition> | null | undefined;
  return (
    typeof c === 'object' && c !== null && [c.failed, c.slow, c.degraded].every((list) => Array.isArray(list))
  );
}

/** The named fields that are of the type. */
function typed(
  from: Record<string, unknown>,
  type: string,
  names: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => typeof from[name] === type).map((n) => [n, from[n]]));
}

/**
 * The model that a plan was made from: where run.json says, or one of its name near by.
 *
 * @param usage of the command that takes it, for the message
 * @throws PartitionError usage when there is none
 */
export function findModel(planPath: string, plan: Plan, run: RunFile, usage: string): string {
  const found = modelNear(planPath, plan, run);
  if (found !== null) return found;
  throw new PartitionError(
    'usage',
    `expected the model ${oneLine(plan.model.name, 80)} where the plan was made or beside it, found nothing`,
    planPath,
    `pass it: partition ${usage}`,
  );
}

/** As `findModel`, or null. */
export function modelNear(planPath: string, plan: Plan, run: RunFile): string | null {
  const folder = dirname(planPath);
  const { name } = plan.model;
  const places = [
    ...(run.model === undefined ? [] : [run.model]),
    join(folder, name),
    join(folder, '..', name),
    name,
  ];
  return places.find((path) => existsSync(path)) ?? null;
}
