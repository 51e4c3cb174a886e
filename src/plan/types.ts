/** The answer: the decisions (`Candidate`), and the plan file built from them (`Plan`). */
import type { Condition } from '../cluster/condition.js';
import type { Phase, Precision } from '../cost/types.js';
import type { ContextExchange } from '../parallel/context.js';
import type { ScheduleKind } from '../parallel/schedule.js';

export type { ContextExchange, ScheduleKind };

/** Order of the mesh axes on the topology, innermost (neighbouring devices) first. */
export type AxisOrder = 'tp-cp-dp-pp' | 'tp-cp-pp-dp';

/**
 * A point of the plan space: every decision, nothing derived. devices = dpReplicate * dpShard * cp * tp * pp;
 * expert parallelism re-uses the dpReplicate * dpShard * cp * tp ranks of a stage.
 */
export interface Candidate {
  readonly dpReplicate: number;
  /** Ranks over which ZeRO shards; dp = dpReplicate * dpShard. */
  readonly dpShard: number;
  readonly tp: number;
  readonly pp: number;
  /** Virtual stages per device; 1 = not interleaved. */
  readonly vpp: number;
  readonly cp: number;
  readonly ep: number;
  readonly etp: number;
  readonly zeroStage: 0 | 1 | 2 | 3;
  readonly schedule: ScheduleKind;
  /** Sequences per microbatch of one data-parallel replica. */
  readonly microbatch: number;
  readonly axisOrder: AxisOrder;
  /** `ring` where cp is 1. */
  readonly contextExchange: ContextExchange;
  /**
   * Which of the mesh's shardings in the order of what they keep: 0 (also where it is absent) is the usual one, each next one
   * keeps fewer activations and takes longer, each one below 0 is faster and keeps more.
   */
  readonly leanness?: number;
  /** Policy (RECOMPUTE_*) per layer class. */
  readonly recompute: Uint8Array;
  /**
   * First segment of each virtual stage and the segment count at the end: length pp * vpp + 1, non-decreasing. Virtual
   * stage v runs on pipeline rank v % pp.
   */
  readonly stageStart: Int32Array;
}

/** Where the step's time goes, seconds of the critical pipeline rank; the parts add up to `stepTimeSec`. */
export interface TimeBreakdown {
  computeSec: number;
  recomputeSec: number;
  tensorParallelSec: number;
  contextParallelSec: number;
  expertParallelSec: number;
  pipelineTransferSec: number;
  /** Waiting for other stages. */
  bubbleSec: number;
  /** Gradient reduction and parameter gathers not hidden behind compute. */
  dataParallelExposedSec: number;
  optimizerSec: number;
  /** Host time between kernels, microbatches and steps that no device work hides. */
  overheadSec: number;
}

/** Peak bytes of one device of a pipeline rank, by what holds them; the parts add up to `totalBytes`. */
export interface MemoryBreakdown {
  parameterBytes: number;
  gradientBytes: number;
  optimizerBytes: number;
  activationBytes: number;
  /** Short-lived working set: logits, gradients in flight, collective buffers. */
  transientBytes: number;
  cacheBytes: number;
  /** Runtime context, libraries, fragmentation. */
  reservedBytes: number;
  totalBytes: number;
}

export interface PlanDegrees {
  dp: number;
  dpReplicate: number;
  dpShard: number;
  tp: number;
  pp: number;
  vpp: number;
  cp: number;
  ep: number;
  etp: number;
}

/** Mesh axis names that a tensor dimension may be split over. */
export type MeshAxisName = 'dp' | 'cp' | 'tp' | 'ep' | 'etp';

export interface TensorSharding {
  /** As in the model. */
  tensor: string;
  role: 'parameter' | 'activation' | 'input' | 'output';
  shape: number[];
  /** Per dimension, the axes that split it, major to minor; [] = not split. */
  dims: MeshAxisName[][];
  /**
   * Per dimension, the number of equal blocks that are each split on their own, present only where some is above 1: a fused
   * [q | k | v] dimension with `blocks` 3 is split inside each of its thirds.
   */
  blocks?: number[];
  /**
   * Per dimension, how many ranks of its axes hold the same part, present only where some is above 1: 8 key-value heads over
   * tp 16 are split 8 ways with `copies` 2.
   */
  copies?: number[];
}

export interface PlanStage {
  /** Virtual stage in model order, and the pipeline rank it runs on. */
  virtualStage: number;
  pipelineRank: number;
  /** Segments [first, last). */
  firstSegment: number;
  lastSegment: number;
  /** Node names as in the model (an unnamed node: `#<index>`). */
  ops: string[];
}

/** What a clock is set for. */
export const CLOCKED_WORK = ['forward', 'backward', 'weight'] as const;

