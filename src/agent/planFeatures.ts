/**
 * What the agent sees of a plan in the making. All features are logarithms of sizes, ratios or flags, of order 1, and
 * none depends on a name or on the number of devices beyond its logarithm.
 */
import { denseShards } from '../parallel/degrees.js';
import type { Decisions, PlanSpace } from '../search/space.js';
import type { StageModel } from '../search/stageModel.js';
import { stateBytesOf } from '../simulate/state.js';
import type { PlanProblem } from '../simulate/types.js';

/** The decisions of an episode, in order. */
export const PLAN_DECISIONS = [
  'pp',
  'tp',
  'cp',
  'ep',
  'etp',
  'context-exchange',
  'microbatch',
  'schedule',
  'zero',
  'recompute',
  'recompute-rest',
  'axis-order',
  'cuts',
] as const;

/** The first of them fix the mesh. */
export const DEGREE_DECISIONS = PLAN_DECISIONS.indexOf('context-exchange');

export type PlanDecision = (typeof PLAN_DECISIONS)[number];

/** Categories an option of a categorical decision may be of (8 cut rules are the most). */
const CATEGORIES = 8;
const OPTION_NUMBERS = 12;
export const OPTION_FEATURES = CATEGORIES + OPTION_NUMBERS;

const PROBLEM_FEATURES = 14;
const STATE_FEATURES = 24;
export const CONTEXT_FEATURES = PLAN_DECISIONS.length + PROBLEM_FEATURES + STATE_FEATURES;

/** Decisions taken so far; those to come have neutral values, and `taken` says how many are real. */
export interface PartialPlan {
  readonly decisions: Decisions;
  /** Place in PLAN_DECISIONS of the decision now asked for. */
  readonly next: number;
}

/** Writes features of the context and of options; holds what never changes about the problem. */
export class PlanFeatures {
  private readonly problemFeatures: number[];
  private readonly hostDevices: number;
  private readonly capacityBytes: number;
  /** Work of a step at the peak rate of all devices, seconds. */
  private readonly idealSec: number;

  constructor(
    private readonly space: PlanSpace,
    private readonly model: StageModel,
  ) {
    const { problem } = space;
    this.hostDevices = Math.max(...problem.cluster.groups.map((g) => g.devicesPerHost));
    this.capacityBytes = Math.min(...problem.cluster.groups.map((g) => g.device.memoryBytes));
    const rate = peakFlopPerSec(problem);
    const flop = problem.forwardFlopPerSequence + problem.backwardFlopPerSequence;
    this.idealSec = Math.max(1e-12, (problem.globalBatch * flop) / (rate * problem.devices));
    this.problemFeatures = describeProblem(problem, this.hostDevices, this.capacityBytes);
  }

  context({ decisions: d, next }: PartialPlan): Float32Array {
    const out = new Float32Array(CONTEXT_FEATURES);
    out[next] = 1;
    let at = PLAN_DECISIONS.length;
    for (const x of this.problemFeatures) out[at++] = x;
    const decided = (name: PlanDecision): number => (PLAN_DECISIONS.indexOf(name) < next ? 1 : 0);
    const degrees = decided('etp');
    for (const x of [
      log(d.pp),
      log(d.tp),
      log(d.cp),
      log(d.ep),
      log(d.etp),
      degrees * log(d.dpReplicate * d.dpShard),
      log(d.microbatch),
      decided('microbatch') * log(this.microbatches(d)),
      log(d.vpp),
      d.contextExchange === 'all-to-all' ? 1 : 0,
      d.schedule === 'gpipe' ? 1 : 0,
      d.schedule === 'zb-h1' ? 1 : 0,
      decided('schedule') * this.bubble(d),
      d.zeroStage === 0 ? 0 : 1,
      d.zeroStage >= 2 ? 1 : 0,
      d.zeroStage === 3 ? 1 : 0,
      decided('zero') * log(d.dpShard),
      decided('recompute') * Math.min(1, d.recompute[this.classOfFamily(0)]),
      decided('recompute') * (d.recompute[this.classOfFamily(0)] === 2 ? 1 : 0),
      decided('recompute-rest') * Math.min(1, d.recompute[this.classOfFamily(1)]),
      decided('recompute-rest') * (d.recompute[this.classOfFamily(1)] === 2 ? 1 : 0),
      d.axisOrder === 'tp-cp-pp-dp' ? 1 : 0,
      degrees * clip(this.stateRatio(d)),
      decided('zero') * clip(this.loadRatio(d)),
    ])
      out[at++] = x;
    return out;
  }

