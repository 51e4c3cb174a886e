/**
 * The trivial environment that every agent must solve with a fixed seed before it is trusted with plans.
 *
 * Actions: `arms` options, each with a quality and a cost that does not matter; one of them masked.
 * Observation: options [quality, cost]; context [sign]: whether high or low quality is wanted this step.
 * Reward: sign * quality of the chosen arm. Start: arms drawn from the seed. End: after `steps` choices.
 * The best policy takes the largest sign * quality; a random one averages 0.
 */
import { Random } from '../util/random.js';
import type { Environment, EnvironmentSpec, Observation, Step } from './environment.js';
import { checkAction } from './environment.js';

export class Bandit implements Environment {
  readonly spec: EnvironmentSpec;
  private random = new Random(0);
  private observation: Observation | null = null;
  private stepsLeft = 0;

  constructor(
    private readonly arms = 8,
    private readonly steps = 4,
  ) {
    this.spec = { name: 'bandit', optionFeatures: 2, contextFeatures: 1, maxSteps: steps };
  }

  reset(seed: number): Observation {
    this.random = new Random(seed);
    this.stepsLeft = this.steps;
    return (this.observation = this.offer());
  }

  step(action: number): Step {
    if (this.observation === null || this.stepsLeft === 0)
      throw new Error('internal: step without a running episode');
    checkAction(this.observation, action);
    const reward = this.observation.context[0] * this.observation.options[2 * action];
    this.stepsLeft--;
    this.observation = this.offer();
    return { observation: this.observation, reward, terminated: this.stepsLeft === 0, truncated: false };
  }

  /** Reward of the best option now on offer: the yardstick of a solved bandit. */
  bestReward(): number {
    const { options, mask, context } = this.observation!;
    let best = -Infinity;
    for (let i = 0; i < this.arms; i++) if (mask[i] === 1) best = Math.max(best, context[0] * options[2 * i]);
    return best;
  }

  private offer(): Observation {
    const options = new Float32Array(2 * this.arms);
    for (let i = 0; i < options.length; i++) options[i] = 2 * this.random.next() - 1;
    const mask = new Uint8Array(this.arms).fill(1);
    mask[this.random.int(this.arms)] = 0;
    return {
      optionCount: this.arms,
      options,
      mask,
      context: Float32Array.of(this.random.next() < 0.5 ? -1 : 1),
    };
  }
}
