/**
 * Prefix sums of class costs along the chain of segments, so that what a stage costs is a difference of two numbers.
 * One view per table (sharding, microbatch, device group); per view one policy view per recompute vector seen.
 */
import { KERNEL_KINDS, RECOMPUTE_FULL, RECOMPUTE_NONE } from '../cost/types.js';
import type { StackProfile } from '../cost/stack.js';
import type { ClassCosts, CostProvider, Phase, ShardKey } from '../cost/types.js';
import { shardKeyOf } from '../plan/candidate.js';
import type { Segmentation } from '../graph/types.js';
import { RangeMax } from './rangeMax.js';

/** Recompute vectors remembered per table before the oldest is forgotten. */
const POLICIES_KEPT = 64;

/** What depends on the recompute policy per class. Prefix arrays have length segmentCount + 1. */
export interface PolicyView {
  readonly policy: Uint8Array;
  readonly recomputeSec: Float64Array;
  readonly savedBytes: Float64Array;
  /** Least share of the forward pass in a segment's compute, repeated work included. */
  readonly forwardShare: number;
  /** FLOP run twice. */
  readonly recomputeFlop: Float64Array;
  /** Short-lived working set of each segment. */
  readonly transientBytes: RangeMax;
}

/** Share of the tensor-parallel collectives that is exposed: chunks hide behind matmuls only where peers load from each other. */
export function tensorExposed({ tpLeavesDomain }: ClassCosts, stack: StackProfile): number {
  return tpLeavesDomain ? 1 : stack.tpExposed;
}

/** Share of the context-parallel exchange that is exposed: a ring turns while attention works, which waits for an all-to-all. */
export function contextExposed({ key }: ClassCosts, stack: StackProfile): number {
  return key.contextExchange === 'all-to-all' ? 1 : stack.cpExposed;
}

export class TableView {
  /** Exposed seconds of one microbatch: compute and collectives after overlap, without recomputation. */
  readonly forwardSec: Float64Array;
  readonly backwardSec: Float64Array;
  /** Exposed collectives in both. */
  readonly collectiveForwardSec: Float64Array;
  readonly collectiveBackwardSec: Float64Array;
  /** Of the backward pass the gradients of weights: kernels alone. */
  readonly weightSec: Float64Array;
  /** Saved activations when nothing is recomputed. */
  readonly savedBytes: Float64Array;
  /** Compute alone, forward and backward. */
  readonly computeSec: Float64Array;
  readonly tpSec: Float64Array;
  readonly cpSec: Float64Array;
  readonly epSec: Float64Array;
  readonly denseParameters: Float64Array;
  readonly expertParameters: Float64Array;
  readonly cacheBytes: Float64Array;
  readonly flop: Float64Array;
  /** Of the compute, at full rate of the matrix units, and waiting for the host: for energy. */
  readonly matrixSec: Float64Array;
  readonly launchSec: Float64Array;
  readonly memoryTrafficBytes: Float64Array;
  readonly networkBytes: Float64Array;
  /** Largest number of parameters a segment holds: what ZeRO-3 gathers at a time. */
  readonly segmentParameters: RangeMax;
  /** Compute seconds of the costliest segment. */
  readonly widestSegmentSec: number;
  /** Least share of the forward pass in a segment's compute. */
  readonly forwardShare: number;
  private readonly policies: PolicyView[] = [];
  private oldest = 0;

