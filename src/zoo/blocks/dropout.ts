/** Dropout in its training form. */
import { DType } from '../../model/dtype.js';
import type { GraphBuilder } from '../builder.js';

/** `x` with elements dropped at the model's probability; `x` itself where that is 0. */
export function dropout(b: GraphBuilder, x: string): string {
  if (b.dropProbability === 0) return x;
  return b.op('Dropout', [x, b.float(b.dropProbability, DType.FLOAT), b.bool(true)]);
}
