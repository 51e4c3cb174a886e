/** Seconds of the collectives that keep data-parallel copies of parameters alike: gathers of parameters, sums of gradients. */
import type { Layout } from './layout.js';
import { ALL_GATHER, ALL_REDUCE, REDUCE_SCATTER } from './network.js';
import type { Network } from './network.js';
import type { StateBytes } from './state.js';

/** Gather of the parameters that one device needs whole, elements by kind. */
export function gatherSec(
  network: Network,
  layout: Layout,
  state: StateBytes,
  dense: number,
  expert: number,
  route: number,
): number {
  return (
    network.timeSec(ALL_GATHER, dense * state.param, layout.shard, route) +
    network.timeSec(ALL_GATHER, expert * state.param, layout.expertShard, route)
  );
}

/** Sum of gradients of which every device keeps its shard. */
export function scatterSec(
  network: Network,
  layout: Layout,
  state: StateBytes,
  dense: number,
  expert: number,
  route: number,
): number {
  return (
    network.timeSec(REDUCE_SCATTER, dense * state.grad, layout.shard, route) +
    network.timeSec(REDUCE_SCATTER, expert * state.grad, layout.expertShard, route)
  );
}

/**
 * Gradient traffic of one rank that comes once a step.
 *
 * @param scattered every microbatch has had its scatter already: only the shards' copies are left to sum
 */
export function reduceSec(
  network: Network,
  layout: Layout,
  state: StateBytes,
  zeroStage: number,
  scattered: boolean,
  dense: number,
  expert: number,
  route: number,
): number {
  if (zeroStage === 0)
    return (
      network.timeSec(ALL_REDUCE, dense * state.grad, layout.data, route) +
      network.timeSec(ALL_REDUCE, expert * state.grad, layout.expertData, route)
    );
  // The shards' copies: what is left to reduce after the scatter is a shard.
  const between =
    network.timeSec(ALL_REDUCE, (dense * state.grad) / layout.shard.size, layout.replicate, route) +
    network.timeSec(
      ALL_REDUCE,
      (expert * state.grad) / layout.expertShard.size,
      layout.expertReplicate,
      route,
    );
  return scattered ? between : between + scatterSec(network, layout, state, dense, expert, route);
}

/** Whether gradients are scattered after every microbatch, because a rank keeps only its shard of the sum. */
export function scattersEveryMicrobatch(zeroStage: number, microbatches: number): boolean {
  return zeroStage === 3 || (zeroStage === 2 && microbatches > 1);
}
