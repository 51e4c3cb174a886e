/**
 * Lower bounds on the step time. `lowerBoundSec` holds for EVERY plan of the stated space that fits: the least, over all decisions but
 * the cuts, of what no plan with them can beat, worked out only as far as it can be the least.
 *
 * 1. Of a mesh and microbatch from FLOP and the best matmul rate of the fastest device, which no shard exceeds.
 * 2. Of the same from the cost tables: with W the forward and backward pass of one microbatch on all stages (collectives inside
 *    layers as far as the stack exposes them, nothing recomputed), M microbatches and pp ranks, as derived in `simulate/bound`:
 *
 *     T >= W;   T >= M * (costliest segment);   T >= s W / (1 - (1 - s/M)^pp), or M W / pp where ranks may interleave
 *
 * 3. With everything decided but ZeRO, then with ZeRO too: memory, recomputation, unlike ranks, gradient traffic, the optimizer
 *    (`decidedBound`).
 */
import { CONTEXT_EXCHANGES, contextFault } from '../parallel/context.js';
import { deviceInJob, stackOn } from '../cost/stack.js';
import { shardKeyOf } from '../plan/candidate.js';
import { pipelineBoundSec } from '../simulate/bound.js';
import type { PlanProblem } from '../simulate/types.js';
import { contextExposed, tensorExposed } from '../simulate/table.js';
import { DecidedBound } from './decidedBound.js';
import type { Decisions, MeshDegrees } from './space.js';
import { PlanSpace } from './space.js';
import { StageModel } from './stageModel.js';

/** Room for the rounding of sums. */
const ROUNDING = 1 - 1e-6;

/** Tables a bound may build unless told otherwise (about a second of work). */
export const BOUND_TABLES = 2500;

/** A mesh and microbatch size with what no plan of them can beat. */
export interface Cell {
  readonly mesh: MeshDegrees;
  readonly microbatch: number;
  /** From FLOP and peak rates alone, seconds. */
  readonly peakBoundSec: number;
}

/** Every mesh with every microbatch size, in the order of the space. */
export function enumerateCells(space: PlanSpace): Cell[] {
  const { problem } = space;
  const rate = fastestFlopPerSec(problem);
  const train = problem.phase === 'train';
  const flop = problem.forwardFlopPerSequence + (train ? problem.backwardFlopPerSequence : 0);
  const cells: Cell[] = [];
  for (const mesh of space.meshes)
    for (const microbatch of space.microbatches(mesh)) {
      const workSec = (microbatch * flop) / (rate * mesh.tp * mesh.cp);
      cells.push({ mesh, microbatch, peakBoundSec: pipelineBound(problem, mesh, microbatch, workSec, 0, 0) });
    }
  return cells;
}

/**
 * Bound of a cell from its cost tables: on a mixed cluster, as if all ran on the group that is fastest for it, and under
 * the exchange of a sequence's parts and the sharding that are faster (which ones depends on the shapes and on what is hidden).
 */
export function tableBoundSec(
  problem: PlanProblem,
  { mesh, microbatch }: Omit<Cell, 'peakBoundSec'>,
): number {
  const { costs, cluster, stack, segmentation } = problem;
  const { classCount, classSize } = segmentation;
  const trains = problem.phase === 'train';
  let work = Infinity;
  let widest = Infinity;
  let share = 1;
  const shardings = costs.leannesses?.(mesh) ?? [0];
  for (const contextExchange of CONTEXT_EXCHANGES) {
    if (contextFault(contextExchange, mesh.tp, mesh.cp, problem.contextHeads) !== null) continue;
    for (let i = 0; i < shardings.length * cluster.groups.length; i++) {
      const leanness = shardings[i % shardings.length];
      const deviceGroup = Math.floor(i / shardings.length);
      const c = costs.costs(shardKeyOf({ ...mesh, microbatch, contextExchange, leanness }, deviceGroup));
      // As `TableView` has it; the table itself is not worth its making for a cell that is looked at once.
      const tp = tensorExposed(c, stack);
      const cp = contextExposed(c, stack);
      const ep = stack.epExposed;
      let all = 0;
      let costliest = 0;
      for (let k = 0; k < classCount; k++) {
        const forward =
          c.forwardSec[k] + tp * c.tpForwardSec[k] + cp * c.cpForwardSec[k] + ep * c.epForwardSec[k];
        const backward = trains
          ? c.backwardInputSec[k] +
            c.backwardWeightSec[k] +
            tp * c.tpBackwardSec[k] +
            cp * c.cpBackwardSec[k] +
            ep * c.epBackwardSec[k]
          : 0;
        const both = forward + backward;
        all += classSize[k] * both;
        if (classSize[k] > 0 && both > costliest) costliest = both;
        if (classSize[k] > 0 && both > 0) share = Math.min(share, forward / both);
      }
      work = Math.min(work, all);
      widest = Math.min(widest, costliest);
    }
  }
  return pipelineBound(problem, mesh, microbatch, work, widest, share);
}

