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
import { dataParallel } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { scattersEveryMicrobatch } from './dataTraffic.js';
import { Estimator } from './estimate.js';
import type { StageLoad } from './load.js';
import { KernelMixes, RANK_COLUMNS, STAGE_COLUMNS, columns, outermost, reach } from './robustColumns.js';
import { RobustDraws, between, boundShareOf, sortBy } from './robustDraws.js';
import type { RobustSpec, SlowReplicas } from './robustDraws.js';
import type { Estimate, PlanProblem, Simulator } from './types.js';

/** Step times of one plan over the draws, seconds. */
export interface RobustTimes {
  readonly nominalSec: number;
  /** The quantile asked for. */
  readonly stepTimeSec: number;
  /** Of every draw, in the order of the draws. */
  readonly draws: Float64Array;
}

/** Once so many draws had to be timed in full, all are. */
const MOST_TIMED = 16;
/** The sum is no guide where it misses the nominal step by this share: then all draws are timed in full. */
const MOST_MISSED = 0.15;
/** What a few ratios of full times to sums spread, times this, all of them are taken to. */
const SPREAD = 1.5;

export class RobustSimulator implements Simulator {
  /** What the objective is at least of a nominal bound; see `boundShareOf`. */
  readonly boundShare: number;
  readonly draws: RobustDraws;
  private readonly nominal: Estimator;
  private readonly load: StageLoad;
  private readonly mixes: KernelMixes;
  private readonly timesSec: Float64Array;
  private readonly sorted: Float64Array;
  private readonly roughTimeSec: Float64Array;
  /** Draws by rough time; much the same for all candidates. */
  private readonly order: Int32Array;
  private stages = columns(STAGE_COLUMNS, 32);
  private ranks = columns(RANK_COLUMNS, 16);
  /** Per rank, in the draw at hand: seconds of a microbatch that its slowest device stretches, and others. */
  private deviceSec = new Float64Array(16);
  private fixedSec = new Float64Array(16);
  private tiedSec = 0;
  /** Nominal seconds at the ends of the step and between stages, for the order of the draws. */
  private roughTransferSec = 0;
  private roughDataSec = 0;
  /** Network levels of the traffic of each axis, between stages, of data-parallel sums and of ZeRO's shards. */
  private tpLevel = 0;
  private cpLevel = 0;
  private epLevel = 0;
  private pipeLevel = 0;
  private dataLevel = 0;
  private shardLevel = 0;
  /** Replicas that may be the slowest (null: all ranks are one), and per draw which of them is taken for it. */
  private slow: SlowReplicas | null = null;
  private readonly slowRow: Int32Array;

  readonly problem: PlanProblem;

  /** @param isFew made for a handful of candidates: takes little memory */
  constructor(
    problem: PlanProblem,
    readonly spec: RobustSpec,
    isFew = false,
  ) {
    this.nominal = new Estimator(problem, isFew);
    this.load = this.nominal.load;
    this.mixes = new KernelMixes(problem.segmentation);
    this.draws = new RobustDraws(spec, problem.cluster.levels.length, problem.devices);
    this.boundShare = boundShareOf(this.draws, spec.share);
    this.problem = { ...problem, objective: { ...problem.objective, boundShare: this.boundShare } };
    this.timesSec = new Float64Array(spec.draws);
    this.sorted = new Float64Array(spec.draws);
    this.roughTimeSec = new Float64Array(spec.draws);
    this.order = Int32Array.from({ length: spec.draws }, (_, w) => w);
    this.slowRow = new Int32Array(spec.draws);
  }

  get evaluations(): number {
    return this.nominal.evaluations;
  }

  /** The estimate with the quantile as its step time; what follows from the step time follows, the rest stays nominal. */
  estimate(c: Candidate, out: Estimate): Estimate {
    this.nominal.estimate(c, out);
    if (out.stepTimeSec === 0) return out;
    const step = this.quantileSec(c, out);
    const ratio = out.stepTimeSec / step;
    out.stepTimeSec = step;
    out.tokensPerSec *= ratio;
    out.mfu *= ratio;
    out.hfu *= ratio;
    out.costPerStep /= ratio;
    out.planBoundSec = Math.min(step, out.planBoundSec * this.boundShare);
    return out;
  }

