/** Prices a given plan: closed form beside event by event, judged against the model and the cluster. */
import { basename } from 'node:path';
import type { Calibration } from '../cluster/index.js';
import { shardKeyOf } from '../plan/candidate.js';
import { candidateOf } from '../plan/candidateOf.js';
import { decodePlan, validatePlan } from '../plan/index.js';
import { counters } from '../simulate/counters.js';
import type { Candidate, Plan } from '../plan/types.js';
import { chakraTraces } from '../simulate/chakra.js';
import type { ChakraFile, ChakraRanks } from '../simulate/chakra.js';
import { createEngine } from '../simulate/engine.js';
import { explain } from '../simulate/explain.js';
import { chromeTrace } from '../simulate/trace.js';
import { perTrillionTokens } from '../cost/energy.js';
import { explanationFacts } from '../report/explanationTable.js';
import type { SimulationFacts } from '../report/simulationTable.js';
import { PartitionError } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import { stepTimeInterval } from '../validation/intervals.js';
import type { FrequencyFacts } from '../report/frequencyTable.js';
import { frequencyOf, withFrequency } from './frequency.js';
import type { AnalyzedModel, Problem } from './problem.js';
import { openModel, problemOf } from './problem.js';
import { plannedCluster } from './plannedCluster.js';

export interface SimulateOptions {
  readonly seq?: number | undefined;
  readonly bind?: Readonly<Record<string, number>> | undefined;
  readonly strict?: boolean | undefined;
  /** Price on this cluster instead of the plan's. */
  readonly cluster?: string | undefined;
  /** Price with this stack profile instead of the plan's. */
  readonly stack?: string | undefined;
  /** Measured numbers that take the place of the presets': a YAML file. */
  readonly calibration?: string | undefined;
  /** Corrections of the cost tables by a plugin. */
  readonly costModel?: string | undefined;
  /** Work out clocks by task. */
  readonly frequency?: boolean | undefined;
  /** Record the time line. */
  readonly trace?: boolean | undefined;
}

/** What `partition simulate --json` prints. */
export interface SimulationSummary extends SimulationFacts {
  /** The plan's file. */
  readonly plan: string;
  readonly idleSecPerRank: readonly number[];
  /** What clocks by task save, when asked for. */
  readonly frequency: FrequencyFacts | null;
  readonly warnings: readonly string[];
}

export interface Simulation {
  readonly summary: SimulationSummary;
  /** Chrome trace JSON, when asked for. */
  readonly trace: string | null;
  /** The plan with clocks that cost no time, when asked for. */
  readonly clockedPlan: Plan | null;
  /** Chakra execution traces, made one file at a time. */
  readonly chakra: (ranks?: ChakraRanks) => Iterable<ChakraFile>;
}

/**
 * @throws PartitionError input when the plan is not one, or not for this model
 */
export function simulatePlan(modelPath: string, planPath: string, options: SimulateOptions = {}): Simulation {
  const plan = decodePlan(readTextFile(planPath, 'a plan in JSON'), planPath);
  const cluster = plannedCluster(plan, options);
  const seq = options.seq ?? (plan.sequenceLength > 1 ? plan.sequenceLength : undefined);
  const model = openPlanned(modelPath, { ...options, seq }, plan.model.name);
  const problem = problemOf(model, cluster, {
    devices: plan.cluster.devices,
    batch: plan.globalBatch,
    precision: plan.precision,
    stack: options.stack ?? plan.stack,
    calibration: options.calibration,
    costModel: options.costModel,
    objective: plan.objective,
  });
  const candidate = candidateOf(plan, model.graph, model.segmentation, planPath);
  const explanation = explain(problem.problem, candidate);
  const { estimate } = explanation;
  const run = createEngine(problem.problem).run(candidate, options.trace ?? false);
  const clocks = options.frequency === true ? frequencyOf(problem.problem, candidate) : null;
  const tokens = plan.globalBatch * plan.sequenceLength;
  const faults = validatePlan(plan, model.graph, cluster, model.segmentation);
  const priced = cluster.groups.some((group) => group.pricePerDeviceHourUsd > 0);
  const costPerStep = priced ? estimate.costPerStep : null;
  const scale = estimate.stepTimeSec / run.stepTimeSec;
  return {
    summary: {
      model: modelPath,
      plan: planPath,
      cluster: cluster.name,
      devices: plan.cluster.devices,
      degrees: plan.degrees,
      stepTimeSec: run.stepTimeSec,
      stepTimeInterval: stepTimeInterval(run.stepTimeSec, {
        stack: problem.problem.stack.name,
        cluster: cluster.name,
        phase: plan.phase,
      }),
      estimateSec: estimate.stepTimeSec,
      plannedSec: plan.prediction.stepTimeSec,
      events: run.events,
      frequency: clocks?.facts ?? null,
      breakdown: { ...estimate.breakdown },
      idleSecPerRank: Array.from(run.idleSec.subarray(0, run.rankCount)),
      tokensPerSec: tokens / run.stepTimeSec,
      mfu: estimate.mfu * scale,
      hfu: estimate.hfu * scale,
      fits: estimate.fits,
      memoryPerRank: estimate.memory.slice(0, estimate.rankCount).map((m) => ({ ...m })),
      peakMemoryBytes: estimate.peakMemoryBytes,
      memoryCapacityBytes: estimate.memoryCapacityBytes,
      energyJoulesPerStep: estimate.energyJoulesPerStep,
      costPerStep,
      perTrillionTokens:
        plan.sequenceLength > 1
          ? perTrillionTokens(estimate.energyJoulesPerStep, costPerStep, tokens, cluster.carbonKgPerKwh)
          : null,
      explanation: explanationFacts(explanation),
      faults: options.cluster === undefined ? faults : [],
      warnings: [...problem.warnings, ...uncalibrated(plan.calibration, problem.calibration)],
    },
    trace:
      run.timeline === null
        ? null
        : chromeTrace(
            run,
            `one step of ${plan.model.name} on ${plan.cluster.devices} devices`,
            counters(problem.problem, candidate, run),
          ),
    clockedPlan: clocks === null ? null : withFrequency(plan, clocks.frequency),
    chakra: (ranks) => chakraOf(problem, candidate, ranks),
  };
}

/** The Chakra execution traces of a candidate. */
export function chakraOf(
  { problem, book }: Problem,
  candidate: Candidate,
  ranks: ChakraRanks = 'distinct',
): Iterable<ChakraFile> {
  return chakraTraces(
    problem,
    candidate,
    (deviceGroup) => book.collectives(shardKeyOf(candidate, deviceGroup)),
    ranks,
  );
}

/** A plan that was priced with other measured numbers than these. */
function uncalibrated(planned: Plan['calibration'], used: Calibration | undefined): string[] {
  if (planned === undefined || planned.digest === used?.digest) return [];
  const with_ = used === undefined ? 'none' : `another (${used.name})`;
  return [`the plan was priced with calibration ${planned.name}, this is with ${with_}: give --calibration`];
}

/** The model, analysed; when the plan's sizes do not suit it, the error asks whether it is the plan's model at all. */
function openPlanned(path: string, options: SimulateOptions, planned: string): AnalyzedModel {
  try {
    return openModel(path, options);
  } catch (e) {
    if (!(e instanceof PartitionError) || basename(path) === planned) throw e;
    throw new PartitionError(e.code, e.message, e.where, `the plan is for ${planned}: is this that model?`);
  }
}
