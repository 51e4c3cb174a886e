/**
 * Soft actor-critic (Haarnoja et al. 2018) for choices among candidates (Christodoulou 2019): expectations over the legal
 * options are sums, not samples. Two duelling critics of which the lower is believed; the temperature is tuned towards an
 * entropy that falls with the training. Demonstrations sit in the prioritised replay; the policy first clones them and
 * keeps a cloning term, which fades, on those that the critics rate above its own choice (Nair et al. 2018).
 */
import type { Tensor2D } from '@tensorflow/tfjs';
import type { Random } from '../util/random.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import { cloningGradients } from './cloning.js';
import type { CollectorOptions, EpisodeProgress, WarmStart } from './collector.js';
import { Collector } from './collector.js';
import { boltzmannRow, inferQ, regressQ } from './duelling.js';
import type { Environment, EnvironmentSpec } from './environment.js';
import { DEFAULT_REPLAY } from './replay.js';
import type { Batch } from './scorer.js';
import { oneHot, Scorer, width } from './scorer.js';
import { rowSum } from './segments.js';

export interface SacOptions extends CollectorOptions {
  /** Exponent of the importance weights. */
  readonly importance: number;
  readonly learningRate: number;
  readonly temperature: number;
  /** Entropy to keep, as a share of that of a uniform choice: at the start and at the end. */
  readonly entropyFrom: number;
  readonly entropyTo: number;
  /** Weight of the cloning term at the start; it is gone when `cloneUntil` of the training is done. */
  readonly cloneWeight: number;
  readonly cloneUntil: number;
  /** Gradients of pure cloning before the first episode, when there are demonstrations. */
  readonly cloningUpdates: number;
  /** Share of the way that target critics follow per gradient. */
  readonly targetShare: number;
  readonly maxGradientNorm: number;
  /** Units of each hidden layer. */
  readonly hidden: number;
}

export const DEFAULT_SAC: SacOptions = {
  environments: 16,
  discount: 1,
  nStep: 4,
  replay: DEFAULT_REPLAY,
  importance: 0.5,
  warmup: 256,
  minibatch: 64,
  decisionsPerUpdate: 32,
  learningRate: 2e-3,
  temperature: 0.2,
  entropyFrom: 0.7,
  entropyTo: 0.05,
  cloneWeight: 0.5,
  cloneUntil: 0.5,
  cloningUpdates: 30,
  targetShare: 0.02,
  maxGradientNorm: 5,
  hidden: 64,
};

const MOST_TEMPERATURE = 2;
const LEAST_TEMPERATURE = 1e-3;

/** Everything that an update changes. */
class Learner {
  readonly actor: Scorer;
  readonly critics: readonly Scorer[];
  readonly targets: readonly Scorer[];
  readonly actorAdam: Adam;
  readonly criticAdams: readonly Adam[];
  temperature: number;

  constructor(tf: TensorFlow, spec: EnvironmentSpec, options: SacOptions, random: Random) {
    const network = (): Scorer => new Scorer(tf, spec, options.hidden, random.fork());
    this.actor = network();
    this.critics = [network(), network()];
    this.targets = [network(), network()];
    this.targets.forEach((target, k) => target.follow(this.critics[k], 1));
    this.actorAdam = new Adam(tf, this.actor.variables, options.maxGradientNorm);
    this.criticAdams = this.critics.map((c) => new Adam(tf, c.variables, options.maxGradientNorm));
    this.temperature = options.temperature;
  }

  disposeAllButActor(): void {
    for (const network of [...this.critics, ...this.targets]) network.dispose();
  }
}

/**
 * Trains a policy until `progress()` reaches 1 and returns it: softmax of its scores. The caller disposes of it.
 *
 * @param makeEnvironment builds environment number i; all are of one spec
 * @param progress share of the training done, 0..1
 */
export function trainSac(
  tf: TensorFlow,
  makeEnvironment: (index: number) => Environment,
  options: SacOptions,
  random: Random,
  progress: () => number,
  onEpisode?: (report: EpisodeProgress) => void,
  { scorer, demonstrations }: WarmStart = {},
): Scorer {
  const collector = new Collector(makeEnvironment, options, random, progress, onEpisode, demonstrations);
  const learner = new Learner(tf, collector.spec, options, random);
  const { actor } = learner;
  if (scorer !== undefined) actor.follow(scorer, 1);
  if (collector.replay.demonstrations > 0)
    for (let k = 0; k < options.cloningUpdates && progress() < 1; k++) {
      const { gradients } = cloningGradients(actor, collector.draw(0).experiences);
      learner.actorAdam.apply(gradients, options.learningRate);
    }
  while (progress() < 1) {
    collector.play(
      (batch) => actor.infer(batch).scores,
      (scores) => (from, to) => boltzmannRow(scores, from, to, 1, random.next()),
    );
    while (collector.owesUpdate()) learn(collector, learner, options, Math.min(1, progress()));
  }
  learner.disposeAllButActor();
  return actor;
}

