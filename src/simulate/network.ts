/** Collective times on this problem's cluster, remembered: a search asks for the same few groups and sizes again and again. */
import { collectiveTimeSec } from '../cost/collective.js';
import type { CollectiveKind } from '../cost/collective.js';
import { levelsInJob } from '../cost/stack.js';
import type { StackProfile } from '../cost/stack.js';
import type { Cluster, Topology } from '../cluster/types.js';
import type { Span } from './layout.js';

export const ALL_REDUCE = 0;
export const REDUCE_SCATTER = 1;
export const ALL_GATHER = 2;
export const POINT_TO_POINT = 3;

const KINDS: readonly CollectiveKind[] = ['allReduce', 'reduceScatter', 'allGather', 'p2p'];

/** Slots a result may stand in; when all are taken a newcomer evicts one, in turn. */
const WAYS = 4;
const KEYS = 5;

export class Network {
  private readonly topologies: Topology[] = [];
  private readonly key: Float64Array;
  private readonly value: Float64Array;
  private oldest = 0;

  /** @param slots results to remember, a power of two */
  constructor(
    cluster: Cluster,
    stack: StackProfile,
    private readonly slots = 8192,
  ) {
    this.key = new Float64Array(slots * KEYS).fill(-1);
    this.value = new Float64Array(slots);
    for (const { levels } of [cluster, ...cluster.groups])
      this.topologies.push({ levels: levelsInJob(levels, stack), deviceCount: cluster.deviceCount });
  }

  /**
   * Seconds of one collective.
   *
   * @param kind ALL_REDUCE ...
   * @param bytes message size as nccl-tests count it: of the whole vector (all-gather: of its result)
   * @param network a device group's index, or WHOLE_CLUSTER
   */
  timeSec(kind: number, bytes: number, span: Span, network: number): number {
    if (span.size === 1 || bytes <= 0) return 0;
    const key = this.key;
    const first = hash(kind, bytes, span, network) & (this.slots - 1);
    for (let way = 0; way < WAYS; way++) {
      const slot = first ^ way;
      const at = slot * KEYS;
      if (
        key[at] === bytes &&
        key[at + 1] === span.size &&
        key[at + 2] === span.stride &&
        key[at + 3] === kind &&
        key[at + 4] === network
      )
        return this.value[slot];
    }
    this.oldest = (this.oldest + 1) % WAYS;
    const slot = first ^ this.oldest;
    const at = slot * KEYS;
    const timeSec = this.price(kind, bytes, span, network);
    key[at] = bytes;
    key[at + 1] = span.size;
    key[at + 2] = span.stride;
    key[at + 3] = kind;
    key[at + 4] = network;
    this.value[slot] = timeSec;
    return timeSec;
  }

  private price(kind: number, bytes: number, span: Span, network: number): number {
    return collectiveTimeSec(KINDS[kind], bytes, span, this.topologies[network + 1]);
  }
}

/** Sizes are often multiples of large powers of two: all bits are mixed (the finisher of MurmurHash3). */
function hash(kind: number, bytes: number, span: Span, network: number): number {
  const high = Math.floor(bytes / 65536);
  let h = Math.imul(high % 4294967291, 0x9e3779b1) ^ Math.imul(bytes - high * 65536, 0xc2b2ae35);
  h ^= Math.imul(span.size, 0x27d4eb2f) ^ Math.imul(span.stride, 0x165667b1) ^ (kind << 20) ^ (network << 24);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
