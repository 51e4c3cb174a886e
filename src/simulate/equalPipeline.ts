/**
 * Pipelines of equal stages with equal transfers, in closed form. What ends last is the longest path through the tasks
 * of all ranks: down by activations, up by gradients, and from task to task on one rank. With M microbatches, p ranks,
 * F, B, W seconds of a stage's forward pass, backward pass (under ZB-H1 without W) and gradient of weights, and x of a
 * transfer that neither F nor B outlasts (so that no message waits for another), counted on rank 0:
 *
 *     1F1B         A path that turns round q times goes M + p - 1 times through F and B and makes 2 (M + p - 2 - q)
 *                  transfers. At most p microbatches are in flight, so the fewest turns are q = ceil((M - 1) / p):
 *                  T = (M + p - 1) (F + B) + 2 (M + p - 2 - q) x
 *     ZB-H1        Each turn but those of the first p microbatches meets a W, and the last B is followed by one:
 *                  q = M - p where W outweighs the two transfers it replaces, else as above.
 *                  T = (M + p - 1) (F + B) + 2 (M + p - 2 - q) x + (q + 1) W
 *     interleaved  More chunks are in flight than a round trip takes: transfers show while the pipeline fills and
 *                  drains, once per chunk and rank. With F, B, x of one of v chunks:
 *                  T = (M v + p - 1) (F + B) + 2 (v p - 1) x
 *
 * The other ranks end earlier by the way of their last gradient up to rank 0.
 */
import type { ScheduleKind } from '../plan/types.js';
import type { StageTimes } from './stageTimes.js';

/** Relative difference below which two stages count as equal: their times are differences of prefix sums. */
const EQUAL = 1e-10;

/**
 * Fills when each rank ends its last task and each virtual stage its last backward pass.
 *
 * @returns false, with nothing filled, where the formulas do not hold
 */
export function equalPipeline(
  schedule: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
  times: StageTimes,
  finishSec: Float64Array,
  chunkEndSec: Float64Array,
): boolean {
  if (!isEqual(schedule, pp, vpp, times)) return false;
  const f = times.forwardSec[0];
  const x = times.transferSec[1];
  const w = schedule === 'zb-h1' ? times.weightSec[0] : 0;
  const b = times.backwardSec[0] - w;
  if (x > f || x > b || w > f) return false;
  const ready = times.gatherExposedSec;
  for (let r = 1; r < pp; r++) if (ready[r] > ready[0] + r * (f + x)) return false;

  if (schedule === 'interleaved') {
    const total = ready[0] + (microbatches * vpp + pp - 1) * (f + b) + 2 * (vpp * pp - 1) * x;
    for (let r = 0; r < pp; r++) finishSec[r] = total - r * (b + x);
    // Chunks end with the last first, a round of gradients apart.
    for (let v = 0; v < pp * vpp; v++) chunkEndSec[v] = total - v * (b + x);
    return true;
  }
  const few = microbatches <= pp;
  let turns = Math.ceil((microbatches - 1) / pp);
  if (schedule === 'zb-h1' && !few && w >= 2 * x) turns = microbatches - pp;
  const total =
    ready[0] +
    (microbatches + pp - 1) * (f + b) +
    2 * (microbatches + pp - 2 - turns) * x +
    (few ? 0 : turns) * w;
  for (let r = 0; r < pp; r++) {
    // What is left of W after the last B: one of each microbatch put off.
    finishSec[r] = total - r * (b + x) + Math.min(microbatches, r + 1) * w;
    chunkEndSec[r] = finishSec[r]!;
  }
  return true;
}

function isEqual(schedule: ScheduleKind, pp: number, vpp: number, times: StageTimes): boolean {
  const { forwardSec, backwardSec, weightSec, transferSec } = times;
  const stages = pp * vpp;
  const defers = schedule === 'zb-h1';
  for (let v = 1; v < stages; v++) {
    if (differ(forwardSec[v], forwardSec[0]) || differ(backwardSec[v], backwardSec[0])) return false;
    if (v > 1 && differ(transferSec[v], transferSec[1])) return false;
    if (defers && differ(weightSec[v], weightSec[0])) return false;
  }
  return true;
}

function differ(a: number, b: number): boolean {
  return Math.abs(a - b) > EQUAL * b;
}
