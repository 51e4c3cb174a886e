/**
 * Prices a candidate by a quantile of its step time over worlds (`robustDraws`), so that every method can minimise that
 * in place of the step time. The nominal stage times of the estimate are taken apart into what varies together, and put
 * together anew for every draw; tables are not derived again, nothing is allocated in the steady state.
 *
 * - A task's kernels take d (C c + M m) + H l of their time: c, m, l their shares on the matrix units, bound by memory and
 *   waiting for the host; C, M, H the draw's factors; d of the slowest of the devices that run it in step. These are
 *   the ranks of tp and cp, of ep where experts reach further, and all that ZeRO shards over where every microbatch has
 *   its traffic.
 * - Collectives and transfers take the factor of the outermost network level that they cross.
 * - Overlap is reckoned anew: what hid under a task hides less under a shorter one.
 * - Data-parallel replicas are pipelines of their own that meet at the end of the step; the slowest counts. Which it is,
 *   a sum says (each rank's microbatch once, the widest M - 1 times more); that replica alone is timed in full.
 */
import { KERNEL_KINDS } from '../cost/types.js';
import type { KernelKind } from '../cost/types.js';
import { dataParallel } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { scattersEveryMicrobatch } from './dataTraffic.js';
import { Estimator } from './estimate.js';
import type { Span } from './layout.js';
import type { StageLoad } from './load.js';
import { RobustDraws } from './robustDraws.js';
import type { RobustSpec } from './robustDraws.js';
import type { TableView } from './table.js';
import type { Estimate, PlanProblem, Simulator } from './types.js';

/** Step times of one plan over the draws, seconds. */
export interface RobustTimes {
  readonly nominalSec: number;
  /** The quantile asked for. */
  readonly stepTimeSec: number;
  /** Of every draw, in the order of the draws. */
  readonly draws: Float64Array;
}

const MATRIX_KINDS: readonly KernelKind[] = ['gemm', 'groupedGemm', 'attention', 'conv'];

/** Prefix sums over segments of kernel seconds on the matrix units, waiting for the host, and all. */
interface KernelMix {
  readonly matrixSec: Float64Array;
  readonly hostSec: Float64Array;
  readonly allSec: Float64Array;
}

/** Columns per virtual stage: seconds of one microbatch, and shares. */
const STAGE_COLUMNS = [
  'forward',
  'backward',
  'weight',
  'forwardTraffic',
  'backwardTraffic',
  'matrixShare',
  'memoryShare',
  'hostShare',
  'tpShare',
  'cpShare',
  'epShare',
  'transfer',
  'gather',
  'reduce',
] as const;
type StageColumns = Record<(typeof STAGE_COLUMNS)[number], Float64Array>;

const stageColumns = (size: number): StageColumns =>
  Object.fromEntries(STAGE_COLUMNS.map((name) => [name, new Float64Array(size)])) as StageColumns;

export class RobustSimulator implements Simulator {
  /** What the objective is at least of a nominal bound; see `boundShareOf`. */
  readonly boundShare: number;
  private readonly nominal: Estimator;
  private readonly load: StageLoad;
  private readonly draws: RobustDraws;
  private readonly mixes = new WeakMap<TableView, KernelMix>();
  private readonly timesSec: Float64Array;
  private readonly sorted: Float64Array;
  private stages = stageColumns(32);
  // per pipeline rank
  private reduceSec = new Float64Array(16);
  private gatherSec = new Float64Array(16);
  private optimizerSec = new Float64Array(16);
  /** Seconds of a microbatch in the draw at hand: times the slowest device's factor, and whatever the devices. */
  private deviceSec = new Float64Array(16);
  private fixedSec = new Float64Array(16);
  private tiedSec = 0;

  constructor(
    readonly problem: PlanProblem,
    readonly spec: RobustSpec,
    isFew = false,
  ) {
    this.nominal = new Estimator(problem, isFew);
    this.load = this.nominal.load;
    this.draws = new RobustDraws(spec, problem.cluster.levels.length, problem.devices);
    this.boundShare = boundShareOf(this.draws, spec.share);
    this.timesSec = new Float64Array(spec.draws);
    this.sorted = new Float64Array(spec.draws);
  }

