/**
 * Environments stepped together (Gymnasium's vector environments, with restarts in the same step): what a network scores
 * in one batch. Episode seeds depend on the seed, the environment's number and how many episodes it has played, and on
 * nothing else, so that any way of dealing environments to threads gives the same episodes.
 */
import type { Environment, EnvironmentSpec, Observation } from './environment.js';
import type { Batch } from './scorer.js';
import { packBatch } from './scorer.js';

/** What one step of all environments gave. */
export interface VectorStep {
  /** What each offers now: after the end of an episode, the start of the next one. */
  readonly observations: readonly Observation[];
  readonly rewards: Float64Array;
  /** By how much limits were broken (`RewardComponents.excess`). */
  readonly excesses: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  /** Where an episode ended with this step: what its last step showed (a cut-off episode goes on in value); else null. */
  readonly last: readonly (Observation | null)[];
}

/** Seed of an environment's episode: splitmix32's mixing of the three numbers. */
export function episodeSeed(seed: number, environment: number, episode: number): number {
  let x = seed >>> 0;
  for (const y of [environment, episode]) {
    x = (Math.imul(x ^ (x >>> 16), 0x85ebca6b) + y + 0x9e3779b9) >>> 0;
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) >>> 0;
    x = (x ^ (x >>> 16)) >>> 0;
  }
  return x;
}

export class VectorEnvironment {
  readonly spec: EnvironmentSpec;
  private readonly environments: readonly Environment[];
  private readonly episodes: Int32Array;
  private observations: Observation[] = [];
  private seed = 0;

  /**
   * @param make builds environment number i; all are of one spec
   * @param first number of the first environment, where these are part of a larger set
   */
  constructor(
    make: (index: number) => Environment,
    readonly count: number,
    private readonly first = 0,
  ) {
    this.environments = Array.from({ length: count }, (_, i) => make(first + i));
    this.episodes = new Int32Array(count);
    this.spec = this.environments[0].spec;
    for (const { spec } of this.environments)
      if (
        spec.optionFeatures !== this.spec.optionFeatures ||
        spec.contextFeatures !== this.spec.contextFeatures
      )
        throw new Error(`internal: environments ${this.spec.name} and ${spec.name} have unlike features`);
  }

  /** Starts an episode everywhere. */
  reset(seed: number): readonly Observation[] {
    this.seed = seed;
    this.episodes.fill(0);
    return (this.observations = this.environments.map((_, i) => this.restart(i)));
  }

  /** @throws Error as `Environment.step` */
  step(actions: ArrayLike<number>): VectorStep {
    const { count, environments } = this;
    if (actions.length !== count)
      throw new Error(`internal: ${actions.length} actions for ${count} environments`);
    const rewards = new Float64Array(count);
    const excesses = new Float64Array(count);
    const terminated = new Uint8Array(count);
    const truncated = new Uint8Array(count);
    const last = new Array<Observation | null>(count).fill(null);
    const observations = new Array<Observation>(count);
    for (let i = 0; i < count; i++) {
      const step = environments[i].step(actions[i]);
      rewards[i] = step.reward;
      excesses[i] = step.components?.excess ?? 0;
      terminated[i] = step.terminated ? 1 : 0;
      truncated[i] = step.truncated ? 1 : 0;
      observations[i] = step.observation;
      if (!step.terminated && !step.truncated) continue;
      last[i] = step.observation;
      this.episodes[i]++;
      observations[i] = this.restart(i);
    }
    this.observations = observations;
    return { observations, rewards, excesses, terminated, truncated, last };
  }

  /** What all environments offer now, as rows for the network. */
  batch(): Batch {
    return packBatch(this.spec, this.observations);
  }

  private restart(i: number): Observation {
    return this.environments[i].reset(episodeSeed(this.seed, this.first + i, this.episodes[i]));
  }
}
