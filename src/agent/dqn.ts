/**
 * Deep Q-learning (Mnih et al. 2015) with what "Rainbow" (Hessel et al. 2018) found to matter: double estimates (van
 * Hasselt et al. 2016), the duelling form (see `duelling`), returns over n steps and prioritised replay. Only legal
 * options are rows of a batch, so neither the choice nor the target ever sees a masked one.
 */
import type { Random } from '../util/random.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import type { CollectorOptions, CreditRule, EpisodeProgress, WarmStart } from './collector.js';
import { Collector } from './collector.js';
import { bestRow, boltzmannRow, inferQ, regressQ } from './duelling.js';
import type { Environment } from './environment.js';
import { DEFAULT_REPLAY } from './replay.js';
import type { Batch } from './scorer.js';
import { Scorer } from './scorer.js';

/** How to try what does not look best; from the start of the training to its end, linearly. */
export interface Exploration {
  /** `epsilon`: a share of uniform choices; `boltzmann`: softmax of Q over a temperature in units of reward. */
  readonly kind: 'epsilon' | 'boltzmann';
  readonly from: number;
  readonly to: number;
}

export interface DqnOptions extends CollectorOptions {
  readonly exploration: Exploration;
  /** Exponent of the importance weights at the start; 1 at the end. */
  readonly importanceFrom: number;
  readonly learningRate: number;
  /** Learning rate at the end as a share of that at the start. */
  readonly finalShare: number;
  /** Share of the way that the target network follows per gradient. */
  readonly targetShare: number;
  readonly maxGradientNorm: number;
  /** Units of each hidden layer. */
  readonly hidden: number;
}

export const DEFAULT_DQN: DqnOptions = {
  environments: 16,
  exploration: { kind: 'boltzmann', from: 1, to: 0.02 },
  discount: 1,
  nStep: 4,
  replay: DEFAULT_REPLAY,
  importanceFrom: 0.4,
  warmup: 256,
  minibatch: 64,
  decisionsPerUpdate: 16,
  learningRate: 2e-3,
  finalShare: 0.1,
  targetShare: 0.02,
  maxGradientNorm: 10,
  hidden: 64,
};

/**
 * Trains action values until `progress()` reaches 1 and returns them. The caller disposes of them.
 *
 * @param makeEnvironment builds environment number i; all are of one spec
 * @param progress share of the training done, 0..1
 * @param credit who is credited with what; one agent with all by default
 */
export function trainDqn<E extends Environment>(
  tf: TensorFlow,
  makeEnvironment: (index: number) => E,
  options: DqnOptions,
  random: Random,
  progress: () => number,
  onEpisode?: (report: EpisodeProgress) => void,
  { scorer, demonstrations }: WarmStart = {},
  credit?: CreditRule<E>,
): Scorer {
  const collector = new Collector(
    makeEnvironment,
    options,
    random,
    progress,
    onEpisode,
    demonstrations,
    credit,
  );
  const online = new Scorer(tf, collector.spec, options.hidden, random.fork());
  if (scorer !== undefined) online.follow(scorer, 1);
  const target = new Scorer(tf, collector.spec, options.hidden, random.fork());
  target.follow(online, 1);
  const adam = new Adam(tf, online.variables, options.maxGradientNorm);
  while (progress() < 1) {
    collector.play(
      (batch) => inferQ(online, batch),
      (q) => (from, to) => exploreRow(q, from, to, options.exploration, progress(), random),
    );
    while (collector.owesUpdate()) {
      learn(collector, online, target, adam, options, Math.min(1, progress()));
      target.follow(online, options.targetShare);
    }
  }
  target.dispose();
  return online;
}

/** Row of the option to try. */
function exploreRow(
  q: Float32Array,
  from: number,
  to: number,
  { kind, from: first, to: last }: Exploration,
  progress: number,
  random: Random,
): number {
  const level = first + (last - first) * Math.min(1, progress);
  if (kind === 'boltzmann') return boltzmannRow(q, from, to, level, random.next());
  return random.next() < level ? from + random.int(to - from) : bestRow(q, from, to);
}

/** One gradient: Q(s, a) towards r + discount^n Q_target(s', argmax over a' of Q_online(s', a')). */
function learn<E extends Environment>(
  collector: Collector<E>,
  online: Scorer,
  target: Scorer,
  adam: Adam,
  options: DqnOptions,
  progress: number,
): void {
  const minibatch = collector.draw(options.importanceFrom + (1 - options.importanceFrom) * progress);
  collector.addFuture(minibatch, (next) => doubleEstimate(next, online, target));
  const learningRate = options.learningRate * (1 - (1 - options.finalShare) * progress);
  const errors = regressQ(online, adam, minibatch, learningRate);
  collector.replay.update(minibatch.slots, errors);
}

/** Per step: the online network says which option is best, the target network what it is worth. */
function doubleEstimate(batch: Batch, online: Scorer, target: Scorer): Float32Array {
  const choosing = inferQ(online, batch);
  const judging = inferQ(target, batch);
  return Float32Array.from(
    { length: batch.stepCount },
    (_, t) => judging[bestRow(choosing, batch.rowStart[t], batch.rowStart[t + 1])],
  );
}