  /** Step times of a candidate over all draws, each timed in full. */
  times(c: Candidate, out: Estimate): RobustTimes {
    this.nominal.estimate(c, out);
    this.takeApart(c, out);
    for (let w = 0; w < this.timesSec.length; w++) this.roughSec(w);
    const stepTimeSec = this.timeAll(c);
    return { nominalSec: out.stepTimeSec, stepTimeSec, draws: this.timesSec.slice() };
  }

  /** Fills `timesSec`, after `roughSec` of every draw; the quantile asked for. */
  private timeAll(c: Candidate): number {
    const { timesSec, sorted } = this;
    for (let w = 0; w < timesSec.length; w++) timesSec[w] = this.timeDraw(c, w);
    sorted.set(timesSec);
    sorted.sort();
    return between(sorted, (sorted.length - 1) * (1 - this.spec.share));
  }

  /**
   * The quantile asked for. Draws are put in order by a sum (`roughSec`), and those next to the quantile timed in full, as
   * many as it takes: full times over sums vary little from draw to draw, so that a draw further off than they vary cannot
   * change sides. Where they vary much (transfers set the pace, say) all draws are timed.
   */
  private quantileSec(c: Candidate, estimate: Estimate): number {
    const { roughTimeSec, order } = this;
    const count = order.length;
    this.takeApart(c, estimate);
    for (let w = 0; w < count; w++) roughTimeSec[w] = this.roughSec(w);
    if (Math.abs(this.nominalRoughSec() / estimate.stepTimeSec - 1) > MOST_MISSED) return this.timeAll(c);
    sortBy(order, roughTimeSec);
    const at = (count - 1) * (1 - this.spec.share);
    // Timed are ranks [from, to) of the order by sums.
    let from = Math.floor(at);
    let to = from;
    let leastRatio = Infinity;
    let mostRatio = 0;
    for (let first = Math.max(0, from - 1), last = Math.min(count, Math.ceil(at) + 2); ;) {
      if (to - from === 0) from = to = first;
      for (let rank = from - 1; rank >= first; rank--) this.timeRank(c, rank);
      for (let rank = to; rank < last; rank++) this.timeRank(c, rank);
      from = first;
      to = last;
      if (to - from > MOST_TIMED) return this.timeAll(c);
      const { sorted, timesSec } = this;
      const timed = sorted.subarray(0, to - from);
      for (let rank = from; rank < to; rank++) {
        const sec = timesSec[order[rank]];
        const ratio = sec / roughTimeSec[order[rank]];
        timed[rank - from] = sec;
        if (ratio < leastRatio) leastRatio = ratio;
        if (ratio > mostRatio) mostRatio = ratio;
      }
      timed.sort();
      const slack = 1 + SPREAD * (mostRatio - leastRatio);
      const below = timed[Math.floor(at) - from];
      const above = timed[Math.min(timed.length - 1, Math.ceil(at) - from)];
      if (from > 0 && roughTimeSec[order[from - 1]] * mostRatio * slack > below) first = from - 1;
      if (to < count && roughTimeSec[order[to]] * leastRatio < above * slack) last = to + 1;
      if (first === from && last === to) return between(timed, at - from);
    }
  }

  private timeRank(c: Candidate, rank: number): void {
    const w = this.order[rank];
    this.timesSec[w] = this.timeDraw(c, w);
  }

