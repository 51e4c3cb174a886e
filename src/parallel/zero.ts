/**
 * What ZeRO shards over the data-parallel shard group (Rajbhandari et al. 2020): 0 nothing, 1 optimizer state,
 * 2 also gradients, 3 also parameters (= FSDP full shard).
 */
export type ZeroStage = 0 | 1 | 2 | 3;

export const ZERO_STAGES: readonly ZeroStage[] = [0, 1, 2, 3];

/** Training state of one parameter in bytes, before sharding. */
export interface StateBytes {
  /** The copy that kernels read. */
  readonly param: number;
  readonly grad: number;
  /** fp32 master copy and Adam's two moments. */
  readonly optimizer: number;
}

/** Mixed-precision Adam, gradients accumulated in fp32 (Megatron): 2 + 4 + 12 = 18. */
export const MIXED_ADAM_FP32_GRAD: StateBytes = { param: 2, grad: 4, optimizer: 12 };

/** Mixed-precision Adam, gradients in the compute precision (FSDP, DeepSpeed): 2 + 2 + 12 = 16. */
export const MIXED_ADAM: StateBytes = { param: 2, grad: 2, optimizer: 12 };

/** Adam in fp32 throughout: 4 + 4 + 8 = 16; the master copy is the parameter itself. */
export const FP32_ADAM: StateBytes = { param: 4, grad: 4, optimizer: 8 };

export function bytesPerParameter(state: StateBytes): number {
  return state.param + state.grad + state.optimizer;
}

/** Bytes per parameter held by one device when `shards` data-parallel ranks share what the stage shards. */
export function shardedBytesPerParameter(state: StateBytes, stage: ZeroStage, shards: number): number {
  return (
    state.param / (stage >= 3 ? shards : 1) +
    state.grad / (stage >= 2 ? shards : 1) +
    state.optimizer / (stage >= 1 ? shards : 1)
  );
}
