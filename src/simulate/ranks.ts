/** Which devices communicate: rank numbers of a candidate and the groups that every one of them belongs to. */
import { devicesPerStage, expertShards } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';

/**
 * What a group shares: the axis of tensor, context or expert parallelism; dense parameters, whole (`data`), as ZeRO
 * shards them (`shard`) or as copies of one shard (`replicate`); the same three of expert parameters.
 */
export type GroupKind =
  'tp' | 'cp' | 'ep' | 'shard' | 'replicate' | 'data' | 'expertShard' | 'expertReplicate' | 'expertData';

/**
 * Rank of a device: its place in its stage, tp innermost, then cp, dpShard, dpReplicate; and its pipeline rank, which
 * is outermost or between cp and data parallelism, as the candidate orders the axes.
 */
export function globalRank(c: Candidate, pipelineRank: number, place: number): number {
  if (c.axisOrder === 'tp-cp-dp-pp') return pipelineRank * devicesPerStage(c) + place;
  const inner = c.tp * c.cp;
  const dp = Math.floor(place / inner);
  return (place % inner) + inner * (pipelineRank + c.pp * dp);
}

/** Places in its stage of the devices that a device shares something with, ascending, itself included. */
export function groupPlaces(c: Candidate, kind: GroupKind, place: number): number[] {
  const { tp, cp, dpShard, etp, ep } = c;
  const all = devicesPerStage(c);
  // Every group varies one run of neighbouring axes: those of sizes before it and those behind it stay.
  const axes: Record<GroupKind, readonly [stride: number, size: number]> = {
    tp: [1, tp],
    cp: [tp, cp],
    shard: [tp, cp * dpShard],
    replicate: [tp * cp * dpShard, c.dpReplicate],
    data: [tp, cp * dpShard * c.dpReplicate],
    ep: [etp, ep],
    expertShard: [etp * ep, expertShards(c)],
    expertReplicate: [etp * ep * expertShards(c), all / (etp * ep * expertShards(c))],
    expertData: [etp * ep, all / (etp * ep)],
  };
  const [stride, size] = axes[kind];
  const own = Math.floor(place / stride) % size;
  const first = place - own * stride;
  return Array.from({ length: size }, (_, i) => first + i * stride);
}
