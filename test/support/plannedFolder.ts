/** A folder as `partition` leaves it: plan.json and run.json, of decisions that the test states. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { planModel, planOf, writePlanFiles } from '../../src/api/plan.js';
import type { PlanRequest } from '../../src/api/plan.js';
import { createProblem } from '../../src/api/problem.js';
import { candidateOf } from '../../src/plan/candidateOf.js';
import { planInstead } from '../../src/search/instead.js';
import type { Changes } from '../../src/search/instead.js';

/** @returns path of the plan */
export async function writePlanned(
  folder: string,
  request: PlanRequest,
  decisions: Changes,
  command: string,
): Promise<string> {
  const budget = { maxSec: Infinity, maxEvaluations: 40 };
  const settled = { ...request, method: 'greedy', budget };
  const reply = await planModel(settled, { clock: () => 0 });
  const problem = createProblem(request.modelPath, request);
  const { graph, segmentation } = problem.model;
  const base = candidateOf(reply.plan, graph, segmentation, 'plan');
  const candidate = planInstead(problem.problem, base, decisions, 'decisions');
  const { objective, optimalInSpace, foundBy } = reply.plan;
  const plan = planOf(problem, candidate, request.modelPath, { objective, optimalInSpace, foundBy });
  mkdirSync(folder, { recursive: true });
  writePlanFiles({ ...reply, plan }, settled, folder, command);
  return join(folder, 'plan.json');
}
