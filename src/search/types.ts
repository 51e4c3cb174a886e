/** The one interface of every method that looks for a plan: same problem, same budget, same evaluator. */
import type { Random } from '../util/random.js';
import type { Candidate } from '../plan/types.js';
import type { PlanProblem, Simulator } from '../simulate/types.js';

/** When to stop: whichever comes first. One evaluation = one `estimate`. */
export interface Budget {
  readonly maxEvaluations: number;
  readonly maxSec: number;
}

/** Injected by the command line; below it there is no clock. Seconds, monotone. */
export type Clock = () => number;

export interface SearchContext {
  readonly problem: PlanProblem;
  readonly simulator: Simulator;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly random: Random;
  /** A plan that is known already, for methods that can go on from one. */
  readonly start?: Candidate;
  /** Called when a better plan is known (anytime use, learning curves). */
  readonly onImprovement?: (best: SearchResult) => void;
}

export interface SearchResult {
  /** `null`: nothing that fits was found. */
  readonly best: Candidate | null;
  /** Objective value of the best (seconds when the objective is time), Infinity when none. */
  readonly value: number;
  readonly evaluations: number;
  /** True only when the whole stated space was enumerated. */
  readonly exhaustive: boolean;
  /** The member of a portfolio that found it, else the method itself. */
  readonly foundBy: string;
  /** The candidate closest to fitting, when none fits. */
  readonly nearest: Candidate | null;
}

export interface Solver {
  readonly name: string;
  solve(context: SearchContext): SearchResult | Promise<SearchResult>;
}
