/**
 * How good predictions are. The error of a row is the absolute percentage error of its own metric (step time, or FLOP/s and
 * tokens/s per device); figures are taken per group, a source, because sources differ in size by a hundred times.
 */
import { mean, median, spearman } from '../util/stats.js';
import type { Metric } from './row.js';

/** One row, predicted and measured. */
export interface Outcome {
  readonly id: string;
  readonly group: string;
  /** Stack profile and cluster preset it was priced with. */
  readonly stack: string;
  readonly device: string;
  readonly precision: string;
  readonly metric: Metric;
  /** In the metric's unit. */
  readonly measured: number;
  readonly predicted: number;
  /** The same as step times, seconds. */
  readonly measuredSec: number;
  readonly predictedSec: number;
  /** Model FLOP of a step per device (causal attention, nothing repeated). */
  readonly flopPerDevice: number;
  /** Datasheet peak, FLOP/s. */
  readonly peakFlopPerSec: number;
  /** What must agree for two rows to differ in configuration alone, and the configuration. */
  readonly setup: string;
  readonly configuration: string;
}

export interface GroupMetrics {
  readonly name: string;
  readonly rows: number;
  /** Mean absolute percentage error, as a share. */
  readonly mape: number;
  /** Rank correlation of predicted and measured FLOP/s per device; null for fewer than three rows. */
  readonly spearman: number | null;
  /** Median predicted over measured speed, less 1: above 0 is optimistic. */
  readonly bias: number;
}

export interface OverallMetrics {
  readonly medianMape: number;
  readonly meanMape: number;
  /** Over groups of at least `RANKED_ROWS`; null without any. */
  readonly medianSpearman: number | null;
}

/** Groups of fewer rows say little about ranking. */
export const RANKED_ROWS = 8;
const LEAST_RANKED = 3;

/** Absolute error of a prediction, as a share of what was measured. */
export function absoluteError(measured: number, predicted: number): number {
  return Math.abs(predicted / measured - 1);
}

/** @param predictedSec step time of each outcome, seconds; default its prediction */
export function groupMetrics(
  name: string,
  outcomes: readonly Outcome[],
  predictedSec: (o: Outcome) => number = (o) => o.predictedSec,
): GroupMetrics {
  const errors = outcomes.map((o) => errorAt(o, predictedSec(o)));
  const correlation =
    outcomes.length < LEAST_RANKED
      ? NaN
      : spearman(
          outcomes.map((o) => o.flopPerDevice / o.measuredSec),
          outcomes.map((o) => o.flopPerDevice / predictedSec(o)),
        );
  return {
    name,
    rows: outcomes.length,
    mape: mean(errors),
    spearman: Number.isNaN(correlation) ? null : correlation,
    bias: median(outcomes.map((o) => o.measuredSec / predictedSec(o))) - 1,
  };
}

/** Error in the row's own metric, were its step predicted to take so long. */
export function errorAt(o: Outcome, predictedSec: number): number {
  return o.metric === 'step_s'
    ? absoluteError(o.measuredSec, predictedSec)
    : absoluteError(1 / o.measuredSec, 1 / predictedSec);
}

export function overallMetrics(groups: readonly GroupMetrics[]): OverallMetrics {
  const mapes = groups.map((g) => g.mape);
  const ranked = groups.flatMap((g) => (g.rows >= RANKED_ROWS && g.spearman !== null ? [g.spearman] : []));
  return {
    medianMape: median(mapes),
    meanMape: mean(mapes),
    medianSpearman: ranked.length === 0 ? null : median(ranked),
  };
}

/** Outcomes by group, in order of first appearance. */
export function byGroup(outcomes: readonly Outcome[]): Map<string, Outcome[]> {
  const groups = new Map<string, Outcome[]>();
  for (const o of outcomes) {
    const group = groups.get(o.group);
    if (group === undefined) groups.set(o.group, [o]);
    else group.push(o);
  }
  return groups;
}
