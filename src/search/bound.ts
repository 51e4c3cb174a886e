/**
 * Lower bounds on the step time. `lowerBoundSec` holds for EVERY plan of the stated space: the least, over all meshes
 * and microbatch sizes, of what no plan with those degrees can beat.
 *
 * Per mesh and microbatch, with W the compute of one microbatch on all stages (no communication, nothing recomputed),
 * M microbatches and pp ranks, as derived in `simulate/bound`:
 *
 *     T >= W;   T >= M * (costliest segment);   T >= s W / (1 - (1 - s/M)^pp), or M W / pp where ranks may interleave
 *
 * W comes from the cost tables (the efficiency that this very shard reaches) where tables are built, else from the
 * model's FLOP at the best matmul rate of the fastest device, which no shard exceeds. All communication may hide.
 */
import { CONTEXT_EXCHANGES, contextFault } from '../parallel/context.js';
import { deviceInJob, stackOn } from '../cost/stack.js';
import { pipelineBoundSec } from '../simulate/bound.js';
import type { PlanProblem } from '../simulate/types.js';
import type { TableView } from '../simulate/table.js';
import type { MeshDegrees } from './space.js';
import { PlanSpace } from './space.js';
import { StageModel } from './stageModel.js';

/** Room for the rounding of sums. */
const ROUNDING = 1 - 1e-6;

/** Tables a bound may build unless told otherwise (about a second of work). */
export const BOUND_TABLES = 4096;

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
 * the exchange of a sequence's parts whose kernels are faster (which one that is depends on the shapes).
 */
export function tableBoundSec(problem: PlanProblem, model: StageModel, cell: Cell): number {
  const { mesh, microbatch } = cell;
  let work = Infinity;
  let widest = Infinity;
  let share = 1;
  for (const contextExchange of CONTEXT_EXCHANGES) {
    if (contextFault(contextExchange, mesh.tp, mesh.cp, problem.contextHeads) !== null) continue;
    for (let group = 0; group < problem.cluster.groups.length; group++) {
      const table: TableView = model.table({ ...mesh, microbatch, contextExchange }, group);
      work = Math.min(work, table.computeSec[table.computeSec.length - 1]);
      widest = Math.min(widest, table.widestSegmentSec);
      share = Math.min(share, table.forwardShare);
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
 * Lower bound on the step time of every plan of the space, seconds; Infinity when the space is empty.
 *
 * The least table bound of all cells. Cells are visited by ascending peak bound, so that the visit ends when no cell to
 * come can lower it. Where the space has more tables than `maxTables` the least peak bound is all there is.
 */
export function lowerBoundSec(problem: PlanProblem, maxTables = BOUND_TABLES): number {
  const cells = enumerateCells(new PlanSpace(problem)).sort((a, b) => a.peakBoundSec - b.peakBoundSec);
  if (cells.length === 0) return Infinity;
  if (countTables(cells) * problem.cluster.groups.length > maxTables) return cells[0].peakBoundSec;
  const model = new StageModel(problem);
  let bound = Infinity;
  for (const cell of cells) {
    if (cell.peakBoundSec >= bound) break;
    bound = Math.min(bound, Math.max(cell.peakBoundSec, tableBoundSec(problem, model, cell)));
  }
  return bound;
}

/** Different tables that the cells read, per device group. */
function countTables(cells: readonly Cell[]): number {
  const keys = new Set<string>();
  for (const { mesh, microbatch } of cells)
    keys.add([mesh.tp, mesh.cp, mesh.ep, mesh.etp, microbatch].join());
  return keys.size;
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
