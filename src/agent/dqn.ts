/**
 * Deep Q-learning (Mnih et al. 2015) with what "Rainbow" (Hessel et al. 2018) found to matter: double estimates (van
 * Hasselt et al. 2016), the duelling form (see `duelling`), returns over n steps and prioritised replay. Only legal
 * options are rows of a batch, so neither the choice nor the target ever sees a masked one.
 */
import type { Random } from '../util/random.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import { bestRow, boltzmannRow, inferQ, regressQ } from './duelling.js';
import type { Environment, Observation } from './environment.js';
import { ConstraintMultiplier } from './multiplier.js';
import { NStepReturns } from './nstep.js';
import type { Experience } from './replay.js';
import { DEFAULT_REPLAY, Replay } from './replay.js';
import type { ReplayOptions } from './replay.js';
import { packBatch, Scorer } from './scorer.js';

/** How to try what does not look best; from the start of the training to its end, linearly. */
export interface Exploration {
  /** `epsilon`: a share of uniform choices; `boltzmann`: softmax of Q over a temperature in units of reward. */
  readonly kind: 'epsilon' | 'boltzmann';
  readonly from: number;
  readonly to: number;
}

export interface DqnOptions {
  /** Environments stepped together. */
  readonly environments: number;
  readonly exploration: Exploration;
  readonly discount: number;
  /** Steps of reward before the target network takes over. */
  readonly nStep: number;
  readonly replay: ReplayOptions;
  /** Exponent of the importance weights at the start; 1 at the end. */
  readonly importanceFrom: number;
  /** Experiences before the first gradient. */
  readonly warmup: number;
  readonly minibatch: number;
  /** Decisions per gradient. */
  readonly decisionsPerUpdate: number;
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

/** After each episode: its undiscounted reward, and the gradients taken so far. */
export interface EpisodeProgress {
  readonly episode: number;
  readonly episodeReturn: number;
  readonly updates: number;
}

/** What a learner may start from. */
export interface WarmStart {
  /** Weights to copy; random ones otherwise. */
  readonly scorer?: Scorer | undefined;
  readonly demonstrations?: readonly Experience[] | undefined;
}

/**
 * Trains action values until `progress()` reaches 1 and returns them. The caller disposes of them.
 *
 * @param makeEnvironment builds environment number i; all are of one spec
 * @param progress share of the training done, 0..1
 */
export function trainDqn(
  tf: TensorFlow,
  makeEnvironment: (index: number) => Environment,
  options: DqnOptions,
  random: Random,
  progress: () => number,
  onEpisode?: (report: EpisodeProgress) => void,
  start: WarmStart = {},
): Scorer {
  const environments = Array.from({ length: options.environments }, (_, i) => makeEnvironment(i));
  const { spec } = environments[0];
  const online = new Scorer(tf, spec, options.hidden, random.fork());
  if (start.scorer !== undefined) online.follow(start.scorer, 1);
  const target = new Scorer(tf, spec, options.hidden, random.fork());
  target.follow(online, 1);
  const adam = new Adam(tf, online.variables, options.maxGradientNorm);
  const replay = new Replay(options.replay);
  for (const experience of start.demonstrations ?? []) replay.add(experience);
  const multiplier = new ConstraintMultiplier();
  const returns = environments.map(
    () => new NStepReturns(options.nStep, options.discount, (experience) => replay.add(experience)),
  );
  const observations = environments.map((e) => e.reset(random.uint32()));
  const episodeReturns = new Float64Array(environments.length);
  let episode = 0;
  let updates = 0;
  let decisions = 0;
  while (progress() < 1) {
    const batch = packBatch(spec, observations);
    const q = inferQ(online, batch);
    for (let i = 0; i < environments.length && progress() < 1; i++) {
      const from = batch.rowStart[i];
      const row = exploreRow(q, from, batch.rowStart[i + 1], options.exploration, progress(), random);
      const step = environments[i].step(batch.rowOption[row]);
      returns[i].step(observations[i], row - from, step);
      observations[i] = step.observation;
      episodeReturns[i] += step.reward;
      decisions++;
      if (!step.terminated && !step.truncated) continue;
      multiplier.observe(step.components?.excess ?? 0);
      onEpisode?.({ episode: episode++, episodeReturn: episodeReturns[i], updates });
      observations[i] = environments[i].reset(random.uint32());
      episodeReturns[i] = 0;
    }
    if (replay.size < options.warmup) continue;
    for (; (updates + 1) * options.decisionsPerUpdate <= decisions && progress() < 1; updates++) {
      learn(online, target, adam, replay, multiplier.value, options, Math.min(1, progress()), random);
      target.follow(online, options.targetShare);
    }
  }
  target.dispose();
  return online;
}

/** Row of the option to try. */
export function exploreRow(
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
export function learn(
  online: Scorer,
  target: Scorer,
  adam: Adam,
  replay: Replay,
  multiplier: number,
  options: Pick<DqnOptions, 'minibatch' | 'importanceFrom' | 'learningRate' | 'finalShare'>,
  progress: number,
  random: Random,
): void {
  const importance = options.importanceFrom + (1 - options.importanceFrom) * progress;
  const { slots, weights } = replay.sample(options.minibatch, importance, random);
  const experiences = Array.from(slots, (slot) => replay.at(slot));
  const targets = Float32Array.from(slots, (slot) => replay.reward(slot, multiplier));
  addNextValues(targets, experiences, online, target);
  const errors = regressQ(
    online,
    adam,
    packBatch(
      online.spec,
      experiences.map((x) => x.observation),
    ),
    Int32Array.from(experiences, (x) => x.choice),
    targets,
    weights,
    options.learningRate * (1 - (1 - options.finalShare) * progress),
  );
  replay.update(slots, errors);
}

/** The online network says which option is best, the target network what it is worth. */
function addNextValues(
  targets: Float32Array,
  experiences: readonly Experience[],
  online: Scorer,
  target: Scorer,
): void {
  const going: number[] = [];
  const next: Observation[] = [];
  experiences.forEach((x, k) => {
    if (x.next === null) return;
    going.push(k);
    next.push(x.next);
  });
  if (next.length === 0) return;
  const batch = packBatch(online.spec, next);
  const choosing = inferQ(online, batch);
  const judging = inferQ(target, batch);
  for (let t = 0; t < next.length; t++) {
    const best = bestRow(choosing, batch.rowStart[t], batch.rowStart[t + 1]);
    targets[going[t]] += experiences[going[t]].nextDiscount * judging[best];
  }
}