  get evaluations(): number {
    return this.nominal.evaluations;
  }

  /** The estimate with the quantile as its step time; what follows from the step time follows, the rest stays nominal. */
  estimate(c: Candidate, out: Estimate): Estimate {
    this.nominal.estimate(c, out);
    const nominalSec = out.stepTimeSec;
    const step = this.timeDraws(c);
    if (nominalSec === 0) return out;
    const ratio = nominalSec / step;
    out.stepTimeSec = step;
    out.tokensPerSec *= ratio;
    out.mfu *= ratio;
    out.hfu *= ratio;
    out.costPerStep /= ratio;
    out.planBoundSec = Math.min(step, out.planBoundSec * this.boundShare);
    return out;
  }

  /** Step times of a candidate over all draws. */
  times(c: Candidate, out: Estimate): RobustTimes {
    this.nominal.estimate(c, out);
    const nominalSec = out.stepTimeSec;
    const stepTimeSec = this.timeDraws(c);
    return { nominalSec, stepTimeSec, draws: this.timesSec.slice() };
  }

  /** Fills `timesSec`; the quantile asked for. */
  private timeDraws(c: Candidate): number {
    this.takeApart(c);
    const { timesSec, sorted } = this;
    for (let w = 0; w < timesSec.length; w++) timesSec[w] = this.timeDraw(c, w);
    sorted.set(timesSec);
    sorted.sort();
    return quantileOf(sorted, 1 - this.spec.share);
  }

  /** Nominal columns of the candidate that `nominal` was filled with. */
  private takeApart(c: Candidate): void {
    const { load } = this;
    const { pp, virtualStages } = load;
    this.reserve(pp, virtualStages);
    const s = this.stages;
    const hostSec = this.problem.stack.microbatchOverheadSec / (this.problem.phase === 'train' ? 2 : 1);
    for (let v = 0, r = -1; v < virtualStages; v++) {
      r = r + 1 === pp ? 0 : r + 1;
      const table = load.tableOf[r];
      const from = c.stageStart[v];
      const to = c.stageStart[v + 1];
      const mix = this.mixOf(table);
      const all = mix.allSec[to] - mix.allSec[from];
      const matrix = mix.matrixSec[to] - mix.matrixSec[from];
      const host = mix.hostSec[to] - mix.hostSec[from];
      s.matrixShare[v] = all > 0 ? matrix / all : 0;
      s.hostShare[v] = all > 0 ? host / all : 0;
      s.memoryShare[v] = 1 - s.matrixShare[v] - s.hostShare[v];
      const tp = table.tpSec[to] - table.tpSec[from];
      const cp = table.cpSec[to] - table.cpSec[from];
      const ep = table.epSec[to] - table.epSec[from];
      const traffic = tp + cp + ep;
      s.tpShare[v] = traffic > 0 ? tp / traffic : 0;
      s.cpShare[v] = traffic > 0 ? cp / traffic : 0;
      s.epShare[v] = traffic > 0 ? ep / traffic : 0;
      const forward = load.forwardSec[v] - load.shardForwardSec[v] - hostSec;
      const inForward = table.collectiveForwardSec[to] - table.collectiveForwardSec[from];
      const inBackward = table.collectiveBackwardSec[to] - table.collectiveBackwardSec[from];
      // What is run again is made of what the forward pass is made of.
      const again = forward > 0 ? (load.recomputeSec[v] * inForward) / forward : 0;
      s.forward[v] = forward - inForward;
      s.forwardTraffic[v] = inForward;
      s.backwardTraffic[v] = inBackward + again;
      s.backward[v] = load.backwardSec[v] - load.shardBackwardSec[v] - hostSec - inBackward - again;
      s.weight[v] = load.weightSec[v] - load.shardWeightSec[v];
      s.transfer[v] = load.transferSec[v]!;
      s.gather[v] = load.shardGatherSec[v]!;
      s.reduce[v] = load.shardReduceSec[v]!;
    }
    for (let r = 0; r < pp; r++) {
      this.reduceSec[r] = load.reduceSec[r]!;
      this.gatherSec[r] = load.gatherSec[r]!;
      this.optimizerSec[r] = load.optimizerSec[r]!;
    }
    this.tiedSec = load.tiedSec;
  }

