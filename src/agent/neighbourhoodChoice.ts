/** A trained policy that chooses neighbourhoods, for injection into the sharding solver. */
import type { NeighbourhoodChoice, NeighbourhoodContext, ShardCore } from '../shard/index.js';
import type { Random } from '../util/random.js';
import type { Checkpoint } from './checkpoint.js';
import { FastPolicy } from './fastPolicy.js';
import { NEIGHBOURHOOD_SPEC, NeighbourhoodArms } from './neighbourhoodArms.js';

/** Draws arms by the policy's probabilities. */
export class LearnedChoice implements NeighbourhoodChoice {
  private readonly policy: FastPolicy;
  private readonly arms: NeighbourhoodArms;

  /** @throws PartitionError input when the checkpoint was made for other observations */
  constructor(
    core: ShardCore,
    checkpoint: Pick<Checkpoint, 'weights' | 'environment'>,
    private readonly random: Random,
    where: string,
  ) {
    this.policy = new FastPolicy(checkpoint, NEIGHBOURHOOD_SPEC, where);
    this.arms = new NeighbourhoodArms(core);
  }

  next(context: NeighbourhoodContext): number {
    const scores = this.policy.scores(this.arms.observe(context));
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

  learn(arm: number, gain: number, work: number): void {
    this.arms.learn(arm, gain, work);
  }
}
