/**
 * Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation (Schulman et al. 2016) and
 * the details of "The 37 implementation details of PPO" (Huang et al. 2022) that matter for short episodes: whole
 * episodes per update, advantages normalised per update, gradient clipping, learning rate annealed to zero.
 */
import type { Scalar, Tensor2D } from '@tensorflow/tfjs';
import type { Random } from '../util/random.js';
import { quantile } from '../util/stats.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import type { Environment } from './environment.js';
import type { Transition } from './rollout.js';
import { meanReturn, rollout, undiscounted } from './rollout.js';
import { packBatch, Scorer, width } from './scorer.js';
import { rowSum } from './segments.js';

export interface PpoOptions {
  /** Episodes of one rollout, one environment each. */
  readonly environments: number;
  readonly epochs: number;
  /** Steps of one gradient. */
  readonly minibatch: number;
  readonly learningRate: number;
  /** Learning rate and entropy bonus at the end of the planned training, as a share of those at its start. */
  readonly finalShare: number;
  /** Trust region of the probability ratio. */
  readonly clip: number;
  readonly discount: number;
  /** Weight of longer returns in the advantage (lambda of GAE). */
  readonly traceDecay: number;
  readonly entropyBonus: number;
  readonly valueWeight: number;
  readonly maxGradientNorm: number;
  /** Units of each hidden layer. */
  readonly hidden: number;
  /**
   * Returns below this quantile of a rollout count as the quantile (0: all count as they are). Where the best plan ever
   * seen matters and not the mean one, differences among poor plans only drown those among good ones (compare the
   * risk-seeking policy gradient, Petersen et al. 2021).
   */
  readonly floorQuantile: number;
}

export const DEFAULT_PPO: PpoOptions = {
  environments: 32,
  epochs: 4,
  minibatch: 128,
  learningRate: 2e-3,
  finalShare: 0.02,
  clip: 0.2,
  discount: 1,
  traceDecay: 0.95,
  entropyBonus: 0.1,
  valueWeight: 0.5,
  maxGradientNorm: 0.5,
  hidden: 64,
  floorQuantile: 0.75,
};

/** After each update: mean undiscounted return of its episodes, best return, and mean entropy of the policy in nats. */
export interface PpoProgress {
  readonly update: number;
  readonly meanReturn: number;
  /** Mean over problems of the best episode's return. */
  readonly bestReturn: number;
  readonly entropy: number;
}

/** A policy in training: everything that an update changes. */
export interface Learner {
  readonly scorer: Scorer;
  readonly adam: Adam;
}

export function createLearner(scorer: Scorer, options: PpoOptions): Learner {
  return { scorer, adam: new Adam(scorer.tf, scorer.variables, options.maxGradientNorm) };
}

/**
 * Trains a policy until `progress()` reaches 1 and returns it. The caller disposes of it.
 *
 * @param makeEnvironment builds environment number i; all are of one spec
 * @param progress share of the training done, 0..1; asked between episodes of a rollout as well, so that a budget holds
 * @param warm a policy to start from, else a random one; it is trained in place
 */
export function trainPpo(
  tf: TensorFlow,
  makeEnvironment: (index: number) => Environment,
  options: PpoOptions,
  random: Random,
  progress: () => number,
  onUpdate?: (report: PpoProgress) => void,
  warm?: Scorer,
): Scorer {
  const environments = Array.from({ length: options.environments }, (_, i) => makeEnvironment(i));
  const scorer = warm ?? new Scorer(tf, environments[0].spec, options.hidden, random.fork());
  const learner = createLearner(scorer, options);
  for (let update = 0; progress() < 1; update++) {
    const report = updatePpo(learner, [environments], options, random, progress);
    if (report === null) break;
    onUpdate?.({ update, ...report });
  }
  return scorer;
}

/**
 * One update of PPO: an episode in every environment, then several epochs of gradients over their decisions.
 *
 * @param groups environments of one problem each; returns are compared within a group only
 * @returns null when the budget ended before the episodes did
 */
export function updatePpo(
  { scorer, adam }: Learner,
  groups: readonly (readonly Environment[])[],
  options: PpoOptions,
  random: Random,
  progress: () => number,
): Omit<PpoProgress, 'update'> | null {
  const episodes = rollout(scorer, groups.flat(), options.discount, random, progress);
  if (episodes.length === 0) return null;
  const mean = meanReturn(episodes);
  let from = 0;
  let bestReturn = 0;
  for (const { length } of groups) {
    const group = episodes.slice(from, (from += length));
    bestReturn += Math.max(...group.map(undiscounted)) / groups.length;
    floorReturns(group, options.floorQuantile);
    if (groups.length > 1) standardiseReturns(group);
  }
  for (const episode of episodes) estimateAdvantages(episode, options);
  const transitions = episodes.flat();
  normaliseAdvantages(transitions);
  const share = 1 - (1 - options.finalShare) * Math.min(1, progress());
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    random.shuffle(transitions);
    for (let from = 0; from < transitions.length; from += options.minibatch) {
      const minibatch = transitions.slice(from, from + options.minibatch);
      adam.apply(lossGradients(scorer, minibatch, options, share), options.learningRate * share);
    }
  }
  return { meanReturn: mean, bestReturn, entropy: meanEntropy(scorer, transitions) };
}

