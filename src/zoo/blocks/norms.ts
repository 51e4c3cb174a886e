/** Normalisation layers. */
import { DType } from '../../model/dtype.js';
import { attrFloat, attrInt, type GraphBuilder } from '../builder.js';

/** LayerNormalization over the last axis with scale and shift. */
export function layerNorm(b: GraphBuilder, x: string, name: string, size: number, epsilon: number): string {
  return b.op(
    'LayerNormalization',
    [x, b.weight(`${name}.weight`, [size]), b.weight(`${name}.bias`, [size])],
    [attrInt('axis', -1), attrFloat('epsilon', epsilon), attrInt('stash_type', 1)],
  );
}

/**
 * RMS norm over the last axis, `w * x / sqrt(mean(x^2) + epsilon)` (arXiv:1910.07467), decomposed as the exporter does.
 * Below float32 the statistics are taken in float32, between two casts.
 */
export function rmsNorm(b: GraphBuilder, x: string, name: string, size: number, epsilon: number): string {
  const isHalf = b.dtype !== DType.FLOAT;
  const wide = isHalf ? b.cast(x, DType.FLOAT) : x;
  const square = b.op('Pow', [wide, b.float(2, DType.FLOAT)]);
  const mean = b.op(
    'ReduceMean',
    [square, b.ints(-1)],
    [attrInt('keepdims', 1), attrInt('noop_with_empty_axes', 0)],
  );
  const root = b.op('Sqrt', [b.op('Add', [mean, b.float(epsilon, DType.FLOAT)])]);
  const normed = b.op('Mul', [wide, b.op('Reciprocal', [root])]);
  return b.op('Mul', [b.weight(`${name}.weight`, [size]), isHalf ? b.cast(normed, b.dtype) : normed]);
}
