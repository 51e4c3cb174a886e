/**
 * Scaled dot-product attention, what every attention operator shares: FLOP, factors and what a flash kernel saves.
 *
 * FLOP = 2*pairs*(d + dv) per query head, a multiply-add counted as two (QK^T and AV); `pairs` are the query-key pairs
 * that the operator itself does not mask. Masks given as tensors are not looked into. Softmax is not counted, as in
 * FlashAttention (Dao 2022) and Megatron's convention. The gradient is four products of the same sizes (dV, dP, dQ, dK);
 * the scores that a flash kernel computes again are not model FLOP and are left to the kernel's cost.
 */
import { isFloat } from '../model/dtype.js';
import { needsGrad } from './defaults.js';
import type { FactorBuilder } from './factor_builder.js';
import type { BackwardRule, OpInstance } from './types.js';

/** Concrete sizes of one attention. */
export interface AttentionSizes {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly queryLength: number;
  /** Keys and values made from this step's tokens. */
  readonly kvLength: number;
  /** Keys and values from earlier steps. */
  readonly pastLength: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly causal: boolean;
  /** Keys that a query sees at most, counted back from itself; Infinity without a window. */
  readonly window: number;
}

/**
 * Query-key pairs of one head. Causal: query i sees the past and keys 0..i, the triangle counted as half a square (the
 * convention of design section 2), and at most `window` keys.
 */
export function attendedPairs(s: AttentionSizes): number {
  const { queryLength: q, kvLength: k, pastLength: past } = s;
  if (!s.causal) return q * (k + past);
  const square = Math.min(q, k);
  const causal = q * past + (square * square) / 2 + (q - square) * square;
  return Math.min(causal, q * s.window);
}

export function attentionFlop(s: AttentionSizes): number {
  return 2 * s.batch * s.heads * attendedPairs(s) * (s.headDim + s.valueDim);
}

/** Log-sum-exp rows of a flash kernel: 4 bytes per row and head. */
export function logSumExpBytes(s: AttentionSizes): number {
  return 4 * s.batch * s.heads * s.queryLength;
}

/** Factor ids that attention layouts are made of. */
export interface AttentionFactors {
  readonly batch: number;
  /** Key/value heads; query heads are [kvHead, group]. */
  readonly kvHead: number;
  readonly group: number;
  readonly query: number;
  readonly kv: number;
  readonly headDim: number;
  readonly valueDim: number;
}

/**
 * Batch and heads parallel, the query sequence parallel, the key/value sequence `normalized` (its softmax statistics),
 * head dimensions whole.
 */
export function attentionFactors(b: FactorBuilder, s: AttentionSizes): AttentionFactors {
  return {
    batch: b.parallel(s.batch),
    kvHead: b.parallel(s.kvHeads),
    group: b.parallel(s.heads / s.kvHeads),
    query: b.parallel(s.queryLength),
    kv: b.add(s.kvLength, 'normalized'),
    headDim: b.whole(s.headDim),
    valueDim: b.whole(s.valueDim),
  };
}

/** Query head dimension: key/value head, group. */
export function queryHeads(f: AttentionFactors): number[] {
  return [f.kvHead, f.group];
}

/**
 * Gradient of an attention over inputs q, k, v: dQ and dP with the query, dK, dV each with theirs. Saves q, k, v, the
 * output and the log-sum-exp.
 * @param extraInputs other inputs the kernel reads again (masks, biases, positions)
 */
export function attentionBackward(
  op: OpInstance,
  s: AttentionSizes,
  qkv: readonly [number, number, number],
  extraInputs: readonly number[] = [],
): BackwardRule | null {
  const flop = attentionFlop(s);
  const share = [flop, flop / 2, flop / 2];
  const grads: { input: number; flop: number }[] = [];
  qkv.forEach((input, i) => {
    if (needsGrad(op, input)) grads.push({ input, flop: share[i] });
  });
  for (const input of extraInputs)
    if (needsGrad(op, input) && isFloat(op.inputDtype(input)))
      grads.push({ input, flop: s.batch * s.heads * attendedPairs(s) });
  if (grads.length === 0) return null;
  const present = [...qkv, ...extraInputs].filter((i) => i < op.inputCount && op.inputShape(i) !== null);
  return {
    grads,
    savesInputs: [...new Set(present)].sort((x, y) => x - y),
    savesOutputs: [0],
    extraSavedBytes: logSumExpBytes(s),
  };
}
