/**
 * A lower bound for a candidate's degrees: whatever the cuts, the order of work, the recompute policy and the overlap,
 * a step cannot be faster. Only compute counts; every collective may hide, nothing is recomputed, cuts fall anywhere.
 *
 * Let W be one microbatch's compute on all stages together, M the microbatches, pp the ranks.
 *
 * 1. One microbatch passes all stages: T >= W.
 * 2. A rank that holds the costliest segment does it M times: T >= M * widest.
 * 3. Rank r cannot begin before the first microbatch has passed the stages before it, nor can those end before its last
 *    gradient has passed back: T >= P_r + M w_r with P_r = w_0 + ... + w_(r-1). The cuts that satisfy all ranks with the
 *    least T have w_r = (T - P_r) / M, so that T - P_r shrinks by (1 - 1/M) per rank and
 *    T = W / (1 - (1 - 1/M)^pp).
 *    With interleaved chunks or forward passes alone only the average holds: T >= M W / pp.
 */
import type { StageLoad } from './load.js';
import type { PlanProblem } from './types.js';

/** Room for the rounding of prefix sums. */
const ROUNDING = 1 - 1e-9;

export function planBound(problem: PlanProblem, load: StageLoad): number {
  const { pp, vpp, microbatches } = load;
  const segments = problem.segmentation.segmentCount;
  let work = Infinity;
  let widest = Infinity;
  for (let r = 0; r < pp; r++) {
    // Mixed clusters: as if every segment ran on the fastest group in use.
    const table = load.tableOf[r];
    if (r > 0 && table === load.tableOf[r - 1]) continue;
    work = Math.min(work, table.computeSec[segments]);
    widest = Math.min(widest, table.widestSegmentSec);
  }
  const ordered = problem.phase === 'train' && vpp === 1;
  return ROUNDING * pipelineBoundSec(pp, microbatches, ordered, work, widest);
}

/**
 * The formula above, seconds.
 *
 * @param ordered ranks hold one chunk each and run backward too, so that point 3 holds
 * @param workSec W
 * @param widestSec one microbatch's compute on the costliest segment
 */
export function pipelineBoundSec(
  pp: number,
  microbatches: number,
  ordered: boolean,
  workSec: number,
  widestSec: number,
): number {
  const share = ordered ? 1 / (1 - Math.pow(1 - 1 / microbatches, pp)) : Math.max(1, microbatches / pp);
  return Math.max(workSec * share, microbatches * widestSec);
}
