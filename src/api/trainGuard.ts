/** The guard of fine-tuning: old and new policy on the suite and on the observed jobs, and how one takes the other's place. */
import { existsSync, readFileSync } from 'node:fs';
import type { PolicySource } from '../agent/index.js';
import type { InstanceKind, PolicyTrial, VerdictRule } from '../agent/policyVerdict.js';
import { changeOf, tryPolicies } from '../agent/policyVerdict.js';
import type { JudgedInstance } from '../report/fineTuneTable.js';
import type { PlanProblem } from '../simulate/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { writeFileAtomic } from '../util/files.js';
import { SUITE_GRAPHS, loadSuite, suiteProblem } from './suite.js';
import type { TrainHooks } from './trainRun.js';

/** An instance that policies are judged on; its problem is built when its turn comes, and let go. */
export interface Judged {
  readonly name: string;
  readonly kind: InstanceKind;
  readonly problem: () => PlanProblem;
}

/**
 * The instances of the suite.
 *
 * @param names of some of them; null: all
 * @throws PartitionError input naming one that the suite does not have
 */
export function judgedSuite(names: readonly string[] | null): Judged[] {
  const suite = loadSuite();
  const unknown = names?.find((name) => suite.every((i) => i.name !== name));
  if (unknown !== undefined)
    throw new PartitionError(
      'input',
      `guard.suite: no instance ${oneLine(unknown, 60)}`,
      'training configuration',
      `the suite has ${suite.map((i) => i.name).join(', ')}`,
    );
  return suite
    .filter((i) => names === null || names.includes(i.name))
    .map((instance) => ({
      name: instance.name,
      kind: 'suite',
      problem: () => suiteProblem(instance, SUITE_GRAPHS).problem,
    }));
}

/** @returns null when it was asked to stop */
export async function judgePolicies(
  problems: readonly Judged[],
  policies: readonly [PolicySource, PolicySource],
  rule: VerdictRule,
  hooks: Pick<TrainHooks, 'stopped' | 'onProgress'>,
): Promise<PolicyTrial[] | null> {
  const trials: PolicyTrial[] = [];
  for (const { name, kind, problem } of problems) {
    if (hooks.stopped()) return null;
    hooks.onProgress?.(`judging on ${name}, ${trials.length + 1} of ${problems.length}`);
    trials.push(await tryPolicies(name, kind, problem(), policies, rule));
    await new Promise((resolve) => setImmediate(resolve));
  }
  return trials;
}

export function judgedInstance(trial: PolicyTrial): JudgedInstance {
  const { name, kind, oldValues, newValues } = trial;
  const [oldValue, newValue] = [typical(oldValues), typical(newValues)];
  const changes = changeOf(trial);
  const sized = typeof changes === 'object' && oldValue !== null;
  return {
    name,
    kind,
    oldValue,
    newValue,
    change: sized ? changes.mean : null,
    medianChange: sized ? changes.median : null,
  };
}

function typical(values: readonly number[]): number | null {
  const found = values.filter((v) => v < Infinity);
  if (found.length === 0) return null;
  return Math.exp(found.reduce((sum, v) => sum + Math.log(v), 0) / found.length);
}

export function previousOf(path: string): string {
  return `${path}.previous`;
}

/**
 * Puts a policy in place of another, which is kept beside it. At every moment a whole policy stands under the name, once one
 * does, and the old one under one name or the other.
 *
 * @param old kept where none stands there yet; null: nothing to keep
 */
export function replacePolicy(path: string, candidatePath: string, old: string | null): void {
  const kept = existsSync(path) ? path : old;
  if (kept !== null) writeFileAtomic(previousOf(path), readFileSync(kept));
  writeFileAtomic(path, readFileSync(candidatePath));
}
