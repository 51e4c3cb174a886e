/**
 * Which neighbourhood to open next, as an episode.
 *
 * Actions: the arms of `NEIGHBOURHOODS`. Observation: see `neighbourhoodArms`. Start: a core of the list and its dual solution,
 * both drawn from the seed. Step: the neighbourhood is opened. Reward: by how much the value fell, as a share of the gap to
 * the dual's bound at the start. End: when the work of the core's allowance is done, so that dear arms have to earn it.
 */
import type { NeighbourhoodChoice, NeighbourhoodContext, ShardCore } from '../shard/index.js';
import { Descent } from '../shard/descend.js';
import { DualAscent } from '../shard/dual.js';
import { Random } from '../util/random.js';
import type { Environment, Observation, Step } from './environment.js';
import { checkAction } from './environment.js';
import { NEIGHBOURHOOD_SPEC, NeighbourhoodArms } from './neighbourhoodArms.js';

/** A core with what every episode on it starts from. */
export interface NeighbourhoodTask {
  readonly core: ShardCore;
  readonly price: Float64Array;
  readonly choice: Int32Array;
  readonly bound: number;
  /** Sums that an episode may take. */
  readonly work: number;
}

const DUAL_STEPS = 60;
/** Work of an episode: so many blocks of a few sums a strategy and variable. */
const WORK_PER_VARIABLE = 40_000;
/** A gap below this share of the cost is rounding. */
const LEAST_GAP = 1e-4;

/** Getting rid of overfull memory, whose penalty may be anything, is worth no more than this. */
const MOST_REWARD = 0.1;

/** Works out where episodes on a core start. */
export function neighbourhoodTask(core: ShardCore): NeighbourhoodTask {
  const dual = new DualAscent(core);
  for (let k = 0; k < DUAL_STEPS && !dual.isConverged; k++) dual.step(dual.guess);
  dual.settle(2);
  return {
    core,
    price: dual.price.slice(),
    choice: dual.choice.slice(),
    bound: dual.bound,
    work: WORK_PER_VARIABLE * core.count,
  };
}

/** Opens what it is told to. */
class Told implements NeighbourhoodChoice {
  arm = 0;
  gain = 0;
  work = 0;
  last: NeighbourhoodContext = { value: 0, overfull: false, blocks: 0, sinceImprovement: 0, progress: 0 };

  next(context: NeighbourhoodContext): number {
    this.last = context;
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
  private gap = 1;
  private sinceImprovement = 0;

  constructor(private readonly tasks: readonly NeighbourhoodTask[]) {
    this.task = tasks[0];
  }

  reset(seed: number): Observation {
    const random = new Random(seed);
    this.task = random.pick(this.tasks);
    const { core, price, choice, bound } = this.task;
    this.descent = new Descent(core, choice, random.fork(), this.told);
    this.descent.setPrices(price);
    this.descent.openWhole(() => false);
    this.arms = new NeighbourhoodArms(core);
    this.spent = this.steps = this.sinceImprovement = 0;
    const { cost } = this.descent.state;
    this.gap = Math.max(LEAST_GAP, (cost - bound) / Math.max(1, Math.abs(cost)));
    return (this.observation = this.look());
  }

  step(action: number): Step {
    const { descent, arms, told, observation } = this;
    if (descent === null || arms === null || observation === null)
      throw new Error('internal: step without a running episode');
    checkAction(observation, action);
    told.arm = action;
    descent.step(this.spent / this.task.work);
    arms.learn(action, told.gain, told.work);
    this.spent += told.work;
    this.steps++;
    this.sinceImprovement = told.gain > 0 ? 0 : this.sinceImprovement + 1;
    const terminated = this.spent >= this.task.work;
    const truncated = !terminated && this.steps >= this.spec.maxSteps;
    const next = this.look();
    this.observation = terminated || truncated ? null : next;
    return { observation: next, reward: Math.min(MOST_REWARD, told.gain / this.gap), terminated, truncated };
  }

  private look(): Observation {
    return this.arms!.observe({
      value: this.descent!.state.cost,
      overfull: this.descent!.state.slack.isOverfull(),
      blocks: this.steps,
      sinceImprovement: this.sinceImprovement,
      progress: Math.min(1, this.spent / this.task.work),
    });
  }
}
