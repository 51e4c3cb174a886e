/** PPO as a solver: trains on the problem itself, from a random start, one plan episode per price. */
import type { Candidate } from '../plan/types.js';
import { Cutter } from '../search/cutRules.js';
import { Evaluator } from '../search/evaluator.js';
import { PriceMemo } from '../search/memo.js';
import { MOST_DRAWS_PER_PRICE, randomPlan } from '../search/random.js';
import { PlanSpace } from '../search/space.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { loadBackend } from './backend.js';
import { PlanEpisode } from './planEpisode.js';
import type { PpoOptions } from './ppo.js';
import { DEFAULT_PPO, trainPpo } from './ppo.js';

/** A policy that drew this many known plans in a row has settled. */
const CONVERGED_AFTER = 192;

/** A solver with its own settings of PPO. */
export function createPpoSolver(options: Partial<PpoOptions> = {}): Solver {
  return { name: 'ppo', solve: (context) => solve(context, { ...DEFAULT_PPO, ...options }) };
}

export const ppoSolver: Solver = createPpoSolver();

async function solve(context: SearchContext, options: PpoOptions): Promise<SearchResult> {
  const evaluator = new Evaluator(context, 'ppo');
  const { problem, budget } = context;
  const space = new PlanSpace(problem);
  if (space.meshes.length === 0) return evaluator.result(true);
  const { tf } = await loadBackend();
  const cutter = new Cutter(problem);
  const memo = new PriceMemo(evaluator, problem.objective);
  const reference = randomReference(space, cutter, memo, context);
  const mostEpisodes = MOST_DRAWS_PER_PRICE * budget.maxEvaluations;
  const policy = trainPpo(
    tf,
    () => new PlanEpisode(space, cutter, memo, reference),
    options,
    context.random,
    () => (memo.repeated >= CONVERGED_AFTER ? 1 : Math.max(evaluator.progress(), memo.asked / mostEpisodes)),
  );
  policy.dispose();
  return evaluator.result(false);
}

/** Plans drawn for the reference. */
const REFERENCE_PLANS = 8;

/** Median value of a few random plans: the reward of an average plan is about 0. Their prices count like all others. */
function randomReference(
  space: PlanSpace,
  cutter: Cutter,
  memo: PriceMemo,
  { random, budget }: SearchContext,
): number {
  const count = Math.min(REFERENCE_PLANS, budget.maxEvaluations);
  const plans: Candidate[] = Array.from({ length: count }, () => randomPlan(space, cutter, random));
  const values = plans.map((p) => memo.price(p).value).sort((a, b) => a - b);
  return values[values.length >> 1];
}
