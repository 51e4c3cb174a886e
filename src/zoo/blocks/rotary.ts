/** Rotary positions (RoFormer, arXiv:2104.09864), half-split form: pairs are (i, i + dim/2). */
import { DType } from '../../model/dtype.js';
import { attrInt, INT64_MAX, type GraphBuilder } from '../builder.js';
import { positionRow, type Sequence } from './sequence.js';

/** cos and sin of every position and channel, [1, 1, S, dim]. */
export interface RotaryTable {
  readonly cos: string;
  readonly sin: string;
  readonly dim: number;
}

/**
 * Angles `position * theta^(-2i/dim)`, in float32 whatever the graph's type. Long-context rescaling of the frequencies
 * changes the constants only, not the graph, and is left out.
 */
export function rotaryTable(b: GraphBuilder, tokens: Sequence, dim: number, theta: number): RotaryTable {
  return b.scope('rotary_emb', () => {
    const half = dim / 2;
    const frequencies = Array.from({ length: half }, (_, i) => theta ** ((-2 * i) / dim));
    const row = positionRow(b, tokens);
    const angles = b.op('MatMul', [
      b.floats(frequencies, [1, half, 1], DType.FLOAT),
      b.cast(row, DType.FLOAT),
    ]);
    const halves = b.transpose(angles, [0, 2, 1]);
    const both = b.op('Concat', [halves, halves], [attrInt('axis', -1)]);
    return { cos: perHead(b, b.op('Cos', [both])), sin: perHead(b, b.op('Sin', [both])), dim };
  });
}

function perHead(b: GraphBuilder, table: string): string {
  const typed = b.dtype === DType.FLOAT ? table : b.cast(table, b.dtype);
  return b.op('Unsqueeze', [typed, b.ints(1)]);
}

/** `x * cos + rotateHalf(x) * sin` for x [batch, heads, S, dim]. */
export function applyRotary(b: GraphBuilder, x: string, table: RotaryTable): string {
  const half = table.dim / 2;
  const straight = b.op('Mul', [x, table.cos]);
  const low = sliceLastOf4(b, x, 0, half);
  const high = sliceLastOf4(b, x, half, INT64_MAX);
  const rotated = b.op('Concat', [b.op('Neg', [high]), low], [attrInt('axis', -1)]);
  return b.op('Add', [straight, b.op('Mul', [rotated, table.sin])]);
}

/** Regroups interleaved pairs (2i, 2i+1) of [batch, heads, S, dim] into halves, as DeepSeek's checkpoints need. */
export function deinterleave(
  b: GraphBuilder,
  x: string,
  tokens: Sequence,
  heads: number,
  table: RotaryTable,
): string {
  const pairs = b.reshape(x, [tokens.batch, heads, tokens.length, table.dim / 2, 2]);
  return b.reshape(b.transpose(pairs, [0, 1, 2, 4, 3]), [tokens.batch, heads, tokens.length, table.dim]);
}

function sliceLastOf4(b: GraphBuilder, x: string, start: number, end: number | bigint): string {
  return b.op('Slice', [x, b.ints(start), b.ints(end), b.ints(3), b.ints(1)]);
}
