/**
 * Any agent on any environment that comes to an end by itself: it is shown episodes of experts, trains, plays what it has
 * learned, and the best episode of all is the answer. This is how placements and schedules are learned for one problem.
 */
import type { Random } from '../util/random.js';
import type { TensorFlow } from './backend.js';
import { playEpisodes } from './bestOfN.js';
import { cloningGradients } from './cloning.js';
import type { Teacher } from './demonstrations.js';
import { demonstrateEpisode } from './demonstrations.js';
import type { DqnOptions } from './dqn.js';
import { DEFAULT_DQN, trainDqn } from './dqn.js';
import { inferQ } from './duelling.js';
import type { Environment, EnvironmentSpec, Observation, Step } from './environment.js';
import type { PpoOptions } from './ppo.js';
import { createLearner, DEFAULT_PPO, trainPpo } from './ppo.js';
import type { Experience } from './replay.js';
import type { SacOptions } from './sac.js';
import { DEFAULT_SAC, trainSac } from './sac.js';
import type { Batch } from './scorer.js';
import { Scorer } from './scorer.js';

export const EPISODE_AGENTS = ['ppo', 'dqn', 'sac'] as const;
export type EpisodeAgent = (typeof EPISODE_AGENTS)[number];

export interface EpisodeTraining<E extends Environment> {
  readonly agent: EpisodeAgent;
  /** Episodes in all, those of experts and of the last play included. */
  readonly episodes: number;
  /** Experts whose episodes are shown first; [] = no imitation. */
  readonly teachers: readonly ((environment: E) => Teacher)[];
  /** Rewards are multiplied by this for the agent, so that what one decision earns is of order 0.1 to 1. */
  readonly rewardScale: number;
  /** Asked between episodes: true ends the training with what there is. */
  readonly stopped?: () => boolean;
  /** Told after every episode how many there were, and the best return of all. */
  readonly onEpisode?: (played: number, bestReturn: number) => void;
  /** Settings that differ from `EPISODE_OPTIONS`. */
  readonly options?: Partial<PpoOptions & DqnOptions & SacOptions>;
}

export interface EpisodeOutcome {
  /** Undiscounted reward of the best episode, and its actions from the start. */
  readonly bestReturn: number;
  readonly bestActions: readonly number[];
  /** Reward of the best expert's episode; -Infinity without one. */
  readonly shownReturn: number;
  /** Reward of the trained agent's likeliest or best-rated actions. */
  readonly greedyReturn: number;
  /** Of every episode in turn. */
  readonly returns: readonly number[];
}

/** What differs from plans: episodes are long and every step earns something. Learners from replay take a gradient every eighth of an episode at most. */
export const EPISODE_OPTIONS = {
  ppo: { ...DEFAULT_PPO, environments: 16, floorQuantile: 0, entropyBonus: 0.01, minibatch: 256 },
  dqn: {
    ...DEFAULT_DQN,
    nStep: 8,
    exploration: { kind: 'boltzmann', from: 0.3, to: 0.01 },
  },
  sac: {
    ...DEFAULT_SAC,
    nStep: 8,
    temperature: 0.02,
    entropyFrom: 0.4,
    entropyTo: 0.02,
  },
} as const satisfies { ppo: PpoOptions; dqn: DqnOptions; sac: SacOptions };

/** Share of the episodes for training; the rest plays what was learned. */
const TRAINING_SHARE = 0.9;
/** Of the last episodes: a little above what the agent holds best. */
const SAMPLING_TEMPERATURE = { ppo: 1, dqn: 0.02, sac: 1 } as const;
const PLAYERS = 8;
/** Gradients of cloning before PPO starts, and decisions of each. */
const CLONING = { updates: 60, decisions: 128 } as const;

/**
 * @param make builds a fresh environment; all are of one problem
 * @returns the best episode, which any environment of the problem replays
 */
