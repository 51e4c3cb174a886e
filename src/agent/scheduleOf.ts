/** The pipeline of a plan as a problem of the schedule episode: stage times, transfers and memory as `simulate` sees them. */
import { microbatchesOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import { StageLoad } from '../simulate/load.js';
import type { PlanProblem } from '../simulate/types.js';
import type { ScheduleProblem } from './scheduleState.js';

/**
 * @param plan a legal training plan with one chunk per rank; its own schedule does not matter
 * @param splitsBackward whether weight gradients are tasks of their own
 */
export function scheduleOf(problem: PlanProblem, plan: Candidate, splitsBackward: boolean): ScheduleProblem {
  if (plan.vpp !== 1 || problem.phase !== 'train' || (splitsBackward && plan.pp < 2))
    throw new Error(
      `internal: no schedule episode for vpp = ${plan.vpp}, pp = ${plan.pp} in ${problem.phase}`,
    );
  const c: Candidate = { ...plan, schedule: splitsBackward ? 'zb-h1' : '1f1b' };
  const load = new StageLoad(problem, true);
  load.fill(c);
  const { memory } = createSimulator(problem).estimate(c, createEstimate());
  const column = (f: (rank: number) => number): Float64Array =>
    Float64Array.from({ length: c.pp }, (_, r) => f(r));
  return {
    ranks: c.pp,
    microbatches: microbatchesOf(c, problem.globalBatch),
    forwardSec: load.forwardSec.slice(0, c.pp),
    backwardSec: load.backwardSec.slice(0, c.pp),
    weightSec: load.weightSec.slice(0, c.pp),
    transferSec: load.transferSec.slice(0, c.pp),
    readySec: load.gatherExposedSec.slice(0, c.pp),
    splitsBackward,
    savedBytes: load.savedBytes.slice(0, c.pp),
    lateBytes: load.deferredBytes.slice(0, c.pp),
    // What all but saved activations leave of the device.
    limitBytes: column((r) =>
      Math.max(0, load.layout.capacityBytes[r] - memory[r].totalBytes + memory[r].activationBytes),
    ),
    sizes: null,
  };
}
