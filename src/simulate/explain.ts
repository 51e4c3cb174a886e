/**
 * A price taken apart: where the step goes, what holds the bytes, what draws the joules, per pipeline rank and in all.
 * Parts add up to their totals. Worked out when asked for, never inside a search.
 */
import { deviceEnergyJoule } from '../cost/energy.js';
import { KERNEL_KINDS, TP_KINDS } from '../cost/types.js';
import { devicesPerStage } from '../plan/candidate.js';
import type { Candidate, MemoryBreakdown } from '../plan/types.js';
import { createEstimate, createSimulator, startDelaySec } from './estimate.js';
import { StageLoad } from './load.js';
import type { Activity } from './power.js';
import { EnergyMeter, rankActivity } from './power.js';
import { TIME_TERMS } from './terms.js';
import type { EnergySplit, TimeKey } from './terms.js';
import type { Estimate, PlanProblem } from './types.js';

/** Seconds of one term: what the step is longer by, and what other work hides. */
export interface TermSec {
  exposedSec: number;
  hiddenSec: number;
}

/** All terms; their exposed seconds add up to the step. */
export type TimeSplit = Record<TimeKey, TermSec>;

/** Joules of all devices of a pipeline rank. */
export type RankEnergy = Pick<EnergySplit, 'matrixJoule' | 'memoryJoule' | 'networkJoule' | 'idleJoule'>;

export interface RankExplanation {
  readonly rank: number;
  /** Index into the cluster's device groups. */
  readonly deviceGroup: number;
  readonly devices: number;
  readonly time: TimeSplit;
  readonly memory: MemoryBreakdown;
  readonly capacityBytes: number;
  readonly energy: RankEnergy;
}

export interface Explanation {
  readonly estimate: Estimate;
  /** The rank that ends last. */
  readonly criticalRank: number;
  readonly ranks: readonly RankExplanation[];
  /** Mean over the devices; adds up to the step too. */
  readonly mean: TimeSplit;
  readonly energy: EnergySplit;
}

/** Explains a legal candidate. */
export function explain(problem: PlanProblem, c: Candidate): Explanation {
  const estimate = createSimulator(problem).estimate(c, createEstimate());
  const load = new StageLoad(problem);
  load.fill(c);
  const devices = devicesPerStage(c);
  const ranks = Array.from({ length: load.pp }, (_, rank): RankExplanation => ({
    rank,
    deviceGroup: load.layout.deviceGroup[rank],
    devices,
    time: timeSplit(problem, load, c, rank, estimate),
    memory: { ...estimate.memory[rank] },
    capacityBytes: load.layout.capacityBytes[rank],
    energy: rankEnergy(problem, load, c, rank, estimate.stepTimeSec, devices),
  }));
  return {
    estimate,
    criticalRank: estimate.criticalRank,
    ranks,
    mean: meanOf(ranks),
    energy: energySplit(problem, ranks, estimate),
  };
}

function emptySplit(): TimeSplit {
  return Object.fromEntries(
    TIME_TERMS.map(({ key }) => [key, { exposedSec: 0, hiddenSec: 0 }]),
  ) as unknown as TimeSplit;
}

function timeSplit(
  problem: PlanProblem,
  load: StageLoad,
  c: Candidate,
  r: number,
  estimate: Estimate,
): TimeSplit {
  const time = emptySplit();
  kernels(problem, load, c, r, time);
  collectives(problem, load, c, r, time);
  shardTraffic(load, r, time);
  const { stepOverheadSec, microbatchOverheadSec } = problem.stack;
  time.optimizer.exposedSec = load.optimizerSec[r];
  time.hostOverhead.exposedSec = stepOverheadSec + load.microbatches * load.vpp * microbatchOverheadSec;
  if (load.rankIsTied(r)) time.tiedSum.exposedSec = load.tiedSec;
  const idle = Math.max(0, estimate.stepTimeSec - exposedSum(time));
  time.stageTransfer.exposedSec = Math.min(idle, estimate.breakdown.pipelineTransferSec);
  time.stageTransfer.hiddenSec = Math.max(0, sentSec(problem, load, r) - time.stageTransfer.exposedSec);
  time.bubble.exposedSec = idle - time.stageTransfer.exposedSec;
  return time;
}

