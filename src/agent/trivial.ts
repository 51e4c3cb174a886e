/**
 * Small tasks with known answers, beside the bandit (`bandit`): what an agent must solve with a fixed seed before it is
 * trusted with plans. The corridor needs patience, the mask trap needs to see what an action will forbid.
 */
import { Random } from '../util/random.js';
import type {
  AgentObservation,
  Environment,
  MultiAgentEnvironment,
  Observation,
  Step,
} from './environment.js';
import { checkAction } from './environment.js';

/**
 * A corridor with a small prize on the left and a large one at the far right.
 *
 * Actions: step left or right (offered in an order drawn anew each step). Observation: options [direction]; context
 *   [place, 1 - place]. Reward: -0.01 a step; 0.2 at the left end, 1 at the right end. Start: the left half, by the seed.
 * End: at either end; cut off after 4 times the corridor's length.
 */
export class Corridor implements Environment {
  readonly spec;
  private random = new Random(0);
  private place = 0;
  private taken = 0;
  private running = false;
  private observation: Observation | null = null;

  constructor(private readonly length = 8) {
    this.spec = { name: 'corridor', optionFeatures: 1, contextFeatures: 2, maxSteps: 4 * length };
  }

  reset(seed: number): Observation {
    this.random = new Random(seed);
    this.place = 1 + this.random.int(this.length >> 1);
    this.taken = 0;
    this.running = true;
    return this.look();
  }

  step(action: number): Step {
    if (!this.running) throw new Error('internal: step without a running episode');
    checkAction(this.observation!, action);
    this.place += this.observation!.options[action];
    this.taken++;
    const terminated = this.place <= 0 || this.place >= this.length;
    const truncated = !terminated && this.taken === this.spec.maxSteps;
    this.running = !terminated && !truncated;
    const prize = this.place <= 0 ? 0.2 : this.place >= this.length ? 1 : 0;
    return { observation: this.look(), reward: prize - 0.01, terminated, truncated };
  }

  /** Reward of walking straight to the right from here. */
  bestReturn(): number {
    return 1 - 0.01 * (this.length - this.place);
  }

  private look(): Observation {
    const flip = this.random.next() < 0.5 ? -1 : 1;
    const x = this.place / this.length;
    return (this.observation = {
      optionCount: 2,
      options: Float32Array.of(flip, -flip),
      mask: Uint8Array.of(1, 1),
      context: Float32Array.of(x, 1 - x),
    });
  }
}

/**
 * Gains of which the tempting ones spring a trap.
 *
 * Actions: one of four safe options, one trap, one decoy that is always masked. Once the trap is sprung only the option that
 *   gains nothing is legal. Observation: options [gain, is trap]; context [share of steps left, sprung].
 * Reward: the gain: safe ones up to 0.5, the trap 1. Start: by the seed. End: after `steps` choices.
 * The best policy takes the best safe gain each time and the trap last.
 */
export class MaskTrap implements Environment {
  readonly spec;
  private random = new Random(0);
  private left = 0;
  private sprung = false;
  private observation: Observation | null = null;

  constructor(private readonly steps = 5) {
    this.spec = { name: 'mask-trap', optionFeatures: 2, contextFeatures: 2, maxSteps: steps };
  }

  reset(seed: number): Observation {
    this.random = new Random(seed);
    this.left = this.steps;
    this.sprung = false;
    return this.look();
  }

  step(action: number): Step {
    if (this.left === 0 || this.observation === null)
      throw new Error('internal: step without a running episode');
    checkAction(this.observation, action);
    const reward = this.observation.options[2 * action];
    if (this.observation.options[2 * action + 1] === 1) this.sprung = true;
    this.left--;
    return { observation: this.look(), reward, terminated: this.left === 0, truncated: false };
  }

  /** Reward of the best option now on offer for someone who knows the rules. */
  bestReward(): number {
    const { options } = this.observation!;
    if (this.left === 1) return 1;
    let best = 0;
    for (let i = 0; i < 4; i++) best = Math.max(best, options[2 * i]);
    return best;
  }

  private look(): Observation {
    const options = new Float32Array(14);
    for (let i = 0; i < 4; i++) options[2 * i] = 0.5 * this.random.next();
    options.set([1, 1, 2, 0, 0, 0], 8);
    const mask = this.sprung ? Uint8Array.of(0, 0, 0, 0, 0, 0, 1) : Uint8Array.of(1, 1, 1, 1, 1, 0, 1);
    return (this.observation = {
      optionCount: 7,
      options,
      mask,
      context: Float32Array.of(this.left / this.steps, this.sprung ? 1 : 0),
    });
  }
}

/**
 * Agents in a row share a load evenly, each by handing a unit to a neighbour when it is its turn.
 *
 * Actions: hand one unit to the left, to the right, or nothing; who has no unit or no neighbour is masked.
 * Observation: options [direction, neighbour's load less own]; context [own load less the mean].
 * Reward of the team: by how much the largest load falls, less 0.01 for a unit handed over. Start: all units at one agent, by the
 *   seed. End: after `rounds` turns each.
 */
export class LoadRow implements MultiAgentEnvironment {
  readonly spec;
  readonly agentCount: number;
  private readonly load: Int32Array;
  private turn = 0;
  private observation: AgentObservation | null = null;

  constructor(
    agents = 3,
    private readonly unitsEach = 2,
    rounds = 6,
  ) {
    this.agentCount = agents;
    this.load = new Int32Array(agents);
    this.spec = { name: 'load-row', optionFeatures: 2, contextFeatures: 1, maxSteps: agents * rounds };
    this.turn = this.spec.maxSteps;
  }

  reset(seed: number): Observation {
    this.load.fill(0);
    this.load[new Random(seed).int(this.agentCount)] = this.agentCount * this.unitsEach;
    this.turn = 0;
    return this.look();
  }

  agentOf(observation: Observation): number {
    return (observation as AgentObservation).agent;
  }

  step(action: number): Step {
    if (this.observation === null || this.turn >= this.spec.maxSteps)
      throw new Error('internal: step without a running episode');
    checkAction(this.observation, action);
    const { agent, options } = this.observation;
    const before = this.largest();
    const direction = options[2 * action];
    if (direction !== 0) {
      this.load[agent]--;
      this.load[agent + direction]++;
    }
    this.turn++;
    return {
      observation: this.look(),
      reward: before - this.largest() - (direction === 0 ? 0 : 0.01),
      terminated: this.turn === this.spec.maxSteps,
      truncated: false,
    };
  }

  largest(): number {
    return Math.max(...this.load);
  }

  private look(): AgentObservation {
    const agent = this.turn % this.agentCount;
    const own = this.load[agent];
    const options = new Float32Array(6);
    const mask = new Uint8Array(3);
    for (let i = 0; i < 3; i++) {
      const other = agent + i - 1;
      const there = other >= 0 && other < this.agentCount;
      options[2 * i] = i - 1;
      options[2 * i + 1] = there ? this.load[other] - own : 0;
      mask[i] = i === 1 || (there && own > 0) ? 1 : 0;
    }
    const context = Float32Array.of(own - this.unitsEach);
    return (this.observation = { optionCount: 3, options, mask, context, agent });
  }
}
