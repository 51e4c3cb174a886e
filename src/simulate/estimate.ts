/**
 * The fast fidelity: prices a candidate in microseconds, for search. Stage costs are differences of prefix sums, the
 * pipeline is a closed form or a recurrence (`pipeline`), collectives are remembered (`network`). Nothing is allocated
 * once every table and recompute vector in use has been seen.
 */
import type { Candidate, MemoryBreakdown } from '../plan/types.js';
import { planBound } from './bound.js';
import { EnergyMeter } from './power.js';
import { StageLoad } from './load.js';
import { emptyMemory, rankMemory } from './memory.js';
import type { Estimate, PlanProblem, Simulator } from './types.js';

/** @param isFew made for a handful of candidates: takes little memory */
export function createSimulator(problem: PlanProblem, isFew = false): Simulator {
  return new Estimator(problem, isFew);
}

/** A result to reuse between calls; its per-rank memory grows on demand. */
export function createEstimate(): Estimate {
  return {
    fits: false,
    stepTimeSec: Infinity,
    breakdown: {
      computeSec: 0,
      recomputeSec: 0,
      tensorParallelSec: 0,
      contextParallelSec: 0,
      expertParallelSec: 0,
      pipelineTransferSec: 0,
      bubbleSec: 0,
      dataParallelExposedSec: 0,
      optimizerSec: 0,
      overheadSec: 0,
    },
    criticalRank: 0,
    tokensPerSec: 0,
    mfu: 0,
    hfu: 0,
    peakMemoryBytes: 0,
    memoryCapacityBytes: 0,
    overflowBytes: 0,
    worstRank: 0,
    rankCount: 0,
    memory: [] as MemoryBreakdown[],
    energyJoulesPerStep: 0,
    costPerStep: 0,
    planBoundSec: 0,
  };
}

/** The estimate as a class, for simulators that go on from its `load`. */
export class Estimator implements Simulator {
  evaluations = 0;
  /** Filled with the last candidate. */
  readonly load: StageLoad;
  private readonly energy: EnergyMeter;
  private readonly peakFlopPerSec: number;

  constructor(
    readonly problem: PlanProblem,
    isFew: boolean,
  ) {
    this.load = new StageLoad(problem, isFew);
    this.energy = new EnergyMeter(problem);
    this.peakFlopPerSec = clusterPeak(problem);
  }

  estimate(c: Candidate, out: Estimate): Estimate {
    this.evaluations++;
    const { problem, load } = this;
    load.fill(c);
    this.time(c, out);
    this.memory(c, out);
    const step = out.stepTimeSec;
    const modelFlop =
      (problem.forwardFlopPerSequence + (problem.phase === 'train' ? problem.backwardFlopPerSequence : 0)) *
      problem.globalBatch;
    out.tokensPerSec = (problem.globalBatch * problem.sequenceLength) / step;
    out.mfu = modelFlop / (step * this.peakFlopPerSec);
    out.hfu = out.mfu * (1 + repeatedShare(load, problem));
    this.energy.fill(load, c, out);
    out.planBoundSec = Math.min(planBound(problem, load), step);
    return out;
  }

  private time(c: Candidate, out: Estimate): void {
    const { load } = this;
    const { vpp, microbatches } = load;
    const { stepOverheadSec, microbatchOverheadSec } = this.problem.stack;
    const step = load.stepSec(stepOverheadSec);
    const critical = load.criticalRank;
    out.stepTimeSec = step;
    out.criticalRank = critical;
    out.breakdown.overheadSec = stepOverheadSec + microbatches * vpp * microbatchOverheadSec;
    this.explainRank(c, critical, step, startDelaySec(load, critical), out);
  }