/** Sum of the exposed seconds of all terms. */
export function exposedSum(time: TimeSplit): number {
  return TIME_TERMS.reduce((sum, { key }) => sum + time[key].exposedSec, 0);
}

function kernels(problem: PlanProblem, load: StageLoad, c: Candidate, r: number, time: TimeSplit): void {
  const { segmentClass } = problem.segmentation;
  const table = load.tableOf[r];
  for (let v = r; v < load.virtualStages; v += load.pp) {
    const from = c.stageStart[v];
    const to = c.stageStart[v + 1];
    let named = 0;
    KERNEL_KINDS.forEach((kind, i) => {
      const column = table.costs.kernelSec[i];
      let sec = 0;
      for (let s = from; s < to; s++) sec += column[segmentClass[s]];
      time[kind].exposedSec += load.microbatches * sec;
      named += sec;
    });
    // Rounding; or all of it, from a provider of costs that does not tell kernels apart.
    time.other.exposedSec += load.microbatches * (table.computeSec[to] - table.computeSec[from] - named);
    time.recompute.exposedSec += load.microbatches * load.recomputeSec[v];
  }
  time.other.exposedSec = Math.max(0, time.other.exposedSec);
}

/** Collectives inside layers. Of each axis the stack hides one share, whatever the collective. */
function collectives(problem: PlanProblem, load: StageLoad, c: Candidate, r: number, time: TimeSplit): void {
  const { segmentClass } = problem.segmentation;
  const { costs, tpSec, cpSec, epSec } = load.tableOf[r];
  const trains = problem.phase === 'train';
  const tpKinds = new Float64Array(TP_KINDS.length);
  const whole = { tp: 0, cp: 0, ep: 0 };
  const exposed = { tp: 0, cp: 0, ep: 0 };
  for (let v = r; v < load.virtualStages; v += load.pp) {
    const from = c.stageStart[v];
    const to = c.stageStart[v + 1];
    exposed.tp += tpSec[to] - tpSec[from];
    exposed.cp += cpSec[to] - cpSec[from];
    exposed.ep += epSec[to] - epSec[from];
    for (let s = from; s < to; s++) {
      const k = segmentClass[s];
      TP_KINDS.forEach((_, i) => (tpKinds[i] += costs.tpKindSec[i][k]));
      whole.tp += costs.tpForwardSec[k] + (trains ? costs.tpBackwardSec[k] : 0);
      whole.cp += costs.cpForwardSec[k] + (trains ? costs.cpBackwardSec[k] : 0);
      whole.ep += costs.epForwardSec[k] + (trains ? costs.epBackwardSec[k] : 0);
    }
  }
  const set = (key: TimeKey, sec: number, exposedShare: number): void => {
    time[key].exposedSec = load.microbatches * sec * exposedShare;
    time[key].hiddenSec = load.microbatches * sec * (1 - exposedShare);
  };
  const share = (axis: 'tp' | 'cp' | 'ep'): number => (whole[axis] > 0 ? exposed[axis] / whole[axis] : 0);
  const named = tpKinds.reduce((sum, sec) => sum + sec, 0);
  TP_KINDS.forEach((kind, i) =>
    set(TP_TERMS[kind], named > 0 ? (tpKinds[i] / named) * whole.tp : 0, share('tp')),
  );
  set('cpExchange', whole.cp, share('cp'));
  set('epAllToAll', whole.ep, share('ep'));
}

const TP_TERMS = {
  allReduce: 'tpAllReduce',
  allGather: 'tpAllGather',
  reduceScatter: 'tpReduceScatter',
  allToAll: 'tpAllToAll',
} as const;

