/** What a plan is priced against, and the price. */
import type { Cluster } from '../cluster/types.js';
import type { StackProfile } from '../cost/stack.js';
import type { CostProvider, Phase, Precision } from '../cost/types.js';
import type { Segmentation } from '../graph/types.js';
import type { Candidate, MemoryBreakdown, TimeBreakdown } from '../plan/types.js';

/** Weights of the objective; the value minimised is the weighted geometric mean of each term over a reference plan. */
export interface Objective {
  readonly time: number;
  readonly energy: number;
  readonly cost: number;
  /** Weight of the share of the step in which the critical rank computes for the model; absent: 0. */
  readonly utilisation?: number;
  /** Rewards of the user's own. */
  readonly rewards?: readonly WeightedReward[];
  /** Of the step times that the simulator gives over nominal ones, the least; absent: 1. Scales bounds of robust objectives. */
  readonly boundShare?: number;
}

/** A quantity to be minimised, above 0, worked out from a price. */
export interface WeightedReward {
  readonly name: string;
  readonly weight: number;
  readonly value: (estimate: ObjectivePrice) => number;
}

/** What of a price objectives read. */
export type ObjectivePrice = Pick<
  Estimate,
  'stepTimeSec' | 'energyJoulesPerStep' | 'costPerStep' | 'breakdown'
>;

/** Everything fixed while plans are searched. Immutable. */
export interface PlanProblem {
  readonly segmentation: Segmentation;
  readonly cluster: Cluster;
  readonly devices: number;
  readonly phase: Phase;
  readonly precision: Precision;
  /** The software that will run the plan: what it hides and what it costs. */
  readonly stack: StackProfile;
  /** Sequences per optimizer step. */
  readonly globalBatch: number;
  readonly sequenceLength: number;
  readonly objective: Objective;
  readonly costs: CostProvider;
  /** Forward model FLOP of one sequence (causal attention halved), for MFU. */
  readonly forwardFlopPerSequence: number;
  /** Backward model FLOP of one sequence (0 in inference). */
  readonly backwardFlopPerSequence: number;
  /** Trainable elements, all and those inside experts. */
  readonly parameters: number;
  readonly expertParameters: number;
  /** Largest degrees that divide the model: sequence axis for cp, experts for ep. 1 = no such axis. */
  readonly maxCp: number;
  readonly experts: number;
  /** Tensor-parallel degrees at which at least one parameter is really split. */
  readonly tpChoices: readonly number[];
  /** Attention heads that an all-to-all context exchange may deal out; 1 = none. */
  readonly contextHeads: number;
}

/** Price of one plan. Reused between calls: copy what must live. */
export interface Estimate {
  /** False when some rank's memory exceeds its device's; the times are still filled. */
  fits: boolean;
  stepTimeSec: number;
  readonly breakdown: TimeBreakdown;
  /** Pipeline rank that ends last: the one that `breakdown` is of. */
  criticalRank: number;
  tokensPerSec: number;
  mfu: number;
  hfu: number;
  peakMemoryBytes: number;
  memoryCapacityBytes: number;
  /** Bytes over capacity on the worst rank (0 when it fits), and which. */
  overflowBytes: number;
  worstRank: number;
  /** Per pipeline rank; `rankCount` = pp are valid. */
  rankCount: number;
  readonly memory: MemoryBreakdown[];
  energyJoulesPerStep: number;
  costPerStep: number;
  /** Bound for these degrees: no pipeline order or overlap can be faster. */
  planBoundSec: number;
}

/** Prices candidates; holds scratch, so one per thread. `estimate` allocates nothing in the steady state. */
export interface Simulator {
  readonly problem: PlanProblem;
  readonly evaluations: number;
  estimate(candidate: Candidate, out: Estimate): Estimate;
}