  /**
   * @param category kind of the option within its decision, -1 where options are numbers
   * @param size the number chosen, 1 where there is none
   * @param after the decisions with this option taken
   * @param stageStart the cuts, where they are what is chosen
   */
  option(
    out: Float32Array,
    at: number,
    plan: PartialPlan,
    category: number,
    size: number,
    after: Decisions,
    stageStart: Int32Array | null,
  ): void {
    if (category >= 0) out[at + category] = 1;
    let k = at + CATEGORIES;
    const has = (name: PlanDecision): boolean => PLAN_DECISIONS.indexOf(name) <= plan.next;
    const modelParallel = after.tp * after.cp;
    out[k++] = log(size);
    out[k++] = log(this.space.problem.devices / (after.pp * modelParallel));
    out[k++] = Math.max(-1, Math.min(1, log(modelParallel / this.hostDevices)));
    out[k++] = modelParallel > this.hostDevices ? 1 : 0;
    out[k++] = has('microbatch') ? log(this.microbatches(after)) : 0;
    out[k++] = has('microbatch') ? this.bubble(after) : 0;
    out[k++] = clip(this.stateRatio(after));
    const tables = has('schedule');
    out[k++] = tables ? clip(this.loadRatio(after)) : 0;
    const [time, memory] = stageStart === null ? [0, 0] : this.imbalance(after, stageStart);
    out[k++] = time;
    out[k++] = memory;
    const stepSec = this.evenSec(after);
    out[k++] = clip(Math.log2(stepSec / this.idealSec));
    out[k] = clip(Math.log2(this.gradientSec(after) / stepSec));
  }

  /** Some class of a recompute family (the last class where the family is empty). */
  private classOfFamily(family: number): number {
    const k = this.space.familyOfClass.indexOf(family);
    return k < 0 ? this.space.familyOfClass.length - 1 : k;
  }

  private microbatches(d: Decisions): number {
    return this.space.problem.globalBatch / (d.dpReplicate * d.dpShard * d.microbatch);
  }

  private bubble(d: Decisions): number {
    // ZB-H1 leaves F + B - W idle where 1F1B leaves F + B + W: about a third.
    const share = d.schedule === 'zb-h1' ? 1 / 3 : 1;
    return Math.min(2, (share * (d.pp - 1)) / (this.microbatches(d) * d.vpp));
  }

  /** log2 of training state per device over its memory, if spread evenly: 0 means full. */
  private stateRatio(d: Decisions): number {
    const { problem } = this.space;
    const state = stateBytesOf(problem, d.zeroStage);
    const shards = denseShards(d);
    const bytes =
      state.param / (d.zeroStage >= 3 ? shards : 1) +
      state.grad / (d.zeroStage >= 2 ? shards : 1) +
      state.optimizer / (d.zeroStage >= 1 ? shards : 1);
    const dense = (problem.parameters - problem.expertParameters) / d.tp;
    const expert = problem.expertParameters / (d.ep * d.etp);
    return Math.log2(((dense + expert) * bytes) / (d.pp * this.capacityBytes));
  }

  /** log2 of all memory of the first pipeline rank over its capacity, were segments spread evenly. Builds a table. */
  private loadRatio(d: Decisions): number {
    const segments = this.space.problem.segmentation.segmentCount;
    this.model.take(d);
    return Math.log2(this.model.memoryBytes(0, 0, segments) / (d.pp * this.capacityBytes));
  }

  /** Seconds of a step, were stages even and gradients free; decisions to come as they stand in `d`. Builds a table. */
  private evenSec(d: Decisions): number {
    const { segmentation, devices, globalBatch } = this.space.problem;
    const n = segmentation.segmentCount;
    const table = this.model.table(d, 0);
    const microbatchSec =
      table.forwardSec[n] + table.backwardSec[n] + table.policy(d.recompute).recomputeSec[n];
    const microbatches = (globalBatch * d.pp * d.tp * d.cp) / (devices * d.microbatch);
    const share = d.schedule === 'zb-h1' ? 1 / 3 : 1;
    return Math.max(1e-12, (microbatchSec / d.pp) * (microbatches + (share * (d.pp - 1)) / d.vpp));
  }

