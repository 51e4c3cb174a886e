/**
 * Prices candidates for a solver: counts evaluations, watches the budget, remembers the best plan that fits and the one
 * that comes closest to fitting. One per run of a solver.
 */
import { copyCandidate } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { createEstimate } from '../simulate/estimate.js';
import type { Estimate } from '../simulate/types.js';
import { objectiveValue } from './objective.js';
import type { Budget, SearchContext, SearchResult } from './types.js';

export class Evaluator {
  /** Price of the last candidate. */
  readonly estimate: Estimate = createEstimate();
  evaluations = 0;
  best: Candidate | null = null;
  bestValue = Infinity;
  private nearest: Candidate | null = null;
  private nearestOverflowBytes = Infinity;
  private readonly startSec: number;

  /** @param method named in results as the one that found the plan */
  constructor(
    private readonly context: SearchContext,
    private readonly method: string,
  ) {
    this.startSec = context.budget.maxSec === Infinity ? 0 : context.clock();
  }

  /** Share of the budget used up, 0..1 and above. */
  progress(): number {
    const { maxEvaluations, maxSec } = this.context.budget;
    const bySteps = this.evaluations / maxEvaluations;
    // No clock is asked when time is no limit: an evaluation budget alone decides, reproducibly.
    return maxSec === Infinity ? bySteps : Math.max(bySteps, (this.context.clock() - this.startSec) / maxSec);
  }

  exhausted(): boolean {
    return this.progress() >= 1;
  }

  /** What is left for another method. */
  remaining(): Budget {
    const { maxEvaluations, maxSec } = this.context.budget;
    const sec = maxSec === Infinity ? Infinity : Math.max(0, maxSec - (this.context.clock() - this.startSec));
    return { maxEvaluations: Math.max(0, maxEvaluations - this.evaluations), maxSec: sec };
  }

  /**
   * Prices a candidate; details stay in `estimate` until the next call. Copies the candidate when it is the best.
   *
   * @returns the objective, Infinity when the plan does not fit
   */
  evaluate(candidate: Candidate): number {
    this.evaluations++;
    const { problem, simulator } = this.context;
    const estimate = simulator.estimate(candidate, this.estimate);
    if (!estimate.fits) {
      if (estimate.overflowBytes < this.nearestOverflowBytes) {
        this.nearestOverflowBytes = estimate.overflowBytes;
        this.nearest = copyCandidate(candidate);
      }
      return Infinity;
    }
    const value = objectiveValue(problem.objective, estimate);
    if (value < this.bestValue) {
      this.bestValue = value;
      this.best = copyCandidate(candidate);
      this.context.onImprovement?.(this.result(false));
    }
    return value;
  }

  result(exhaustive: boolean): SearchResult {
    return {
      best: this.best,
      value: this.bestValue,
      evaluations: this.evaluations,
      exhaustive,
      foundBy: this.method,
      nearest: this.best === null ? this.nearest : null,
    };
  }
}
