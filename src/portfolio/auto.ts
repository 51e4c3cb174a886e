/**
 * `auto`: several methods share the budget and the best plan wins, so the answer is never worse than its best member's.
 *
 * Under an evaluation budget every member gets a fixed share of the evaluations, in a fixed order and with its own
 * random stream: the same seed gives the same answer. Under a time budget shares are of time, and a member that ends
 * early leaves its rest to those after it.
 */
import type { Budget, SearchContext, SearchResult, Solver } from '../search/types.js';

export interface Member {
  readonly solver: Solver;
  /** Weight among the members still to come when it is this one's turn; what it leaves goes to the others. */
  readonly share: number;
  /** Left out when its share of a time budget is shorter (an agent has to load its network first). */
  readonly leastSec: number;
}

/** A solver that runs its members one after the other and keeps the best result. */
export function portfolio(name: string, members: readonly Member[]): Solver {
  return {
    name,
    async solve(context: SearchContext): Promise<SearchResult> {
      const start = context.budget.maxSec === Infinity ? 0 : context.clock();
      const streams = members.map(() => context.random.fork());
      let best: SearchResult | null = null;
      let evaluations = 0;
      for (let i = 0; i < members.length; i++) {
        const left: Budget = {
          maxEvaluations: context.budget.maxEvaluations - evaluations,
          maxSec:
            context.budget.maxSec === Infinity ? Infinity : context.budget.maxSec - (context.clock() - start),
        };
        const weight = members.slice(i).reduce((sum, m) => sum + m.share, 0);
        const share = members[i].share / weight;
        const budget: Budget = {
          maxEvaluations:
            left.maxEvaluations === Infinity ? Infinity : Math.floor(share * left.maxEvaluations),
          maxSec: share * left.maxSec,
        };
        if (budget.maxEvaluations < 1 || budget.maxSec < members[i].leastSec || budget.maxSec <= 0) continue;
        const before: SearchResult | null = best;
        const spent = evaluations;
        const result: SearchResult = await members[i].solver.solve({
          ...context,
          budget,
          random: streams[i],
          onImprovement: (r) => {
            if (before === null || r.value < before.value)
              context.onImprovement?.({ ...r, evaluations: spent + r.evaluations });
          },
        });
        evaluations += result.evaluations;
        best = best === null ? result : preferred(best, result);
        // Proved optimal, or proved empty: nothing is left to find.
        if (result.exhaustive) break;
      }
      if (best === null)
        return { best: null, value: Infinity, evaluations, exhaustive: false, foundBy: name, nearest: null };
      return { ...best, evaluations };
    },
  };
}

/** The better of two results; of equally good ones the first. A proof that all was seen holds for both. */
function preferred(a: SearchResult, b: SearchResult): SearchResult {
  const exhaustive = a.exhaustive || b.exhaustive;
  if (b.value < a.value) return { ...b, exhaustive };
  return { ...a, exhaustive, nearest: a.best === null ? (a.nearest ?? b.nearest) : null };
}
