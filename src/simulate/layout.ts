/**
 * Where a candidate's ranks stand: the strides of its communication groups, the device group of every pipeline rank
 * and the network its collectives see. Recomputed per candidate in O(pp * groups), without allocating.
 *
 * Rank numbers, innermost first: `tp-cp-dp-pp` gives every stage consecutive ranks; `tp-cp-pp-dp` deals blocks of
 * tp * cp ranks to the stages in turn, so that neighbouring stages stand close and the data-parallel groups wide:
 *
 *     tp*cp = 2, pp = 2, dp = 2     tp-cp-dp-pp  0 0 0 0 1 1 1 1      tp-cp-pp-dp  0 0 1 1 0 0 1 1   (stage of rank)
 */
import type { Cluster } from '../cluster/types.js';
import { expertDataParallel, expertShards } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';

/** Ranks of a communication group: how many, and how far apart. */
export interface Span {
  size: number;
  stride: number;
}

/** `network` of a stage whose ranks stand in several device groups: the cluster's own levels. */
export const WHOLE_CLUSTER = -1;

export class Layout {
  /** Ranks over which ZeRO shards, together with those that hold the same parameters under context parallelism. */
  readonly shard: Span = { size: 1, stride: 1 };
  /** Copies of the sharded model. */
  readonly replicate: Span = { size: 1, stride: 1 };
  /** Ranks that hold the same dense parameters: shard and replicate together. */
  readonly data: Span = { size: 1, stride: 1 };
  /** The same three for expert parameters. */
  readonly expertShard: Span = { size: 1, stride: 1 };
  readonly expertReplicate: Span = { size: 1, stride: 1 };
  readonly expertData: Span = { size: 1, stride: 1 };
  pipelineStride = 1;
  /** Slowest device group of each pipeline rank, and its smallest memory in bytes. */
  deviceGroup = new Int32Array(16);
  capacityBytes = new Float64Array(16);
  /** Device group whose network the rank's collectives see, or WHOLE_CLUSTER. */
  network = new Int32Array(16);
  /** True when every pipeline rank runs on the same device group. */
  uniform = true;

  constructor(private readonly cluster: Cluster) {}

  place(c: Candidate): void {
    this.spans(c);
    if (c.pp > this.deviceGroup.length) {
      this.deviceGroup = new Int32Array(2 * c.pp);
      this.capacityBytes = new Float64Array(2 * c.pp);
      this.network = new Int32Array(2 * c.pp);
    }
    this.uniform = true;
    for (let r = 0; r < c.pp; r++) {
      this.placeRank(c, r);
      if (this.deviceGroup[r] !== this.deviceGroup[0] || this.network[r] !== this.network[0])
        this.uniform = false;
    }
  }

  private spans(c: Candidate): void {
    const inner = c.tp * c.cp;
    const outward = c.axisOrder === 'tp-cp-pp-dp' ? c.pp : 1;
    this.pipelineStride = outward > 1 ? inner : inner * c.dpShard * c.dpReplicate;
    const dpStride = inner * outward;
    set(this.replicate, c.dpReplicate, dpStride * c.dpShard);
    spread(this.shard, c.tp, c.cp, c.dpShard, outward);
    spread(this.data, c.tp, c.cp, c.dpShard * c.dpReplicate, outward);
    // Experts: etp innermost, then ep, then their replicas, over the ranks of a stage.
    const replicas = expertDataParallel(c);
    const shards = expertShards(c);
    const width = c.etp * c.ep;
    const expertStride = width >= inner ? width * outward : width;
    set(this.expertData, replicas, expertStride);
    set(this.expertShard, shards, expertStride);
    set(this.expertReplicate, replicas / shards, expertStride * shards);
  }

  private placeRank(c: Candidate, rank: number): void {
    const groups = this.cluster.groups;
    let slowest = -1;
    let capacity = Infinity;
    let count = 0;
    for (let g = 0; g < groups.length; g++) {
      const group = groups[g];
      if (!holds(c, rank, group.firstRank, group.firstRank + group.deviceCount)) continue;
      count++;
      // Groups are ordered fastest first.
      slowest = g;
      if (group.device.memoryBytes < capacity) capacity = group.device.memoryBytes;
    }
    this.deviceGroup[rank] = slowest < 0 ? 0 : slowest;
    this.capacityBytes[rank] = capacity === Infinity ? groups[0].device.memoryBytes : capacity;
    this.network[rank] = count === 1 ? slowest : WHOLE_CLUSTER;
  }
}

/** Whether some device in [from, to) belongs to the pipeline rank. */
function holds(c: Candidate, rank: number, from: number, to: number): boolean {
  if (to <= from) return false;
  const inner = c.tp * c.cp;
  if (c.axisOrder === 'tp-cp-dp-pp') {
    const size = inner * c.dpShard * c.dpReplicate;
    return from < (rank + 1) * size && to > rank * size;
  }
  const firstBlock = Math.floor(from / inner);
  const lastBlock = Math.min(Math.floor((to - 1) / inner), c.pp * c.dpShard * c.dpReplicate - 1);
  // The first block of this rank at or after firstBlock.
  return firstBlock + ((rank - (firstBlock % c.pp) + c.pp) % c.pp) <= lastBlock;
}

function set(span: Span, size: number, stride: number): void {
  span.size = size;
  span.stride = size === 1 ? 1 : stride;
}

/**
 * Group over cp (stride tp) and dp (stride tp * cp * outward) together. With pp between them it has holes; it then
 * counts as evenly spread over the same reach.
 */
function spread(span: Span, tp: number, cp: number, dp: number, outward: number): void {
  if (cp === 1) set(span, dp, tp * outward);
  else if (dp === 1) set(span, cp, tp);
  else set(span, cp * dp, tp * outward);
}
