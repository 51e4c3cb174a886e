/** Axes as operators take them: negative ones count from the end, anything else is the model's fault. */
import type { InferContext } from './types.js';

/** `axis` in 0..rank-1. @throws PartitionError when it is outside -rank..rank-1 */
export function normalizeAxis(ctx: InferContext, axis: number, rank: number, what = 'axis'): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    ctx.fail(
      `${what} ${String(axis)} is outside [${String(-rank)}, ${String(rank - 1)}] of a rank-${String(rank)} tensor`,
    );
  }
  return axis < 0 ? axis + rank : axis;
}

/** All of `axes` normalised. @throws PartitionError on one out of range or given twice */
export function normalizeAxes(ctx: InferContext, axes: readonly number[], rank: number): number[] {
  const out: number[] = [];
  for (const a of axes) {
    const axis = normalizeAxis(ctx, a, rank);
    if (out.includes(axis)) ctx.fail(`axis ${String(a)} is given twice`);
    out.push(axis);
  }
  return out;
}

/** Axis of a checked instance. */
export function wrapAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
