/**
 * Cost tables: what one layer class costs one device for one microbatch, under one sharding of its operators. Built by
 * `strategy` (which chooses the sharding), read by `simulate` and `search`. A model of 126 equal layers has a handful of
 * classes, so tables are small and an estimate is a few sums over prefix arrays.
 */

import type { Cluster } from '../cluster/types.js';
import type { ContextExchange } from '../parallel/context.js';
import type { StackProfile } from './stack.js';

/** How operators are split inside a layer, on which device kind, at which microbatch. Identifies one table. */
export interface ShardKey {
  /** Tensor-, context- and expert-parallel degrees, and the tensor-parallel degree inside experts. */
  readonly tp: number;
  readonly cp: number;
  readonly ep: number;
  readonly etp: number;
  /** Sequences in one microbatch of one data-parallel replica. */
  readonly microbatch: number;
  /** Index into the cluster's device groups. */
  readonly deviceGroup: number;
  /** How ranks of the context-parallel axis see the whole sequence; `ring` where cp is 1. */
  readonly contextExchange: ContextExchange;
  /** Which of the mesh's shardings: 0, also where it is absent, is the usual one; above 0 leaner, below 0 faster and keeping more. */
  readonly leanness?: number;
}

/** Degrees that say how operators may be split. */
export type ShardDegrees = Pick<ShardKey, 'tp' | 'cp' | 'ep' | 'etp'>;

/** Recompute policies, also the index of per-policy arrays. */
export const RECOMPUTE_NONE = 0;
export const RECOMPUTE_SELECTIVE = 1;
export const RECOMPUTE_FULL = 2;
export const RECOMPUTE_KINDS = 3;

/** What a kernel does, also the order of `kernelSec`. `launch`: the device waits for the host to launch the next one. */
export const KERNEL_KINDS = [
  'gemm',
  'groupedGemm',
  'attention',
  'conv',
  'pointwise',
  'lookup',
  'other',
  'loss',
  'launch',
] as const;
export type KernelKind = (typeof KERNEL_KINDS)[number];

/** Collectives of the tensor-parallel axis, also the order of `tpKindSec`. */
export const TP_KINDS = ['allReduce', 'allGather', 'reduceScatter', 'allToAll'] as const;
export type TpKind = (typeof TP_KINDS)[number];

/**
 * Per-class columns; index = class id of the segmentation. Seconds and bytes are of ONE microbatch on ONE device.
 * `tp`, `cp` and `ep` seconds are the collectives' own time, before any overlap is credited.
 */
export interface ClassCosts {
  readonly key: ShardKey;
  /** The tensor-parallel group spans several fast domains. */
  readonly tpLeavesDomain: boolean;
  readonly forwardSec: Float64Array;
  /** Backward split in gradient of activations (B) and of weights (W), so that zero-bubble schedules can part them. */
  readonly backwardInputSec: Float64Array;
  readonly backwardWeightSec: Float64Array;
  /** The three above together, by what the kernels do: [KERNEL_KINDS][class]. */
  readonly kernelSec: readonly Float64Array[];
  /** Of those seconds, what the arithmetic of matrix kernels takes at the device's full rate: for energy. */
  readonly matrixSec: Float64Array;
  readonly tpForwardSec: Float64Array;
  readonly tpBackwardSec: Float64Array;
  /** Both together, by collective: [TP_KINDS][class]. */
  readonly tpKindSec: readonly Float64Array[];
  readonly cpForwardSec: Float64Array;
  readonly cpBackwardSec: Float64Array;
  readonly epForwardSec: Float64Array;
  readonly epBackwardSec: Float64Array;
  /** Extra time before the backward of a microbatch under each policy (compute and repeated collectives): [policy][class]. */
  readonly recomputeSec: readonly Float64Array[];
  /** Activation bytes kept from forward to backward per microbatch: [policy][class]. */
  readonly savedBytes: readonly Float64Array[];
  /**
   * Largest short-lived working set while the class runs forward or backward, bytes (e.g. fp32 logits and their gradient;
   * under full recompute also the class's own rebuilt activations): [policy][class].
   */
  readonly transientBytes: readonly Float64Array[];
  /** Trainable elements held by one device: sharded by tp (dense) or by ep and etp (expert); data parallelism not yet applied. */
  readonly denseParameters: Float64Array;
  readonly expertParameters: Float64Array;
  /** Bytes of the KV cache per sequence position budgeted, inference only (0 in training): bytes per microbatch. */
  readonly cacheBytes: Float64Array;
  /** FLOP one device executes, forward and backward (no recompute), and bytes moved in its memory, for energy. */
  readonly forwardFlop: Float64Array;
  readonly backwardFlop: Float64Array;
  readonly memoryTrafficBytes: Float64Array;
  /** Bytes one device sends for tp, cp and ep collectives per microbatch, forward and backward, for energy. */
  readonly networkBytes: Float64Array;
  /** Bytes one device sends to the next stage if the pipeline is cut before segment s (index s; length segmentCount + 1). */
  readonly cutBytes: Float64Array;
}

/** Gives tables on demand; the same key gives the same object. */
export interface CostProvider {
  costs(key: ShardKey): ClassCosts;
  /** What `leanness` may be at these degrees, ascending, 0 among them, on any device group; absent: always 0. */
  leannesses?(degrees: ShardDegrees): readonly number[];
  /** The same shards on the same cluster with devices of other rates; absent where costs do not come from devices. */
  repriced?(cluster: Cluster, stack: StackProfile): CostProvider;
}

/** Numeric training (or inference) precision. */
export type Precision = 'fp32' | 'tf32' | 'fp16' | 'bf16' | 'fp8' | 'fp4';

export type Phase = 'train' | 'inference';
