/**
 * The plan episode: a training plan built decision by decision.
 *
 * Actions: at each step one option of the next decision, in the order of PLAN_DECISIONS (mesh degrees, context exchange,
 *   microbatch, schedule and interleaving, ZeRO, recomputation per family of layer classes, axis order, cuts). Degrees that some
 *   mesh has but none with the degrees chosen so far are masked. A decision without alternatives is not asked.
 * Observation: context (which decision, the problem, the plan so far) and per option its size, kind and first-order
 *   consequences (bubble, memory); see `planFeatures`. Embedded: the context ends with the pooled embedding of the graph's
 *   blocks (`graphEmbedding`), which tells models apart that are alike in size.
 * Reward: 0 until the last step; then log(reference / value) of the finished plan, less a penalty that grows with the
 *   memory overflow, within +-REWARD_LIMIT.
 * Start: nothing decided; the seed does not matter. End: when the cuts are chosen.
 */
import type { Candidate } from '../plan/types.js';
import type { Cutter } from '../search/cutRules.js';
import type { PriceMemo } from '../search/memo.js';
import type { PlanSpace } from '../search/space.js';
import type { Environment, EnvironmentSpec, Observation, RewardComponents, Step } from './environment.js';
import { checkAction } from './environment.js';
import type { PlanState } from './planOffers.js';
import { PlanOffers } from './planOffers.js';

export { EMBEDDED_PLAN_SPEC, PLAN_SPEC, planSpec } from './planOffers.js';

export const REWARD_LIMIT = 6;
/** Lost by any plan that does not fit, and more per doubling of memory beyond capacity. */
const OVERFLOW_PENALTY = 1;

export class PlanEpisode implements Environment {
  readonly spec: EnvironmentSpec;
  /** The plan of the last finished episode. */
  plan: Candidate | null = null;
  private readonly offers: PlanOffers;
  private state: PlanState | null = null;
  private observation: Observation | null = null;

  /**
   * @param space with at least one mesh
   * @param referenceValue objective of the plan that earns a reward of 0
   * @param embedded whether the graph's embedding is part of the context
   */
  constructor(
    space: PlanSpace,
    cutter: Cutter,
    private readonly memo: PriceMemo,
    private readonly referenceValue: number,
    embedded = false,
  ) {
    this.offers = new PlanOffers(space, cutter, embedded);
    this.spec = this.offers.spec;
  }

  reset(_seed: number): Observation {
    this.plan = null;
    return this.ask(this.offers.start());
  }

  step(action: number): Step {
    const { state, observation } = this;
    if (state === null || observation === null || this.plan !== null)
      throw new Error('internal: step without a running episode');
    checkAction(observation, action);
    const option = state.options[action];
    if (option.stageStart === null) {
      const next = this.ask(this.offers.after(state, option));
      return { observation: next, reward: 0, terminated: false, truncated: false };
    }
    this.plan = { ...option.after, stageStart: option.stageStart };
    const components = this.rewardComponents(this.plan);
    return {
      observation,
      reward: Math.max(-REWARD_LIMIT, components.gain - components.excess),
      terminated: true,
      truncated: false,
      components,
    };
  }

  /** The action that a plan implies for the decision now on offer, -1 when it is not on offer; cuts by the rule nearest to them. */
  actionToward(plan: Candidate): number {
    return this.offers.toward(this.state!, plan);
  }

  private ask(state: PlanState): Observation {
    this.state = state;
    return (this.observation = this.offers.observe(state));
  }

  private rewardComponents(plan: Candidate): RewardComponents {
    const price = this.memo.price(plan);
    const gain = Math.log(this.referenceValue / price.value);
    return {
      gain: Math.max(-REWARD_LIMIT, Math.min(price.fits ? REWARD_LIMIT : 0, gain)),
      excess: price.fits
        ? 0
        : Math.min(REWARD_LIMIT, OVERFLOW_PENALTY * (1 + Math.log2(Math.max(1, price.memoryRatio)))),
    };
  }
}