export function trainOnEpisodes<E extends Environment>(
  tf: TensorFlow,
  make: () => E,
  training: EpisodeTraining<E>,
  random: Random,
): EpisodeOutcome {
  const { agent, episodes, teachers, rewardScale } = training;
  const record = new EpisodeRecord(training.onEpisode);
  const watched = (): Watched => new Watched(make(), rewardScale, record);
  const returnsOf = { ...EPISODE_OPTIONS[agent === 'ppo' ? 'dqn' : agent], ...training.options };
  const demonstrations = teachers.flatMap((teacher) => {
    const inner = make();
    return demonstrateEpisode(new Watched(inner, rewardScale, record), 0, teacher(inner), returnsOf);
  });
  const shownReturn = record.bestReturn;
  const progress = (): number => (training.stopped?.() === true ? 1 : record.returns.length / episodes);
  const scorer = trainAgent(tf, watched, training, demonstrations, random, () => progress() / TRAINING_SHARE);
  const rate = (batch: Batch): Float32Array =>
    agent === 'dqn' ? inferQ(scorer, batch) : scorer.infer(batch).scores;
  const trained = record.returns.length;
  const [greedyReturn] = playEpisodes([watched()], rate, 0, random, () => record.returns.length > trained);
  const players = Array.from({ length: PLAYERS }, watched);
  playEpisodes(players, rate, SAMPLING_TEMPERATURE[agent], random, () => progress() >= 1);
  scorer.dispose();
  const { bestReturn, bestActions, returns } = record;
  return { bestReturn, bestActions, shownReturn, greedyReturn: greedyReturn / rewardScale, returns };
}

function trainAgent(
  tf: TensorFlow,
  make: () => Environment,
  { agent, options }: Pick<EpisodeTraining<Environment>, 'agent' | 'options'>,
  demonstrations: readonly Experience[],
  random: Random,
  progress: () => number,
): Scorer {
  const { spec } = make();
  const decisionsPerUpdate = Math.max(16, Math.min(64, spec.maxSteps >> 3));
  if (agent === 'dqn') {
    const settings = { ...EPISODE_OPTIONS.dqn, decisionsPerUpdate, ...options };
    return trainDqn(tf, make, settings, random, progress, undefined, { demonstrations });
  }
  if (agent === 'sac') {
    const settings = { ...EPISODE_OPTIONS.sac, decisionsPerUpdate, ...options };
    return trainSac(tf, make, settings, random, progress, undefined, { demonstrations });
  }
  const settings = { ...EPISODE_OPTIONS.ppo, ...options };
  const scorer = new Scorer(tf, spec, settings.hidden, random.fork());
  if (demonstrations.length > 0) {
    const { adam } = createLearner(scorer, settings);
    for (let k = 0; k < CLONING.updates; k++) {
      const shown = Array.from({ length: CLONING.decisions }, () => random.pick(demonstrations));
      adam.apply(cloningGradients(scorer, shown).gradients, settings.learningRate);
    }
  }
  return trainPpo(tf, make, settings, random, progress, undefined, scorer);
}

/** Every episode that was finished, in whichever environment. */
class EpisodeRecord {
  readonly returns: number[] = [];
  bestReturn = -Infinity;
  bestActions: readonly number[] = [];

  constructor(private readonly onEpisode: EpisodeTraining<Environment>['onEpisode']) {}

  add(episodeReturn: number, actions: readonly number[]): void {
    this.returns.push(episodeReturn);
    if (episodeReturn > this.bestReturn) {
      this.bestReturn = episodeReturn;
      this.bestActions = actions.slice();
    }
    this.onEpisode?.(this.returns.length, this.bestReturn);
  }
}

/** An environment whose episodes are recorded, and whose rewards are scaled for whoever learns from them. */
class Watched implements Environment {
  readonly spec: EnvironmentSpec;
  private actions: number[] = [];
  private sum = 0;

  constructor(
    private readonly inner: Environment,
    private readonly scale: number,
    private readonly record: EpisodeRecord,
  ) {
    this.spec = inner.spec;
  }

  reset(seed: number): Observation {
    this.actions = [];
    this.sum = 0;
    return this.inner.reset(seed);
  }

  step(action: number): Step {
    const { inner, scale } = this;
    const step = inner.step(action);
    this.actions.push(action);
    this.sum += step.reward;
    if (step.terminated || step.truncated) this.record.add(this.sum, this.actions);
    const { components } = step;
    return {
      ...step,
      reward: scale * step.reward,
      ...(components === undefined
        ? {}
        : { components: { gain: scale * components.gain, excess: scale * components.excess } }),
    };
  }
}
