/** The pretrained policy as a solver: proposes a few plans at once, prices them and keeps the best. Nothing is learned. */
import { Cutter } from '../search/cutRules.js';
import { Evaluator } from '../search/evaluator.js';
import { PlanSpace } from '../search/space.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { policyTree } from './guidedSolver.js';
import type { PolicySource } from './pretrained.js';
import { SHIPPED } from './pretrained.js';

/** Different plans proposed: the likeliest one, and draws without replacement. */
export const PROPOSALS = 64;

/** @throws PartitionError input from `solve` when the checkpoint is missing, damaged or another version's */
export function createPolicySolver(source: PolicySource = SHIPPED, proposals = PROPOSALS): Solver {
  return { name: 'policy', solve: (context) => solve(context, source, proposals) };
}

export const policySolver: Solver = createPolicySolver();

function solve(context: SearchContext, source: PolicySource, proposals: number): SearchResult {
  const evaluator = new Evaluator(context, 'policy');
  const space = new PlanSpace(context.problem);
  if (space.meshes.length === 0) return evaluator.result(true);
  const tree = policyTree({ space, cutter: new Cutter(context.problem) }, source);
  evaluator.evaluate(tree.likeliest());
  const count = Math.min(proposals, context.budget.maxEvaluations);
  while (evaluator.evaluations < count && !evaluator.exhausted()) {
    const plan = tree.draw(context.random);
    if (plan === null) break;
    evaluator.evaluate(plan);
  }
  return evaluator.result(false);
}