/** Clocks for a launcher to set: work off the critical path runs no faster than it must. */
export interface PlanFrequency {
  /** Of a step under these clocks, and of one at full clock. */
  stepTimeSec: number;
  energyJoulesPerStep: number;
  fullStepTimeSec: number;
  fullEnergyJoulesPerStep: number;
  tasks: {
    virtualStage: number;
    work: (typeof CLOCKED_WORK)[number];
    /** In order of microbatches, from 0. */
    runs: { microbatches: number; clockShare: number; capWatt: number }[];
  }[];
}

/** Step times where the cost model is off and devices differ, by draws of both; seconds. */
export interface PlanRobust {
  /** Share of the draws that may be slower than the step time minimised. */
  slowerShare: number;
  /** Worlds that the search minimised over. */
  draws: number;
  /** Standard deviations of logarithms: of devices' speeds, of cost terms. */
  noise: {
    device: number;
    compute: number;
    memory: number;
    host: number;
    domain: number;
    network: number;
  };
  /** Worlds that the search never saw: what follows is of them. */
  freshDraws: number;
  /** The quantile: `slowerShare` of the fresh draws are slower. */
  stepTimeSec: number;
  /** The same of the draws searched over. */
  searchedStepTimeSec: number;
  /** As many fresh draws are faster as are slower than `stepTimeSec`. */
  lowSec: number;
  medianSec: number;
  slowestSec: number;
  /** No plan of the space is below it on the draws searched over. */
  searchedBoundSec: number;
  /** The whole space was enumerated for `searchedStepTimeSec`. */
  optimalInDraws: boolean;
}

/** plan.json, schema version 1. Holds no wall time, path, date or host. */
export interface Plan {
  schemaVersion: 1;
  model: { name: string; digest: string; parameters: number; layers: number };
  cluster: {
    name: string;
    devices: number;
    digest: string;
    /** What was wrong with it, and its devices when nothing is; absent: nothing was. */
    condition?: Condition & { readonly devices: number };
  };
  phase: Phase;
  precision: Precision;
  /** Stack profile that it was priced with. */
  stack: string;
  /** Measured numbers that it was priced with, over the presets'; absent: none. */
  calibration?: { name: string; digest: string };
  objective: string;
  sequenceLength: number;
  globalBatch: number;
  microbatch: number;
  microbatches: number;
  degrees: PlanDegrees;
  mesh: {
    /** Innermost first: rank = sum of coordinate * stride. */
    axes: { name: 'tp' | 'cp' | 'dpShard' | 'dpReplicate' | 'pp'; size: number; stride: number }[];
    /** Expert axes re-use the ranks of a stage. */
    expertAxes: { name: 'etp' | 'ep' | 'edp'; size: number; stride: number }[];
    /** Only where placement is irregular: logical rank -> device id of the cluster. */
    rankToDevice: number[] | null;
  };
  zeroStage: 0 | 1 | 2 | 3;
  schedule: ScheduleKind;
  /** How context-parallel ranks see the whole sequence; stated where cp is above 1. */
  contextExchange?: ContextExchange;
  /** Whether activations between tensor-parallel blocks are split along the sequence; stated where tp is above 1. */
  sequenceParallel?: boolean;
  /** Which sharding of the Pareto set of time against kept activations; stated where it is not the usual one, 0. */
  leanness?: number;
  stages: PlanStage[];
  /** Layer classes: how many segments, what is recomputed, and how its operators are split. */
  classes: { id: number; segments: number; recompute: 'none' | 'selective' | 'full'; strategy: string }[];
  shardings: TensorSharding[];
  prediction: {
    stepTimeSec: number;
    breakdown: TimeBreakdown;
    tokensPerSec: number;
    /** Model FLOPs (no recompute, causal attention halved) and hardware FLOPs utilisation. */
    mfu: number;
    hfu: number;
    modelFlopPerStep: number;
    flopConvention: 'causal' | 'full';
    memoryPerRank: MemoryBreakdown[];
    peakMemoryBytes: number;
    memoryCapacityBytes: number;
    energyJoulesPerStep: number;
    costPerStep: number | null;
    /** At the meter of the site; absent where the model reads no tokens. */
    perTrillionTokens?: { kwh: number; carbonKg: number; priceUsd: number | null };
  };
  /** Absent: everything at full clock. The prediction is always of full clocks. */
  frequency?: PlanFrequency;
  /** Absent: the nominal step time was minimised. The prediction is always nominal. */
  robust?: PlanRobust;
  /** Holds for every plan of the stated space on these devices. */
  lowerBoundSec: number;
  /** Holds for these degrees. */
  planBoundSec: number;
  optimalInSpace: boolean;
  space: string;
  foundBy: { method: string; member: string; seed: number; evaluations: number };
  warnings: string[];
}
