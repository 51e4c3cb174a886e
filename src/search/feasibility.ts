/** When nothing fits, or the graph cannot be split that far: what is missing, and what would do. */
import type { Candidate } from '../plan/types.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import type { PlanProblem, Simulator } from '../simulate/types.js';
import { Random } from '../util/random.js';
import type { Cell } from './bound.js';
import { enumerateCells } from './bound.js';
import { Cutter } from './cutRules.js';
import { Evaluator } from './evaluator.js';
import { leanest } from './polish.js';
import { PlanSpace } from './space.js';

/** Plans priced per device count when looking for one that fits; the leanest come first. */
const PRICES_PER_COUNT = 40;

/** How far the nearest plan is from fitting. */
export interface Shortfall {
  /** Bytes over capacity on the worst pipeline rank. */
  readonly overflowBytes: number;
  readonly worstRank: number;
  readonly peakMemoryBytes: number;
  readonly memoryCapacityBytes: number;
}

export function shortfall(simulator: Simulator, nearest: Candidate): Shortfall {
  const { overflowBytes, worstRank, peakMemoryBytes, memoryCapacityBytes } = simulator.estimate(
    nearest,
    createEstimate(),
  );
  return { overflowBytes, worstRank, peakMemoryBytes, memoryCapacityBytes };
}

/** True when some legal mesh of that many devices exists. */
export function canSplit(problem: PlanProblem, devices: number): boolean {
  return new PlanSpace({ ...problem, devices }).meshes.length > 0;
}

/** Largest device count up to `most` that the graph and the batch can be split over; 0 when not even one device works. */
export function largestDeviceCount(problem: PlanProblem, most: number): number {
  for (let devices = most; devices >= 1; devices--) if (canSplit(problem, devices)) return devices;
  return 0;
}

/**
 * Smallest device count above the problem's at which some plan is found to fit; null when none up to `most` does.
 * Doubles, then looks at eighths between the last that failed and the first that fits. A found count is sure to fit;
 * that nothing smaller does is as sure as the search (a bounded number of prices per count).
 *
 * @param withDevices the same problem on another number of devices
 */
export function smallestDeviceCount(
  problem: PlanProblem,
  withDevices: (devices: number) => PlanProblem,
  most: number,
  evaluations = PRICES_PER_COUNT,
): number | null {
  const fits = (devices: number): boolean =>
    canSplit(problem, devices) && somePlanFits(withDevices(devices), evaluations);
  let failed = problem.devices;
  let works = 2 * problem.devices;
  while (works <= most && !fits(works)) {
    failed = works;
    works *= 2;
  }
  if (works > most) return null;
  const grain = Math.max(1, Math.floor((works - failed) / 8));
  for (let devices = failed + grain; devices < works; devices += grain) if (fits(devices)) return devices;
  return works;
}

/** Whether a search of that many prices finds a plan that fits; stops at the first. */
export function somePlanFits(problem: PlanProblem, evaluations: number): boolean {
  let found = false;
  const evaluator = new Evaluator(
    {
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations: evaluations, maxSec: Infinity },
      clock: () => 0,
      random: new Random(0),
    },
    'feasibility',
  );
  const space = new PlanSpace(problem);
  const cutter = new Cutter(problem);
  // The leanest cells first. State is sharded over all devices whatever the mesh; activations in flight are not.
  const activations = ({ mesh, microbatch }: Cell): number => microbatch / (mesh.tp * mesh.cp);
  const cells = enumerateCells(space).sort(
    (a, b) => activations(a) - activations(b) || b.mesh.pp - a.mesh.pp,
  );
  for (const cell of cells) {
    if (found || evaluator.exhausted()) break;
    found = leanest(evaluator, space, cutter, cell);
  }
  return found;
}