  /** Seconds that the gradients of a rank take over the widest network. */
  private gradientSec(d: Decisions): number {
    const { problem } = this.space;
    const { levels } = problem.cluster;
    const dp = problem.devices / (d.pp * d.tp * d.cp);
    if (dp <= 1 || levels.length === 0) return 1e-12;
    const bytes = 2 * stateBytesOf(problem, d.zeroStage).grad * (problem.parameters / (d.pp * d.tp));
    const { bytesPerSecPerDevice, efficiency } = levels[levels.length - 1];
    return Math.max(1e-12, bytes / (bytesPerSecPerDevice * efficiency));
  }

  /** Slowest over mean stage, and fullest stage over capacity, both log2. */
  private imbalance(d: Decisions, stageStart: Int32Array): [number, number] {
    this.model.take(d);
    const stages = stageStart.length - 1;
    let slowest = 0;
    let sum = 0;
    let fullest = 0;
    for (let v = 0; v < stages; v++) {
      const time = this.model.timeSec(v % d.pp, stageStart[v], stageStart[v + 1]);
      const bytes = d.vpp * this.model.memoryBytes(v % d.pp, stageStart[v], stageStart[v + 1]);
      slowest = Math.max(slowest, time);
      fullest = Math.max(fullest, bytes);
      sum += time;
    }
    return [Math.min(4, Math.log2((slowest * stages) / sum)), clip(Math.log2(fullest / this.capacityBytes))];
  }
}

function describeProblem(problem: PlanProblem, hostDevices: number, capacityBytes: number): number[] {
  const { segmentation, devices, globalBatch, sequenceLength, experts, parameters } = problem;
  const { cluster, precision, phase, forwardFlopPerSequence } = problem;
  const rate = peakFlopPerSec(problem);
  const { levels } = cluster;
  const near = levels.length === 0 ? rate : levels[0].bytesPerSecPerDevice;
  const far = levels.length === 0 ? rate : levels[levels.length - 1].bytesPerSecPerDevice;
  const slowest = Math.min(...cluster.groups.map((g) => g.device.achievableFlopPerSec[precision]));
  return [
    log(devices),
    log(segmentation.segmentCount),
    log(globalBatch),
    log(sequenceLength),
    experts > 1 ? 1 : 0,
    Math.log2(hostDevices) / 4,
    clip(Math.log2((18 * parameters) / (devices * capacityBytes))),
    clip(Math.log2((18 * parameters) / capacityBytes)),
    // FLOP that a device does while a byte crosses its nearest and its widest network, against a rich fabric's.
    clip(Math.log2(rate / (near * RICH_FLOP_PER_BYTE))),
    clip(Math.log2(rate / (far * RICH_FLOP_PER_BYTE)) / 2),
    cluster.groups.length > 1 ? 1 : 0,
    clip(Math.log2(cluster.groups[0].device.achievableFlopPerSec[precision] / slowest)),
    phase === 'train' ? 1 : 0,
    // Work that every parameter does for a sequence, against two operations a token.
    clip(Math.log2((forwardFlopPerSequence + 1) / (2 * (parameters + 1) * sequenceLength))),
  ];
}

/** FLOP per byte of a device with a fast domain around it: 1 PFLOP/s at 450 GB/s. */
const RICH_FLOP_PER_BYTE = 2200;

/** Mean over devices of the rate a large matmul reaches. */
function peakFlopPerSec({ cluster, precision, devices }: PlanProblem): number {
  let sum = 0;
  for (const g of cluster.groups) sum += g.deviceCount * g.device.achievableFlopPerSec[precision];
  return sum / devices;
}

/** log2 in units of 4 doublings. */
function log(x: number): number {
  return Math.log2(x) / 4;
}

/** A log2 ratio kept within +-4. */
function clip(x: number): number {
  return Math.max(-4, Math.min(4, x)) / 2;
}
