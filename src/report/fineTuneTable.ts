/** What a fine-tuning came to: old and new policy instance by instance, and which of them is used from now on. */
import { formatPercent, formatSeconds, formatTable } from '../util/format.js';

/** An instance of the judgement. Values are means over the seeds (geometric), less is better; null where no plan fits. */
export interface JudgedInstance {
  readonly name: string;
  readonly kind: 'suite' | 'observed';
  readonly oldValue: number | null;
  readonly newValue: number | null;
  /** Above 0 the new policy is worse, as a share: geometric mean and median over the seeds, paired. Null where one finds no plan. */
  readonly change: number | null;
  readonly medianChange: number | null;
}

/** What `partition train --from-log --json` prints. */
export interface FineTuneFacts {
  readonly backend: string;
  readonly seed: number;
  readonly updates: number;
  readonly plannedUpdates: number;
  readonly episodes: number;
  readonly wallSec: number;
  /** Means over the last tenth of the updates; null before the first. */
  readonly meanReturn: number | null;
  readonly bestReturn: number | null;
  readonly jobs: readonly {
    readonly name: string;
    readonly log: string;
    /** What was read into the log, one sentence each. */
    readonly notes: readonly string[];
  }[];
  /** The policy that training began with, and that the new one is judged against. */
  readonly oldPolicy: string;
  /** Null when it was stopped before the judgement was complete. */
  readonly verdict: {
    readonly accepted: boolean;
    readonly reasons: readonly string[];
    readonly suiteChange: number | null;
    readonly observedChange: number | null;
    readonly rule: {
      readonly evaluations: number;
      readonly seeds: readonly number[];
      readonly meanTolerance: number;
      readonly instanceTolerance: number;
    };
    readonly instances: readonly JudgedInstance[];
  } | null;
  /** The policy in use from now on, and the one before it (null: it was not replaced). */
  readonly policyPath: string;
  readonly previousPath: string | null;
  readonly installedPath: string | null;
  readonly candidatePath: string;
  readonly metricsPath: string;
}

export function fineTuneTable(f: FineTuneFacts): string {
  const lines = [
    `${f.updates} of ${f.plannedUpdates} updates on ${f.backend}, seed ${f.seed}, ${f.episodes} episodes, ${formatSeconds(f.wallSec)}`,
    ...f.jobs.flatMap((job) => [`${job.name}: ${job.log}`, ...job.notes.map((note) => `  ${note}`)]),
  ];
  const { verdict } = f;
  if (verdict === null) return [...lines, `candidate  ${f.candidatePath} (not judged)`].join('\n');
  const { rule, instances } = verdict;
  const value = (x: number | null): string => (x === null ? 'none fits' : x.toPrecision(5));
  const rows = instances.map(({ kind, name, oldValue, newValue, change, medianChange }) => [
    `${kind}  ${name}`,
    value(oldValue),
    value(newValue),
    signedPercent(change),
    signedPercent(medianChange),
  ]);
  const means: [string, number | null][] = [
    ['mean of observed', verdict.observedChange],
    ['mean of the suite', verdict.suiteChange],
  ];
  return [
    ...lines,
    '',
    formatTable([
      ['objective (less is better)', 'old policy', 'new policy', 'change', 'median'],
      ...rows,
      ...means.map(([name, change]) => [name, '', '', signedPercent(change)]),
    ]),
    '',
    `rule: same search, ${rule.evaluations} evaluations, seeds ${rule.seeds.join(', ')}; no mean worse by more than ${formatPercent(rule.meanTolerance)}, no instance of the suite by more than ${formatPercent(rule.instanceTolerance)} (median of the seeds)`,
    ...(verdict.accepted
      ? [`the new policy takes the place of ${f.oldPolicy}`]
      : [`the old policy stays: ${verdict.reasons.join('; ')}`]),
    `policy     ${f.policyPath} (plan with --policy)`,
    ...(f.previousPath === null ? [`candidate  ${f.candidatePath}`] : [`previous   ${f.previousPath}`]),
    ...(f.installedPath === null ? [] : [`installed  ${f.installedPath}`]),
    `metrics    ${f.metricsPath}`,
  ].join('\n');
}

function signedPercent(change: number | null): string {
  if (change === null) return '-';
  return `${change > 0 ? '+' : ''}${(100 * change).toFixed(2)}%`;
}
