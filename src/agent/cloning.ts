/** Behaviour cloning: the gradient that makes a policy choose as a teacher did (cross-entropy over the legal options). */
import type { Scalar } from '@tensorflow/tfjs';
import { follow } from './demonstrations.js';
import type { Environment, Observation } from './environment.js';
import type { Scorer } from './scorer.js';
import { oneHot, packBatch, width } from './scorer.js';
import { rowSum } from './segments.js';

/** A decision of a teacher. */
export interface Demonstration {
  readonly observation: Observation;
  /** Place of the chosen option among the legal ones. */
  readonly choice: number;
}

/**
 * Plays an episode as a teacher tells.
 *
 * @param teacher the action to take now, -1 to stop
 */
export function demonstrate(environment: Environment, seed: number, teacher: () => number): Demonstration[] {
  const decisions: Demonstration[] = [];
  follow(environment, seed, teacher, (observation, choice) => decisions.push({ observation, choice }));
  return decisions;
}

/** Gradient of the mean of -log p(the teacher's choice), in the order of `scorer.variables`; and that mean. */
export function cloningGradients(
  scorer: Scorer,
  demonstrations: readonly Demonstration[],
): { loss: number; gradients: Float32Array[] } {
  const { tf, spec } = scorer;
  const n = demonstrations.length;
  const batch = packBatch(
    spec,
    demonstrations.map((d) => d.observation),
  );
  const isChosen = oneHot(
    batch,
    demonstrations.map((d) => d.choice),
  );
  return tf.tidy(() => {
    const rows = tf.tensor2d(batch.rows, [batch.rowCount, width(spec)]);
    const chosen = tf.tensor2d(isChosen, [batch.rowCount, 1]);
    const contexts = tf.tensor2d(batch.contexts, [n, spec.contextFeatures]);
    const sum = rowSum(tf, batch.rowStart);
    return scorer.gradients(() => {
      const scores = scorer.scores(rows);
      const surprise = tf.sub(tf.log(sum(tf.exp(scores))), sum(tf.mul(scores, chosen)));
      // The critic is not taught here; it takes part so that every variable has a gradient.
      const idle = tf.mul(tf.mean(scorer.values(contexts)), 0);
      return tf.add<Scalar>(tf.mean(surprise), idle);
    });
  });
}