  /** Splits the step of one rank into parts that add up to it; what is not work is transfers, then bubble. */
  private explainRank(c: Candidate, r: number, step: number, delay: number, out: Estimate): void {
    const { load } = this;
    const { pp, virtualStages, microbatches } = load;
    const train = this.problem.phase === 'train';
    const table = load.tableOf[r];
    let compute = 0;
    let recompute = 0;
    let tp = 0;
    let cp = 0;
    let ep = 0;
    let shard = 0;
    for (let v = r; v < virtualStages; v += pp) {
      const from = c.stageStart[v];
      const to = c.stageStart[v + 1];
      compute += table.computeSec[to] - table.computeSec[from];
      tp += table.tpSec[to] - table.tpSec[from];
      cp += table.cpSec[to] - table.cpSec[from];
      ep += table.epSec[to] - table.epSec[from];
      recompute += load.recomputeSec[v];
      shard += load.shardForwardSec[v] + load.shardBackwardSec[v];
    }
    const b = out.breakdown;
    b.computeSec = microbatches * compute;
    b.recomputeSec = microbatches * recompute;
    b.tensorParallelSec = microbatches * tp;
    b.contextParallelSec = microbatches * cp;
    b.expertParallelSec = microbatches * ep;
    b.dataParallelExposedSec =
      microbatches * shard + load.reduceExposedSec[r] + delay + (load.rankIsTied(r) ? load.tiedSec : 0);
    b.optimizerSec = load.optimizerSec[r]!;
    const work =
      b.computeSec +
      b.recomputeSec +
      b.tensorParallelSec +
      b.contextParallelSec +
      b.expertParallelSec +
      b.dataParallelExposedSec +
      b.optimizerSec +
      b.overheadSec;
    let transfers = 0;
    for (let v = 1; v < virtualStages; v++) transfers += load.transferSec[v];
    // Under 1F1B at most pp microbatches are in flight: about once every pp of them a round trip is waited for.
    const trips =
      (c.schedule === '1f1b' || c.schedule === 'zb-h1') && train
        ? 1 + Math.floor((microbatches - 1) / pp)
        : 1;
    const idle = Math.max(0, step - work);
    b.pipelineTransferSec = Math.min(idle, (train ? 2 : 1) * trips * transfers);
    b.bubbleSec = idle - b.pipelineTransferSec;
  }

  private memory(c: Candidate, out: Estimate): void {
    const { load, problem } = this;
    const { pp } = load;
    const capacity = load.layout.capacityBytes;
    while (out.memory.length < pp) out.memory.push(emptyMemory());
    out.rankCount = pp;
    let worst = 0;
    let least = Infinity;
    for (let r = 0; r < pp; r++) {
      rankMemory(problem, load, c, r, out.memory[r]);
      const headroom = capacity[r] - out.memory[r].totalBytes;
      if (headroom < least) {
        least = headroom;
        worst = r;
      }
    }
    out.worstRank = worst;
    out.peakMemoryBytes = out.memory[worst].totalBytes;
    out.memoryCapacityBytes = capacity[worst]!;
    out.overflowBytes = Math.max(0, -least);
    out.fits = least >= 0;
  }
}

/** FLOP run twice, as a share of the model's. */
function repeatedShare(load: StageLoad, problem: PlanProblem): number {
  if (problem.phase !== 'train') return 0;
  const segments = problem.segmentation.segmentCount;
  const model = load.tableOf[0].flop[segments];
  return model === 0 ? 0 : load.policyOf[0].recomputeFlop[segments] / model;
}

/** Datasheet peak of all devices in use together at the problem's precision: the denominator of MFU. */
function clusterPeak(problem: PlanProblem): number {
  let peak = 0;
  let left = problem.devices;
  for (const group of problem.cluster.groups) {
    const used = Math.min(left, group.deviceCount);
    peak += used * (group.device.peakFlopPerSec[problem.precision] / group.speed);
    left -= used;
  }
  return peak;
}

/**
 * By how much gathering the parameters of the step before delays the first task of a rank: a rank waits for its own
 * gather or for its first message, whichever comes later, and every delay travels down the pipeline.
 */
export function startDelaySec(load: StageLoad, rank: number): number {
  const { gatherExposedSec, forwardSec, transferSec } = load;
  let delay = 0;
  let arrival = 0;
  for (let r = 0; r <= rank; r++) {
    if (r > 0) arrival += forwardSec[r - 1] + transferSec[r];
    if (gatherExposedSec[r] - arrival > delay) delay = gatherExposedSec[r] - arrival;
  }
  return delay;
}
