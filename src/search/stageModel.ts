/**
 * What a stage costs as a function of the segments it holds, for the cut solver: seconds of one microbatch, Infinity
 * where its memory overflows. The same tables, layout and state sizes as `simulate`, without what depends on the whole
 * plan (overlap of gradient traffic, transfers, tied parameters); the estimate that follows has the last word.
 */
import { fragmentationBytes, gatherBufferBytes } from '../cost/memory.js';
import { denseShards } from '../parallel/degrees.js';
import { deferredChunks, inFlightChunks } from '../parallel/schedule.js';
import { expertShards, microbatchesOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { Layout } from '../simulate/layout.js';
import { stateBytesOf } from '../simulate/state.js';
import { TableCache } from '../simulate/table.js';
import type { PolicyView, Sharding, TableView } from '../simulate/table.js';
import type { PlanProblem } from '../simulate/types.js';
import type { ChainCosts } from './cuts.js';
import type { Decisions } from './space.js';

export class StageModel implements ChainCosts {
  private readonly tables: TableCache;
  private readonly layout: Layout;
  private readonly train: boolean;
  private pp = 1;
  private readonly tableOf: TableView[] = [];
  private readonly policyOf: PolicyView[] = [];
  private inFlight = new Float64Array(16);
  /** Microbatches that wait for the gradient of their weights alone. */
  private deferred = new Float64Array(16);
  private capacityBytes = new Float64Array(16);
  private denseBytes = 0;
  private expertBytes = 0;
  /** Parameters that ZeRO-2 and ZeRO-3 hold unsharded for the segment that runs: bytes of each. */
  private gatheredBytes = 0;
  private boundMemory = true;

  constructor(private readonly problem: PlanProblem) {
    this.tables = new TableCache(problem.costs, problem.segmentation, problem.phase, problem.stack);
    this.layout = new Layout(problem.cluster);
    this.train = problem.phase === 'train';
  }

  table(d: Sharding, deviceGroup: number): TableView {
    return this.tables.get(d, deviceGroup);
  }

  /**
   * Takes the decisions that the stages share.
   *
   * @param spareBytes kept free on every device
   * @param boundMemory false: stages may overflow (to find the plan that comes closest to fitting)
   */
  take(d: Decisions, spareBytes = 0, boundMemory = true): void {
    const { problem, layout, train } = this;
    const { pp, vpp } = d;
    this.pp = pp;
    // The layout reads degrees and axis order only.
    layout.place(d as Candidate);
    if (pp > this.inFlight.length) {
      this.inFlight = new Float64Array(2 * pp);
      this.deferred = new Float64Array(2 * pp);
      this.capacityBytes = new Float64Array(2 * pp);
    }
    const microbatches = microbatchesOf(d as Candidate, problem.globalBatch);
    for (let r = 0; r < pp; r++) {
      const group = layout.deviceGroup[r];
      const known = r > 0 && layout.deviceGroup[r - 1] === group;
      this.tableOf[r] = known ? this.tableOf[r - 1] : this.table(d, group);
      this.policyOf[r] = known ? this.policyOf[r - 1] : this.tableOf[r].policy(d.recompute);
      // A rank's chunks share its memory: each may use its part, by the microbatches it holds in flight.
      this.inFlight[r] = train ? inFlightChunks(d.schedule, r, pp, vpp, microbatches) / vpp : 0;
      this.deferred[r] = train ? deferredChunks(d.schedule, r, microbatches) : 0;
      const { reservedBytes } = problem.cluster.groups[group].device;
      this.capacityBytes[r] = (layout.capacityBytes[r] - reservedBytes - spareBytes) / vpp;
    }
    const state = stateBytesOf(problem, d.zeroStage);
    const zero = train ? d.zeroStage : 0;
    const bytes = (shards: number): number =>
      state.param / (zero >= 3 ? shards : 1) +
      state.grad / (zero >= 2 ? shards : 1) +
      state.optimizer / (zero >= 1 ? shards : 1);
    this.denseBytes = bytes(denseShards(d));
    this.expertBytes = bytes(expertShards(d as Candidate));
    this.gatheredBytes = gatherBufferBytes(1, state, zero);
    this.boundMemory = boundMemory;
  }

  cost(stage: number, from: number, to: number): number {
    const r = stage % this.pp;
    if (this.boundMemory && this.memoryBytes(r, from, to) > this.capacityBytes[r]) return Infinity;
    return this.timeSec(r, from, to);
  }

  /** Bytes that one chunk of rank r may hold, without the runtime's. */
  capacityOf(r: number): number {
    return this.capacityBytes[r];
  }

  /** Forward and backward of one microbatch with recomputation and exposed collectives, seconds. */
  timeSec(r: number, from: number, to: number): number {
    const table = this.tableOf[r];
    const forward = table.forwardSec[to] - table.forwardSec[from];
    if (!this.train) return forward;
    const recompute = this.policyOf[r].recomputeSec;
    return forward + table.backwardSec[to] - table.backwardSec[from] + recompute[to] - recompute[from];
  }

  /** Bytes of rank r if it held [from, to), without the runtime's. */
  memoryBytes(r: number, from: number, to: number): number {
    const table = this.tableOf[r];
    const policy = this.policyOf[r];
    const dense = table.denseParameters[to] - table.denseParameters[from];
    const expert = table.expertParameters[to] - table.expertParameters[from];
    const activation =
      this.inFlight[r] * (policy.savedBytes[to] - policy.savedBytes[from]) +
      this.deferred[r] * (table.savedBytes[to] - table.savedBytes[from]);
    const transient =
      policy.transientBytes.over(from, to) + this.gatheredBytes * table.segmentParameters.over(from, to);
    const cache = table.cacheBytes[to] - table.cacheBytes[from];
    const dynamic = activation + transient;
    return (
      this.denseBytes * dense +
      this.expertBytes * expert +
      cache +
      dynamic +
      fragmentationBytes(dynamic, this.problem.stack)
    );
  }
}
