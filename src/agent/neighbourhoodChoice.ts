/** A trained policy that chooses neighbourhoods, for injection into the sharding solver. */
import type { NeighbourhoodChoice, NeighbourhoodContext, ShardCore } from '../shard/index.js';
import type { Random } from '../util/random.js';
import type { Checkpoint } from './checkpoint.js';
import { FastPolicy } from './fastPolicy.js';
import { NEIGHBOURHOOD_SPEC, NeighbourhoodArms, sliceOf } from './neighbourhoodArms.js';

/** Draws an arm by the policy's probabilities for each slice of work. */
export class LearnedChoice implements NeighbourhoodChoice {
  private readonly policy: FastPolicy;
  private readonly arms: NeighbourhoodArms;
  private readonly slice: number;
  private arm = 0;
  private left = 0;

  /** @throws PartitionError input when the checkpoint was made for other observations */
  constructor(
    core: ShardCore,
    checkpoint: Pick<Checkpoint, 'weights' | 'environment'>,
    private readonly random: Random,
    where: string,
  ) {
    this.policy = new FastPolicy(checkpoint, NEIGHBOURHOOD_SPEC, where);
    this.arms = new NeighbourhoodArms(core);
    this.slice = sliceOf(core);
  }

  next(context: NeighbourhoodContext): number {
    if (this.left > 0) return this.arm;
    this.left = this.slice;
    return (this.arm = this.draw(this.policy.scores(this.arms.observe(context))));
  }

  learn(arm: number, gain: number, work: number): void {
    this.arms.learn(arm, gain, work);
    this.left -= work;
  }

  private draw(scores: Float64Array): number {
    let most = -Infinity;
    for (const score of scores) most = Math.max(most, score);
    let total = 0;
    for (let a = 0; a < scores.length; a++) total += scores[a] = Math.exp(scores[a] - most);
    let left = this.random.next() * total;
    for (let a = 0; a < scores.length; a++) {
      left -= scores[a];
      if (left < 0) return a;
    }
    return scores.length - 1;
  }
}
