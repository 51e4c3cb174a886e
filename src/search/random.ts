/** Random search: every decision uniformly among what is legal, in the order of the space; cuts by a random rule. */
import type { Random } from '../util/random.js';
import type { Candidate } from '../plan/types.js';
import type { CutRule } from './cutRules.js';
import { CUT_RULES, Cutter } from './cutRules.js';
import { Evaluator } from './evaluator.js';
import { PriceMemo } from './memo.js';
import type { MeshDegrees } from './space.js';
import { PlanSpace } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

/** Search at random ends after this many draws per evaluation of its budget, repeated plans included. */
export const MOST_DRAWS_PER_PRICE = 4;

/** A plan of the space. The mesh is drawn degree by degree (pp, tp, cp, ep, etp), so that rare meshes are not rarer. */
export function randomPlan(space: PlanSpace, cutter: Cutter, random: Random): Candidate {
  const mesh = randomMesh(space.meshes, random);
  const { pp, tp, cp, ep, etp } = mesh;
  const microbatch = random.pick(space.microbatches(mesh));
  const contextExchange = random.pick(space.contextExchanges(mesh));
  const shardings = space.leannesses(mesh);
  // Nothing is drawn where there is no choice.
  const leanness = shardings.length > 1 ? random.pick(shardings) : 0;
  const { schedule, vpp } = random.pick(space.schedules(mesh, microbatch));
  const { zeroStage, dpShard } = random.pick(space.zeros(mesh));
  const recompute = random.pick(space.recomputes);
  const axisOrder = random.pick(space.axisOrders(mesh));
  const dpReplicate = mesh.dp / dpShard;
  const decisions = {
    ...{ dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp },
    ...{ zeroStage, schedule, microbatch, axisOrder, contextExchange, leanness, recompute },
  };
  const rule: CutRule = random.pick(CUT_RULES);
  return { ...decisions, stageStart: cutter.cut(rule, decisions) };
}

function randomMesh(meshes: readonly MeshDegrees[], random: Random): MeshDegrees {
  let left = meshes;
  for (const degree of ['pp', 'tp', 'cp', 'ep', 'etp'] as const) {
    const value = random.pick([...new Set(left.map((m) => m[degree]))]);
    left = left.filter((m) => m[degree] === value);
  }
  return left[0];
}

export const randomSolver: Solver = {
  name: 'random',
  solve(context: SearchContext): SearchResult {
    const evaluator = new Evaluator(context, 'random');
    const space = new PlanSpace(context.problem);
    const cutter = new Cutter(context.problem);
    if (space.meshes.length === 0) return evaluator.result(true);
    const memo = new PriceMemo(evaluator, context.problem.objective);
    // A small space runs out of new plans before the budget does.
    const mostDraws = MOST_DRAWS_PER_PRICE * context.budget.maxEvaluations;
    while (!evaluator.exhausted() && memo.asked < mostDraws)
      memo.price(randomPlan(space, cutter, context.random));
    return evaluator.result(false);
  },
};