  constructor(
    readonly costs: ClassCosts,
    private readonly segmentation: Segmentation,
    private readonly phase: Phase,
    stack: StackProfile,
  ) {
    const c = costs;
    const back = phase === 'train' ? 1 : 0;
    const { epExposed } = stack;
    const tpExposed = tensorExposed(costs, stack);
    const cpExposed = contextExposed(costs, stack);
    const exposedForward = (k: number): number =>
      tpExposed * c.tpForwardSec[k] + cpExposed * c.cpForwardSec[k] + epExposed * c.epForwardSec[k];
    const exposedBackward = (k: number): number =>
      tpExposed * c.tpBackwardSec[k] + cpExposed * c.cpBackwardSec[k] + epExposed * c.epBackwardSec[k];
    const backward = (k: number): number => back * (c.backwardInputSec[k] + c.backwardWeightSec[k]);
    this.forwardSec = this.prefix((k) => c.forwardSec[k] + exposedForward(k));
    this.backwardSec = this.prefix((k) => backward(k) + back * exposedBackward(k));
    this.collectiveForwardSec = this.prefix(exposedForward);
    this.collectiveBackwardSec = this.prefix((k) => back * exposedBackward(k));
    this.weightSec = this.prefix((k) => back * c.backwardWeightSec[k]);
    this.savedBytes = this.prefix((k) => c.savedBytes[RECOMPUTE_NONE][k]);
    this.computeSec = this.prefix((k) => c.forwardSec[k] + backward(k));
    this.tpSec = this.prefix((k) => tpExposed * (c.tpForwardSec[k] + back * c.tpBackwardSec[k]));
    this.cpSec = this.prefix((k) => cpExposed * (c.cpForwardSec[k] + back * c.cpBackwardSec[k]));
    this.epSec = this.prefix((k) => epExposed * (c.epForwardSec[k] + back * c.epBackwardSec[k]));
    this.denseParameters = this.prefix((k) => c.denseParameters[k]);
    this.expertParameters = this.prefix((k) => c.expertParameters[k]);
    this.cacheBytes = this.prefix((k) => c.cacheBytes[k]);
    this.flop = this.prefix((k) => c.forwardFlop[k] + back * c.backwardFlop[k]);
    this.matrixSec = this.prefix((k) => c.matrixSec[k]);
    const launch = c.kernelSec[KERNEL_KINDS.indexOf('launch')];
    this.launchSec = this.prefix((k) => launch[k]);
    this.memoryTrafficBytes = this.prefix((k) => c.memoryTrafficBytes[k]);
    this.networkBytes = this.prefix((k) => c.networkBytes[k]);
    this.segmentParameters = this.rangeMax((k) => c.denseParameters[k] + c.expertParameters[k]);
    this.widestSegmentSec = this.rangeMax((k) => c.forwardSec[k] + backward(k)).over(
      0,
      segmentation.segmentCount,
    );
    this.forwardShare = this.leastForwardShare(null);
  }

  /** The view for a recompute vector; built on first sight. */
  policy(recompute: Uint8Array): PolicyView {
    const known = this.policies;
    for (let i = 0; i < known.length; i++) if (sameBytes(known[i].policy, recompute)) return this.toFront(i);
    const c = this.costs;
    const view: PolicyView = {
      policy: recompute.slice(),
      recomputeSec: this.prefix((k) => c.recomputeSec[recompute[k]][k]),
      savedBytes: this.prefix((k) => c.savedBytes[recompute[k]][k]),
      // Repeated work in proportion to repeated time: full recomputation repeats the whole forward pass.
      recomputeFlop: this.prefix((k) => {
        const full = c.recomputeSec[RECOMPUTE_FULL][k];
        return full === 0 ? 0 : (c.forwardFlop[k] * c.recomputeSec[recompute[k]][k]) / full;
      }),
      transientBytes: this.rangeMax((k) => c.transientBytes[recompute[k]][k]),
      forwardShare: this.leastForwardShare(recompute),
    };
    if (known.length < POLICIES_KEPT) known.push(view);
    else {
      known[this.oldest] = view;
      this.oldest = (this.oldest + 1) % POLICIES_KEPT;
    }
    return view;
  }

  private leastForwardShare(recompute: Uint8Array | null): number {
    const c = this.costs;
    const back = this.phase === 'train' ? 1 : 0;
    let share = 1;
    for (const k of this.segmentation.segmentClass) {
      const repeated = recompute === null ? 0 : c.recomputeSec[recompute[k]][k];
      const all = c.forwardSec[k] + back * (c.backwardInputSec[k] + c.backwardWeightSec[k] + repeated);
      if (all > 0) share = Math.min(share, c.forwardSec[k] / all);
    }
    return share;
  }

