/**
 * Enumeration of the whole mesh with pruning by bounds, cuts by dynamic programming. Anytime, in three sweeps:
 *
 * 1. every cell (mesh and microbatch) that its bound does not rule out, at a handful of plausible settings;
 * 2. the best cells polished, one decision at a time;
 * 3. what is left, every decision of every cell; with few enough cuts, every cut.
 *
 * The result is `exhaustive` only when sweep 3 came to its end and every plan was either priced or ruled out by a
 * bound: then the best is optimal in the stated space.
 */
import { fragmentationBytes, usableMemoryBytes } from '../cost/memory.js';
import { RECOMPUTE_KINDS } from '../cost/types.js';
import type { Candidate } from '../plan/types.js';
import { stateBytesOf } from '../simulate/state.js';
import type { PlanProblem } from '../simulate/types.js';
import type { Cell } from './bound.js';
import { enumerateCells, pipelineBound, tableBoundSec } from './bound.js';
import { Cutter } from './cutRules.js';
import { byPromise } from './cellSweep.js';
import { Evaluator } from './evaluator.js';
import { objectiveBoundOf } from './objective.js';
import { plausible, polish, polishCuts } from './polish.js';
import type { Decisions } from './space.js';
import { allCuts, PlanSpace } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

/** Cells polished in the second sweep. */
const POLISHED_CELLS = 12;
/** Decisions with at most this many cuts have every cut priced. */
const ENUMERATED_CUTS = 2000;

/** A cell that sweep 1 could not rule out. */
interface OpenCell {
  readonly cell: Cell;
  readonly boundSec: number;
  readonly best: Candidate | null;
  readonly value: number;
}

export const exhaustiveSolver: Solver = {
  name: 'exhaustive',
  solve(context: SearchContext): SearchResult {
    return new Enumeration(context).run();
  },
};

class Enumeration {
  private readonly problem: PlanProblem;
  private readonly evaluator: Evaluator;
  private readonly space: PlanSpace;
  private readonly cutter: Cutter;

  constructor(context: SearchContext) {
    this.problem = context.problem;
    this.evaluator = new Evaluator(context, 'exhaustive');
    this.space = new PlanSpace(context.problem);
    this.cutter = new Cutter(context.problem);
  }

  run(): SearchResult {
    const { evaluator } = this;
    const open = this.sweepCells();
    if (open === null) return evaluator.result(false);
    open.sort((a, b) => (a.value === b.value ? a.boundSec - b.boundSec : a.value - b.value));
    for (const { best, cell } of open.slice(0, POLISHED_CELLS))
      if (best !== null && !evaluator.exhausted())
        polish(evaluator, this.space, this.cutter, cell.mesh, best);
    if (evaluator.best !== null && !evaluator.exhausted()) polishCuts(evaluator, evaluator.best);
    return evaluator.result(this.sweepAll(open));
  }

  /** Sweep 1; null when the budget ended it. Promising cells come first, so that later ones are ruled out unpriced. */
  private sweepCells(): OpenCell[] | null {
    const { evaluator, problem } = this;
    const open: OpenCell[] = [];
    for (const cell of byPromise(problem, enumerateCells(this.space))) {
      if (this.isRuledOut(cell.peakBoundSec)) continue;
      if (evaluator.exhausted()) return null;
      const boundSec = Math.max(cell.peakBoundSec, tableBoundSec(problem, cell));
      if (this.isRuledOut(boundSec)) continue;
      if (this.cannotFit(cell) && evaluator.best !== null) continue;
      const { best, value } = plausible(evaluator, this.space, this.cutter, cell);
      open.push({ cell, boundSec, best, value });
    }
    return open;
  }

  /** Sweep 3; true when nothing was left out. */
  private sweepAll(open: readonly OpenCell[]): boolean {
    let complete = true;
    for (const { cell, boundSec } of open) {
      if (this.isRuledOut(boundSec) || this.cannotFit(cell)) continue;
      for (const decisions of this.space.decisions(cell.mesh, cell.microbatch)) {
        if (this.evaluator.exhausted()) return false;
        if (this.isRuledOut(this.decidedBoundSec(decisions, cell))) continue;
        if (!this.priceAllCuts(decisions)) complete = false;
      }
    }
    return complete;
  }

  /** Prices every cut where they are few, else the balanced one; true when all were priced. */
  private priceAllCuts(d: Decisions): boolean {
    const { evaluator } = this;
    const stages = d.pp * d.vpp;
    if (this.space.cutCount(stages) > ENUMERATED_CUTS) {
      evaluator.evaluate({ ...d, stageStart: this.cutter.balanced(d) });
      return false;
    }
    for (const stageStart of allCuts(this.problem.segmentation.segmentCount, stages)) {
      if (evaluator.exhausted()) return false;
      evaluator.evaluate({ ...d, stageStart });
    }
    return true;
  }

  private isRuledOut(boundSec: number): boolean {
    return objectiveBoundOf(this.problem.objective, boundSec) >= this.evaluator.bestValue;
  }

  /** The cell's bound with the recomputation that is now decided. */
  private decidedBoundSec(d: Decisions, { mesh, microbatch }: Cell): number {
    let work = Infinity;
    let share = 1;
    for (let group = 0; group < this.problem.cluster.groups.length; group++) {
      const table = this.cutter.model.table(d, group);
      const last = table.computeSec.length - 1;
      const policy = table.policy(d.recompute);
      work = Math.min(work, table.computeSec[last] + policy.recomputeSec[last]);
      share = Math.min(share, policy.forwardShare);
    }
    return pipelineBound(this.problem, mesh, microbatch, work, 0, share);
  }

  /**
   * True when the ranks together lack the memory, whatever is decided: state sharded as far as it goes, the leanest
   * recomputation, one microbatch in flight on each rank, nothing short-lived.
   */
  private cannotFit({ mesh, microbatch }: Cell): boolean {
    const { problem } = this;
    if (problem.phase === 'inference') return false;
    let leastCapacity = 0;
    let leastBytes = Infinity;
    for (let group = 0; group < problem.cluster.groups.length; group++) {
      const { device } = problem.cluster.groups[group];
      leastCapacity = Math.max(leastCapacity, usableMemoryBytes(device));
      for (const leanness of this.space.leannesses(mesh))
        leastBytes = Math.min(leastBytes, this.leastBytes({ mesh, microbatch }, leanness, group) / mesh.pp);
    }
    return leastBytes > leastCapacity;
  }

  /** Of all ranks of a replica together, at least, in one sharding of the mesh. */
  private leastBytes(
    { mesh, microbatch }: Omit<Cell, 'peakBoundSec'>,
    leanness: number,
    group: number,
  ): number {
    const { problem, cutter } = this;
    const table = cutter.model.table({ ...mesh, microbatch, contextExchange: 'ring', leanness }, group);
    const { costs } = table;
    const last = table.computeSec.length - 1;
    let saved = 0;
    const { segmentClass } = problem.segmentation;
    for (const k of segmentClass) {
      let least = Infinity;
      for (let policy = 0; policy < RECOMPUTE_KINDS; policy++)
        least = Math.min(least, costs.savedBytes[policy][k]);
      saved += least;
    }
    const state = stateBytesOf(problem, 3);
    const perParameter = state.param + state.grad + state.optimizer;
    const { tp, cp, dp, ep, etp } = mesh;
    const expertCopies = (dp * cp * tp) / (ep * etp);
    return (
      perParameter * (table.denseParameters[last] / (dp * cp) + table.expertParameters[last] / expertCopies) +
      saved +
      fragmentationBytes(saved, problem.stack)
    );
  }
}