/**
 * What no order of work on a pipeline can beat, seconds; see the head of the file.
 *
 * @param forwardShare least share of the forward pass in a segment's compute; 0 = not known
 */
export function pipelineBound(
  problem: PlanProblem,
  mesh: MeshDegrees,
  microbatch: number,
  workSec: number,
  widestSec: number,
  forwardShare: number,
): number {
  const { pp, dp } = mesh;
  const microbatches = problem.globalBatch / (dp * microbatch);
  const interleaves = microbatches % pp === 0 && problem.segmentation.segmentCount >= 2 * pp;
  const ordered = problem.phase === 'train' && !interleaves;
  const { stepOverheadSec, microbatchOverheadSec } = problem.stack;
  const share = ordered ? forwardShare : 0;
  if (problem.phase === 'train' && share === 0 && microbatches < pp) {
    // Gradients of weights are not on a microbatch's way (ZB-H1): it need not wait for all of W, only for forward.
    const { forwardFlopPerSequence: forward, backwardFlopPerSequence: backward } = problem;
    const average = ((workSec + pp * microbatchOverheadSec) * microbatches) / pp;
    const way = (workSec * forward) / (forward + backward);
    const widest = microbatches * (widestSec + microbatchOverheadSec);
    return ROUNDING * (Math.max(average, way, widest) + stepOverheadSec);
  }
  const bound = pipelineBoundSec(pp, microbatches, share, workSec, widestSec, microbatchOverheadSec);
  return ROUNDING * (bound + stepOverheadSec);
}

/**
 * Lower bound on the step time of every plan of the space that fits, seconds; Infinity when there is none.
 *
 * Branch and bound: cells by ascending bound, then their decisions, first without the ZeRO stage and then with it
 * (`DecidedBound`), as long as a bound is below the least that is fully decided. Where the space has more tables than `maxTables`
 * the least peak bound is all there is; where the decisions are too many, the least bound of what was left open.
 */
export function lowerBoundSec(problem: PlanProblem, maxTables = BOUND_TABLES): number {
  let known = KNOWN.get(problem);
  if (known === undefined) KNOWN.set(problem, (known = new Map<number, number>()));
  let bound = known.get(maxTables);
  if (bound === undefined) known.set(maxTables, (bound = findLowerBound(problem, maxTables)));
  return bound;
}

/** A problem is asked for its bound by its search, its plan and its reports. */
const KNOWN = new WeakMap<PlanProblem, Map<number, number>>();

function findLowerBound(problem: PlanProblem, maxTables: number): number {
  const space = new PlanSpace(problem);
  const cells = enumerateCells(space).sort((a, b) => a.peakBoundSec - b.peakBoundSec);
  if (cells.length === 0) return Infinity;
  const tables = new Set(cells.map(tableKey)).size * problem.cluster.groups.length;
  if (tables > maxTables) return cells[0].peakBoundSec;
  const model = new StageModel(problem);
  const open = cells.map((cell) => ({
    cell,
    boundSec: Math.max(cell.peakBoundSec, tableBoundSec(problem, cell)),
  }));
  // Least bound of what is decided, or was left open.
  let closedSec = Infinity;
  open.sort((a, b) => a.boundSec - b.boundSec);
  const search = new DecisionSearch(space, model);
  const sharded: Sharded[] = [];
  let pilots = 0;
  for (const { cell, boundSec } of open) {
    // What is left open counts with the bound of its cell, the least of all to come.
    if (boundSec >= closedSec) break;
    const first = sharded.length;
    if (!search.shardings(cell, boundSec, closedSec, sharded)) {
      closedSec = boundSec;
      break;
    }
    // What the first cells come to rules most others out.
    if (pilots >= PILOT_CELLS || sharded.length === first) continue;
    pilots++;
    closedSec = search.complete(leastOf(sharded, first), closedSec);
  }
  sharded.sort((a, b) => a.boundSec - b.boundSec);
  for (const sharding of sharded) {
    if (sharding.boundSec >= closedSec) break;
    closedSec = search.complete(sharding, closedSec);
  }
  return ROUNDING * closedSec;
}