/** Lifts the returns of the poorest episodes to the quantile, by their last reward. */
function floorReturns(episodes: readonly Transition[][], quantileShare: number): void {
  if (quantileShare === 0) return;
  const returns = episodes.map(undiscounted);
  const floor = quantile(returns, quantileShare);
  episodes.forEach((episode, i) => {
    episode[episode.length - 1].reward += Math.max(0, floor - returns[i]);
  });
}

/** Returns of one problem to mean 0 and deviation 1, so that every problem weighs the same; 0 where all are alike. */
function standardiseReturns(episodes: readonly Transition[][]): void {
  const returns = episodes.map(undiscounted);
  const centre = returns.reduce((sum, x) => sum + x, 0) / returns.length;
  const variance = returns.reduce((sum, x) => sum + (x - centre) ** 2, 0) / returns.length;
  const scale = 1 / (Math.sqrt(variance) + LEAST_DEVIATION);
  episodes.forEach((episode) => {
    for (const x of episode) x.reward *= scale;
    episode[episode.length - 1].reward -= centre * scale;
  });
}

/** Differences of returns below a thousandth are no lesson. */
const LEAST_DEVIATION = 1e-3;

/** GAE: A_t = sum over k of (discount * traceDecay)^k * delta_{t+k}, delta_t = r_t + discount * v_{t+1} - v_t. */
function estimateAdvantages(episode: Transition[], { discount, traceDecay }: PpoOptions): void {
  let nextValue = 0;
  let advantage = 0;
  for (let t = episode.length - 1; t >= 0; t--) {
    const x = episode[t];
    const delta = x.reward + discount * nextValue - x.value;
    advantage = delta + discount * traceDecay * advantage;
    x.advantage = advantage;
    x.targetReturn = advantage + x.value;
    nextValue = x.value;
  }
}

function normaliseAdvantages(transitions: readonly Transition[]): void {
  const n = transitions.length;
  let mean = 0;
  for (const x of transitions) mean += x.advantage / n;
  let variance = 0;
  for (const x of transitions) variance += (x.advantage - mean) ** 2 / n;
  const scale = 1 / (Math.sqrt(variance) + 1e-8);
  for (const x of transitions) x.advantage = (x.advantage - mean) * scale;
}

/** Gradient of: -E[min(ratio A, clip(ratio) A)] + valueWeight E[(v - R)^2] - entropyBonus E[H]. */
function lossGradients(
  scorer: Scorer,
  minibatch: readonly Transition[],
  options: PpoOptions,
  share: number,
): Float32Array[] {
  const { tf, spec } = scorer;
  const n = minibatch.length;
  const batch = packBatch(
    spec,
    minibatch.map((x) => x.observation),
  );
  const column = (f: (x: Transition) => number): Tensor2D =>
    tf.tensor2d(Float32Array.from(minibatch, f), [n, 1]);
  const result = tf.tidy(() => {
    const rows = tf.tensor2d(batch.rows, [batch.rowCount, width(spec)]);
    const contexts = tf.tensor2d(batch.contexts, [n, spec.contextFeatures]);
    const sum = rowSum(tf, batch.rowStart);
    const isChosen = new Float32Array(batch.rowCount);
    minibatch.forEach((x, t) => (isChosen[batch.rowStart[t] + x.choice] = 1));
    const chosen = tf.tensor2d(isChosen, [batch.rowCount, 1]);
    const oldLog = column((x) => x.logProbability);
    const advantage = column((x) => x.advantage);
    const target = column((x) => x.targetReturn);
    return scorer.gradients(() => {
      const scores = scorer.scores(rows);
      const weights = tf.exp(scores);
      const total = sum(weights);
      const logTotal = tf.log(total);
      const logProbability = tf.sub(sum(tf.mul(scores, chosen)), logTotal);
      const ratio = tf.exp(tf.sub(logProbability, oldLog));
      const clipped = tf.clipByValue(ratio, 1 - options.clip, 1 + options.clip);
      const gain = tf.mean(tf.minimum(tf.mul(ratio, advantage), tf.mul(clipped, advantage)));
      const meanScore = tf.div(sum(tf.mul(weights, scores)), total);
      const entropy = tf.mean(tf.sub(logTotal, meanScore));
      const valueLoss = tf.mean(tf.square(tf.sub(scorer.values(contexts), target)));
      return tf.sub<Scalar>(
        tf.sub(tf.mul(valueLoss, options.valueWeight), gain),
        tf.mul(entropy, options.entropyBonus * share),
      );
    }).gradients;
  });
  return result;
}

function meanEntropy(scorer: Scorer, transitions: readonly Transition[]): number {
  const batch = packBatch(
    scorer.spec,
    transitions.slice(0, 128).map((x) => x.observation),
  );
  const { scores } = scorer.infer(batch);
  let sum = 0;
  for (let t = 0; t < batch.stepCount; t++) {
    let total = 0;
    let weighted = 0;
    for (let r = batch.rowStart[t]; r < batch.rowStart[t + 1]; r++) {
      const w = Math.exp(scores[r]);
      total += w;
      weighted += w * scores[r];
    }
    sum += Math.log(total) - weighted / total;
  }
  return sum / batch.stepCount;
}
