/**
 * `dp`: cuts by dynamic programming on the time of the whole pipeline, as Alpa's inter-operator pass (Zheng et al.
 * 2022) cuts. With t_v the seconds of one microbatch on stage v and M microbatches a step takes
 *
 *     T = sum of t_v + (M - 1) max t_v
 *
 * For a bound B on the slowest stage the least sum is a shortest path over cuts; B runs from the least that is possible
 * (the exact minimax cut) upwards. Where all ranks are alike the sum hardly depends on the cuts and the minimax cut is
 * the answer; on unlike devices a slower bottleneck may buy a shorter way through the pipeline. Memory limits every
 * stage. Recomputation is one policy per family of layers in a plan, so it is chosen outside, by the sweep.
 */
import { microbatchesOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { PlanProblem } from '../simulate/types.js';
import { sweepAndPolish } from './cellSweep.js';
import type { Balancer } from './cutRules.js';
import { Cutter } from './cutRules.js';
import type { ChainCosts } from './cuts.js';
import { minimaxCuts } from './cuts.js';
import type { Decisions } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

/** Bounds tried on the slowest stage, over the least that is possible. */
const STEPS = [1, 1.02, 1.05, 1.1, 1.2, 1.35];

export const dynamicSolver: Solver = {
  name: 'dp',
  solve(context: SearchContext): SearchResult {
    return sweepAndPolish(context, 'dp', new PipelineCutter(context.problem));
  },
};

/** Cuts by the formula above on unlike devices, by the exact balance elsewhere. */
export class PipelineCutter implements Balancer {
  private readonly cutter: Cutter;

  constructor(private readonly problem: PlanProblem) {
    this.cutter = new Cutter(problem);
  }

  balanced(d: Decisions, spareBytes = 0): Int32Array {
    const minimax = this.cutter.balanced(d, spareBytes);
    const { cluster, segmentation, globalBatch } = this.problem;
    // Chunks of one rank add up; the path below would take them for stages of their own.
    if (d.pp === 1 || d.vpp > 1 || cluster.groups.length === 1) return minimax;
    const { model } = this.cutter;
    model.take(d, spareBytes);
    const microbatches = microbatchesOf(d as Candidate, globalBatch);
    const found = pipelineCuts(segmentation.segmentCount, d.pp, microbatches, model);
    return found ?? minimax;
  }
}

/**
 * Cuts with the least sum of stages plus (microbatches - 1) times the slowest, over the bounds tried; null when every
 * way to cut has a stage that cannot be.
 */
export function pipelineCuts(
  segments: number,
  stages: number,
  microbatches: number,
  costs: ChainCosts,
): Int32Array | null {
  const minimax = minimaxCuts(segments, stages, costs);
  if (minimax === null) return null;
  let best: Int32Array | null = null;
  let bestSec = Infinity;
  for (const step of STEPS) {
    const cuts = shortestCuts(segments, stages, step * minimax.bottleneck, costs);
    if (cuts === null) continue;
    const value = pipelineSec(cuts, microbatches, costs);
    if (value < bestSec) {
      bestSec = value;
      best = cuts;
    }
  }
  return best;
}

/** T of the formula above; Infinity when some stage cannot be. */
export function pipelineSec(stageStart: Int32Array, microbatches: number, costs: ChainCosts): number {
  let sum = 0;
  let most = 0;
  for (let v = 0; v + 1 < stageStart.length; v++) {
    const cost = costs.cost(v, stageStart[v], stageStart[v + 1]);
    sum += cost;
    most = Math.max(most, cost);
  }
  return most === Infinity ? Infinity : sum + (microbatches - 1) * most;
}

/** Cuts of the least sum with no stage above `limit`; null when there are none. */
function shortestCuts(segments: number, stages: number, limit: number, costs: ChainCosts): Int32Array | null {
  const width = segments + 1;
  const parent = new Int32Array(stages * width);
  let previous = new Float64Array(width).fill(Infinity);
  let row = new Float64Array(width);
  previous[0] = 0;
  const most = limit * (1 + 1e-12);
  for (let k = 0; k < stages; k++) {
    row.fill(Infinity);
    for (let j = k + 1; j <= segments - (stages - 1 - k); j++)
      for (let i = j - 1; i >= k; i--) {
        const cost = costs.cost(k, i, j);
        if (cost > most) break;
        const sum = previous[i] + cost;
        if (sum < row[j]) {
          row[j] = sum;
          parent[k * width + j] = i;
        }
      }
    [previous, row] = [row, previous];
  }
  if (previous[segments] === Infinity) return null;
  const stageStart = new Int32Array(stages + 1);
  stageStart[stages] = segments;
  for (let k = stages - 1; k > 0; k--) stageStart[k] = parent[k * width + stageStart[k + 1]];
  return stageStart;
}