  /** Nominal columns of the candidate that `nominal` was filled with. */
  private takeApart(c: Candidate, estimate: Estimate): void {
    const { load, problem } = this;
    const { pp, virtualStages, layout } = load;
    this.reserve(pp, virtualStages);
    const { stages: s, ranks } = this;
    for (let r = 0; r < pp; r++) {
      ranks.matrix[r] = ranks.memory[r] = ranks.host[r] = 0;
      ranks.tp[r] = ranks.cp[r] = ranks.ep[r] = ranks.shards[r] = 0;
      ranks.reduce[r] = load.reduceSec[r]!;
      ranks.gather[r] = load.gatherSec[r]!;
      ranks.optimizer[r] = load.optimizerSec[r]!;
    }
    const train = problem.phase === 'train';
    const hostSec = problem.stack.microbatchOverheadSec / (train ? 2 : 1);
    for (let v = 0, r = -1; v < virtualStages; v++) {
      r = r + 1 === pp ? 0 : r + 1;
      const table = load.tableOf[r];
      const from = c.stageStart[v];
      const to = c.stageStart[v + 1];
      const mix = this.mixes.of(table);
      const all = mix.allSec[to] - mix.allSec[from];
      const matrix = all > 0 ? (mix.matrixSec[to] - mix.matrixSec[from]) / all : 0;
      const host = all > 0 ? (mix.hostSec[to] - mix.hostSec[from]) / all : 0;
      s.matrixShare[v] = matrix;
      s.hostShare[v] = host;
      s.memoryShare[v] = 1 - matrix - host;
      const tp = table.tpSec[to] - table.tpSec[from];
      const cp = table.cpSec[to] - table.cpSec[from];
      const ep = table.epSec[to] - table.epSec[from];
      const each = tp + cp + ep > 0 ? 1 / (tp + cp + ep) : 0;
      s.tpShare[v] = tp * each;
      s.cpShare[v] = cp * each;
      s.epShare[v] = ep * each;
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
      const kernels = s.forward[v] + s.backward[v];
      const traffic = (inForward + s.backwardTraffic[v]) * each;
      ranks.matrix[r] += matrix * kernels;
      ranks.memory[r] += (1 - matrix - host) * kernels;
      ranks.host[r] += host * kernels + (train ? 2 : 1) * hostSec;
      ranks.tp[r] += tp * traffic;
      ranks.cp[r] += cp * traffic;
      ranks.ep[r] += ep * traffic;
      ranks.shards[r] += load.shardForwardSec[v] + load.shardBackwardSec[v];
    }
    this.tiedSec = load.tiedSec;
    const critical = load.criticalRank;
    this.roughTransferSec = estimate.breakdown.pipelineTransferSec;
    this.roughDataSec = load.reduceExposedSec[critical] + load.gatherExposedSec[0];
    const { levels } = problem.cluster;
    this.tpLevel = outermost(levels, c.tp);
    this.cpLevel = outermost(levels, c.tp * c.cp);
    this.epLevel = outermost(levels, c.etp * c.ep);
    this.pipeLevel = outermost(levels, (pp - 1) * layout.pipelineStride + 1);
    this.dataLevel = outermost(levels, reach(layout.data));
    this.shardLevel = outermost(levels, reach(layout.shard));
    this.slow = pp === 1 ? null : this.draws.slowReplicas(c, this.inStep(c));
  }

  /** About the seconds of the step in one draw; notes the replica that decides it. */
  private roughSec(w: number): number {
    const { load, draws, deviceSec, fixedSec, slow, ranks } = this;
    const { pp, vpp, microbatches } = load;
    const { stepOverheadSec } = this.problem.stack;
    const { link } = draws;
    const C = draws.compute[w];
    const M = draws.memory[w];
    const H = draws.host[w];
    const at = w * draws.levels;
    const tp = link[at + this.tpLevel];
    const cp = link[at + this.cpLevel];
    const ep = link[at + this.epLevel];
    const shards = link[at + this.shardLevel];
    for (let r = 0; r < pp; r++) {
      deviceSec[r] = C * ranks.matrix[r] + M * ranks.memory[r];
      fixedSec[r] =
        H * ranks.host[r] + tp * ranks.tp[r] + cp * ranks.cp[r] + ep * ranks.ep[r] + shards * ranks.shards[r];
    }
    const ends =
      link[at + this.pipeLevel] * this.roughTransferSec +
      link[at + this.dataLevel] * this.roughDataSec +
      draws.slowest[w] * M * ranks.optimizer[load.criticalRank] +
      H * stepOverheadSec;
    if (slow === null) return microbatches * (draws.slowest[w] * deviceSec[0] + fixedSec[0]) + ends;
    const { factor, rows } = slow;
    const once = 1 / vpp;
    const more = microbatches - once;
    let best = -1;
    for (let row = w * rows; row < (w + 1) * rows; row++) {
      let sum = 0;
      let widest = 0;
      for (let r = 0; r < pp; r++) {
        const sec = factor[row * pp + r] * deviceSec[r] + fixedSec[r];
        sum += sec;
        if (sec > widest) widest = sec;
      }
      const time = once * sum + more * widest;
      if (time > best) {
        best = time;
        this.slowRow[w] = row;
      }
    }
    return best + ends;
  }