/** One gradient of the critics, of the policy and of the temperature, on one sample. */
function learn(collector: Collector, learner: Learner, options: SacOptions, progress: number): void {
  const { critics, targets, criticAdams } = learner;
  const minibatch = collector.draw(options.importance);
  const { batch, choices, goals, experiences } = minibatch;
  collector.addFuture(minibatch, (next) => softValues(next, learner));
  const errors = critics.map((critic, k) =>
    regressQ(critic, criticAdams[k], minibatch, options.learningRate),
  );
  collector.replay.update(
    minibatch.slots,
    errors[0].map((e, k) => Math.max(Math.abs(e), Math.abs(errors[1][k]))),
  );
  const q = lowerQ(critics, batch);
  const cloneWeight = options.cloneWeight * Math.max(0, 1 - progress / options.cloneUntil);
  const cloneWeights = Float32Array.from(experiences, (x, t) =>
    x.demonstration && cloneWeight > 0 && goals[t] >= bestOf(q, batch, t) ? cloneWeight : 0,
  );
  const entropies = improvePolicy(learner, batch, q, choices, cloneWeights, options);
  tuneTemperature(learner, batch, entropies, options, progress);
  targets.forEach((target, k) => target.follow(critics[k], options.targetShare));
}

/** Per step V(s) = sum over a of p(a) (min Q(s, a) - temperature log p(a)). */
function softValues(batch: Batch, { actor, targets, temperature }: Learner): Float64Array {
  const { scores } = actor.infer(batch);
  const q = lowerQ(targets, batch);
  return Float64Array.from({ length: batch.stepCount }, (_, t) => {
    const from = batch.rowStart[t];
    const to = batch.rowStart[t + 1];
    let total = 0;
    for (let r = from; r < to; r++) total += Math.exp(scores[r]);
    const logTotal = Math.log(total);
    let value = 0;
    for (let r = from; r < to; r++) {
      const logProbability = scores[r] - logTotal;
      value += Math.exp(logProbability) * (q[r] - temperature * logProbability);
    }
    return value;
  });
}

/** The lower of the critics' values, row by row. */
function lowerQ(critics: readonly Scorer[], batch: Batch): Float32Array {
  const [a, b] = critics.map((critic) => inferQ(critic, batch));
  return a.map((x, r) => Math.min(x, b[r]));
}

function bestOf(q: Float32Array, batch: Batch, t: number): number {
  let best = -Infinity;
  for (let r = batch.rowStart[t]; r < batch.rowStart[t + 1]; r++) best = Math.max(best, q[r]);
  return best;
}

/**
 * Gradient of E[sum over a of p(a) (temperature log p(a) - Q(a))] + E[cloneWeight * -log p(demonstrated)].
 *
 * @returns entropy of the policy per step, nats
 */
function improvePolicy(
  { actor, actorAdam, temperature }: Learner,
  batch: Batch,
  q: Float32Array,
  choices: Int32Array,
  cloneWeights: Float32Array,
  options: SacOptions,
): Float32Array {
  const { tf, spec } = actor;
  const n = batch.stepCount;
  let entropies = new Float32Array(0);
  const gradients = tf.tidy(() => {
    const rows = tf.tensor2d(batch.rows, [batch.rowCount, width(spec)]);
    const values = tf.tensor2d(q, [batch.rowCount, 1]);
    const demonstrated = tf.tensor2d(oneHot(batch, choices), [batch.rowCount, 1]);
    const clones = tf.tensor2d(cloneWeights, [n, 1]);
    const sum = rowSum(tf, batch.rowStart);
    const result = actor.gradients(() => {
      const scores = actor.scores(rows);
      const exponents = tf.exp(scores);
      const total = sum(exponents);
      const logTotal = tf.log(total);
      const entropy = tf.sub<Tensor2D>(logTotal, tf.div(sum(tf.mul(exponents, scores)), total));
      entropies = (entropy.dataSync() as Float32Array).slice();
      const expected = tf.div(sum(tf.mul(exponents, values)), total);
      const surprise = tf.sub(logTotal, sum(tf.mul(scores, demonstrated)));
      const loss = tf.sub(tf.mul(surprise, clones), tf.add(expected, tf.mul(entropy, temperature)));
      return tf.mean(loss);
    });
    return result.gradients;
  });
  actorAdam.apply(gradients, options.learningRate);
  return entropies;
}

/** Higher where the entropy is below its target, lower where it is above; steps with one legal option have no say. */
function tuneTemperature(
  learner: Learner,
  batch: Batch,
  entropies: Float32Array,
  options: SacOptions,
  progress: number,
): void {
  const share = options.entropyFrom + (options.entropyTo - options.entropyFrom) * progress;
  let missing = 0;
  let count = 0;
  for (let t = 0; t < batch.stepCount; t++) {
    const legal = batch.rowStart[t + 1] - batch.rowStart[t];
    if (legal < 2) continue;
    missing += share - entropies[t] / Math.log(legal);
    count++;
  }
  if (count === 0) return;
  const factor = Math.exp(TEMPERATURE_RATE * (missing / count));
  learner.temperature = Math.min(MOST_TEMPERATURE, Math.max(LEAST_TEMPERATURE, learner.temperature * factor));
}

/** Change of the temperature's logarithm per gradient and unit of missing entropy. */
const TEMPERATURE_RATE = 0.1;