  /** Seconds of the step in one draw. */
  private timeDraw(c: Candidate, w: number): number {
    const { load, draws, problem, stages: s } = this;
    const { pp, virtualStages, layout } = load;
    const { stack, cluster } = problem;
    const C = draws.compute[w];
    const M = draws.memory[w];
    const H = draws.host[w];
    const { link, levels } = draws;
    const train = problem.phase === 'train';
    const hostSec = (H * stack.microbatchOverheadSec) / (train ? 2 : 1);
    const levelOf = cluster.levels;
    const at = w * levels;
    const tpLink = link[at + outermost(levelOf, c.tp)];
    const cpLink = link[at + outermost(levelOf, c.tp * c.cp)];
    const epLink = link[at + outermost(levelOf, c.etp * c.ep)];
    const pipeLink = link[at + outermost(levelOf, (pp - 1) * layout.pipelineStride + 1)];
    const dataLink = link[at + outermost(levelOf, reach(layout.data))];
    const shardLink = link[at + outermost(levelOf, reach(layout.shard))];

    const { deviceSec, fixedSec } = this;
    for (let r = 0; r < pp; r++) {
      deviceSec[r] = 0;
      fixedSec[r] = 0;
    }
    for (let v = 0, r = -1; v < virtualStages; v++) {
      r = r + 1 === pp ? 0 : r + 1;
      const onDevice = C * s.matrixShare[v] + M * s.memoryShare[v];
      const onHost = H * s.hostShare[v];
      const traffic = tpLink * s.tpShare[v] + cpLink * s.cpShare[v] + epLink * s.epShare[v];
      // Without the slowest device's factor; it comes when the replica is known.
      load.forwardSec[v] = onHost * s.forward[v] + traffic * s.forwardTraffic[v] + hostSec;
      load.backwardSec[v] = onHost * s.backward[v] + traffic * s.backwardTraffic[v] + (train ? hostSec : 0);
      load.weightSec[v] = onHost * s.weight[v];
      deviceSec[r] += onDevice * (s.forward[v] + s.backward[v]);
      fixedSec[r] += load.forwardSec[v] + load.backwardSec[v];
      load.transferSec[v] = pipeLink * s.transfer[v];
      load.shardGatherSec[v] = shardLink * s.gather[v];
      load.shardReduceSec[v] = shardLink * s.reduce[v];
    }

    const inStep = pp === 1 ? dataParallel(c) : this.inStep(c);
    const table = pp === 1 ? null : draws.slowestOf(c, inStep);
    const slowest = table === null ? 0 : this.slowestReplica(table, w, dataParallel(c) / inStep);
    for (let v = 0, r = -1; v < virtualStages; v++) {
      r = r + 1 === pp ? 0 : r + 1;
      const factor = table === null ? draws.slowest[w] : table[slowest + r];
      const onDevice = factor * (C * s.matrixShare[v] + M * s.memoryShare[v]);
      load.forwardSec[v] += onDevice * s.forward[v];
      load.backwardSec[v] += onDevice * s.backward[v];
      load.weightSec[v] += onDevice * s.weight[v];
    }
    for (let r = 0; r < pp; r++) {
      const factor = table === null ? draws.slowest[w] : table[slowest + r];
      load.reduceSec[r] = dataLink * this.reduceSec[r];
      load.gatherSec[r] = shardLink * this.gatherSec[r];
      load.optimizerSec[r] = factor * M * this.optimizerSec[r];
    }
    load.tiedSec = pipeLink * this.tiedSec;
    load.settle(c);
    return load.stepSec(H * stack.stepOverheadSec);
  }