/** What of a cell its table depends on. */
function tableKey({ mesh, microbatch }: Cell): string {
  return [mesh.tp, mesh.cp, mesh.ep, mesh.etp, microbatch].join();
}

/** Decisions whose bound is worked out before the rest is left open: about a second. */
const MOST_DECISIONS = 12_000;
/** Share of them for shardings, before schedules and ZeRO are looked at. */
const SHARDINGS_SHARE = 0.6;
/** Cells of which the likeliest sharding is completed at once. */
const PILOT_CELLS = 12;

/** Decisions with schedule and ZeRO open. */
interface Sharded {
  readonly mesh: MeshDegrees;
  readonly d: Decisions;
  readonly boundSec: number;
}

/** Of the shardings from index `first` on. */
function leastOf(sharded: readonly Sharded[], first: number): Sharded {
  let least = sharded[first];
  for (let i = first + 1; i < sharded.length; i++)
    if (sharded[i].boundSec < least.boundSec) least = sharded[i];
  return least;
}

class DecisionSearch {
  private count = 0;
  private readonly decided: DecidedBound;

  constructor(
    private readonly space: PlanSpace,
    model: StageModel,
  ) {
    this.decided = new DecidedBound(space.problem, model);
  }

  /**
   * Adds the shardings of a cell whose bound is below `leastSec`.
   *
   * @returns false when there have been too many
   */
  shardings({ mesh, microbatch }: Cell, cellSec: number, leastSec: number, into: Sharded[]): boolean {
    const { space, decided } = this;
    const { pp, tp, cp, ep, etp, dp } = mesh;
    for (const contextExchange of space.contextExchanges(mesh))
      for (const leanness of space.leannesses(mesh))
        for (const recompute of space.recomputes)
          for (const axisOrder of space.axisOrders(mesh)) {
            if (this.count++ >= SHARDINGS_SHARE * MOST_DECISIONS) return false;
            const d: Decisions = {
              ...{ dpReplicate: 1, dpShard: dp, tp, pp, vpp: 1, cp, ep, etp, zeroStage: 0, schedule: '1f1b' },
              ...{ microbatch, axisOrder, contextExchange, leanness, recompute },
            };
            const boundSec = Math.max(cellSec, decided.boundSec(d, 'sharding', leastSec));
            if (boundSec < leastSec) into.push({ mesh, d, boundSec });
          }
    return true;
  }

  /** The least bound of all that completes a sharding; `leastSec` when none is below, the sharding's own when there were too many. */
  complete({ mesh, d: sharding, boundSec }: Sharded, leastSec: number): number {
    const { space, decided } = this;
    let least = leastSec;
    const open: { d: Decisions; boundSec: number }[] = [];
    for (const choice of space.schedules(mesh, sharding.microbatch)) {
      if (this.count++ >= MOST_DECISIONS) return boundSec;
      const d = { ...sharding, ...choice };
      const scheduledSec = Math.max(boundSec, decided.boundSec(d, 'schedule', least));
      if (scheduledSec < least) open.push({ d, boundSec: scheduledSec });
    }
    open.sort((a, b) => a.boundSec - b.boundSec);
    for (const { d, boundSec: scheduledSec } of open)
      for (const { zeroStage, dpShard } of space.zeros(mesh)) {
        if (scheduledSec >= least) break;
        if (this.count++ >= MOST_DECISIONS) return boundSec;
        const full = { ...d, zeroStage, dpShard, dpReplicate: mesh.dp / dpShard };
        least = Math.min(least, Math.max(scheduledSec, decided.boundSec(full, 'all', least)));
      }
    return least;
  }
}

/** Best rate that any matmul sustains under the stack. */
function fastestFlopPerSec({ cluster, precision, stack }: PlanProblem): number {
  let rate = 0;
  for (const { device } of cluster.groups) {
    const inJob = deviceInJob(device, stackOn(stack, device));
    rate = Math.max(rate, inJob.achievableFlopPerSec[precision]);
  }
  return rate;
}
