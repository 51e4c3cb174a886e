/** Classical solvers as teachers of an agent: each gets a share of the budget, and every plan that was its best for a while is shown. */
import { annealSolver } from '../search/anneal.js';
import { expertSolver } from '../search/expert.js';
import { greedySolver } from '../search/greedy.js';
import type { Candidate } from '../plan/types.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { policySolver } from './policySolver.js';

export interface SolverTeacher {
  readonly solver: Solver;
  /** Of the whole budget. */
  readonly share: number;
}

/** Rules first, which are nearly free, then the policy that ships, then a little local search. */
export const DEFAULT_TEACHERS: readonly SolverTeacher[] = [
  { solver: greedySolver, share: 0.02 },
  { solver: expertSolver, share: 0.03 },
  { solver: policySolver, share: 0.03 },
  { solver: annealSolver, share: 0.1 },
];

/** For who only improves plans: the better what it starts from, the better. */
export const THOROUGH_TEACHERS: readonly SolverTeacher[] = DEFAULT_TEACHERS.map(({ solver, share }) => ({
  solver,
  share: solver === annealSolver ? 0.4 : share,
}));

export interface Lesson {
  /** Worst first. */
  readonly plans: readonly Candidate[];
  /** The teachers' best plan; `null` when there was no budget for any of them. */
  readonly result: SearchResult | null;
  /** What is left for the pupil, whose improvements are told only where they beat the teachers. */
  readonly context: SearchContext;
}

/** Lets teachers look for plans. Their evaluations and seconds are taken from the budget of the context. */
export async function learnFrom(teachers: readonly SolverTeacher[], context: SearchContext): Promise<Lesson> {
  const { budget } = context;
  const startSec = budget.maxSec === Infinity ? 0 : context.clock();
  const shown: { plan: Candidate; value: number }[] = [];
  let best: SearchResult | null = null;
  let spent = 0;
  for (const { solver, share } of teachers) {
    const known: SearchResult | null = best;
    const before = spent;
    const maxEvaluations =
      budget.maxEvaluations === Infinity ? Infinity : Math.floor(share * budget.maxEvaluations);
    if (maxEvaluations < 1) continue;
    const result: SearchResult = await solver.solve({
      ...context,
      random: context.random.fork(),
      budget: { maxEvaluations, maxSec: share * budget.maxSec },
      onImprovement: (r) => {
        if (r.best !== null) shown.push({ plan: r.best, value: r.value });
        if (known === null || r.value < known.value)
          context.onImprovement?.({ ...r, evaluations: before + r.evaluations });
      },
    });
    spent += result.evaluations;
    if (best === null || result.value < best.value) best = result;
  }
  shown.sort((a, b) => b.value - a.value);
  const usedSec = budget.maxSec === Infinity ? 0 : context.clock() - startSec;
  const bar = best?.value ?? Infinity;
  return {
    plans: shown.map((s) => s.plan),
    result: best === null ? null : { ...best, evaluations: spent },
    context: {
      ...context,
      budget: { maxEvaluations: budget.maxEvaluations - spent, maxSec: budget.maxSec - usedSec },
      onImprovement: (r) => {
        if (r.value < bar) context.onImprovement?.({ ...r, evaluations: spent + r.evaluations });
      },
    },
  };
}

/** The better of what teachers and pupil found, the evaluations of both. */
export function together(taught: SearchResult | null, own: SearchResult): SearchResult {
  if (taught === null) return own;
  const evaluations = taught.evaluations + own.evaluations;
  if (taught.value < own.value) return { ...taught, evaluations, exhaustive: false };
  const nearest = own.best === null ? (own.nearest ?? taught.nearest) : null;
  return { ...own, evaluations, nearest };
}
