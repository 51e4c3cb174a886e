/** Bytes of training state per parameter, by precision and ZeRO stage. */
import type { StackProfile } from '../cost/stack.js';
import type { Phase, Precision } from '../cost/types.js';
import { FP32_ADAM, MIXED_ADAM, MIXED_ADAM_FP32_GRAD } from '../parallel/zero.js';
import type { StateBytes } from '../parallel/zero.js';

export type { StateBytes } from '../parallel/zero.js';

const WEIGHTS: readonly StateBytes[] = [1, 2, 4].map((param) => ({ param, grad: 0, optimizer: 0 }));

/** Matmuls in 8 bits or fewer; inference keeps the weights in 8. */
const isNarrow = (precision: Precision): boolean => precision === 'fp8' || precision === 'fp4';

/** What state sizes depend on; a `PlanProblem` fits. */
interface Setting {
  readonly precision: Precision;
  readonly phase: Phase;
  readonly stack: Pick<StackProfile, 'gradientBytes'>;
}

/**
 * Training: Adam. In 16-bit and fp8 training parameters take 2 bytes and the optimizer 12 (fp32 master copy and two
 * moments); gradients are summed in fp32 (4 bytes, Megatron), except under ZeRO-3, which reduces them in the compute
 * precision (2 bytes, FSDP), unless the stack says otherwise. Inference: weights alone, 1 byte in fp8.
 */
export function stateBytesOf({ precision, phase, stack }: Setting, zeroStage: number): StateBytes {
  const full = precision === 'fp32' || precision === 'tf32';
  if (phase === 'inference') return full ? WEIGHTS[2] : isNarrow(precision) ? WEIGHTS[0] : WEIGHTS[1];
  if (full) return FP32_ADAM;
  if (stack.gradientBytes > 0) return stack.gradientBytes > 2 ? MIXED_ADAM_FP32_GRAD : MIXED_ADAM;
  return zeroStage === 3 ? MIXED_ADAM : MIXED_ADAM_FP32_GRAD;
}

/** Bytes that the optimizer step moves per owned parameter: state read and written, gradient read, parameter written. */
export function updateBytesPerParameter(state: StateBytes): number {
  return 2 * state.optimizer + state.grad + state.param;
}
