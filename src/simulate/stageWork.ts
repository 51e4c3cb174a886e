/** What the tasks of one pipeline rank consist of: segments, their kernels, collectives and parameters. */
import type { ClassCollective } from '../cost/traffic.js';
import { denseShards } from '../parallel/degrees.js';
import { expertShards } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { StageLoad } from './load.js';
import { updateBytesPerParameter } from './state.js';
import { STREAM_COMPUTE, WORK_FORWARD, WORK_WEIGHT_GRADIENT } from './timeline.js';
import type { Timeline } from './timeline.js';
import type { PlanProblem } from './types.js';

/** Collectives per layer class, of one microbatch. */
export type Traffic = readonly (readonly ClassCollective[])[];

/** A task of the engine: its kernels' interval. */
export interface Task {
  readonly work: number;
  readonly stage: number;
  readonly microbatch: number;
  readonly timeSec: number;
}

/** A run of segments [first, last) that is told as one kernel. */
export interface Unit {
  readonly first: number;
  readonly last: number;
}

/** Programs above this many nodes tell whole stages instead of segments. */
const MOST_SEGMENT_NODES = 40_000;
/** Operations of Adam on one parameter, about. */
const ADAM_FLOP = 12;

/** Tasks of a rank in the order they ran, the optimizer last. */
export function tasksOf(t: Timeline, rank: number): Task[] {
  const order: number[] = [];
  for (let i = 0; i < t.count; i++) if (t.rank[i] === rank && t.stream[i] === STREAM_COMPUTE) order.push(i);
  order.sort((a, b) => t.startSec[a] - t.startSec[b]);
  return order.map((i) => ({
    work: t.work[i],
    stage: t.virtualStage[i],
    microbatch: t.microbatch[i],
    timeSec: t.endSec[i] - t.startSec[i],
  }));
}

export class StageWork {
  /** By virtual stage of the rank. */
  readonly units: ReadonlyMap<number, readonly Unit[]>;
  private readonly shareCache = new Map<string, readonly number[]>();
  /** Of the parameters that the rank's segments list, what it holds: one that several use is held once. */
  private readonly heldShare: number;

  /** @param load filled with the candidate */
  constructor(
    private readonly problem: PlanProblem,
    private readonly c: Candidate,
    private readonly load: StageLoad,
    private readonly traffic: Traffic,
    private readonly rank: number,
    taskCount: number,
  ) {
    let segments = 0;
    let listed = 0;
    const stages: number[] = [];
    for (let v = rank; v < load.virtualStages; v += load.pp) {
      stages.push(v);
      segments += c.stageStart[v + 1] - c.stageStart[v];
      listed += load.denseParameters[v];
    }
    this.heldShare = listed > 0 ? load.rankDenseParameters[rank] / listed : 1;
    const perSegment = traffic.reduce((most, collectives) => Math.max(most, 1 + collectives.length), 1);
    const whole = (taskCount / load.vpp) * segments * perSegment > MOST_SEGMENT_NODES;
    this.units = new Map(stages.map((v) => [v, cutUp(c.stageStart[v], c.stageStart[v + 1], whole)]));
  }

  /** Shares of a task's kernels that the units of its stage have; they add up to 1. */
  shares(v: number, work: number): readonly number[] {
    const key = `${v} ${work}`;
    let found = this.shareCache.get(key);
    if (found === undefined) {
      const weights = this.units.get(v)!.map((unit) => this.kernelSec(unit, work));
      const sum = weights.reduce((a, b) => a + b, 0);
      found = weights.map((w) => (sum > 0 ? w / sum : 1 / weights.length));
      this.shareCache.set(key, found);
    }
    return found;
  }

  private kernelSec({ first, last }: Unit, work: number): number {
    const { costs } = this.load.tableOf[this.rank];
    const parted = this.c.schedule === 'zb-h1';
    let sec = 0;
    for (let s = first; s < last; s++) {
      const k = this.problem.segmentation.segmentClass[s];
      if (work === WORK_FORWARD) sec += costs.forwardSec[k];
      else if (work === WORK_WEIGHT_GRADIENT) sec += costs.backwardWeightSec[k];
      else {
        sec += costs.backwardInputSec[k] + (parted ? 0 : costs.backwardWeightSec[k]);
        sec += costs.recomputeSec[this.c.recompute[k]][k];
      }
    }
    return sec;
  }

  /** FLOP and memory traffic of a unit; backward moves twice what forward moves, half of it for the weights. */
  amount({ first, last }: Unit, work: number): { flop: number; bytes: number } {
    const { costs } = this.load.tableOf[this.rank];
    const part = this.c.schedule === 'zb-h1' ? 0.5 : 1;
    const forwardShare = this.problem.phase === 'train' ? 1 / 3 : 1;
    let flop = 0;
    let bytes = 0;
    for (let s = first; s < last; s++) {
      const k = this.problem.segmentation.segmentClass[s];
      const moved = forwardShare * costs.memoryTrafficBytes[k];
      flop += work === WORK_FORWARD ? costs.forwardFlop[k] : part * costs.backwardFlop[k];
      bytes += work === WORK_FORWARD ? moved : 2 * part * moved;
    }
    return { flop, bytes };
  }

  /** The same of the optimizer, for the parameters that one device updates. */
  update(): { flop: number; bytes: number } {
    const { c, load, rank } = this;
    const dense = load.rankDenseParameters[rank];
    const expert = load.rankExpertParameters[rank];
    const owned = c.zeroStage === 0 ? dense + expert : dense / denseShards(c) + expert / expertShards(c);
    return { flop: ADAM_FLOP * owned, bytes: updateBytesPerParameter(load.state) * owned };
  }

  /** Parameters of a unit that one device holds. */
  parameters({ first, last }: Unit): { dense: number; expert: number } {
    const table = this.load.tableOf[this.rank];
    return {
      dense: this.heldShare * (table.denseParameters[last] - table.denseParameters[first]),
      expert: table.expertParameters[last] - table.expertParameters[first],
    };
  }

  /** Collectives of a unit in a task: of one segment each, of a run of segments those of a kind together. */
  collectives({ first, last }: Unit, work: number): ClassCollective[] {
    if (work === WORK_WEIGHT_GRADIENT) return [];
    const merged = new Map<string, ClassCollective>();
    for (let s = first; s < last; s++)
      this.traffic[this.problem.segmentation.segmentClass[s]].forEach((one, i) => {
        if (work === WORK_FORWARD ? !one.forward : !one.backward) return;
        const key = last - first === 1 ? String(i) : `${one.axis} ${one.kind}`;
        const sum = merged.get(key);
        merged.set(
          key,
          sum === undefined
            ? one
            : {
                ...sum,
                inputBytes: sum.inputBytes + one.inputBytes,
                timeSec: sum.timeSec + one.timeSec,
              },
        );
      });
    return [...merged.values()];
  }
}

function cutUp(from: number, to: number, whole: boolean): Unit[] {
  if (whole) return [{ first: from, last: to }];
  return Array.from({ length: to - from }, (_, i) => ({ first: from + i, last: from + i + 1 }));
}