  /** Moves a view one place forward, so that the vectors in use are found first. */
  private toFront(i: number): PolicyView {
    const view = this.policies[i];
    if (i > 0) {
      this.policies[i] = this.policies[i - 1]!;
      this.policies[i - 1] = view;
    }
    return view;
  }

  private prefix(column: (classId: number) => number): Float64Array {
    const { segmentCount, segmentClass } = this.segmentation;
    const sums = new Float64Array(segmentCount + 1);
    for (let s = 0; s < segmentCount; s++) sums[s + 1] = sums[s] + column(segmentClass[s]);
    return sums;
  }

  private rangeMax(column: (classId: number) => number): RangeMax {
    const { segmentCount, segmentClass } = this.segmentation;
    return new RangeMax(Float64Array.from({ length: segmentCount }, (_, s) => column(segmentClass[s])));
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const FIELDS = 7;

/** Exchange and sharding in one number. */
function variantOf({ contextExchange, leanness = 0 }: Sharding): number {
  return 2 * leanness + (contextExchange === 'ring' ? 0 : 1);
}

/** What of a candidate a table depends on. */
export type Sharding = Omit<ShardKey, 'deviceGroup'>;

/** Tables by key, found without allocating: open addressing over the fields of a `ShardKey`. */
export class TableCache {
  private readonly slotView: (TableView | null)[];
  private readonly slotKey: Int32Array;
  private count = 0;

  /** @param slots a power of two; a quarter of them are filled before all is forgotten, far more than a search visits */
  constructor(
    private readonly provider: CostProvider,
    private readonly segmentation: Segmentation,
    private readonly phase: Phase,
    private readonly stack: StackProfile,
    private readonly slots = 4096,
  ) {
    this.slotView = new Array<TableView | null>(slots).fill(null);
    this.slotKey = new Int32Array(slots * FIELDS);
  }

  /** The view of a candidate's sharding on a device group. */
  get(c: Sharding, deviceGroup: number): TableView {
    const { tp, cp, ep, etp, microbatch } = c;
    const variant = variantOf(c);
    const keys = this.slotKey;
    const mask = this.slots - 1;
    let slot = hash(tp, cp, ep, etp, microbatch, deviceGroup, variant) & mask;
    for (; ; slot = (slot + 1) & mask) {
      const view = this.slotView[slot]!;
      if (view === null) break;
      const at = slot * FIELDS;
      if (
        keys[at] === tp &&
        keys[at + 1] === cp &&
        keys[at + 2] === ep &&
        keys[at + 3] === etp &&
        keys[at + 4] === microbatch &&
        keys[at + 5] === deviceGroup &&
        keys[at + 6] === variant
      )
        return view;
    }
    return this.add(shardKeyOf(c, deviceGroup), slot);
  }

  private add(key: ShardKey, slot: number): TableView {
    const variant = variantOf(key);
    let free = slot;
    if (4 * this.count >= this.slots) {
      this.slotView.fill(null);
      this.count = 0;
      free =
        hash(key.tp, key.cp, key.ep, key.etp, key.microbatch, key.deviceGroup, variant) & (this.slots - 1);
    }
    const view = new TableView(this.provider.costs(key), this.segmentation, this.phase, this.stack);
    this.slotView[free] = view;
    const { tp, cp, ep, etp, microbatch, deviceGroup } = key;
    this.slotKey.set([tp, cp, ep, etp, microbatch, deviceGroup, variant], free * FIELDS);
    this.count++;
    return view;
  }
}

function hash(
  tp: number,
  cp: number,
  ep: number,
  etp: number,
  microbatch: number,
  deviceGroup: number,
  variant: number,
): number {
  let h = Math.imul(tp, 0x9e3779b1);
  h = Math.imul(h ^ cp, 0x85ebca6b);
  h = Math.imul(h ^ ep, 0xc2b2ae35);
  h = Math.imul(h ^ etp, 0x27d4eb2f);
  h = Math.imul(h ^ microbatch, 0x165667b1);
  h = Math.imul(h ^ deviceGroup, 0x85ebca6b);
  h = Math.imul(h ^ variant, 0x9e3779b1);
  return h ^ (h >>> 15);
}
