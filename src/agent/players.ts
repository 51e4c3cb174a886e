/** Environments stepped together: all their decisions are rated in one batch, and each starts anew when its episode ends. */
import type { Random } from '../util/random.js';
import type { Environment, Observation, Step } from './environment.js';
import type { Batch } from './scorer.js';
import { packBatch } from './scorer.js';

/** Row of a batch to take, of those from `from` to `to`, which are the legal options of environment i. */
export type Choose = (from: number, to: number, i: number) => number;

/** Whoever wants to know what happens in environment i. */
export interface PlayListener {
  /** @param choice place of the chosen option among the legal ones */
  onStep?(i: number, observation: Observation, choice: number, step: Step): void;
  /** Before the environment starts anew; with the undiscounted reward of the episode. */
  onEnd?(i: number, episodeReturn: number, last: Step): void;
  /** After it did. */
  onStart?(i: number): void;
}

export class Players {
  private readonly observations: Observation[];
  private readonly returns: Float64Array;

  /** @param environments all of one spec */
  constructor(
    private readonly environments: readonly Environment[],
    private readonly random: Random,
    private readonly listener: PlayListener,
  ) {
    this.observations = environments.map((e) => e.reset(random.uint32()));
    this.returns = new Float64Array(environments.length);
    environments.forEach((_, i) => listener.onStart?.(i));
  }

  /** What all environments offer now. */
  look(): Batch {
    return packBatch(this.environments[0].spec, this.observations);
  }

  /**
   * One step in every environment.
   *
   * @param batch of `look`
   * @param done asked before every step: stop here?
   */
  act(batch: Batch, choose: Choose, done: () => boolean): void {
    const { environments, observations, returns, listener } = this;
    for (let i = 0; i < environments.length && !done(); i++) {
      const from = batch.rowStart[i];
      const row = choose(from, batch.rowStart[i + 1], i);
      const step = environments[i].step(batch.rowOption[row]);
      listener.onStep?.(i, observations[i], row - from, step);
      observations[i] = step.observation;
      returns[i] += step.reward;
      if (!step.terminated && !step.truncated) continue;
      listener.onEnd?.(i, returns[i], step);
      observations[i] = environments[i].reset(this.random.uint32());
      returns[i] = 0;
      listener.onStart?.(i);
    }
  }
}