  /** Neighbouring replicas that wait for each other in every microbatch. */
  private inStep(c: Candidate): number {
    const dp = dataParallel(c);
    const inner = c.tp * c.cp;
    let together = Math.ceil((c.ep * c.etp) / inner);
    const shards =
      this.problem.phase === 'train' && scattersEveryMicrobatch(c.zeroStage, this.load.microbatches);
    if (shards && c.dpShard > together) together = c.dpShard;
    return dp % together === 0 ? together : dp;
  }

  /** Where in the table the replica stands that is likely the slowest. */
  private slowestReplica(table: Float32Array, w: number, groups: number): number {
    const { deviceSec, fixedSec, load } = this;
    const { pp, vpp, microbatches } = load;
    const once = 1 / vpp;
    const more = microbatches - once;
    let best = -1;
    let found = w * groups * pp;
    for (let g = 0, at = found; g < groups; g++, at += pp) {
      let sum = 0;
      let widest = 0;
      for (let r = 0; r < pp; r++) {
        const sec = table[at + r] * deviceSec[r] + fixedSec[r];
        sum += sec;
        if (sec > widest) widest = sec;
      }
      const time = once * sum + more * widest;
      if (time > best) {
        best = time;
        found = at;
      }
    }
    return found;
  }

  private mixOf(table: TableView): KernelMix {
    let mix = this.mixes.get(table);
    if (mix === undefined) {
      const { segmentCount, segmentClass } = this.problem.segmentation;
      const prefix = (kinds: readonly KernelKind[]): Float64Array => {
        const columns = kinds.map((kind) => table.costs.kernelSec[KERNEL_KINDS.indexOf(kind)]);
        const sums = new Float64Array(segmentCount + 1);
        for (let i = 0; i < segmentCount; i++)
          sums[i + 1] = sums[i] + columns.reduce((sum, column) => sum + column[segmentClass[i]], 0);
        return sums;
      };
      mix = { matrixSec: prefix(MATRIX_KINDS), hostSec: prefix(['launch']), allSec: prefix(KERNEL_KINDS) };
      this.mixes.set(table, mix);
    }
    return mix;
  }

  private reserve(pp: number, virtualStages: number): void {
    if (virtualStages > this.stages.forward.length) this.stages = stageColumns(2 * virtualStages);
    if (pp <= this.reduceSec.length) return;
    const size = 2 * pp;
    this.reduceSec = new Float64Array(size);
    this.gatherSec = new Float64Array(size);
    this.optimizerSec = new Float64Array(size);
    this.deviceSec = new Float64Array(size);
    this.fixedSec = new Float64Array(size);
  }
}

/** Ranks from the first to the last of a group. */
function reach({ size, stride }: Span): number {
  return (size - 1) * stride + 1;
}

/** The network level that a group of so many neighbouring ranks crosses at the widest. */
function outermost(levels: readonly { readonly size: number }[], ranks: number): number {
  let l = 0;
  while (l + 1 < levels.length && levels[l].size < ranks) l++;
  return l;
}

/** The q-quantile of an ascending sample, interpolated between order statistics. */
function quantileOf(sorted: Float64Array, q: number): number {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/**
 * By how much a bound on the nominal step must be scaled to hold for the quantile. In draw w no time shrinks by more than the
 * least of its factors, m_w; a step is a sum of maxima of sums of times (what overlap hides included: a shorter task
 * hides less by no more than it is shorter), so that no plan's step falls below m_w times its nominal one; and a quantile of
 * numbers that are pairwise no smaller is no smaller.
 */
function boundShareOf(draws: RobustDraws, share: number): number {
  const least = new Float64Array(draws.count);
  for (let w = 0; w < draws.count; w++) {
    let m = Math.min(draws.host[w], draws.fastest[w] * Math.min(draws.compute[w], draws.memory[w]));
    for (let l = 0; l < draws.levels; l++) m = Math.min(m, draws.link[w * draws.levels + l]);
    least[w] = m;
  }
  return quantileOf(least.sort(), 1 - share);
}
