/** Random search: every decision uniformly among what is legal, in the order of the space; cuts by a random rule. */
import type { Random } from '../util/random.js';
import type { Candidate } from '../plan/types.js';
import type { CutRule } from './cutRules.js';
import { CUT_RULES, Cutter } from './cutRules.js';
import { Evaluator } from './evaluator.js';
import type { MeshDegrees } from './space.js';
import { PlanSpace } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

/** A plan of the space. The mesh is drawn degree by degree (pp, tp, cp, ep, etp), so that rare meshes are not rarer. */
export function randomPlan(space: PlanSpace, cutter: Cutter, random: Random): Candidate {
  const mesh = randomMesh(space.meshes, random);
  const { pp, tp, cp, ep, etp } = mesh;
  const microbatch = random.pick(space.microbatches(mesh));
  const { schedule, vpp } = random.pick(space.schedules(mesh, microbatch));
  const { zeroStage, dpShard } = random.pick(space.zeros(mesh));
  const recompute = random.pick(space.recomputes);
  const axisOrder = random.pick(space.axisOrders(mesh));
  const dpReplicate = mesh.dp / dpShard;
  const decisions = {
    ...{ dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp },
    ...{ zeroStage, schedule, microbatch, axisOrder, recompute },
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
    while (!evaluator.exhausted()) evaluator.evaluate(randomPlan(space, cutter, context.random));
    return evaluator.result(false);
  },
};
