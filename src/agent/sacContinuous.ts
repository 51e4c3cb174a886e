/**
 * Soft actor-critic for numbers in [0, 1] per stage (Haarnoja et al. 2018): a Gaussian squashed by a sigmoid, one network
 * for the mean and one for the spread, both of which see one stage at a time. Two critics embed every stage with its
 * action, take the mean over stages (Zaheer et al. 2017, deep sets) and value it; the lower one is believed.
 */
import type { Scalar, Tensor2D, Variable } from '@tensorflow/tfjs';
import type { Random } from '../util/random.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import type { ContinuousEnvironment, ContinuousObservation, ContinuousSpec } from './continuous.js';
import { gradientsOf, Perceptron } from './perceptron.js';
import type { RowSum } from './segments.js';
import { rowSum } from './segments.js';

export interface ContinuousSacOptions {
  readonly discount: number;
  readonly capacity: number;
  /** Experiences before the first gradient; actions are uniform until then. */
  readonly warmup: number;
  readonly minibatch: number;
  /** Steps per gradient. */
  readonly stepsPerUpdate: number;
  readonly learningRate: number;
  /** Rewards are multiplied by this, so that they are of order 1. */
  readonly rewardScale: number;
  readonly temperature: number;
  /** Entropy to keep per stage, nats (0 = uniform): at the start and at the end. */
  readonly entropyFrom: number;
  readonly entropyTo: number;
  readonly targetShare: number;
  readonly maxGradientNorm: number;
  /** Every so many steps the middle of the policy is tried, without noise. */
  readonly greedyEvery: number;
  /** Units of each hidden layer. */
  readonly hidden: number;
}

export const DEFAULT_CONTINUOUS_SAC: ContinuousSacOptions = {
  discount: 1,
  capacity: 8192,
  warmup: 64,
  minibatch: 64,
  stepsPerUpdate: 2,
  learningRate: 4e-3,
  rewardScale: 10,
  temperature: 0.1,
  entropyFrom: -0.5,
  entropyTo: -4,
  targetShare: 0.02,
  maxGradientNorm: 5,
  greedyEvery: 8,
  hidden: 48,
};

interface Experience {
  readonly observation: ContinuousObservation;
  readonly action: Float32Array;
  readonly reward: number;
  readonly next: ContinuousObservation | null;
}

/**
 * Stages of several observations as rows; row r belongs to observation t where rowStart[t] <= r < rowStart[t + 1]. Made
 * before a gradient is asked for: what is made inside does not live until the gradient is computed.
 */
interface Rows {
  readonly rowStart: Int32Array;
  readonly count: number;
  /** [count, contextFeatures + stageFeatures]. */
  readonly stages: Tensor2D;
  /** 1 / stages of the row's observation, [count, 1]. */
  readonly share: Tensor2D;
  /** Over the stages of each observation. */
  readonly sum: RowSum;
}

function packStages(
  tf: TensorFlow,
  spec: ContinuousSpec,
  observations: readonly ContinuousObservation[],
): Rows {
  const { contextFeatures: c, stageFeatures: f } = spec;
  const rowStart = new Int32Array(observations.length + 1);
  observations.forEach((o, t) => (rowStart[t + 1] = rowStart[t] + o.stageCount));
  const count = rowStart[observations.length];
  const data = new Float32Array(count * (c + f));
  const share = new Float32Array(count);
  observations.forEach(({ stages, context, stageCount }, t) => {
    for (let s = 0; s < stageCount; s++) {
      const row = rowStart[t] + s;
      data.set(context, row * (c + f));
      data.set(stages.subarray(s * f, (s + 1) * f), row * (c + f) + c);
      share[row] = 1 / stageCount;
    }
  });
  return {
    ...{ rowStart, count, sum: rowSum(tf, rowStart) },
    stages: tf.tensor2d(data, [count, c + f]),
    share: tf.tensor2d(share, [count, 1]),
  };
}

/** Values a state with one action per stage. */
class Critic {
  readonly variables: Variable[];
  private readonly encoder: Perceptron;
  private readonly head: Perceptron;

  constructor(
    private readonly tf: TensorFlow,
    width: number,
    hidden: number,
    random: Random,
  ) {
    this.encoder = new Perceptron(tf, [width + 1, hidden, hidden], 1, random);
    this.head = new Perceptron(tf, [hidden, hidden, 1], 0.01, random);
    this.variables = [...this.encoder.variables, ...this.head.variables];
  }

  /** [steps, 1]. */
  values(rows: Rows, actions: Tensor2D): Tensor2D {
    const { tf } = this;
    const embedded = tf.relu(this.encoder.apply(tf.concat([rows.stages, actions], 1), false));
    return this.head.apply(rows.sum(tf.mul(embedded, rows.share)), false);
  }