/** Parameter gathers and gradient reductions: of every microbatch, and once a step. */
function shardTraffic(load: StageLoad, r: number, time: TimeSplit): void {
  let gather = 0;
  let gatherExposed = 0;
  let reduce = 0;
  let reduceExposed = 0;
  for (let v = r; v < load.virtualStages; v += load.pp) {
    const once = load.shardGatherSec[v];
    const sum = load.shardReduceSec[v];
    const behind = load.shardBackwardSec[v];
    // What sticks out of the backward pass belongs to both in proportion.
    const gatherShare = once + sum > 0 ? once / (once + sum) : 0;
    gather += 2 * once;
    gatherExposed += load.shardForwardSec[v] + behind * gatherShare;
    reduce += sum;
    reduceExposed += behind * (1 - gatherShare);
  }
  const m = load.microbatches;
  // A rank begins late by the slowest gather before it, whichever rank's.
  const delay = startDelaySec(load, r);
  time.parameterGather.exposedSec = m * gatherExposed + delay;
  time.parameterGather.hiddenSec =
    m * Math.max(0, gather - gatherExposed) + Math.max(0, load.gatherSec[r] - delay);
  time.gradientReduction.exposedSec = m * reduceExposed + load.reduceExposedSec[r];
  time.gradientReduction.hiddenSec = Math.max(
    0,
    m * (reduce - reduceExposed) + load.reduceSec[r] - load.reduceExposedSec[r],
  );
}

/** Seconds in which a rank's send stream is busy: activations to the next stage, gradients to the one before. */
function sentSec(problem: PlanProblem, load: StageLoad, r: number): number {
  const trains = problem.phase === 'train';
  let sec = 0;
  for (let v = r; v < load.virtualStages; v += load.pp)
    sec += (v + 1 < load.virtualStages ? load.transferSec[v + 1] : 0) + (trains ? load.transferSec[v] : 0);
  return load.microbatches * sec;
}

function meanOf(ranks: readonly RankExplanation[]): TimeSplit {
  const mean = emptySplit();
  for (const { key } of TIME_TERMS) {
    const sum = mean[key];
    for (const { time } of ranks) {
      sum.exposedSec += time[key].exposedSec / ranks.length;
      sum.hiddenSec += time[key].hiddenSec / ranks.length;
    }
  }
  return mean;
}

function rankEnergy(
  problem: PlanProblem,
  load: StageLoad,
  c: Candidate,
  r: number,
  stepTimeSec: number,
  devices: number,
): RankEnergy {
  const device = problem.cluster.groups[load.layout.deviceGroup[r]].device;
  const activity: Activity = { matrixSec: 0, memorySec: 0, networkSec: 0, idleSec: 0 };
  rankActivity(problem, load, c, r, stepTimeSec, activity);
  const only = (key: keyof Activity): number =>
    devices *
    deviceEnergyJoule(device, {
      matrixSec: 0,
      memorySec: 0,
      networkSec: 0,
      idleSec: 0,
      [key]: activity[key],
    });
  return {
    matrixJoule: only('matrixSec'),
    memoryJoule: only('memorySec'),
    networkJoule: only('networkSec'),
    idleJoule: only('idleSec'),
  };
}

function energySplit(
  problem: PlanProblem,
  ranks: readonly RankExplanation[],
  estimate: Estimate,
): EnergySplit {
  const sum = { matrixJoule: 0, memoryJoule: 0, networkJoule: 0, idleJoule: 0 };
  const byGroup = new Float64Array(problem.cluster.groups.length);
  for (const { energy, deviceGroup } of ranks)
    for (const key of Object.keys(sum) as (keyof RankEnergy)[]) {
      sum[key] += energy[key];
      byGroup[deviceGroup] += energy[key];
    }
  const totalJoule = estimate.energyJoulesPerStep;
  const rest = new EnergyMeter(problem).surroundings(byGroup, estimate.stepTimeSec);
  const site = totalJoule * (1 - 1 / problem.cluster.pue);
  return { ...sum, ...rest, siteJoule: site, totalJoule };
}
