/**
 * The search that methods share which only know how to cut: every cell (mesh and microbatch) that its bound does not
 * rule out at a handful of plausible settings, likely ones first, then the best cells polished one decision at a time.
 * Every plan gets its cuts from the method.
 */
import type { Candidate } from '../plan/types.js';
import type { PlanProblem } from '../simulate/types.js';
import type { Cell } from './bound.js';
import { enumerateCells } from './bound.js';
import type { Balancer } from './cutRules.js';
import { Evaluator } from './evaluator.js';
import { objectiveBoundOf } from './objective.js';
import { plausible, polish } from './polish.js';
import { PlanSpace } from './space.js';
import type { SearchContext, SearchResult } from './types.js';

/** Share of the budget after which what is left goes to polishing. */
const SWEEP_SHARE = 0.6;
/** Cells polished after the sweep. */
const POLISHED_CELLS = 16;

/** A cell with the best plan found in it. */
export interface SweptCell {
  readonly cell: Cell;
  readonly best: Candidate;
  readonly value: number;
}

/** All plans that a method which cuts like this finds. */
export function sweepAndPolish(context: SearchContext, method: string, balancer: Balancer): SearchResult {
  const evaluator = new Evaluator(context, method);
  const space = new PlanSpace(context.problem);
  for (const { cell, best } of sweepCells(evaluator, space, balancer, SWEEP_SHARE).slice(0, POLISHED_CELLS)) {
    if (evaluator.exhausted()) break;
    polish(evaluator, space, balancer, cell.mesh, best);
  }
  return evaluator.result(false);
}

/**
 * Every cell with a plan that fits, best first.
 *
 * @param share of the budget at which the sweep ends
 */
export function sweepCells(
  evaluator: Evaluator,
  space: PlanSpace,
  balancer: Balancer,
  share = 1,
): SweptCell[] {
  const { problem } = space;
  const swept: SweptCell[] = [];
  for (const cell of byPromise(problem, enumerateCells(space))) {
    if (evaluator.progress() >= share) break;
    if (objectiveBoundOf(problem.objective, cell.peakBoundSec) >= evaluator.bestValue) continue;
    const { best, value } = plausible(evaluator, space, balancer, cell);
    if (best !== null) swept.push({ cell, best, value });
  }
  return swept.sort((a, b) => a.value - b.value);
}

/**
 * Cells that are likely good first: by their bound, with a charge for communication that the bound leaves out. Only the
 * order depends on these charges, never the result of a finished enumeration.
 */
export function byPromise(problem: PlanProblem, cells: readonly Cell[]): Cell[] {
  const host = Math.max(...problem.cluster.groups.map((g) => g.devicesPerHost));
  const charge = ({ mesh }: Cell): number =>
    1 +
    0.08 * Math.log2(mesh.tp) +
    0.15 * Math.log2(mesh.cp) +
    0.03 * Math.log2(mesh.ep) +
    (mesh.tp * mesh.cp > host ? 0.5 * Math.log2((mesh.tp * mesh.cp) / host) : 0);
  return cells
    .map((cell) => ({ cell, promise: cell.peakBoundSec * charge(cell) }))
    .sort((a, b) => a.promise - b.promise)
    .map(({ cell }) => cell);
}
