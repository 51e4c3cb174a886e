/** When no plan fits: by how much, where, and what would. */
import type { Candidate } from '../plan/index.js';
import { canSplit, largestDeviceCount, shortfall, smallestDeviceCount } from '../search/index.js';
import { createSimulator } from '../simulate/estimate.js';
import { PartitionError } from '../util/errors.js';
import { formatBytes } from '../util/format.js';
import type { Problem, ProblemOptions } from './problem.js';
import { clusterOf, problemOf } from './problem.js';

/** Device counts beyond this are not tried. */
const MOST_DEVICES = 16384;

/** The error that explains why nothing was found for this problem. */
export function infeasibleError(
  problem: Problem,
  nearest: Candidate | null,
  options: ProblemOptions,
): PartitionError {
  const { devices, globalBatch } = problem.problem;
  const where = problem.model.where;
  if (!canSplit(problem.problem, devices)) {
    const largest = largestDeviceCount(problem.problem, devices - 1);
    return new PartitionError(
      'infeasible',
      `this graph cannot be split over ${devices} devices at a global batch of ${globalBatch}`,
      where,
      largest > 0
        ? `the largest count that works is ${largest}; or choose --batch so that it divides`
        : 'choose another --batch',
    );
  }
  if (nearest === null) {
    return new PartitionError(
      'infeasible',
      `no plan was found within the budget for ${devices} devices`,
      where,
      'raise --budget',
    );
  }
  const most = Math.min(MOST_DEVICES, largestCluster(problem, options));
  const short = shortfall(createSimulator(problem.problem), nearest);
  const enough = smallestDeviceCount(problem.problem, (count) => withDevices(problem, options, count), most);
  return new PartitionError(
    'infeasible',
    `no plan fits ${devices} devices of ${formatBytes(short.memoryCapacityBytes)}: the nearest needs ${formatBytes(short.peakMemoryBytes)}, ${formatBytes(short.overflowBytes)} too much on stage ${short.worstRank}`,
    where,
    enough === null ? `no count up to ${most} of this cluster fits` : `${enough} devices would fit`,
  );
}

function withDevices(problem: Problem, options: ProblemOptions, count: number): Problem['problem'] {
  const cluster = clusterOf({ ...options, devices: count });
  return problemOf(problem.model, cluster, { ...options, devices: count, batch: problem.problem.globalBatch })
    .problem;
}

/** A preset grows; a file's cluster ends where it ends. */
function largestCluster(problem: Problem, options: ProblemOptions): number {
  return problem.cluster.scalable ? MOST_DEVICES : clusterOf({ cluster: options.cluster }).deviceCount;
}
