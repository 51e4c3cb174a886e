/**
 * `auto`: several methods share the budget and the best plan wins.
 *
 * Under an evaluation budget every member gets its share of the evaluations, neither more nor less, and the random
 * stream that it would get if it ran alone with them: given the sum of its members' budgets the answer is never worse
 * than any of theirs. What members leave over when they end early goes to a search from the best plan. Under a time budget shares are of the time that is left, and what a member leaves goes to those after it.
 */
import { annealSolver } from '../search/anneal.js';
import type { Budget, SearchContext, SearchResult, Solver } from '../search/types.js';

export interface Member {
  readonly solver: Solver;
  /** Weight among the members. */
  readonly share: number;
  /** Left out when its share of a time budget is shorter (an agent has to load its network first). */
  readonly leastSec: number;
}

/**
 * A solver that runs its members one after the other, goes on from the best result, and keeps the best of all.
 *
 * @param finisher goes on from a plan that is known
 */
export function portfolio(name: string, members: readonly Member[], finisher: Solver = annealSolver): Solver {
  return {
    name,
    async solve(context: SearchContext): Promise<SearchResult> {
      const run = new Run(context);
      const total = members.reduce((sum, m) => sum + m.share, 0);
      for (let i = 0; i < members.length; i++) {
        const { solver, share, leastSec } = members[i];
        const toCome = members.slice(i).reduce((sum, m) => sum + m.share, 0);
        const left = run.left();
        const budget: Budget = {
          maxEvaluations:
            left.maxEvaluations === Infinity
              ? Infinity
              : Math.min(left.maxEvaluations, evaluationShare(context.budget.maxEvaluations, share / total)),
          maxSec: (share / toCome) * left.maxSec,
        };
        if (budget.maxSec < leastSec) continue;
        await run.member(solver, budget);
        // Proved optimal, or proved empty: nothing is left to find.
        if (run.best?.exhaustive === true) break;
      }
      const { best } = run;
      if (best !== null && best.best !== null && !best.exhaustive)
        await run.member(finisher, run.left(), best.best);
      return run.result(name);
    },
  };
}

/** Evaluations of one member; at least one while there are any. */
function evaluationShare(evaluations: number, share: number): number {
  return Math.max(1, Math.floor(share * evaluations + 1e-9));
}

/** One run of a portfolio: what was found and what is left. */
class Run {
  best: SearchResult | null = null;
  private evaluations = 0;
  private readonly startSec: number;

  constructor(private readonly context: SearchContext) {
    this.startSec = context.budget.maxSec === Infinity ? 0 : context.clock();
  }

  left(): Budget {
    const { budget, clock } = this.context;
    return {
      maxEvaluations: budget.maxEvaluations - this.evaluations,
      maxSec: budget.maxSec === Infinity ? Infinity : budget.maxSec - (clock() - this.startSec),
    };
  }

  /** Runs one member if its budget allows anything at all. */
  async member(solver: Solver, budget: Budget, start?: SearchContext['start']): Promise<void> {
    if (budget.maxEvaluations < 1 || budget.maxSec <= 0) return;
    const { context } = this;
    const before = this.best;
    const spent = this.evaluations;
    const result: SearchResult = await solver.solve({
      ...context,
      budget,
      random: context.random.clone(),
      ...(start === undefined ? {} : { start }),
      onImprovement: (r) => {
        if (before === null || r.value < before.value)
          context.onImprovement?.({ ...r, evaluations: spent + r.evaluations });
      },
    });
    this.evaluations += result.evaluations;
    this.best = before === null ? result : preferred(before, result);
  }

  result(name: string): SearchResult {
    const { best, evaluations } = this;
    if (best === null)
      return { best: null, value: Infinity, evaluations, exhaustive: false, foundBy: name, nearest: null };
    return { ...best, evaluations };
  }
}

/** The better of two results; of equally good ones the first. A proof that all was seen holds for both. */
function preferred(a: SearchResult, b: SearchResult): SearchResult {
  const exhaustive = a.exhaustive || b.exhaustive;
  if (b.value < a.value) return { ...b, exhaustive };
  return { ...a, exhaustive, nearest: a.best === null ? (a.nearest ?? b.nearest) : null };
}
