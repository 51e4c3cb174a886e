/**
 * `ilp`: stages and recomputation by integer programming (HiGHS, compiled to WebAssembly) on small cases. The meshes are
 * those that a sweep with dynamic-programming cuts likes best and no bound rules out; for each of them, plain and most
 * deeply interleaved, the program of `ilpModel` is solved, priced, and the best plans polished. The program is exact for the pipeline's formula, the
 * formula is not the simulator: the result claims no optimality.
 */
import type { Highs } from 'highs';
import { sweepCells } from './cellSweep.js';
import { Cutter } from './cutRules.js';
import { tableBoundSec } from './bound.js';
import { Evaluator } from './evaluator.js';
import type { AssignmentProgram } from './ilpModel.js';
import { assignmentOf, assignmentProgram } from './ilpModel.js';
import { objectiveBoundOf } from './objective.js';
import { polish, polishCuts } from './polish.js';
import type { Decisions } from './space.js';
import { PlanSpace } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

/** Programs solved, for the best cells of the sweep first: at most, and one for so many evaluations of the budget. */
const MOST_PROGRAMS = 16;
const EVALUATIONS_PER_PROGRAM = 125;
/** Larger programs are left to other methods. */
const MOST_ARCS = 1500;
/** Branch and bound ends after this many nodes, or this close to its bound: the same answer on any machine. */
const MOST_NODES = 100;
/** Nodes of all programs together for each evaluation of the budget; one program takes at most a quarter of those left. */
const NODES_PER_EVALUATION = 0.2;
const RELATIVE_GAP = 1e-3;
/** Share of the budget for the sweep. */
const SWEEP_SHARE = 0.6;
const POLISHED_CELLS = 4;

export const ilpSolver: Solver = {
  name: 'ilp',
  async solve(context: SearchContext): Promise<SearchResult> {
    const evaluator = new Evaluator(context, 'ilp');
    const { problem } = context;
    const space = new PlanSpace(problem);
    const cutter = new Cutter(problem);
    const highs = await loadHighs();
    const swept = sweepCells(evaluator, space, cutter, SWEEP_SHARE);
    const programs = Math.min(
      MOST_PROGRAMS,
      Math.ceil(context.budget.maxEvaluations / EVALUATIONS_PER_PROGRAM),
    );
    let solved = 0;
    let nodesLeft = NODES_PER_EVALUATION * context.budget.maxEvaluations;
    for (const { cell, best } of swept) {
      if (cell.mesh.pp === 1 || solved >= programs) continue;
      const boundSec = tableBoundSec(problem, cell);
      if (objectiveBoundOf(problem.objective, boundSec) >= evaluator.bestValue) continue;
      const choices = space.schedules(cell.mesh, cell.microbatch);
      for (const choice of new Set([choices[0], choices[choices.length - 1]])) {
        if (evaluator.exhausted()) return evaluator.result(false);
        const d: Decisions = { ...best, ...choice };
        const program = assignmentProgram(problem, cutter.model, d, space.recomputes, MOST_ARCS);
        if (program === null) continue;
        solved++;
        const nodes = Math.max(1, Math.min(MOST_NODES, Math.floor(nodesLeft / 4)));
        nodesLeft -= nodes;
        const chosen = solveProgram(highs, program, nodes, evaluator.remaining().maxSec);
        if (chosen === null) continue;
        const { segmentCount } = problem.segmentation;
        const { stageStart, vector } = assignmentOf(program, d.pp * d.vpp, segmentCount, chosen);
        evaluator.evaluate({ ...d, recompute: space.recomputes[vector], stageStart });
      }
    }
    if (evaluator.best !== null && !evaluator.exhausted()) polishCuts(evaluator, evaluator.best);
    for (const { cell, best } of swept.slice(0, POLISHED_CELLS)) {
      if (evaluator.exhausted()) break;
      polish(evaluator, space, cutter, cell.mesh, best);
    }
    return evaluator.result(false);
  },
};

/** Loads the solver on first use: it takes a tenth of a second. */
export async function loadHighs(): Promise<Highs> {
  // Its declarations describe the CommonJS build; what is imported is the other one, whose default is the loader.
  const { default: load } = (await import('highs')) as unknown as { default: () => Promise<Highs> };
  return load();
}

/** Which arcs the optimum uses; null when branch and bound found no solution in its limits. */
function solveProgram(
  highs: Highs,
  program: AssignmentProgram,
  mostNodes: number,
  maxSec: number,
): ((arc: number) => boolean) | null {
  const solution = highs.solve(program.text, {
    output_flag: false,
    mip_max_nodes: mostNodes,
    mip_rel_gap: RELATIVE_GAP,
    random_seed: 1,
    ...(maxSec === Infinity ? {} : { time_limit: Math.max(0.01, maxSec) }),
  });
  const used = new Uint8Array(program.arcs.length);
  let count = 0;
  for (let a = 0; a < used.length; a++) {
    const column = solution.Columns[`x${a}`] as { Primal?: number } | undefined;
    if ((column?.Primal ?? 0) > 0.5) {
      used[a] = 1;
      count++;
    }
  }
  return count === 0 ? null : (a) => used[a] === 1;
}
