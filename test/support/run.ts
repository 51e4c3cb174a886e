/** One training run described in a line, for tests against published figures: model, devices, stack, degrees, price. */
import { analyzeModel } from '../../src/api/problem.js';
import { loadCluster } from '../../src/cluster/index.js';
import { stackOn } from '../../src/cost/stack.js';
import type { StackProfile } from '../../src/cost/stack.js';
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../../src/cost/types.js';
import type { Precision } from '../../src/cost/types.js';
import { checkCandidate } from '../../src/plan/candidate.js';
import type { Candidate } from '../../src/plan/types.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import type { Estimate, PlanProblem } from '../../src/simulate/types.js';
import { modelFacts, StrategyBook } from '../../src/strategy/index.js';
import type { SequenceParallel } from '../../src/strategy/index.js';
import { launcherCuts } from '../../src/validation/cuts.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';
import type { ZooOptions } from '../../src/zoo/index.js';

export interface Run {
  readonly model: string;
  readonly sizes?: ZooOptions;
  readonly seq: number;
  readonly cluster: string;
  readonly devices: number;
  readonly stack: StackProfile;
  readonly precision?: Precision;
  readonly sequenceParallel?: SequenceParallel;
  readonly globalBatch: number;
  readonly microbatch: number;
  readonly degrees?: Partial<Pick<Candidate, 'tp' | 'pp' | 'vpp' | 'cp' | 'ep' | 'etp' | 'dpReplicate'>>;
  readonly zeroStage: 0 | 1 | 2 | 3;
  readonly recompute: 'none' | 'selective' | 'full';
  /** First segment of each virtual stage; by default equal shares of the layers. */
  readonly cuts?: (problem: PlanProblem) => Int32Array;
}

const POLICIES = { none: RECOMPUTE_NONE, selective: RECOMPUTE_SELECTIVE, full: RECOMPUTE_FULL };

export interface PricedRun {
  readonly problem: PlanProblem;
  readonly candidate: Candidate;
  readonly estimate: Estimate;
}

/** @throws Error when the run is no legal plan */
export function priceRun(run: Run): PricedRun {
  const { model, seq, devices, globalBatch, microbatch, zeroStage } = run;
  const cluster = loadCluster(run.cluster, devices);
  const graph = buildZoo(zooConfig(model), { ...run.sizes, attentionMask: false });
  const { graph: g, segmentation } = analyzeModel(graph, model, { seq, phase: 'train' });
  const stack = stackOn(run.stack, cluster.groups[0].device);
  const precision = run.precision ?? 'bf16';
  const phase = 'train' as const;
  const sequenceParallel = run.sequenceParallel ?? 'auto';
  const book = new StrategyBook(g, segmentation, cluster, { phase, precision, stack, sequenceParallel });
  const { tp = 1, pp = 1, vpp = 1, cp = 1, ep = 1, etp = 1, dpReplicate = 1 } = run.degrees ?? {};
  const problem: PlanProblem = {
    segmentation,
    cluster,
    devices,
    phase,
    precision,
    stack,
    globalBatch,
    sequenceLength: seq,
    objective: { time: 1, energy: 0, cost: 0 },
    costs: book,
    ...modelFacts(book),
    tpChoices: [1, tp, etp],
  };
  const candidate: Candidate = {
    ...{ tp, pp, vpp, cp, ep, etp, dpReplicate, zeroStage, microbatch },
    dpShard: devices / (dpReplicate * tp * pp * cp),
    schedule: vpp > 1 ? 'interleaved' : '1f1b',
    axisOrder: 'tp-cp-dp-pp',
    contextExchange: 'ring',
    recompute: new Uint8Array(segmentation.classCount).fill(POLICIES[run.recompute]),
    stageStart: run.cuts?.(problem) ?? launcherCuts(segmentation.segmentCount, pp * vpp),
  };
  const fault = checkCandidate(problem, candidate);
  if (fault !== null) throw new Error(fault);
  return { problem, candidate, estimate: createSimulator(problem).estimate(candidate, createEstimate()) };
}