  follow(other: Critic, share: number): void {
    this.tf.tidy(() => {
      this.variables.forEach((v, k) =>
        v.assign(this.tf.add(this.tf.mul(v, 1 - share), this.tf.mul(other.variables[k], share))),
      );
    });
  }

  dispose(): void {
    this.encoder.dispose();
    this.head.dispose();
  }
}

/** A trained policy. */
export class ContinuousPolicy {
  readonly variables: Variable[];
  private readonly mean: Perceptron;
  private readonly spread: Perceptron;

  constructor(
    private readonly tf: TensorFlow,
    private readonly spec: ContinuousSpec,
    hidden: number,
    random: Random,
  ) {
    const width = spec.contextFeatures + spec.stageFeatures;
    this.mean = new Perceptron(tf, [width, hidden, hidden, 1], 0.01, random);
    this.spread = new Perceptron(tf, [width, hidden, 1], 0.01, random);
    this.variables = [...this.mean.variables, ...this.spread.variables];
  }

  /** @param random draws from the policy; without it the middle of the policy is taken */
  act(observation: ContinuousObservation, random?: Random): Float32Array {
    const { tf } = this;
    return tf.tidy(() => {
      const rows = packStages(tf, this.spec, [observation]);
      const deviates = deviatesOf(tf, rows, () => random?.normal() ?? 0);
      return (this.sample(rows, deviates).action.dataSync() as Float32Array).slice();
    });
  }

  /** Actions [rows, 1] and their log densities [rows, 1] for given standard normal deviates; keeps gradients. */
  sample({ stages }: Rows, deviates: Tensor2D): { action: Tensor2D; logDensity: Tensor2D } {
    const { tf } = this;
    // Deviation within exp(-3.5) and exp(0.5).
    const logDeviation = tf.sub(tf.mul(tf.tanh(this.spread.apply(stages, true)), 2), 1.5);
    const inner = tf.add<Tensor2D>(this.mean.apply(stages, true), tf.mul(tf.exp(logDeviation), deviates));
    const action = tf.sigmoid(inner);
    const gaussian = tf.add(tf.mul(tf.square(deviates), 0.5), tf.add(logDeviation, LOG_ROOT_TWO_PI));
    // Density of the squashed number: divided by the slope a (1 - a).
    const slope = tf.log(tf.add(tf.mul(action, tf.sub(1, action)), 1e-6));
    return { action, logDensity: tf.neg(tf.add(gaussian, slope)) };
  }

  dispose(): void {
    this.mean.dispose();
    this.spread.dispose();
  }
}

const LOG_ROOT_TWO_PI = 0.5 * Math.log(2 * Math.PI);

/**
 * Trains a policy until `progress()` reaches 1 and returns it. The caller disposes of it.
 *
 * @param shown actions of experts for the first state: tried before anything else and kept
 * @param onEpisode undiscounted return of every episode, demonstrations included
 */
export function trainContinuousSac(
  tf: TensorFlow,
  environment: ContinuousEnvironment,
  options: ContinuousSacOptions,
  random: Random,
  progress: () => number,
  shown: readonly Float32Array[] = [],
  onEpisode?: (episodeReturn: number) => void,
): ContinuousPolicy {
  const { spec } = environment;
  const width = spec.contextFeatures + spec.stageFeatures;
  const policy = new ContinuousPolicy(tf, spec, options.hidden, random.fork());
  const critic = (): Critic => new Critic(tf, width, options.hidden, random.fork());
  const critics = [critic(), critic()];
  const targets = [critic(), critic()];
  targets.forEach((target, k) => target.follow(critics[k], 1));
  const policyAdam = new Adam(tf, policy.variables, options.maxGradientNorm);
  const criticAdams = critics.map((c) => new Adam(tf, c.variables, options.maxGradientNorm));
  const memory: Experience[] = [];
  let temperature = options.temperature;
  let observation = environment.reset(random.uint32());
  let episodeReturn = 0;
  for (let steps = 0; progress() < 1; steps++) {
    const action =
      shown[steps] ??
      (memory.length < options.warmup
        ? Float32Array.from({ length: observation.stageCount }, () => random.next())
        : policy.act(observation, steps % options.greedyEvery === 0 ? undefined : random));
    const step = environment.step(action);
    const next = step.terminated ? null : step.observation;
    const experience = { observation, action, reward: options.rewardScale * step.reward, next };
    if (memory.length < options.capacity) memory.push(experience);
    else memory[shown.length + ((steps - shown.length) % (options.capacity - shown.length))] = experience;
    episodeReturn += step.reward;
    observation = step.observation;
    if (step.terminated || step.truncated) {
      onEpisode?.(episodeReturn);
      episodeReturn = 0;
      observation = environment.reset(random.uint32());
    }
    if (memory.length < options.warmup || steps % options.stepsPerUpdate !== 0) continue;

    const minibatch = Array.from({ length: options.minibatch }, () => random.pick(memory));
    const goals = softGoals(tf, spec, minibatch, policy, targets, temperature, options.discount, random);
    critics.forEach((c, k) => {
      criticAdams[k].apply(criticGradients(tf, spec, c, minibatch, goals), options.learningRate);
    });
    const { gradients, entropy } = policyGradients(tf, spec, policy, critics, minibatch, temperature, random);
    policyAdam.apply(gradients, options.learningRate);
    const wanted = options.entropyFrom + (options.entropyTo - options.entropyFrom) * Math.min(1, progress());
    temperature = Math.min(2, Math.max(1e-3, temperature * Math.exp(0.02 * (wanted - entropy))));
    targets.forEach((target, k) => target.follow(critics[k], options.targetShare));
  }
  for (const c of [...critics, ...targets]) c.dispose();
  return policy;
}

