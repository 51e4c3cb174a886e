/**
 * Action values on the candidate-scoring network, in the duelling form (Wang et al. 2016):
 *
 *     Q(s, i) = V(s) + A(s, i) - mean over legal j of A(s, j),   V = the network's value, A = its scores
 */
import type { Tensor2D } from '@tensorflow/tfjs';
import type { Adam } from './adam.js';
import type { Minibatch } from './collector.js';
import type { Batch, Scorer } from './scorer.js';
import { width } from './scorer.js';
import { rowSum } from './segments.js';

/** Q of every row of a batch. */
export function inferQ(scorer: Scorer, batch: Batch): Float32Array {
  const { scores, values } = scorer.infer(batch);
  const { rowStart, stepCount } = batch;
  for (let t = 0; t < stepCount; t++) {
    const from = rowStart[t];
    const to = rowStart[t + 1];
    let sum = 0;
    for (let r = from; r < to; r++) sum += scores[r];
    const shift = values[t] - sum / (to - from);
    for (let r = from; r < to; r++) scores[r] += shift;
  }
  return scores;
}

/**
 * One step of weighted Huber regression of Q(s, choice) on goals.
 *
 * @param pull added to the loss of each step: the sum over its rows of pull times advantage; nothing by default
 * @returns signed errors (Q - goal), for priorities
 */
export function regressQ(
  scorer: Scorer,
  adam: Adam,
  { batch, choices, goals, weights }: Minibatch,
  learningRate: number,
  pull?: Float32Array,
): Float32Array {
  const { tf, spec } = scorer;
  const n = batch.stepCount;
  const chosen = new Float32Array(batch.rowCount);
  for (let t = 0; t < n; t++) {
    const from = batch.rowStart[t];
    const to = batch.rowStart[t + 1];
    // Q = V + sum over rows of A * (chosen - 1 / legal).
    chosen.fill(-1 / (to - from), from, to);
    chosen[from + choices[t]] += 1;
  }
  let errors = new Float32Array(0);
  const gradients = tf.tidy(() => {
    const rows = tf.tensor2d(batch.rows, [batch.rowCount, width(spec)]);
    const contexts = tf.tensor2d(batch.contexts, [n, spec.contextFeatures]);
    const chosenColumn = tf.tensor2d(chosen, [batch.rowCount, 1]);
    const pulls = pull === undefined ? null : tf.tensor2d(pull, [batch.rowCount, 1]);
    const target = tf.tensor2d(goals, [n, 1]);
    const weight = tf.tensor2d(weights, [n, 1]);
    const sum = rowSum(tf, batch.rowStart);
    const result = scorer.gradients(() => {
      const advantages = scorer.scores(rows);
      const q = tf.add<Tensor2D>(scorer.values(contexts), sum(tf.mul(advantages, chosenColumn)));
      const error = tf.sub(q, target);
      errors = (error.dataSync() as Float32Array).slice();
      const size = tf.abs(error);
      const near = tf.minimum(size, 1);
      const huber = tf.add(tf.mul(tf.square(near), 0.5), tf.sub(size, near));
      const loss = tf.mul(huber, weight);
      return tf.mean(pulls === null ? loss : tf.add(loss, sum(tf.mul(advantages, pulls))));
    });
    return result.gradients;
  });
  adam.apply(gradients, learningRate);
  return errors;
}

/** Row of the largest value in [from, to). */
export function bestRow(values: Float32Array, from: number, to: number): number {
  let best = from;
  for (let r = from + 1; r < to; r++) if (values[r] > values[best]) best = r;
  return best;
}

/** Draws a row of [from, to) from softmax(values / temperature); the best row at temperature 0. */
export function boltzmannRow(
  values: Float32Array,
  from: number,
  to: number,
  temperature: number,
  draw: number,
): number {
  const best = bestRow(values, from, to);
  if (temperature === 0) return best;
  let total = 0;
  for (let r = from; r < to; r++) total += Math.exp((values[r] - values[best]) / temperature);
  let left = draw * total;
  for (let r = from; r < to; r++) {
    left -= Math.exp((values[r] - values[best]) / temperature);
    if (left < 0) return r;
  }
  return best;
}
