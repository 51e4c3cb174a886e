/**
 * Regret: what following the predictions costs. Among rows that differ only in configuration, how much slower the
 * configuration predicted fastest is than the one measured fastest.
 */
import { mean, median } from '../util/stats.js';
import type { Outcome } from './metrics.js';

export interface Regret {
  /** Sets of rows that differ only in configuration. */
  readonly sets: number;
  /** Shares of the fastest measured step time; null without any set. */
  readonly median: number | null;
  readonly mean: number | null;
  /** What a random choice among the set expects. */
  readonly randomMedian: number | null;
  readonly randomMean: number | null;
}

export function regret(outcomes: readonly Outcome[]): Regret {
  const sets = new Map<string, Outcome[]>();
  for (const o of outcomes) {
    const set = sets.get(o.setup);
    if (set === undefined) sets.set(o.setup, [o]);
    else set.push(o);
  }
  const chosen: number[] = [];
  const random: number[] = [];
  for (const set of sets.values()) {
    if (new Set(set.map((o) => o.configuration)).size < 2) continue;
    const fastest = Math.min(...set.map((o) => o.measuredSec));
    const predicted = Math.min(...set.map((o) => o.predictedSec));
    const slower = (some: readonly Outcome[]): number => mean(some.map((o) => o.measuredSec / fastest - 1));
    // Configurations that are predicted alike are chosen among at random.
    chosen.push(slower(set.filter((o) => o.predictedSec === predicted)));
    random.push(slower(set));
  }
  const none = chosen.length === 0;
  return {
    sets: chosen.length,
    median: none ? null : median(chosen),
    mean: none ? null : mean(chosen),
    randomMedian: none ? null : median(random),
    randomMean: none ? null : mean(random),
  };
}
