/**
 * What a candidate asks of every virtual stage and pipeline rank: seconds per microbatch, seconds per step, bytes; and
 * when the ranks of its pipeline end. Both fidelities start here: `estimate` adds these numbers up, `engine` plays them
 * out as events.
 *
 * Columns are indexed by virtual stage v (model order, on rank v % pp) or by pipeline rank r, and valid up to
 * pp * vpp or pp. They are overwritten by the next `fill`.
 */
import { denseShards } from '../parallel/degrees.js';
import { dataParallel, expertShards, microbatchesOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { gatherSec, reduceSec, scattersEveryMicrobatch, scatterSec } from './dataTraffic.js';
import { Layout } from './layout.js';
import { Network, POINT_TO_POINT } from './network.js';
import { PipelineTimer } from './pipeline.js';
import { stateBytesOf, updateBytesPerParameter } from './state.js';
import type { StateBytes } from './state.js';
import { TableCache } from './table.js';
import type { PolicyView, TableView } from './table.js';
import { TiedParameters } from './tied.js';
import type { PlanProblem } from './types.js';

export class StageLoad {
  readonly layout: Layout;
  /** When ranks and chunks end, without what follows the last backward pass. */
  readonly timer = new PipelineTimer();
  private readonly network: Network;
  private readonly tables: TableCache;
  private readonly tied: TiedParameters;

  pp = 1;
  vpp = 1;
  virtualStages = 1;
  microbatches = 1;
  state: StateBytes = { param: 2, grad: 4, optimizer: 12 };

  // per virtual stage, of one microbatch
  /** All of the forward and of the backward task: compute, exposed collectives, recomputation (in backward). */
  forwardSec = new Float64Array(32);
  backwardSec = new Float64Array(32);
  /** Part of the backward task that ZB-H1 puts off: gradients of weights and their reduction; 0 under other schedules. */
  weightSec = new Float64Array(32);
  /** Parts of both tasks, for the breakdown. The rest is compute. */
  recomputeSec = new Float64Array(32);
  /** Exposed ZeRO traffic of every microbatch: parameter gathers in forward, gathers and reductions in backward. */
  shardForwardSec = new Float64Array(32);
  shardBackwardSec = new Float64Array(32);
  /** What of the latter falls into the weight part of the task. */
  shardWeightSec = new Float64Array(32);
  /** All of one such gather and of one reduction, hidden or not. */
  shardGatherSec = new Float64Array(32);
  shardReduceSec = new Float64Array(32);
  /** From virtual stage v - 1 to v; [0] is 0. */
  transferSec = new Float64Array(32);
  savedBytes = new Float64Array(32);
  /** What a microbatch keeps between the two parts of a backward task under ZB-H1, recomputed or not; else 0. */
  deferredBytes = new Float64Array(32);
  denseParameters = new Float64Array(32);
  expertParameters = new Float64Array(32);

  // per pipeline rank, of one step
  /** Gradient reduction and parameter gather that come once a step: all of it, and what no compute hides. */
  reduceSec = new Float64Array(16);
  reduceExposedSec = new Float64Array(16);
  gatherSec = new Float64Array(16);
  gatherExposedSec = new Float64Array(16);
  optimizerSec = new Float64Array(16);
  rankDenseParameters = new Float64Array(16);
  rankExpertParameters = new Float64Array(16);
  /** Per rank: the table of its device group, and the table's view under the candidate's recompute vector. */
  readonly tableOf: TableView[] = [];
  readonly policyOf: PolicyView[] = [];

  /** All-reduce of tied parameters between the stages that hold them, after their last backward. */
  tiedSec = 0;
  /** Rank that ends last, after `stepSec`. */
  criticalRank = 0;

  /** @param isFew a handful of candidates: little is remembered between them */
  constructor(
    private readonly problem: PlanProblem,
    isFew = false,
  ) {
    const { cluster, costs, segmentation, phase, stack } = problem;
    this.layout = new Layout(cluster);
    this.network = isFew ? new Network(cluster, stack, 64) : new Network(cluster, stack);
    this.tables = isFew
      ? new TableCache(costs, segmentation, phase, stack, 64)
      : new TableCache(costs, segmentation, phase, stack);
    this.tied = new TiedParameters(problem.segmentation);
  }

  fill(c: Candidate): void {
    this.pp = c.pp;
    this.vpp = c.vpp;
    this.virtualStages = c.pp * c.vpp;
    this.microbatches = microbatchesOf(c, this.problem.globalBatch);
    this.state = stateBytesOf(this.problem, c.zeroStage);
    this.reserve();
    this.layout.place(c);
    this.pickTables(c);
    this.stages(c);
    if (this.problem.phase === 'train') this.ranks(c);
    else this.idleRanks();
    this.settle(c);
  }

  /**
   * What of the traffic shows and when ranks end, from the columns as they stand: tasks without exposed ZeRO traffic, and all
   * of the transfers, gathers and reductions. `fill` ends with it; who changes columns afterwards calls it again.
   */
  settle(c: Candidate): void {
    const { pp, vpp, microbatches, timer } = this;
    if (this.problem.phase !== 'train') {
      timer.infer(pp, microbatches, this);
      return;
    }
    if (c.zeroStage >= 2) this.exposeShards();
    const { gathersUnderForward } = this.problem.stack;
    for (let r = 0; r < pp; r++)
      this.gatherExposedSec[r] = Math.max(0, this.gatherSec[r] - gathersUnderForward * this.forwardSec[r]);
    timer.train(c.schedule, pp, vpp, microbatches, this);
    this.exposeReductions(c);
  }

  /** Seconds of the step, after `settle`: tails follow the pipeline; ranks that share a tied parameter meet before theirs. */
  stepSec(stepOverheadSec: number): number {
    const { pp, tiedSec, reduceExposedSec, optimizerSec } = this;
    const finish = this.timer.finishSec;
    let meet = 0;
    if (tiedSec > 0)
      for (let r = 0; r < pp; r++) if (this.rankIsTied(r) && finish[r] > meet) meet = finish[r]!;
    let step = -1;
    for (let r = 0; r < pp; r++) {
      const tail = reduceExposedSec[r] + optimizerSec[r] + stepOverheadSec;
      const end = (tiedSec > 0 && this.rankIsTied(r) ? meet + tiedSec : finish[r]) + tail;
      if (end > step) {
        step = end;
        this.criticalRank = r;
      }
    }
    return step;
  }

  /** True when tied parameters stand on pipeline rank r and on another one too. */
  rankIsTied(r: number): boolean {
    return this.tied.rankIsTied(r);
  }

  private pickTables(c: Candidate): void {
    const { deviceGroup, uniform } = this.layout;
    for (let r = 0; r < c.pp; r++) {
      if (r > 0 && (uniform || deviceGroup[r] === deviceGroup[r - 1])) {
        this.tableOf[r] = this.tableOf[r - 1]!;
        this.policyOf[r] = this.policyOf[r - 1]!;
        continue;
      }
      const table = this.tables.get(c, deviceGroup[r]);
      this.tableOf[r] = table;
      this.policyOf[r] = table.policy(c.recompute);
    }
  }

  private stages(c: Candidate): void {
    const { pp, virtualStages } = this;
    const start = c.stageStart;
    const train = this.problem.phase === 'train';
    const { layout, network } = this;
    // All neighbours of the pipeline send at once; the slowest pair sets the pace.
    pipelineSpan.size = pp;
    pipelineSpan.stride = layout.pipelineStride;
    for (let r = 0; r < pp; r++) {
      this.rankDenseParameters[r] = 0;
      this.rankExpertParameters[r] = 0;
    }
    this.transferSec[0] = 0;
    // Of a microbatch's host time forward and backward pay half each.
    const hostSec = this.problem.stack.microbatchOverheadSec / (train ? 2 : 1);
    const defers = c.schedule === 'zb-h1';
    let r = -1;
    for (let v = 0; v < virtualStages; v++) {
      r = r + 1 === pp ? 0 : r + 1;
      const table = this.tableOf[r];
      const policy = this.policyOf[r];
      const from = start[v];
      const to = start[v + 1];
      const forward = table.forwardSec[to] - table.forwardSec[from];
      const recompute = train ? policy.recomputeSec[to] - policy.recomputeSec[from] : 0;
      this.forwardSec[v] = forward + hostSec;
      this.recomputeSec[v] = recompute;
      this.backwardSec[v] = table.backwardSec[to] - table.backwardSec[from] + recompute + hostSec;
      this.savedBytes[v] = train ? policy.savedBytes[to] - policy.savedBytes[from] : 0;
      this.weightSec[v] = defers ? table.weightSec[to] - table.weightSec[from] : 0;
      this.deferredBytes[v] = defers
        ? Math.max(this.savedBytes[v], table.savedBytes[to] - table.savedBytes[from])
        : 0;
      const dense = table.denseParameters[to] - table.denseParameters[from];
      const expert = table.expertParameters[to] - table.expertParameters[from];
      this.denseParameters[v] = dense;
      this.expertParameters[v] = expert;
      this.rankDenseParameters[r] += dense;
      this.rankExpertParameters[r] += expert;
      this.shardForwardSec[v] = 0;
      this.shardBackwardSec[v] = 0;
      this.shardWeightSec[v] = 0;
      this.shardGatherSec[v] = 0;
      this.shardReduceSec[v] = 0;
      if (v > 0) {
        const route = layout.uniform ? layout.network[r] : -1;
        this.transferSec[v] = network.timeSec(
          POINT_TO_POINT,
          table.costs.cutBytes[from],
          pipelineSpan,
          route,
        );
      }
    }
    this.tied.place(c, this.rankDenseParameters);
    if (train && c.zeroStage >= 2) this.priceShards(c);
  }

  /**
   * ZeRO-3 gathers parameters before every forward and backward and reduces gradients after every backward; ZeRO-2
   * reduces gradients after every backward, because a rank keeps only its shard of the sum.
   */
  private priceShards(c: Candidate): void {
    const { network, layout, state } = this;
    const reduces = scattersEveryMicrobatch(c.zeroStage, this.microbatches);
    for (let v = 0; v < this.virtualStages; v++) {
      const route = layout.network[v % this.pp];
      const dense = this.denseParameters[v];
      const expert = this.expertParameters[v];
      this.shardGatherSec[v] =
        c.zeroStage === 3 ? gatherSec(network, layout, state, dense, expert, route) : 0;
      this.shardReduceSec[v] = reduces ? scatterSec(network, layout, state, dense, expert, route) : 0;
    }
  }

  /** Adds to the tasks what no compute hides of that traffic. */
  private exposeShards(): void {
    const { gradientsUnderBackward, gathersUnderForward } = this.problem.stack;
    for (let v = 0; v < this.virtualStages; v++) {
      const gather = this.shardGatherSec[v];
      const reduce = this.shardReduceSec[v];
      const forward = Math.max(0, gather - gathersUnderForward * this.forwardSec[v]);
      // ZB-H1 gathers under the gradient of inputs and reduces under that of weights, which other schedules run as one.
      const weight = this.weightSec[v];
      const behind = gradientsUnderBackward * (this.backwardSec[v] - weight);
      const late = weight > 0 ? Math.max(0, reduce - gradientsUnderBackward * weight) : 0;
      const backward = Math.max(0, gather + (weight > 0 ? 0 : reduce) - behind) + late;
      this.weightSec[v] += late;
      this.shardWeightSec[v] = late;
      this.shardForwardSec[v] = forward;
      this.shardBackwardSec[v] = backward;
      this.forwardSec[v] += forward;
      this.backwardSec[v] += backward;
    }
  }

  private ranks(c: Candidate): void {
    const { pp, layout, state } = this;
    const dp = dataParallel(c);
    const shardsExpert = expertShards(c);
    const scattered = scattersEveryMicrobatch(c.zeroStage, this.microbatches);
    for (let r = 0; r < pp; r++) {
      const dense = this.rankDenseParameters[r];
      const expert = this.rankExpertParameters[r];
      const route = layout.network[r];
      const table = this.tableOf[r];
      const same =
        r > 0 &&
        dense === this.rankDenseParameters[r - 1] &&
        expert === this.rankExpertParameters[r - 1] &&
        route === layout.network[r - 1] &&
        table === this.tableOf[r - 1];
      if (same) {
        this.reduceSec[r] = this.reduceSec[r - 1]!;
        this.gatherSec[r] = this.gatherSec[r - 1]!;
        this.optimizerSec[r] = this.optimizerSec[r - 1]!;
      } else {
        this.reduceSec[r] =
          dp * c.cp === 1 && layout.expertData.size === 1
            ? 0
            : reduceSec(this.network, layout, state, c.zeroStage, scattered, dense, expert, route);
        this.gatherSec[r] =
          c.zeroStage === 1 || c.zeroStage === 2
            ? gatherSec(this.network, layout, state, dense, expert, route)
            : 0;
        const device = this.problem.cluster.groups[layout.deviceGroup[r]].device;
        const owned = c.zeroStage === 0 ? dense + expert : dense / denseShards(c) + expert / shardsExpert;
        this.optimizerSec[r] =
          (this.problem.stack.optimizerPasses * owned * updateBytesPerParameter(state)) /
          (device.memoryBytesPerSec * device.memoryEfficiency);
      }
    }
    this.tiedSec = this.tied.reduceSec(c, state, this.network, layout);
  }

  /**
   * What of the reductions outlasts each rank's last task. A chunk's gradients are complete when its last backward pass
   * (gradient of weights, where that comes apart) ends; they are reduced under it as far as the stack can, one chunk
   * after the other.
   */
  private exposeReductions(c: Candidate): void {
    const { pp, virtualStages, backwardSec, weightSec } = this;
    const { finishSec, chunkEndSec } = this.timer;
    const share = this.problem.stack.gradientsUnderBackward;
    const defers = c.schedule === 'zb-h1';
    for (let r = 0; r < pp; r++) {
      const total = this.reduceSec[r];
      let free = -Infinity;
      for (let v = virtualStages - pp + r; v >= 0 && total > 0; v -= pp) {
        const sec = total * this.shareOfRank(v, r);
        if (sec <= 0) continue;
        const under = share * (defers ? weightSec[v] : backwardSec[v]);
        const start = chunkEndSec[v] - under;
        free = (start > free ? start : free) + sec;
      }
      this.reduceExposedSec[r] = free > finishSec[r] ? free - finishSec[r] : 0;
    }
  }

  /** Of rank r's parameters, those of virtual stage v. */
  shareOfRank(v: number, r: number): number {
    const held = this.rankDenseParameters[r] + this.rankExpertParameters[r];
    if (this.vpp === 1 || held === 0) return 1 / this.vpp;
    return (this.denseParameters[v] + this.expertParameters[v]) / held;
  }

  private idleRanks(): void {
    for (let r = 0; r < this.pp; r++) {
      this.reduceSec[r] = 0;
      this.gatherSec[r] = 0;
      this.reduceExposedSec[r] = 0;
      this.gatherExposedSec[r] = 0;
      this.optimizerSec[r] = 0;
    }
    this.tiedSec = 0;
  }

  private reserve(): void {
    if (this.virtualStages > this.forwardSec.length) {
      const size = 2 * this.virtualStages;
      this.forwardSec = new Float64Array(size);
      this.backwardSec = new Float64Array(size);
      this.weightSec = new Float64Array(size);
      this.recomputeSec = new Float64Array(size);
      this.shardForwardSec = new Float64Array(size);
      this.shardBackwardSec = new Float64Array(size);
      this.shardWeightSec = new Float64Array(size);
      this.shardGatherSec = new Float64Array(size);
      this.shardReduceSec = new Float64Array(size);
      this.transferSec = new Float64Array(size);
      this.savedBytes = new Float64Array(size);
      this.deferredBytes = new Float64Array(size);
      this.denseParameters = new Float64Array(size);
      this.expertParameters = new Float64Array(size);
    }
    if (this.pp > this.reduceSec.length) {
      const size = 2 * this.pp;
      this.reduceSec = new Float64Array(size);
      this.reduceExposedSec = new Float64Array(size);
      this.gatherSec = new Float64Array(size);
      this.gatherExposedSec = new Float64Array(size);
      this.optimizerSec = new Float64Array(size);
      this.rankDenseParameters = new Float64Array(size);
      this.rankExpertParameters = new Float64Array(size);
    }
  }
}

/** Reused by every transfer lookup. */
const pipelineSpan = { size: 2, stride: 1 };
