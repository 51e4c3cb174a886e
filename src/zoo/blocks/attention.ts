/** Scaled dot-product attention as the exporter decomposes it, and the reshapes between tokens and heads. */
import { attrInt, INT64_MAX, INT64_MIN, type GraphBuilder } from '../builder.js';
import { dropout } from './dropout.js';
import { linear } from './linear.js';
import { rmsNorm } from './norms.js';
import { applyRotary, type RotaryTable } from './rotary.js';
import type { Sequence } from './sequence.js';
import type { ArchConfig } from '../config.js';

/** What is added to the scores, and whether rows without any visible key must be cleared of NaN. */
export interface ScoreBias {
  readonly value: string;
  readonly mayMaskWholeRow: boolean;
}

/** Sizes of the batch and token axes: one-element shape tensors, or a known number of tokens. */
export interface TokenAxes {
  readonly batch: string;
  readonly length: number | string;
}

/** [batch, S, heads * dim] to [batch, heads, S, dim]. */
export function splitHeads(b: GraphBuilder, x: string, tokens: TokenAxes, dim: number): string {
  return b.transpose(b.reshape(x, [tokens.batch, tokens.length, -1, dim]), [0, 2, 1, 3]);
}

/** [batch, heads, S, dim] to [batch, S, heads * dim]. */
export function mergeHeads(b: GraphBuilder, x: string, tokens: TokenAxes): string {
  return b.reshape(b.transpose(x, [0, 2, 1, 3]), [tokens.batch, tokens.length, -1]);
}

/**
 * dropout(softmax(q k^T * scale + bias)) v, all [batch, heads, S, dim]. Both factors carry the root of the scale, which keeps
 * half-precision products in range.
 */
export function scaledDotProduct(
  b: GraphBuilder,
  q: string,
  k: string,
  v: string,
  scale: number,
  bias: ScoreBias | null,
): string {
  const keyColumns = swapLastTwo(b, k);
  const rootScale = b.float(Math.sqrt(scale));
  let scores = b.op('MatMul', [b.op('Mul', [q, rootScale]), b.op('Mul', [keyColumns, rootScale])]);
  if (bias !== null) scores = b.op('Add', [scores, bias.value]);
  let weights = b.op('Softmax', [scores], [attrInt('axis', -1)]);
  if (bias?.mayMaskWholeRow === true) {
    weights = b.op('Where', [b.op('IsNaN', [weights]), b.float(0), weights]);
  }
  return b.op('MatMul', [dropout(b, weights), v]);
}

/** Swaps the last two axes of [batch, heads, S, dim] through a flattened rank-3 tensor, as exporters of SDPA write it. */
function swapLastTwo(b: GraphBuilder, k: string): string {
  const shape = b.op('Shape', [k], [attrInt('start', 0)]);
  const dim = b.op('Slice', [shape, b.ints(-1), b.ints(INT64_MAX)]);
  const length = b.op('Slice', [shape, b.ints(-2), b.ints(-1)]);
  const lead = b.op('Slice', [shape, b.ints(INT64_MIN), b.ints(-2)]);
  const flat = b.op('Reshape', [k, b.shape([-1, length, dim])], [attrInt('allowzero', 0)]);
  const swapped = b.transpose(flat, [0, 2, 1]);
  return b.op('Reshape', [swapped, b.shape([lead, dim, length])], [attrInt('allowzero', 0)]);
}

/** Repeats each key/value head for its group of query heads: [batch, kvHeads, S, dim] to [batch, heads, S, dim]. */
export function repeatHeads(
  b: GraphBuilder,
  x: string,
  tokens: Sequence,
  kvHeads: number,
  heads: number,
  dim: number,
): string {
  if (kvHeads === heads) return x;
  const grouped = b.op('Unsqueeze', [x, b.ints(2)]);
  const wide = b.op('Expand', [
    grouped,
    b.shape([tokens.batch, kvHeads, heads / kvHeads, tokens.length, dim]),
  ]);
  return b.reshape(wide, [tokens.batch, heads, tokens.length, dim]);
}

/** Self-attention of the Llama line: grouped queries, rotary positions, optional norm of queries and keys. */
export function rotaryAttention(
  b: GraphBuilder,
  x: string,
  name: string,
  config: ArchConfig,
  tokens: Sequence,
  rotary: RotaryTable,
  bias: ScoreBias,
): string {
  const { hidden, heads, kvHeads, headDim, attentionBias, qkNorm, normEpsilon } = config;
  const perHead = (value: string, part: string): string => {
    const split = b.reshape(value, [tokens.batch, tokens.length, -1, headDim]);
    const normed =
      qkNorm && part !== 'v' ? rmsNorm(b, split, `${name}.${part}_norm`, headDim, normEpsilon) : split;
    return b.transpose(normed, [0, 2, 1, 3]);
  };
  const project = (part: string, count: number): string =>
    perHead(linear(b, x, `${name}.${part}_proj`, hidden, count * headDim, attentionBias), part);
  const q = applyRotary(b, project('q', heads), rotary);
  const keys = project('k', kvHeads);
  const values = project('v', kvHeads);
  const k = repeatHeads(b, applyRotary(b, keys, rotary), tokens, kvHeads, heads, headDim);
  const v = repeatHeads(b, values, tokens, kvHeads, heads, headDim);
  const mixed = mergeHeads(b, scaledDotProduct(b, q, k, v, headDim ** -0.5, bias), tokens);
  return linear(b, mixed, `${name}.o_proj`, heads * headDim, hidden, attentionBias);
}

/** Parameter names of the four projections of one attention layer. */
export interface ProjectionNames {
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly o: string;
}

/** Encoder self-attention with biased projections (BERT, ViT). */
export function biasedAttention(
  b: GraphBuilder,
  x: string,
  names: ProjectionNames,
  config: ArchConfig,
  tokens: TokenAxes,
  bias: ScoreBias | null,
): string {
  const { hidden, heads, headDim } = config;
  const project = (name: string): string =>
    splitHeads(b, linear(b, x, name, hidden, heads * headDim, true), tokens, headDim);
  const q = project(names.q);
  const k = project(names.k);
  const v = project(names.v);
  const mixed = mergeHeads(b, scaledDotProduct(b, q, k, v, headDim ** -0.5, bias), tokens);
  return linear(b, mixed, names.o, heads * headDim, hidden, true);
}
