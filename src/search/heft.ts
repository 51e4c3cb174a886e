/**
 * HEFT (Topcuoglu et al. 2002) on the level of layer blocks and pipeline ranks. In the steady state of a pipeline the
 * blocks of a step are independent tasks (each works on another microbatch), so a rank is available when it has done
 * what it was given so far. Blocks are placed in the order of their upward rank (the longest way to the end of the
 * chain, mean times), each on the rank on which it finishes earliest among those whose memory it still fits:
 *
 *     finish(block, rank) = available(rank) + time(block on rank's devices)
 *
 * Unlike devices get unlike shares. Stages are runs of consecutive blocks, so the placement is then decoded: rank after
 * rank takes blocks from the chain until it has the share of time that HEFT gave it.
 */
import type { PlanProblem } from '../simulate/types.js';
import { sweepAndPolish } from './cellSweep.js';
import type { Balancer } from './cutRules.js';
import { Cutter } from './cutRules.js';
import type { Decisions } from './space.js';
import type { StageModel } from './stageModel.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

export const heftSolver: Solver = {
  name: 'heft',
  solve(context: SearchContext): SearchResult {
    return sweepAndPolish(context, 'heft', new EarliestFinish(context.problem));
  },
};

class EarliestFinish implements Balancer {
  private readonly model: StageModel;

  constructor(private readonly problem: PlanProblem) {
    this.model = new Cutter(problem).model;
  }

  balanced(d: Decisions, spareBytes = 0): Int32Array {
    const { segmentCount } = this.problem.segmentation;
    const stages = d.pp * d.vpp;
    if (stages === 1) return Int32Array.of(0, segmentCount);
    this.model.take(d, spareBytes);
    return decode(this.place(d), segmentCount, stages, (v, s) => this.model.timeSec(v % d.pp, s, s + 1));
  }

  /** Share of the blocks' time, on its own devices, that each virtual stage is given; adds up block by block. */
  private place({ pp, vpp }: Decisions): Float64Array {
    const { model } = this;
    const { segmentCount } = this.problem.segmentation;
    const available = new Float64Array(pp);
    const bytes = new Float64Array(pp);
    const capacity = Float64Array.from({ length: pp }, (_, r) => vpp * model.capacityOf(r));
    // Along a chain upward ranks fall from the first block to the last.
    for (let s = 0; s < segmentCount; s++) {
      let chosen = -1;
      let earliest = Infinity;
      let emptiest = 0;
      for (let r = 0; r < pp; r++) {
        if (bytes[r] < bytes[emptiest]) emptiest = r;
        const finish = available[r] + model.timeSec(r, s, s + 1);
        if (finish >= earliest || bytes[r] + model.memoryBytes(r, s, s + 1) > capacity[r]) continue;
        earliest = finish;
        chosen = r;
      }
      if (chosen < 0) chosen = emptiest;
      available[chosen] += model.timeSec(chosen, s, s + 1);
      bytes[chosen] += model.memoryBytes(chosen, s, s + 1);
    }
    return Float64Array.from({ length: pp * vpp }, (_, v) => available[v % pp] / vpp);
  }
}

/** Stages that take blocks in turn until they have their share of time; none is left empty. */
function decode(
  shareSec: Float64Array,
  segments: number,
  stages: number,
  timeSec: (stage: number, segment: number) => number,
): Int32Array {
  const start = new Int32Array(stages + 1);
  let s = 0;
  // What the stages so far took beyond their shares.
  let over = 0;
  for (let v = 0; v < stages - 1; v++) {
    start[v] = s;
    const last = segments - (stages - 1 - v);
    let held = over;
    do held += timeSec(v, s++);
    while (s < last && held + timeSec(v, s) / 2 < shareSec[v]);
    over = held - shareSec[v];
  }
  start[stages - 1] = s;
  start[stages] = segments;
  return start;
}
