/**
 * What all learners from replay share: environments played together, their decisions gathered into n-step experiences,
 * the multiplier of what breaks a limit, when the next gradient is due, and minibatches drawn by priority.
 */
import type { Random } from '../util/random.js';
import type { Environment, Observation, Step } from './environment.js';
import { ConstraintMultiplier } from './multiplier.js';
import { NStepReturns } from './nstep.js';
import type { Choose } from './players.js';
import { Players } from './players.js';
import type { Experience, ReplayOptions } from './replay.js';
import { Replay } from './replay.js';
import type { Batch, Scorer } from './scorer.js';
import { packBatch } from './scorer.js';

export interface CollectorOptions {
  /** Environments stepped together. */
  readonly environments: number;
  readonly discount: number;
  /** Steps of reward before the target network takes over. */
  readonly nStep: number;
  readonly replay: ReplayOptions;
  /** Experiences before the first gradient. */
  readonly warmup: number;
  readonly minibatch: number;
  /** Decisions per gradient. */
  readonly decisionsPerUpdate: number;
}

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

/** Who is credited with what, in one environment. */
export interface Credit {
  /** A new episode has begun. */
  begin(): void;
  step(observation: Observation, choice: number, step: Step): void;
}

/** Sets up the credit of one environment, which emits experiences. */
export type CreditRule<E extends Environment> = (
  environment: E,
  options: CollectorOptions,
  emit: (experience: Experience) => void,
) => Credit;

/** One agent: returns over n of its steps. */
const ONE_AGENT: CreditRule<Environment> = (_, { nStep, discount }, emit) =>
  new NStepReturns(nStep, discount, emit);

/** Experiences drawn for one gradient. */
export interface Minibatch {
  readonly slots: Int32Array;
  readonly experiences: readonly Experience[];
  /** What was seen, packed. */
  readonly batch: Batch;
  /** Place of the chosen option among the legal ones, per step. */
  readonly choices: Int32Array;
  /** Importance weights. */
  readonly weights: Float32Array;
  /** Rewards of n steps, to which a learner adds what it expects to follow. */
  readonly goals: Float32Array;
}

export class Collector<E extends Environment = Environment> {
  readonly replay: Replay;
  private readonly multiplier = new ConstraintMultiplier();
  private readonly environments: E[];
  private players: Players | null = null;
  private updates = 0;
  private decisions = 0;
  private episode = 0;

  /**
   * @param makeEnvironment builds environment number i; all are of one spec
   * @param progress share of the training done, 0..1
   */
  constructor(
    makeEnvironment: (index: number) => E,
    private readonly options: CollectorOptions,
    private readonly random: Random,
    private readonly progress: () => number,
    private readonly onEpisode: ((report: EpisodeProgress) => void) | undefined,
    demonstrations: readonly Experience[] = [],
    private readonly credit: CreditRule<E> = ONE_AGENT,
  ) {
    this.environments = Array.from({ length: options.environments }, (_, i) => makeEnvironment(i));
    this.replay = new Replay(options.replay);
    for (const experience of demonstrations) this.replay.add(experience);
  }

  get spec(): E['spec'] {
    return this.environments[0].spec;
  }

  /** One step in every environment. */
  play(rate: (batch: Batch) => Float32Array, choose: (ratings: Float32Array) => Choose): void {
    this.players ??= this.start();
    const batch = this.players.look();
    this.players.act(batch, choose(rate(batch)), () => this.progress() >= 1);
  }

  /** Whether the decisions taken so far are owed one more gradient; whoever asks takes it. */
  owesUpdate(): boolean {
    const { warmup, decisionsPerUpdate } = this.options;
    if (this.replay.size < warmup || (this.updates + 1) * decisionsPerUpdate > this.decisions) return false;
    if (this.progress() >= 1) return false;
    this.updates++;
    return true;
  }

  /** @param importance exponent of the importance weights: 0 = leave the bias of priorities, 1 = undo it */
  draw(importance: number): Minibatch {
    const { replay, random, options, multiplier } = this;
    const { slots, weights } = replay.sample(options.minibatch, importance, random);
    const experiences = Array.from(slots, (slot) => replay.at(slot));
    const batch = packBatch(
      this.spec,
      experiences.map((x) => x.observation),
    );
    const choices = Int32Array.from(experiences, (x) => x.choice);
    const goals = Float32Array.from(slots, (slot) => replay.reward(slot, multiplier.value));
    return { slots, experiences, batch, choices, weights, goals };
  }

  /** Adds discount^n V(s') to the goals of all experiences after which the episode went on. */
  addFuture({ goals, experiences }: Minibatch, valuesOf: (next: Batch) => ArrayLike<number>): void {
    const going = experiences.flatMap((x, k) => (x.next === null ? [] : [k]));
    if (going.length === 0) return;
    const values = valuesOf(
      packBatch(
        this.spec,
        going.map((k) => experiences[k].next!),
      ),
    );
    going.forEach((k, t) => (goals[k] += experiences[k].nextDiscount * values[t]));
  }

  private start(): Players {
    const credits = this.environments.map((environment) =>
      this.credit(environment, this.options, (experience) => this.replay.add(experience)),
    );
    return new Players(this.environments, this.random, {
      onStart: (i) => credits[i].begin(),
      onStep: (i, observation, choice, step) => {
        credits[i].step(observation, choice, step);
        this.decisions++;
      },
      onEnd: (_, episodeReturn, { components }) => {
        this.multiplier.observe(components?.excess ?? 0);
        this.onEpisode?.({ episode: this.episode++, episodeReturn, updates: this.updates });
      },
    });
  }
}
