/** Plans for several device counts, compared by time and by money. */
import type { PlanSummary } from './plan.js';

export interface SweepEntry {
  readonly devices: number;
  /** `null` when no plan fits; then `reason` says why. */
  readonly plan: PlanSummary | null;
  /** USD a step; `null` when the cluster names no price. */
  readonly costPerStep: number | null;
  readonly reason: string | null;
}

export interface SweepRow extends SweepEntry {
  /** No other count's plan is both faster and cheaper. */
  readonly onFrontier: boolean;
}

/** Cost of a step: money where prices are known, else device-seconds. */
function costOf(entry: SweepEntry): number {
  return lengthened(entry, entry.costPerStep ?? entry.devices * (entry.plan?.stepTimeSec ?? Infinity));
}

/** What a step takes with its share of failures, where something was said of them. */
function lengthened({ plan }: SweepEntry, ofStep: number): number {
  return ofStep / (plan?.goodput?.goodput ?? 1);
}

/** Marks the plans on the time/cost frontier. Times are per step of the same batch only when `--batch` is given: per token. */
export function withFrontier(entries: readonly SweepEntry[]): SweepRow[] {
  const perToken = (e: SweepEntry, value: number): number =>
    e.plan === null ? Infinity : value / (e.plan.globalBatch * e.plan.sequenceLength);
  const time = (e: SweepEntry): number => perToken(e, lengthened(e, e.plan?.stepTimeSec ?? Infinity));
  const cost = (e: SweepEntry): number => perToken(e, costOf(e));
  return entries.map((e) => ({
    ...e,
    onFrontier:
      e.plan !== null &&
      !entries.some(
        (o) =>
          o.plan !== null &&
          time(o) <= time(e) &&
          cost(o) <= cost(e) &&
          (time(o) < time(e) || cost(o) < cost(e)),
      ),
  }));
}
