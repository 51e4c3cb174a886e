/**
 * A lower bound for a candidate's degrees: whatever the cuts, the order of work, the recompute policy and the overlap,
 * a step cannot be faster. Only compute counts; every collective may hide, nothing is recomputed, cuts fall anywhere.
 *
 * Let W be one microbatch's compute on all stages together, M the microbatches, pp the ranks.
 *
 * 1. One microbatch passes all stages: T >= W.
 * 2. A rank that holds the costliest segment does it M times: T >= M * widest.
 * 3. Rank r cannot begin before the first microbatch has run forward on the stages before it: T >= P_r + M w_r with
 *    P_r = s (w_0 + ... + w_(r-1)) where s is the least share of the forward pass in a segment. (Gradients that have to
 *    pass back take as long again, but zero-bubble orders fill that time.) The cuts that satisfy all ranks with the least
 *    T have w_r = (T - P_r) / M, so that T - P_r shrinks by (1 - s/M) per rank and T = s W / (1 - (1 - s/M)^pp).
 *    With interleaved chunks only the average holds, which is the limit for s = 0: T >= M W / pp.
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
  let share = 1;
  for (let r = 0; r < pp; r++) {
    // Mixed clusters: as if every segment ran on the fastest group in use.
    const table = load.tableOf[r];
    if (r > 0 && table === load.tableOf[r - 1]) continue;
    work = Math.min(work, table.computeSec[segments]);
    widest = Math.min(widest, table.widestSegmentSec);
    share = Math.min(share, table.forwardShare);
  }
  const ordered = problem.phase === 'train' && vpp === 1;
  const { stepOverheadSec, microbatchOverheadSec } = problem.stack;
  const bound = pipelineBoundSec(pp, microbatches, ordered ? share : 0, work, widest, microbatchOverheadSec);
  return ROUNDING * (bound + stepOverheadSec);
}

/**
 * The formula above, seconds.
 *
 * @param forwardShare s of point 3 where ranks hold one chunk each; else 0
 * @param workSec W
 * @param widestSec one microbatch's compute on the costliest segment
 * @param hostSec host time of one microbatch on one rank, which nothing hides
 */
export function pipelineBoundSec(
  pp: number,
  microbatches: number,
  forwardShare: number,
  workSec: number,
  widestSec: number,
  hostSec: number,
): number {
  // Host time is spread over forward and backward alike: half of it is in the forward way.
  const s = Math.min(forwardShare, forwardShare > 0 && hostSec > 0 ? 0.5 : 1);
  const share = s > 0 ? s / (1 - Math.pow(1 - s / microbatches, pp)) : Math.max(1, microbatches / pp);
  return Math.max((workSec + pp * hostSec) * share, microbatches * (widestSec + hostSec));
}
