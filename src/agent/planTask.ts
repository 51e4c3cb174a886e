/** What every agent needs to look for a plan under a budget: priced episodes, a reference, and when to stop. */
import type { Candidate } from '../plan/types.js';
import { Cutter } from '../search/cutRules.js';
import { Evaluator } from '../search/evaluator.js';
import { PriceMemo } from '../search/memo.js';
import { MOST_DRAWS_PER_PRICE, randomPlan } from '../search/random.js';
import { PlanSpace } from '../search/space.js';
import type { SearchContext, SearchResult } from '../search/types.js';
import type { Random } from '../util/random.js';
import { ImprovementEpisode } from './improvementEpisode.js';
import { PlanEpisode } from './planEpisode.js';

/** A policy that drew this many known plans in a row has settled. */
const CONVERGED_AFTER = 192;
/** Plans drawn for the reference. */
const REFERENCE_PLANS = 8;

export class PlanTask {
  /** No mesh at all: there is nothing to decide. */
  readonly empty: boolean;
  private readonly evaluator: Evaluator;
  private readonly space: PlanSpace;
  private readonly cutter: Cutter;
  private readonly memo: PriceMemo;
  private readonly reference: number;
  private readonly mostEpisodes: number;

  /**
   * @param method named in results
   * @param embedded whether the graph's embedding is part of what episodes show
   * @param referenceOf value of the plan that earns a reward of 0; default: the median of a few random plans
   */
  constructor(
    context: SearchContext,
    method: string,
    private readonly embedded = false,
    referenceOf?: (episode: PlanEpisode, value: (plan: Candidate) => number) => number,
  ) {
    const { problem, budget } = context;
    this.evaluator = new Evaluator(context, method);
    this.space = new PlanSpace(problem);
    this.cutter = new Cutter(problem);
    this.memo = new PriceMemo(this.evaluator, problem.objective);
    this.mostEpisodes = MOST_DRAWS_PER_PRICE * budget.maxEvaluations;
    this.empty = this.space.meshes.length === 0;
    if (this.empty) this.reference = 1;
    else if (referenceOf === undefined) this.reference = this.randomReference(context);
    else this.reference = referenceOf(this.episodeFrom(1), (plan) => this.memo.price(plan).value);
  }

  episode(): PlanEpisode {
    return this.episodeFrom(this.reference);
  }

  /** @param startOf the plan that an episode starts from, by its seed */
  improvement(startOf: (seed: number) => Candidate): ImprovementEpisode {
    return new ImprovementEpisode(this.space, this.cutter, this.memo, startOf);
  }

  /** Plans of the space, not priced. */
  randomPlans(count: number, random: Random): Candidate[] {
    return Array.from({ length: count }, () => randomPlan(this.space, this.cutter, random));
  }

  /** Share of the budget used up, 0..1 and above; 1 when only known plans are drawn any more. */
  progress(): number {
    if (this.memo.repeated >= CONVERGED_AFTER) return 1;
    return Math.max(this.evaluator.progress(), this.memo.asked / this.mostEpisodes);
  }

  exhausted(): boolean {
    return this.evaluator.exhausted() || this.memo.asked >= this.mostEpisodes;
  }

  /** The best plan so far. */
  result(): SearchResult {
    return this.evaluator.result(this.empty);
  }

  private episodeFrom(reference: number): PlanEpisode {
    return new PlanEpisode(this.space, this.cutter, this.memo, reference, this.embedded);
  }

  /** Median value of a few random plans: the reward of an average plan is about 0. Their prices count like all others. */
  private randomReference({ random, budget }: SearchContext): number {
    const count = Math.min(REFERENCE_PLANS, budget.maxEvaluations);
    const values = this.randomPlans(count, random)
      .map((p) => this.memo.price(p).value)
      .sort((a, b) => a - b);
    return values[values.length >> 1];
  }
}