  /** What `roughSec` comes to where all is as described. */
  private nominalRoughSec(): number {
    const { load, ranks } = this;
    const { pp, vpp, microbatches } = load;
    let sum = 0;
    let widest = 0;
    for (let r = 0; r < pp; r++) {
      const kernels = ranks.matrix[r] + ranks.memory[r] + ranks.host[r];
      const sec = kernels + ranks.tp[r] + ranks.cp[r] + ranks.ep[r] + ranks.shards[r];
      sum += sec;
      if (sec > widest) widest = sec;
    }
    const ends = this.roughTransferSec + this.roughDataSec + ranks.optimizer[load.criticalRank];
    const step = this.problem.stack.stepOverheadSec;
    return sum / vpp + (microbatches - 1 / vpp) * widest + ends + step;
  }

  /** Seconds of the step in one draw, after `roughSec`. */
  private timeDraw(c: Candidate, w: number): number {
    const { load, draws, problem, stages: s, slow } = this;
    const { pp, virtualStages } = load;
    const { link } = draws;
    const C = draws.compute[w];
    const M = draws.memory[w];
    const H = draws.host[w];
    const train = problem.phase === 'train';
    const hostSec = (H * problem.stack.microbatchOverheadSec) / (train ? 2 : 1);
    const at = w * draws.levels;
    const tp = link[at + this.tpLevel];
    const cp = link[at + this.cpLevel];
    const ep = link[at + this.epLevel];
    const pipe = link[at + this.pipeLevel];
    const data = link[at + this.dataLevel];
    const shard = link[at + this.shardLevel];
    const row = this.slowRow[w] * pp;
    for (let v = 0, r = -1; v < virtualStages; v++) {
      r = r + 1 === pp ? 0 : r + 1;
      const device = slow === null ? draws.slowest[w] : slow.factor[row + r];
      const kernels = device * (C * s.matrixShare[v] + M * s.memoryShare[v]) + H * s.hostShare[v];
      const traffic = tp * s.tpShare[v] + cp * s.cpShare[v] + ep * s.epShare[v];
      load.forwardSec[v] = kernels * s.forward[v] + traffic * s.forwardTraffic[v] + hostSec;
      load.backwardSec[v] = kernels * s.backward[v] + traffic * s.backwardTraffic[v] + hostSec;
      load.weightSec[v] = kernels * s.weight[v];
      load.transferSec[v] = pipe * s.transfer[v];
      load.shardGatherSec[v] = shard * s.gather[v];
      load.shardReduceSec[v] = shard * s.reduce[v];
    }
    for (let r = 0; r < pp; r++) {
      const device = slow === null ? draws.slowest[w] : slow.factor[row + r];
      load.reduceSec[r] = data * this.ranks.reduce[r];
      load.gatherSec[r] = shard * this.ranks.gather[r];
      load.optimizerSec[r] = device * M * this.ranks.optimizer[r];
    }
    load.tiedSec = pipe * this.tiedSec;
    load.settle(c);
    return load.stepSec(H * problem.stack.stepOverheadSec);
  }

  /** Neighbouring replicas that wait for each other in every microbatch. */
  private inStep(c: Candidate): number {
    const dp = dataParallel(c);
    let together = Math.ceil((c.ep * c.etp) / (c.tp * c.cp));
    const shards =
      this.problem.phase === 'train' && scattersEveryMicrobatch(c.zeroStage, this.load.microbatches);
    if (shards && c.dpShard > together) together = c.dpShard;
    return dp % together === 0 ? together : dp;
  }

  private reserve(pp: number, virtualStages: number): void {
    if (virtualStages > this.stages.forward.length) this.stages = columns(STAGE_COLUMNS, 2 * virtualStages);
    if (pp <= this.deviceSec.length) return;
    this.ranks = columns(RANK_COLUMNS, 2 * pp);
    this.deviceSec = new Float64Array(2 * pp);
    this.fixedSec = new Float64Array(2 * pp);
  }
}
