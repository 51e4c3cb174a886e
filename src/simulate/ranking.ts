/** How the order of plans changes between two pricings of them. */
import { spearman } from '../util/stats.js';

/** One plan in both orders; ranks count from 1 among the plans that fit, null where it does not. */
export interface RankedPlan {
  /** As numbered by the caller. */
  readonly plan: number;
  readonly before: number;
  readonly after: number;
  readonly rankBefore: number | null;
  readonly rankAfter: number | null;
}

export interface Ranking {
  readonly plans: number;
  readonly fitBefore: number;
  readonly fitAfter: number;
  /** Spearman's correlation of the plans that fit in both; null for fewer than two, or where all are equal. */
  readonly rankCorrelation: number | null;
  /** Best before, in both orders; null when none fitted. */
  readonly bestBefore: RankedPlan | null;
  /** The best after, best first. */
  readonly top: readonly RankedPlan[];
}

/**
 * @param before objective of every plan, Infinity where it does not fit
 * @param after the same plans priced again
 * @param topCount how many of the best afterwards are wanted
 */
export function ranking(before: ArrayLike<number>, after: ArrayLike<number>, topCount: number): Ranking {
  const count = before.length;
  const sortedBefore = Float64Array.from(before).sort();
  const sortedAfter = Float64Array.from(after).sort();
  const rowOf = (plan: number): RankedPlan => ({
    plan,
    before: before[plan],
    after: after[plan],
    rankBefore: rankIn(sortedBefore, before[plan]),
    rankAfter: rankIn(sortedAfter, after[plan]),
  });
  const order = Array.from({ length: count }, (_, i) => i).filter((i) => after[i] < Infinity);
  // Of equal plans the one that was better before, then the one priced first: the order is the same each time.
  order.sort((i, j) => after[i] - after[j] || tie(before[i], before[j]) || i - j);
  let best = -1;
  for (let i = 0; i < count; i++)
    if (before[i] < Infinity && (best < 0 || before[i] < before[best])) best = i;
  const both = order.filter((i) => before[i] < Infinity);
  const correlation = spearman(
    both.map((i) => before[i]),
    both.map((i) => after[i]),
  );
  return {
    plans: count,
    fitBefore: lowerBound(sortedBefore, Infinity),
    fitAfter: order.length,
    rankCorrelation: Number.isFinite(correlation) ? correlation : null,
    bestBefore: best < 0 ? null : rowOf(best),
    top: order.slice(0, topCount).map(rowOf),
  };
}

function rankIn(sorted: Float64Array, value: number): number | null {
  return value < Infinity ? lowerBound(sorted, value) + 1 : null;
}

/** How many values are smaller. */
function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Infinities are equal. */
function tie(a: number, b: number): number {
  return a === b ? 0 : a - b;
}
