/** What walks over plans have in common: how good a plan is when it need not fit, and where a walk begins. */
import type { Candidate } from '../plan/types.js';
import { Cutter } from './cutRules.js';
import { Evaluator } from './evaluator.js';
import type { Price } from './memo.js';
import { PriceMemo } from './memo.js';
import { Moves } from './moves.js';
import { MOST_DRAWS_PER_PRICE, randomPlan } from './random.js';
import { PlanSpace } from './space.js';
import type { SearchContext } from './types.js';

/** Nats lost by a plan that does not fit, and more per doubling of memory beyond capacity: lets a walk cross, not stay. */
const OVERFLOW_ENERGY = 0.3;
const ENERGY_PER_DOUBLING = 1.5;
/** Random plans from which a walk chooses its start: at most, and as a share of the budget. */
const MOST_STARTS = 48;
const START_SHARE = 0.04;

/** Logarithm of the objective; more where memory overflows. Differences are relative changes, whatever the model. */
export function energyOf(price: Price): number {
  const energy = Math.log(price.value);
  if (price.fits) return energy;
  return energy + OVERFLOW_ENERGY + ENERGY_PER_DOUBLING * Math.log2(Math.max(1, price.memoryRatio));
}

/** One plan and its energy. */
export interface Standing {
  readonly plan: Candidate;
  readonly energy: number;
}

/** The state that every walk keeps: prices, moves and the budget. */
export class Walk {
  readonly evaluator: Evaluator;
  readonly space: PlanSpace;
  readonly cutter: Cutter;
  readonly memo: PriceMemo;
  readonly moves: Moves;
  private readonly mostDraws: number;

  constructor(
    readonly context: SearchContext,
    method: string,
  ) {
    this.evaluator = new Evaluator(context, method);
    this.space = new PlanSpace(context.problem);
    this.cutter = new Cutter(context.problem);
    this.memo = new PriceMemo(this.evaluator, context.problem.objective);
    this.moves = new Moves(this.space, this.cutter);
    // A small space runs out of new plans before the budget does.
    this.mostDraws = MOST_DRAWS_PER_PRICE * context.budget.maxEvaluations;
  }

  /** Share of the budget used up, repeated plans included. */
  progress(): number {
    return Math.max(this.evaluator.progress(), this.memo.asked / this.mostDraws);
  }

  ended(): boolean {
    return this.progress() >= 1;
  }

  stand(plan: Candidate): Standing {
    return { plan, energy: energyOf(this.memo.price(plan)) };
  }

  random(): Standing {
    return this.stand(randomPlan(this.space, this.cutter, this.context.random));
  }

  /** The plan that is known already, else the best of a few random ones. */
  start(): Standing {
    if (this.context.start !== undefined) return this.stand(this.context.start);
    const share = START_SHARE * this.context.budget.maxEvaluations;
    const count = Math.max(1, Math.min(MOST_STARTS, Math.floor(share)));
    let best = this.random();
    for (let i = 1; i < count && !this.ended(); i++) {
      const next = this.random();
      if (next.energy < best.energy) best = next;
    }
    return best;
  }

  neighbour(plan: Candidate): Standing {
    return this.stand(this.moves.propose(plan, this.context.random));
  }
}