/** r + discount (min Q_target(s', a') - temperature log p(a')), a' drawn from the policy. */
function softGoals(
  tf: TensorFlow,
  spec: ContinuousSpec,
  minibatch: readonly Experience[],
  policy: ContinuousPolicy,
  targets: readonly Critic[],
  temperature: number,
  discount: number,
  random: Random,
): Float32Array {
  const goals = Float32Array.from(minibatch, (x) => x.reward);
  const going = minibatch.flatMap((x, k) => (x.next === null ? [] : [k]));
  if (going.length === 0) return goals;
  const next = going.map((k) => minibatch[k].next!);
  const values = tf.tidy(() => {
    const rows = packStages(tf, spec, next);
    const { action, logDensity } = policy.sample(
      rows,
      deviatesOf(tf, rows, () => random.normal()),
    );
    const [a, b] = targets.map((target) => target.values(rows, action));
    const surprise = rows.sum(logDensity);
    return (tf.sub(tf.minimum(a, b), tf.mul(surprise, temperature)).dataSync() as Float32Array).slice();
  });
  going.forEach((k, t) => (goals[k] += discount * values[t]));
  return goals;
}

/** Gradient of the mean squared error of Q(s, a). */
function criticGradients(
  tf: TensorFlow,
  spec: ContinuousSpec,
  critic: Critic,
  minibatch: readonly Experience[],
  goals: Float32Array,
): Float32Array[] {
  const observations = minibatch.map((x) => x.observation);
  return tf.tidy(() => {
    const rows = packStages(tf, spec, observations);
    const actions = new Float32Array(rows.count);
    minibatch.forEach((x, t) => actions.set(x.action, rows.rowStart[t]));
    const taken = tf.tensor2d(actions, [rows.count, 1]);
    const goal = tf.tensor2d(goals, [goals.length, 1]);
    return gradientsOf(tf, critic.variables, () =>
      tf.mean<Scalar>(tf.square(tf.sub(critic.values(rows, taken), goal))),
    );
  });
}

/** Gradient of E[temperature log p(a) - min Q(s, a)], a drawn from the policy; and the entropy per stage, nats. */
function policyGradients(
  tf: TensorFlow,
  spec: ContinuousSpec,
  policy: ContinuousPolicy,
  critics: readonly Critic[],
  minibatch: readonly Experience[],
  temperature: number,
  random: Random,
): { gradients: Float32Array[]; entropy: number } {
  const observations = minibatch.map((x) => x.observation);
  let entropy = 0;
  const gradients = tf.tidy(() => {
    const rows = packStages(tf, spec, observations);
    const deviates = deviatesOf(tf, rows, () => random.normal());
    return gradientsOf(tf, policy.variables, () => {
      const { action, logDensity } = policy.sample(rows, deviates);
      entropy = -tf.mean(logDensity).dataSync()[0];
      const [a, b] = critics.map((critic) => critic.values(rows, action));
      const surprise = rows.sum(logDensity);
      return tf.mean<Scalar>(tf.sub(tf.mul(surprise, temperature), tf.minimum(a, b)));
    });
  });
  return { gradients, entropy };
}

function deviatesOf(tf: TensorFlow, { count }: Rows, draw: () => number): Tensor2D {
  return tf.tensor2d(Float32Array.from({ length: count }, draw), [count, 1]);
}
