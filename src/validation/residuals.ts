/**
 * What is left of the error when a source is predicted with profiles that were fitted without it, and the intervals that
 * follow: quantiles of the residuals of *other* sources make the interval of a prediction.
 */
import { quantile } from '../util/stats.js';
import type { Outcome } from './metrics.js';

/** Residuals of the rows of one source on one stack and device, as logarithms, ascending. */
export interface ResidualCell {
  readonly group: string;
  readonly stack: string;
  readonly device: string;
  readonly rows: number;
  readonly residuals: readonly number[];
}

/** A predicted step time times these is the 80 % interval. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Quantiles are read this far from each end. A tenth would hold four of five runs of software that nobody has seen; most
 * runs are of software that was fitted to, with smaller errors. At this tail four of five of all shipped runs lie inside.
 */
const TAIL = 0.15;
/** Sources that an interval is read off, at least. */
const LEAST_GROUPS = 2;

function logRatio(o: Outcome): number {
  return Math.log(o.measuredSec / o.predictedSec);
}

/** Residuals per source, stack and device: what intervals are read off. */
export function residualCells(outcomes: readonly Outcome[]): ResidualCell[] {
  const cells = new Map<string, { group: string; stack: string; device: string; residuals: number[] }>();
  for (const o of outcomes) {
    const { group, stack, device } = o;
    const key = [group, stack, device].join('|');
    let cell = cells.get(key);
    if (cell === undefined) cells.set(key, (cell = { group, stack, device, residuals: [] }));
    cell.residuals.push(logRatio(o));
  }
  return [...cells.values()].map((cell) => ({
    ...cell,
    rows: cell.residuals.length,
    residuals: cell.residuals.sort((a, b) => a - b),
  }));
}

/**
 * The interval of a prediction on a stack and device: residuals of other sources of the stack where there are two of
 * them, else of the device, else all. Every source has the same say.
 *
 * @param without the source that the prediction is of, which may not testify for itself
 */
export function intervalFrom(
  cells: readonly ResidualCell[],
  stack: string,
  device: string,
  without: string | null = null,
): Interval {
  const others = cells.filter((c) => c.group !== without);
  const pools = [others.filter((c) => c.stack === stack), others.filter((c) => c.device === device), others];
  const pool = pools.find((p) => new Set(p.map((c) => c.group)).size >= LEAST_GROUPS) ?? others;
  if (pool.length === 0) return { low: 0, high: Infinity };
  return { low: Math.exp(weighted(pool, TAIL)), high: Math.exp(weighted(pool, 1 - TAIL)) };
}

/** Quantile of residuals in which every source weighs the same. */
function weighted(cells: readonly ResidualCell[], q: number): number {
  const rowsOf = new Map<string, number>();
  for (const c of cells) rowsOf.set(c.group, (rowsOf.get(c.group) ?? 0) + c.rows);
  const points = cells
    .flatMap((c) =>
      c.residuals.map((value) => ({ value, weight: c.rows / c.residuals.length / rowsOf.get(c.group)! })),
    )
    .sort((a, b) => a.value - b.value);
  const total = points.reduce((sum, p) => sum + p.weight, 0);
  let before = 0;
  for (const { value, weight } of points) {
    before += weight;
    if (before >= q * total - 1e-12) return value;
  }
  return points[points.length - 1].value;
}

/** Few numbers that stand for many: evenly spaced quantiles, for a data file. */
export function summarise(residuals: readonly number[], most = 20): number[] {
  if (residuals.length <= most) return [...residuals];
  return Array.from({ length: most }, (_, i) => quantile(residuals, (i + 0.5) / most));
}
