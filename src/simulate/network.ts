/** Collective times on this problem's cluster, remembered: a search asks for the same few groups and sizes again and again. */
import { collectiveTimeSec } from '../cost/collective.js';
import type { CollectiveKind } from '../cost/collective.js';
import type { Cluster, Topology } from '../cluster/types.js';
import type { Span } from './layout.js';

export const ALL_REDUCE = 0;
export const REDUCE_SCATTER = 1;
export const ALL_GATHER = 2;
export const POINT_TO_POINT = 3;

const KINDS: readonly CollectiveKind[] = ['allReduce', 'reduceScatter', 'allGather', 'p2p'];

/** Remembered results; a power of two. A newcomer evicts whoever holds its slot. */
const SLOTS = 8192;
const KEYS = 5;

export class Network {
  private readonly topologies: Topology[] = [];
  private readonly key = new Float64Array(SLOTS * KEYS).fill(-1);
  private readonly value = new Float64Array(SLOTS);

  constructor(cluster: Cluster) {
    this.topologies.push({ levels: cluster.levels, deviceCount: cluster.deviceCount });
    for (const group of cluster.groups)
      this.topologies.push({ levels: group.levels, deviceCount: cluster.deviceCount });
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
    let h = Math.imul((bytes % 4294967291) | 0, 0x9e3779b1) ^ Math.imul(span.size, 0x85ebca6b);
    h = Math.imul(h ^ span.stride ^ (kind << 20) ^ (network << 24), 0xc2b2ae35);
    const slot = (h ^ (h >>> 13)) & (SLOTS - 1);
    const at = slot * KEYS;
    const key = this.key;
    if (
      key[at] === bytes &&
      key[at + 1] === span.size &&
      key[at + 2] === span.stride &&
      key[at + 3] === kind &&
      key[at + 4] === network
    )
      return this.value[slot];
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
