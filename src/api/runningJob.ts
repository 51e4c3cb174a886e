/** A job that runs: its plan, its model and the cluster as it was when the plan was made, from plan.json and run.json. */
import { conditioned, countedSpec, HEALTHY } from '../cluster/condition.js';
import type { ConditionedCluster, CountedSpec } from '../cluster/condition.js';
import { loadCalibration } from '../cost/calibration.js';
import { candidateOf } from '../plan/candidateOf.js';
import { decodePlan } from '../plan/codec.js';
import type { Candidate, Plan } from '../plan/types.js';
import { PartitionError } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import { findModel, readRun } from './runFile.js';
import type { RunFile } from './runFile.js';
import { openModel, problemOf } from './problem.js';
import type { AnalyzedModel, Problem, ProblemOptions } from './problem.js';

export interface RunningJob {
  readonly plan: Plan;
  /** As run.json has it, and the condition of the cluster as the plan has it. */
  readonly run: RunFile;
  readonly modelPath: string;
  /** Settings that the plan was made with. */
  readonly options: ProblemOptions;
  /** The cluster's description, hosts counted, and its devices as they were when the plan was made. */
  readonly spec: CountedSpec;
  readonly before: ConditionedCluster;
  /** The problem that the plan answers, and the plan's decisions in it. */
  readonly base: Problem;
  readonly running: Candidate;
}

/** A model that does not take the plan's sizes is likely another one. */
function openAsPlanned(path: string, plan: Plan, run: RunFile): AnalyzedModel {
  try {
    const seq = plan.sequenceLength > 1 ? plan.sequenceLength : undefined;
    return openModel(path, { seq, bind: run.bind, phase: plan.phase });
  } catch (e) {
    if (!(e instanceof PartitionError) || e.hint !== null) throw e;
    throw new PartitionError(e.code, e.message, e.where, `the plan was made for ${plan.model.name}`);
  }
}

/**
 * @param modelPath default: where run.json says, or beside the plan
 * @throws PartitionError input for files of another model, usage when the model is not found
 */
export function openRunningJob(planPath: string, modelPath?: string, usage = ''): RunningJob {
  const plan = decodePlan(readTextFile(planPath, 'a plan in JSON'), planPath);
  const run = readRun(planPath);
  const path = modelPath ?? findModel(planPath, plan, run, usage);
  const model = openAsPlanned(path, plan, run);
  const { devices } = plan.cluster;
  const calibration = run.calibration === undefined ? undefined : loadCalibration(run.calibration);
  const condition = plan.cluster.condition ?? {
    devices: run.devices ?? devices,
    ...(run.condition ?? HEALTHY),
  };
  const spec = countedSpec(run.cluster ?? plan.cluster.name, condition.devices, calibration);
  const before = conditioned(spec, condition, devices);
  const options: ProblemOptions = {
    devices,
    batch: plan.globalBatch,
    precision: plan.precision,
    stack: plan.stack,
    objective: plan.objective,
    calibration: run.calibration,
  };
  const base = problemOf(model, before.cluster, options);
  const running = candidateOf(plan, model.graph, model.segmentation, planPath);
  return { plan, run: { ...run, condition }, modelPath: path, options, spec, before, base, running };
}
