/**
 * Bytes that a device holds beside saved activations: training state under ZeRO, logits and loss, gather buffers, the
 * runtime, and what the allocator cannot use. Allowances are stated here and nowhere else.
 */
import type { Device } from '../cluster/types.js';
import type { StackProfile } from './stack.js';
import type { StateBytes, ZeroStage } from '../parallel/zero.js';

/**
 * Working copies that ZeRO-3 gathers: the unit (layer) that computes and the one that is prefetched, whole, in the
 * compute precision, and one whole gradient before it is scattered. Zero at lower stages, where stage 2 keeps one
 * unit's whole gradient.
 */
export function gatherBufferBytes(
  largestUnitParameters: number,
  state: StateBytes,
  stage: ZeroStage,
): number {
  if (stage === 3) return largestUnitParameters * (2 * state.param + state.grad);
  return stage === 2 ? largestUnitParameters * state.grad : 0;
}

/** Memory of the loss over a vocabulary. */
export interface LossMemory {
  /** Kept from the forward to the backward pass: the fp32 softmax. */
  readonly savedBytes: number;
  /** On top of it while the loss or its gradient is computed: logits, their fp32 copy, gradients. */
  readonly transientBytes: number;
}

/** Bytes of an fp32 number: what the softmax is kept in. */
const SOFTMAX_BYTES = 4;

/**
 * Cross-entropy over `logits` elements held here (tokens of one microbatch times classes of this rank).
 *
 * @param peakBytes bytes per logit at the peak, the kept softmax included. Vocabulary-parallel implementations hold logits in
 * 16 bits, their fp32 copy and the softmax: 10.
 */
export function lossMemory(logits: number, peakBytes = 10): LossMemory {
  const saved = Math.min(SOFTMAX_BYTES, peakBytes);
  return { savedBytes: logits * saved, transientBytes: logits * (peakBytes - saved) };
}

/**
 * Bytes lost to fragmentation beside this much memory that is allocated and freed every step. Torch jobs show 3-8 % between
 * reserved and allocated memory once warm; compilers that plan memory ahead lose less.
 */
export function fragmentationBytes(
  dynamicBytes: number,
  stack: Pick<StackProfile, 'fragmentationShare'>,
): number {
  return dynamicBytes * stack.fragmentationShare;
}

/** Communicators beyond the first few each pin channel buffers (NCCL: 4 MiB x 2 x 16 channels at most; half in use). */
export const COMMUNICATOR_BYTES = 64 * 2 ** 20;

/** Buffers of a job's communicators; the runtime's own share is `device.reservedBytes`. */
export function communicatorBytes(communicators: number): number {
  return communicators * COMMUNICATOR_BYTES;
}

/** Memory left to the model on a device. */
export function usableMemoryBytes(device: Device): number {
  return Math.max(0, device.memoryBytes - device.reservedBytes);
}
