/**
 * The ranks of a plan as far as its decisions fix them: tables, memory, state and what they pay once a step, for any run of segments.
 * `decidedBound` and `spreadBound` reckon with it.
 */
import { communicatorBytes, fragmentationBytes, gatherBufferBytes } from '../cost/memory.js';
import { denseShards } from '../parallel/degrees.js';
import { deferredChunks, inFlightChunks } from '../parallel/schedule.js';
import { expertShards, microbatchesOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { Layout } from '../simulate/layout.js';
import { Network, POINT_TO_POINT } from '../simulate/network.js';
import { stateBytesOf, updateBytesPerParameter } from '../simulate/state.js';
import type { StateBytes } from '../simulate/state.js';
import type { PolicyView, TableView } from '../simulate/table.js';
import { TiedParameters } from '../simulate/tied.js';
import type { PlanProblem } from '../simulate/types.js';
import type { Decisions } from './space.js';
import type { StageModel } from './stageModel.js';

export class DecidedRanks {
  readonly layout: Layout;
  readonly network: Network;
  readonly train: boolean;
  readonly segments: number;
  /** Uses of shared parameters by segment, and their elements: held once by a rank with several. */
  readonly shared: { readonly segments: readonly number[]; readonly elements: number }[];
  /** Segments whose class occurs again. */
  readonly layers: readonly number[];

  // of the decisions taken
  d!: Decisions;
  microbatches = 1;
  hostSec = 0;
  state!: StateBytes;
  zero = 0;
  denseShards = 1;
  expertShards = 1;
  /** Whether gathers, sums of gradients, transfers and buffers count; else only what every ZeRO stage pays. */
  whole = false;
  readonly tableOf: TableView[] = [];
  readonly policyOf: PolicyView[] = [];
  /** Least seconds of a message between neighbouring ranks. */
  transferSec = 0;
  /** Seconds of one microbatch on the segments before each, on the fastest group in use: all, forward, all but gradients of weights. */
  readonly before: Float64Array;
  readonly forwardBefore: Float64Array;
  readonly inputBefore: Float64Array;
  firstTailSec = 0;
  /** Per rank: microbatches held, and those of them that wait for the gradient of their weights alone; bytes left to the model. */
  inFlight = new Float64Array(16);
  deferred = new Float64Array(16);
  roomBytes = new Float64Array(16);

  constructor(
    readonly problem: PlanProblem,
    private readonly model: StageModel,
  ) {
    this.layout = new Layout(problem.cluster);
    this.network = new Network(problem.cluster, problem.stack);
    this.train = problem.phase === 'train';
    const { segmentCount, segmentClass, classSize } = problem.segmentation;
    this.segments = segmentCount;
    this.before = new Float64Array(segmentCount + 1);
    this.forwardBefore = new Float64Array(segmentCount + 1);
    this.inputBefore = new Float64Array(segmentCount + 1);
    this.layers = Array.from(segmentClass, (k, s) => (classSize[k] > 1 ? s : -1)).filter((s) => s >= 0);
    this.shared = sharedUses(problem);
  }

  /**
   * Takes decisions.
   *
   * @param whole false: whatever the ZeRO stage and its shards, of which `d` then says nothing
   */
  take(d: Decisions, whole: boolean): void {
    const { problem, layout, train, network } = this;
    const { cluster, stack } = problem;
    this.d = d;
    this.whole = whole;
    this.microbatches = microbatchesOf(d as Candidate, problem.globalBatch);
    this.hostSec = stack.microbatchOverheadSec;
    const sharded = whole ? d : { ...d, dpShard: d.dpShard * d.dpReplicate, dpReplicate: 1 };
    this.zero = !train ? 0 : whole ? d.zeroStage : 3;
    this.state = stateBytesOf(problem, this.zero);
    this.denseShards = this.zero === 0 ? 1 : denseShards(sharded);
    this.expertShards = this.zero === 0 ? 1 : expertShards(sharded as Candidate);
    layout.place(d as Candidate);
    const { pp } = d;
    if (pp > this.inFlight.length) {
      this.inFlight = new Float64Array(2 * pp);
      this.deferred = new Float64Array(2 * pp);
      this.roomBytes = new Float64Array(2 * pp);
    }
    const used: TableView[] = [];
    const buffers = communicatorBytes(this.communicators());
    for (let r = 0; r < pp; r++) {
      const group = layout.deviceGroup[r];
      const known = r > 0 && group === layout.deviceGroup[r - 1];
      this.tableOf[r] = known ? this.tableOf[r - 1] : this.model.table(d, group);
      this.policyOf[r] = known ? this.policyOf[r - 1] : this.tableOf[r].policy(d.recompute);
      if (!known && !used.includes(this.tableOf[r])) used.push(this.tableOf[r]);
      this.inFlight[r] = train && d.vpp === 1 ? inFlightChunks(d.schedule, r, pp, 1, this.microbatches) : 0;
      this.deferred[r] = train && d.vpp === 1 ? deferredChunks(d.schedule, r, this.microbatches) : 0;
      this.roomBytes[r] = layout.capacityBytes[r] - cluster.groups[group].device.reservedBytes - buffers;
    }
    this.sumBefore(used);
    this.transferSec = 0;
    if (whole && pp > 1) {
      let leastBytes = Infinity;
      for (const { costs } of used)
        for (let s = 1; s < this.segments; s++) leastBytes = Math.min(leastBytes, costs.cutBytes[s]);
      const span = { size: pp, stride: layout.pipelineStride };
      this.transferSec = network.timeSec(
        POINT_TO_POINT,
        leastBytes,
        span,
        layout.uniform ? layout.network[0] : -1,
      );
    }
    this.firstTailSec = train ? this.optimizerSec(0, 0, 1) + stack.stepOverheadSec : stack.stepOverheadSec;
  }

  /** Sums over the segments before each, every segment on the device group that is fastest for it. */
  private sumBefore(tables: readonly TableView[]): void {
    const { before, forwardBefore, inputBefore, train, segments } = this;
    before.fill(Infinity);
    forwardBefore.fill(Infinity);
    inputBefore.fill(Infinity);
    for (const table of tables) {
      const { forwardSec, backwardSec, weightSec } = table;
      const { recomputeSec } = table.policy(this.d.recompute);
      for (let s = 1; s <= segments; s++) {
        const forward = forwardSec[s] - forwardSec[s - 1];
        let backward = 0;
        if (train) backward = backwardSec[s] - backwardSec[s - 1] + recomputeSec[s] - recomputeSec[s - 1];
        const weight = train ? weightSec[s] - weightSec[s - 1] : 0;
        before[s] = Math.min(before[s], forward + backward);
        forwardBefore[s] = Math.min(forwardBefore[s], forward);
        inputBefore[s] = Math.min(inputBefore[s], forward + backward - weight);
      }
    }
    before[0] = forwardBefore[0] = inputBefore[0] = 0;
    for (let s = 1; s <= segments; s++) {
      before[s] += before[s - 1];
      forwardBefore[s] += forwardBefore[s - 1];
      inputBefore[s] += inputBefore[s - 1];
    }
  }

  /** Elements that rank r holds of [from, to) outside experts: shared ones once. */
  denseParameters(r: number, from: number, to: number): number {
    const { denseParameters } = this.tableOf[r];
    let dense = denseParameters[to] - denseParameters[from];
    for (const { segments, elements } of this.shared) {
      let uses = 0;
      for (const s of segments) if (s >= from && s < to) uses++;
      if (uses > 1) dense -= ((uses - 1) * elements) / this.d.tp;
    }
    return Math.max(0, dense);
  }

  /** The update of so many elements on rank r, seconds. */
  optimizerSec(r: number, dense: number, expert: number): number {
    const { problem, layout, state } = this;
    const { memoryBytesPerSec, memoryEfficiency } = problem.cluster.groups[layout.deviceGroup[r]].device;
    const owned = dense / this.denseShards + expert / this.expertShards;
    return (
      (problem.stack.optimizerPasses * owned * updateBytesPerParameter(state)) /
      (memoryBytesPerSec * memoryEfficiency)
    );
  }

  /** No less than rank r takes beside the runtime's: without its messages to neighbours. */
  memoryBytes(r: number, from: number, to: number, dense: number, expert: number): number {
    const { state, zero, train } = this;
    const table = this.tableOf[r];
    const policy = this.policyOf[r];
    let dynamic = policy.transientBytes.over(from, to);
    if (train) {
      const saved = policy.savedBytes[to] - policy.savedBytes[from];
      dynamic += saved * this.inFlight[r];
      if (this.deferred[r] > 0)
        dynamic += Math.max(saved, table.savedBytes[to] - table.savedBytes[from]) * this.deferred[r];
    }
    if (this.whole && zero >= 2)
      dynamic += gatherBufferBytes(table.segmentParameters.over(from, to), state, zero as 2 | 3);
    const cache = train ? 0 : (table.cacheBytes[to] - table.cacheBytes[from]) * this.microbatches;
    return this.stateBytes(dense, expert) + cache + dynamic + fragmentationBytes(dynamic, this.problem.stack);
  }

  /** Parameters, gradients and optimizer state of so many elements, bytes on a device. */
  stateBytes(dense: number, expert: number): number {
    const { state, zero } = this;
    const shard = dense / this.denseShards + expert / this.expertShards;
    const held = dense + expert;
    return (
      state.param * (zero >= 3 ? shard : held) +
      state.grad * (zero >= 2 ? shard : held) +
      state.optimizer * (zero >= 1 ? shard : held)
    );
  }

  /** At least; those of the data-parallel axes only where they are decided. */
  private communicators(): number {
    const { tp, cp, pp, dpShard, dpReplicate, ep, etp } = this.d;
    const data = this.whole ? [dpShard, dpReplicate] : [];
    return [tp, cp, pp, ep, etp, ...data].filter((degree) => degree > 1).length;
  }
}

/** Segments that use each shared parameter, and its elements. */
function sharedUses(problem: PlanProblem): { segments: number[]; elements: number }[] {
  const n = problem.segmentation.segmentCount;
  // As if every segment were a pipeline rank.
  const apart = { pp: n, vpp: 1, tp: 1, stageStart: Int32Array.from({ length: n + 1 }, (_, s) => s) };
  return new TiedParameters(problem.segmentation)
    .sums(apart as unknown as Candidate)
    .map(({ ranks, elements }) => ({ segments: ranks, elements }));
}
