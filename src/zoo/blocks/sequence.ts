/** Sizes and positions of the token axis, computed inside the graph so that it runs at any batch and length. */
import { DType } from '../../model/dtype.js';
import type { DimSpec, GraphBuilder } from '../builder.js';

/** A batch of token sequences: names of one-element shape tensors, and of the int64 positions 0..length-1. */
export interface Sequence {
  readonly batch: string;
  readonly length: string;
  readonly positions: string;
}

/** Declares an int64 input [batch, length] and computes its sizes. */
export function tokenInput(b: GraphBuilder, name: string, batch: DimSpec, length: DimSpec): Sequence {
  b.input(name, DType.INT64, [batch, length]);
  return sequenceOf(b, b.dimOf(name, 0), b.dimOf(name, 1));
}

export function sequenceOf(b: GraphBuilder, batch: string, length: string): Sequence {
  return { batch, length, positions: range(b, length) };
}

/** 0, 1, ... up to a one-element size tensor. */
export function range(b: GraphBuilder, size: string): string {
  return b.once(`range ${size}`, () => b.op('Range', [b.int(0), b.op('Squeeze', [size]), b.int(1)]));
}

/** Positions as a row [1, 1, S], from which masks and rotary angles are spread. */
export function positionRow(b: GraphBuilder, tokens: Sequence): string {
  return b.once(`row ${tokens.positions}`, () => b.op('Unsqueeze', [tokens.positions, b.ints(0, 1)]));
}
