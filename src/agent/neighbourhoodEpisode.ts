/**
 * Which neighbourhood to open next, as an episode.
 *
 * Actions: the arms of `NEIGHBOURHOODS`. Observation: see `neighbourhoodArms`. Start: a core of the list, as the solver's
 * dual and its bandit left it after no work or a little or a lot of it, drawn from the seed. Step:
 * neighbourhoods of the arm are opened until a slice of work is done. Reward: x / (1 + x), where
 * x is by how much the value fell against the mean of a slice of the bandit's from that start: the first slices of a search may
 * gain a thousand times what later ones do, and would drown them. End: when an episode's work is done, so that dear arms have
 * to earn it.
 */
import type { NeighbourhoodChoice, NeighbourhoodContext, ShardCore } from '../shard/index.js';
import { BanditChoice } from '../shard/index.js';
import { Descent } from '../shard/descend.js';
import { DualAscent } from '../shard/dual.js';
import { NEIGHBOURHOODS } from '../shard/neighbourhood.js';
import { Random } from '../util/random.js';
import type { Environment, Observation, Step } from './environment.js';
import { checkAction } from './environment.js';
import { NEIGHBOURHOOD_SPEC, NeighbourhoodArms, sliceOf } from './neighbourhoodArms.js';

/** Where an episode starts. */
export interface NeighbourhoodStart {
  readonly choice: Int32Array;
  /** Price of overfull memory. */
  readonly penalty: number;
  readonly arms: NeighbourhoodArms;
  readonly sinceImprovement: number;
  /** What the bandit gained from here with the work of a slice, relative to the cost: the mean over an episode's work. */
  readonly reference: number;
}

/** A core with what every episode on it starts from. */
export interface NeighbourhoodTask {
  readonly core: ShardCore;
  readonly price: Float64Array;
  /** None where the first solution is as good as any. */
  readonly starts: readonly NeighbourhoodStart[];
  /** Sums that an episode may take. */
  readonly work: number;
}

const DUAL_STEPS = 60;
/** Work of an episode, in slices. */
const SLICES = 100;
/** When episodes start, in episodes' works since the search began. */
const STARTS = [0, 0.5, 2, 6];
/** Where the bandit gains less than this, relative to the cost, there is nothing left to choose. */
const LEAST_REFERENCE = 1e-7;
/**
 * Works out where episodes on a core start.
 *
 * @param slices work of an episode
 */
export function neighbourhoodTask(core: ShardCore, random: Random, slices = SLICES): NeighbourhoodTask {
  const work = slices * sliceOf(core);
  const dual = new DualAscent(core);
  dual.warmUp(() => false);
  for (let k = 0; k < DUAL_STEPS && !dual.isConverged; k++) dual.step(Infinity);
  dual.settle(2);
  const watched = new Watched(core, new BanditChoice(NEIGHBOURHOODS.length, random.fork()));
  const descent = new Descent(core, dual.choice, random.fork(), watched);
  descent.setPrices(dual.price);
  descent.openWhole(() => false);
  const begun: (Omit<NeighbourhoodStart, 'reference'> & { gain: number; spent: number })[] = [];
  const starts: NeighbourhoodStart[] = [];
  for (let ended = 0; ended < STARTS.length;) {
    const { gain, spent, sinceImprovement } = watched;
    for (; ended < begun.length && spent >= begun[ended].spent + work; ended++) {
      const reference = (gain - begun[ended].gain) / slices;
      if (reference >= LEAST_REFERENCE) starts.push({ ...begun[ended], reference });
    }
    if (begun.length < STARTS.length && spent >= STARTS[begun.length] * work) {
      const choice = descent.state.choice.slice();
      const arms = new NeighbourhoodArms(core, watched.arms);
      begun.push({ choice, penalty: descent.penalty, arms, sinceImprovement, gain, spent });
    }
    descent.step(0);
  }
  return { core, price: dual.price.slice(), starts, work };
}

/** Passes on what another choice says, and counts. */
class Watched implements NeighbourhoodChoice {
  readonly arms: NeighbourhoodArms;
  gain = 0;
  spent = 0;
  sinceImprovement = 0;

  constructor(
    core: ShardCore,
    private readonly choice: NeighbourhoodChoice,
  ) {
    this.arms = new NeighbourhoodArms(core);
  }

  next(context: NeighbourhoodContext): number {
    return this.choice.next(context);
  }

  learn(arm: number, gain: number, work: number): void {
    this.choice.learn(arm, gain, work);
    this.arms.learn(arm, gain, work);
    this.gain += gain;
    this.spent += work;
    this.sinceImprovement = gain > 0 ? 0 : this.sinceImprovement + 1;
  }
}

/** Opens what it is told to. */
class Told implements NeighbourhoodChoice {
  arm = 0;
  gain = 0;
  work = 0;

  next(): number {
    return this.arm;
  }

  learn(_arm: number, gain: number, work: number): void {
    this.gain = gain;
    this.work = work;
  }
}

export class NeighbourhoodEpisode implements Environment {
  readonly spec = NEIGHBOURHOOD_SPEC;
  private readonly told = new Told();
  private descent: Descent | null = null;
  private arms: NeighbourhoodArms | null = null;
  private task: NeighbourhoodTask;
  private observation: Observation | null = null;
  private spent = 0;
  private steps = 0;
  private reference = 1;
  private sinceImprovement = 0;

  constructor(private readonly tasks: readonly NeighbourhoodTask[]) {
    this.task = tasks[0];
  }

  reset(seed: number): Observation {
    const random = new Random(seed);
    this.task = random.pick(this.tasks);
    const { core, price, starts } = this.task;
    const { choice, penalty, arms, sinceImprovement, reference } = random.pick(starts);
    this.descent = new Descent(core, choice, random.fork(), this.told);
    this.descent.setPrices(price);
    this.descent.penalty = penalty;
    this.arms = new NeighbourhoodArms(core, arms);
    this.reference = reference;
    this.sinceImprovement = sinceImprovement;
    this.spent = this.steps = 0;
    return (this.observation = this.look());
  }

  step(action: number): Step {
    const { descent, arms, told, observation } = this;
    if (descent === null || arms === null || observation === null)
      throw new Error('internal: step without a running episode');
    checkAction(observation, action);
    told.arm = action;
    const slice = sliceOf(this.task.core);
    let gain = 0;
    for (let work = 0; work < slice; work += told.work) {
      descent.step(Math.min(1, this.spent / this.task.work));
      arms.learn(action, told.gain, told.work);
      gain += told.gain;
      this.spent += told.work;
      this.sinceImprovement = told.gain > 0 ? 0 : this.sinceImprovement + 1;
    }
    this.steps++;
    const terminated = this.spent >= this.task.work;
    const truncated = !terminated && this.steps >= this.spec.maxSteps;
    const next = this.look();
    this.observation = terminated || truncated ? null : next;
    return {
      observation: next,
      reward: gain / (gain + this.reference),
      terminated,
      truncated,
    };
  }

  private look(): Observation {
    return this.arms!.observe({
      overfull: this.descent!.state.slack.isOverfull(),
      sinceImprovement: this.sinceImprovement,
    });
  }
}
