/** A price taken apart: rows of time, memory and energy per pipeline rank and in all. Parts add up to their totals. */
import type { StackProfile } from '../cost/stack.js';
import type { Candidate, MemoryBreakdown } from '../plan/types.js';
import { devicesPerStage } from '../plan/candidate.js';
import { createEstimate, createSimulator } from './estimate.js';
import { StageLoad } from './load.js';
import { EnergyMeter } from './power.js';
import type { Estimate, PlanProblem } from './types.js';

/** Seconds that one pipeline rank spends on each thing in a step; the parts add up to `totalSec`, the step. */
export interface RankTime {
  computeSec: number;
  recomputeSec: number;
  tensorParallelSec: number;
  contextParallelSec: number;
  expertParallelSec: number;
  dataParallelExposedSec: number;
  optimizerSec: number;
  overheadSec: number;
  /** Waiting: for messages, for other ranks, for the end of the step. */
  waitingSec: number;
  totalSec: number;
}

export interface RankExplanation {
  readonly rank: number;
  /** Index into the cluster's device groups. */
  readonly deviceGroup: number;
  readonly devices: number;
  readonly time: RankTime;
  readonly memory: MemoryBreakdown;
  readonly capacityBytes: number;
  /** Of all devices of the rank, at the devices. */
  readonly deviceJoule: number;
}

export interface Explanation {
  readonly estimate: Estimate;
  readonly ranks: readonly RankExplanation[];
  /** At the devices, of hosts and switches, and the site's surcharge (PUE); they add up to `estimate.energyJoulesPerStep`. */
  readonly energy: { readonly deviceJoule: number; readonly hostJoule: number; readonly siteJoule: number };
}

/** Explains a legal candidate. */
export function explain(problem: PlanProblem, c: Candidate): Explanation {
  const estimate = createSimulator(problem).estimate(c, createEstimate());
  const load = new StageLoad(problem);
  load.fill(c);
  const meter = new EnergyMeter(problem);
  const step = estimate.stepTimeSec;
  const ranks = Array.from({ length: load.pp }, (_, r): RankExplanation => ({
    rank: r,
    deviceGroup: load.layout.deviceGroup[r],
    devices: devicesPerStage(c),
    time: rankTime(load, c, r, step, problem.stack),
    memory: { ...estimate.memory[r] },
    capacityBytes: load.layout.capacityBytes[r],
    deviceJoule: devicesPerStage(c) * meter.rankJoule(load, c, r, step),
  }));
  const deviceJoule = ranks.reduce((sum, row) => sum + row.deviceJoule, 0);
  const hostJoule = meter.fixedWatt * step;
  return {
    estimate,
    ranks,
    energy: { deviceJoule, hostJoule, siteJoule: estimate.energyJoulesPerStep - deviceJoule - hostJoule },
  };
}

function rankTime(
  load: StageLoad,
  c: Candidate,
  r: number,
  stepTimeSec: number,
  stack: StackProfile,
): RankTime {
  const { stepOverheadSec, microbatchOverheadSec } = stack;
  const { pp, virtualStages, microbatches } = load;
  const table = load.tableOf[r];
  const time: RankTime = {
    computeSec: 0,
    recomputeSec: 0,
    tensorParallelSec: 0,
    contextParallelSec: 0,
    expertParallelSec: 0,
    dataParallelExposedSec: load.reduceExposedSec[r] + (load.rankIsTied(r) ? load.tiedSec : 0),
    optimizerSec: load.optimizerSec[r],
    overheadSec: stepOverheadSec + microbatches * load.vpp * microbatchOverheadSec,
    waitingSec: 0,
    totalSec: stepTimeSec,
  };
  for (let v = r; v < virtualStages; v += pp) {
    const from = c.stageStart[v];
    const to = c.stageStart[v + 1];
    time.computeSec += microbatches * (table.computeSec[to] - table.computeSec[from]);
    time.recomputeSec += microbatches * load.recomputeSec[v];
    time.tensorParallelSec += microbatches * (table.tpSec[to] - table.tpSec[from]);
    time.contextParallelSec += microbatches * (table.cpSec[to] - table.cpSec[from]);
    time.expertParallelSec += microbatches * (table.epSec[to] - table.epSec[from]);
    time.dataParallelExposedSec += microbatches * (load.shardForwardSec[v] + load.shardBackwardSec[v]);
  }
  const busy =
    time.computeSec +
    time.recomputeSec +
    time.tensorParallelSec +
    time.contextParallelSec +
    time.expertParallelSec +
    time.dataParallelExposedSec +
    time.optimizerSec +
    time.overheadSec;
  time.waitingSec = Math.max(0, stepTimeSec - busy);
  return time;
}
