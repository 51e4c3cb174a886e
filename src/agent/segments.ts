/** Sums over the options of each step of a batch, as products with a 0/1 matrix (see `scorer`). */
import type { Tensor2D } from '@tensorflow/tfjs';
import type { TensorFlow } from './backend.js';
import { segmentSum } from './scorer.js';

/** Sums a column [rows, 1] (or a matrix [rows, n]) over the rows of each step; keeps gradients. */
export type RowSum = (x: Tensor2D) => Tensor2D;

/** @param rowStart rows rowStart[t] .. rowStart[t + 1] belong to step t; must be called where its tensors outlive the gradient */
export function rowSum(tf: TensorFlow, rowStart: Int32Array): RowSum {
  const steps = rowStart.length - 1;
  const rows = rowStart[steps];
  const data = new Float32Array(steps * rows);
  const transposedData = new Float32Array(steps * rows);
  for (let t = 0; t < steps; t++) {
    data.fill(1, t * rows + rowStart[t], t * rows + rowStart[t + 1]);
    for (let r = rowStart[t]; r < rowStart[t + 1]; r++) transposedData[r * steps + t] = 1;
  }
  const matrix = tf.tensor2d(data, [steps, rows]);
  const transposed = tf.tensor2d(transposedData, [rows, steps]);
  return (x) => segmentSum(tf, matrix, transposed, x);
}
