/**
 * Whether a new policy may take the place of an old one. Both guide the same search with the same evaluations and seeds; the
 * value of a run is that of its best plan, less is better. Per instance the mean over seeds of log(new / old) is its change,
 * paired, so that what is hard about an instance or a seed cancels out.
 */
import type { SearchContext } from '../search/types.js';
import { createSimulator } from '../simulate/estimate.js';
import type { PlanProblem } from '../simulate/types.js';
import { Random } from '../util/random.js';
import { mean, median } from '../util/stats.js';
import { createGuidedSolver } from './guidedSolver.js';
import type { PolicySource } from './pretrained.js';

/** How policies are judged. */
export interface VerdictRule {
  /** Of one search. */
  readonly evaluations: number;
  readonly seeds: readonly number[];
  /** The mean change over the instances of a kind may be this much for the worse, as a share. */
  readonly meanTolerance: number;
  /** And the median over seeds of no instance of the suite by more than this: one unlucky search is no verdict. */
  readonly instanceTolerance: number;
}

export const DEFAULT_RULE: VerdictRule = {
  evaluations: 400,
  seeds: [1, 2, 3, 4, 5],
  meanTolerance: 0.01,
  instanceTolerance: 0.1,
};

/** `suite`: the instances on which methods are compared; `observed`: the jobs that the new policy was tuned on. */
export type InstanceKind = 'suite' | 'observed';

/** Both policies on one instance. Values by seed; Infinity where no plan was found that fits. */
export interface PolicyTrial {
  readonly name: string;
  readonly kind: InstanceKind;
  readonly oldValues: readonly number[];
  readonly newValues: readonly number[];
}

export interface PolicyVerdict {
  readonly accepted: boolean;
  /** What speaks against the new policy, one sentence each; empty when it is accepted. */
  readonly reasons: readonly string[];
  /** exp(mean change) - 1 by kind: below 0 the new policy is better. Null where there is no instance. */
  readonly suiteChange: number | null;
  readonly observedChange: number | null;
}

/** Best value that the search finds under a policy. */
export async function valueUnder(
  problem: PlanProblem,
  source: PolicySource,
  evaluations: number,
  seed: number,
): Promise<number> {
  const context: SearchContext = {
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations: evaluations, maxSec: Infinity },
    clock: () => 0,
    random: new Random(seed),
  };
  const { best, value } = await createGuidedSolver({}, source).solve(context);
  return best === null ? Infinity : value;
}

/** Both policies on one instance, seed by seed. */
export async function tryPolicies(
  name: string,
  kind: InstanceKind,
  problem: PlanProblem,
  [before, after]: readonly [PolicySource, PolicySource],
  { evaluations, seeds }: Pick<VerdictRule, 'evaluations' | 'seeds'>,
): Promise<PolicyTrial> {
  const oldValues: number[] = [];
  const newValues: number[] = [];
  for (const seed of seeds) {
    oldValues.push(await valueUnder(problem, before, evaluations, seed));
    newValues.push(await valueUnder(problem, after, evaluations, seed));
  }
  return { name, kind, oldValues, newValues };
}

/** Changes of an instance as shares, over its seeds: above 0 the new policy is worse. */
export interface TrialChange {
  /** Geometric mean, and median. */
  readonly mean: number;
  readonly median: number;
}

/** `lost`, `won`: the new policy finds plans that fit with fewer seeds than the old one, or more. No change where neither does. */
export function changeOf({ oldValues, newValues }: PolicyTrial): TrialChange | 'lost' | 'won' {
  const [found, finds] = [oldValues, newValues].map((values) => values.filter((v) => v < Infinity).length);
  if (finds !== found) return finds < found ? 'lost' : 'won';
  const logs = oldValues
    .map((old, i) => Math.log(newValues[i] / old))
    .filter((change) => Number.isFinite(change));
  if (logs.length === 0) return { mean: 0, median: 0 };
  return { mean: Math.expm1(mean(logs)), median: Math.expm1(median(logs)) };
}

/**
 * The new policy is accepted when it is not worse on the suite (on the mean beyond `meanTolerance`, on no instance beyond
 * `instanceTolerance` by the median of its seeds, and finds a plan wherever the old one does) nor, on the mean, on the observed jobs.
 */
export function verdictOf(trials: readonly PolicyTrial[], rule: VerdictRule): PolicyVerdict {
  const reasons: string[] = [];
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  const changes = trials.map((trial) => ({ ...trial, change: changeOf(trial) }));
  for (const { name, kind, change } of changes) {
    if (change === 'lost') reasons.push(`finds no plan for ${name} where the old policy does`);
    else if (change !== 'won' && kind === 'suite' && change.median > rule.instanceTolerance)
      reasons.push(
        `${name} is ${percent(change.median)} worse, at most ${percent(rule.instanceTolerance)} is let pass`,
      );
  }
  const meanOf = (kind: InstanceKind): number | null => {
    // A plan found or lost is told by name; it has no size that could be averaged.
    const logs = changes.flatMap((c) =>
      c.kind === kind && typeof c.change === 'object' ? [Math.log1p(c.change.mean)] : [],
    );
    if (logs.length === 0) return null;
    const change = Math.expm1(mean(logs));
    if (change > rule.meanTolerance)
      reasons.push(
        `${kind === 'suite' ? 'the suite' : 'the observed jobs'} on the mean ${percent(change)} worse, at most ${percent(rule.meanTolerance)} is let pass`,
      );
    return change;
  };
  const suiteChange = meanOf('suite');
  const observedChange = meanOf('observed');
  return { accepted: reasons.length === 0, reasons, suiteChange, observedChange };
}
