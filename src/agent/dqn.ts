/**
 * Deep Q-learning (Mnih et al. 2015) with what "Rainbow" (Hessel et al. 2018) found to matter: double estimates (van
 * Hasselt et al. 2016), the duelling form (see `duelling`), returns over n steps and prioritised replay. Only legal
 * options are rows of a batch, so neither the choice nor the target ever sees a masked one. Demonstrations are learned from
 * before anything is tried, and for a while what was shown must look better by a margin than all else (Hester et al. 2018).
 */
import type { Random } from '../util/random.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import type { CollectorOptions, CreditRule, EpisodeProgress, Minibatch, WarmStart } from './collector.js';
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
  /** Gradients before the first episode, when there are demonstrations. */
  readonly demonstrationUpdates: number;
  /** By how much Q of what was shown is to lead, in units of reward. */
  readonly margin: number;
  /** Weight of the margin at the start; it is gone when `marginUntil` of the training is done. */
  readonly marginWeight: number;
  readonly marginUntil: number;
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
  demonstrationUpdates: 60,
  margin: 0.1,
  marginWeight: 0.5,
  marginUntil: 0.5,
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
  if (collector.replay.demonstrations > 0)
    for (let k = 0; k < options.demonstrationUpdates && progress() < 1; k++)
      learn(collector, online, target, adam, options, 0);
  while (progress() < 1) {
    collector.play(
      (batch) => inferQ(online, batch),
      (q) => (from, to) => exploreRow(q, from, to, options.exploration, progress(), random),
    );
    while (collector.owesUpdate()) learn(collector, online, target, adam, options, Math.min(1, progress()));
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
  const weight = options.marginWeight * Math.max(0, 1 - progress / options.marginUntil);
  const pull = weight > 0 ? marginPull(minibatch, online, options.margin, weight) : undefined;
  const errors = regressQ(online, adam, minibatch, learningRate, pull);
  collector.replay.update(minibatch.slots, errors);
  target.follow(online, options.targetShare);
}

/**
 * Slope by every row's advantage of weight * (max over a of (Q(s, a) + margin, where a was not shown) - Q(s, shown)), for
 * demonstrations only; undefined when there are none.
 */
function marginPull(
  { batch, choices, experiences }: Minibatch,
  online: Scorer,
  margin: number,
  weight: number,
): Float32Array | undefined {
  if (!experiences.some((x) => x.demonstration)) return undefined;
  const q = inferQ(online, batch);
  const pull = new Float32Array(batch.rowCount);
  experiences.forEach(({ demonstration }, t) => {
    if (!demonstration) return;
    const [from, to] = [batch.rowStart[t], batch.rowStart[t + 1]];
    const shown = from + choices[t];
    for (let r = from; r < to; r++) if (r !== shown) q[r] += margin;
    const rival = bestRow(q, from, to);
    if (rival === shown) return;
    pull[rival] += weight;
    pull[shown] -= weight;
  });
  return pull;
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
