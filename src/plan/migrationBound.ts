/** An upper bound on moving a job's state to another plan: every device receives all that it will hold. */
import type { Cluster } from '../cluster/types.js';
import { denseShards } from '../parallel/degrees.js';
import { bytesPerParameter, MIXED_ADAM } from '../parallel/zero.js';
import type { Candidate } from './types.js';

/** Seconds, over the slowest links; gradients do not move between steps. */
export function moveBoundSec(
  problem: { readonly cluster: Cluster; readonly parameters: number },
  c: Candidate,
): number {
  const own = problem.parameters / (c.tp * c.pp);
  const sharded = c.zeroStage >= 1 ? denseShards(c) : 1;
  const state = bytesPerParameter(MIXED_ADAM) - MIXED_ADAM.grad - MIXED_ADAM.param;
  const bytes = own * (MIXED_ADAM.param / (c.zeroStage >= 3 ? sharded : 1) + state / sharded);
  const slowest = problem.cluster.levels.reduce(
    (low, l) => Math.min(low, (l.bytesPerSecPerDevice * l.efficiency) / l.oversubscription),
    Infinity,
  );
  return Number.isFinite(slowest) ? bytes / slowest : 0;
}
