/** Observed jobs as problems to train on: each as it was found to run, and variations of it. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { countedSpec } from '../cluster/condition.js';
import type { Condition, ObservedRates } from '../cluster/condition.js';
import { usableCounts } from '../portfolio/replan.js';
import type { PlanProblem } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';
import type { Random } from '../util/random.js';
import { observedRates } from './observedRates.js';
import { conditionOf, observedCondition } from './replanCondition.js';
import { problemsUnder } from './replanProblems.js';
import { openRunningJob } from './runningJob.js';
import type { RunningJob } from './runningJob.js';

/** Where a job's files are. */
export interface JobFiles {
  readonly logPath: string;
  readonly planPath: string;
  /** Default: where run.json beside the plan says, or near it. */
  readonly modelPath?: string | undefined;
}

export interface ObservedJob {
  readonly name: string;
  readonly files: JobFiles;
  readonly job: RunningJob;
  /** What is wrong with its cluster, the log's findings and the rates it speaks for included. */
  readonly condition: Condition;
  /** What was read into the log, one sentence each. */
  readonly notes: readonly string[];
}

const USAGE = 'train --from-log <log> --plan plan.json --model model.onnx';

/** Names under which a job's folder holds what was observed, best first. */
const OBSERVED_NAMES = ['observed.jsonl', 'monitor/state.json', 'state.json'];

/**
 * The jobs of `--from-log`: one log or monitor's state with its plan, a folder with plan.json and a log, or a folder of such
 * folders.
 *
 * @throws PartitionError usage when a plan or log is not found
 */
export function findJobs(from: string, planPath?: string, modelPath?: string): JobFiles[] {
  if (!existsSync(from)) throw new PartitionError('input', 'no such file', from, 'check the path');
  if (!statSync(from).isDirectory()) {
    const plan = planPath ?? planNear(from);
    if (plan === null)
      throw new PartitionError(
        'usage',
        'expected --plan with the plan of the job',
        from,
        `partition ${USAGE}`,
      );
    return [{ logPath: from, planPath: plan, modelPath }];
  }
  if (planPath !== undefined || existsSync(join(from, 'plan.json')))
    return [{ logPath: logIn(from), planPath: planPath ?? join(from, 'plan.json'), modelPath }];
  const folders = readdirSync(from)
    .sort()
    .map((name) => join(from, name))
    .filter((folder) => existsSync(join(folder, 'plan.json')));
  if (folders.length === 0)
    throw new PartitionError(
      'input',
      'expected a folder with plan.json and a log, or folders that have them, found none',
      from,
      `partition ${USAGE}`,
    );
  return folders.map((folder) => ({
    logPath: logIn(folder),
    planPath: join(folder, 'plan.json'),
    modelPath,
  }));
}

/** The plan of a monitor's state stands a folder up, that of a log beside it. */
function planNear(log: string): string | null {
  const near = [join(dirname(log), 'plan.json'), join(dirname(log), '..', 'plan.json')];
  return near.find((path) => existsSync(path)) ?? null;
}

function logIn(folder: string): string {
  const known = OBSERVED_NAMES.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (known !== undefined) return known;
  const logs = readdirSync(folder).filter((name) => /\.(jsonl|log)$/.test(name));
  if (logs.length === 1) return join(folder, logs[0]);
  throw new PartitionError(
    'input',
    `expected one log (${OBSERVED_NAMES.join(', ')} or one .jsonl or .log), found ${logs.length}`,
    folder,
    'name the log itself',
  );
}

/**
 * @throws PartitionError input for a log of another plan or a plan of another model
 */
export function openJob(files: JobFiles): ObservedJob {
  const job = openRunningJob(files.planPath, files.modelPath, USAGE);
  const { plan, before, run } = job;
  const seen = observedCondition(files.logPath, plan, before, run.condition, conditionOf({}, before.devices));
  const measured =
    seen.log === null ? null : observedRates(job, seen.log.layout, seen.log.observed, seen.during);
  const rates = measured?.rates ?? seen.condition.rates;
  const condition: Condition = { ...seen.condition, ...(rates === undefined ? {} : { rates }) };
  const name = `${plan.model.name.replace(/\.onnx$/, '')} on ${plan.cluster.devices} of ${basename(plan.cluster.name)}`;
  return {
    name,
    files,
    job,
    condition,
    notes: [...seen.notes, ...(rates === undefined ? [] : [rateNote(rates)])],
  };
}

function rateNote({ compute, communication }: ObservedRates): string {
  const percent = (rate: number): string => `${(100 * rate).toFixed(0)} %`;
  return `devices compute at ${percent(compute)} of what the cluster's description says, links carry at ${percent(communication)}`;
}

/** What decides the problems that a job gives, as plain data: the same for the same job. */
export function jobKey({ job, condition }: ObservedJob): object {
  const { model, cluster } = job.plan;
  return { model: model.digest, cluster: cluster.digest, options: job.options, condition };
}

/** The job's problem as it was observed, on as many of the devices that it has left as can be used best. */
export function observedProblem({ job, condition }: ObservedJob): PlanProblem {
  const { available, problems } = problemsUnder(job.base, job.spec, condition);
  const devices = Math.min(available, job.plan.cluster.devices);
  return problems(usableCounts(problems(devices), devices)[0] ?? devices);
}

/** Shares of the job's devices that variations use; above 1 only where the cluster has more, or can grow. */
const DEVICE_SHARES = [0.25, 0.5, 0.75, 1, 1, 2];
const BATCH_FACTORS = [0.5, 1, 1, 2];

/** A problem near the job's own: another count of devices, another batch, another fault or none. It need not have a plan. */
export function variedProblem({ job, condition }: ObservedJob, random: Random): PlanProblem {
  const { cluster } = job.plan;
  const share = random.pick(DEVICE_SHARES);
  const spec = share > 1 ? countedSpec(job.run.cluster ?? cluster.name, share * cluster.devices) : job.spec;
  const { available, problems } = problemsUnder(job.base, spec, variedCondition(condition, job, random));
  const wanted = Math.min(available, share * cluster.devices);
  const { devicesPerHost } = job.before.cluster.groups[0];
  const granule = wanted >= devicesPerHost ? devicesPerHost : 1;
  const problem = problems(Math.max(1, granule * Math.floor(wanted / granule)));
  const globalBatch = Math.max(1, Math.round(problem.globalBatch * random.pick(BATCH_FACTORS)));
  return { ...problem, globalBatch };
}

/** Healthy again, as observed, or as observed with one more fault. */
function variedCondition(observed: Condition, { before }: RunningJob, random: Random): Condition {
  const draw = random.next();
  if (draw < 1 / 3) return { ...observed, slow: [], degraded: [] };
  if (draw < 2 / 3) return observed;
  const at = random.pick(before.devices);
  const factor = 0.5 + 0.45 * random.next();
  const levels = before.cluster.levels.map((l) => l.name);
  switch (random.int(3)) {
    case 0:
      return { ...observed, failed: [...observed.failed, { host: at.host, device: null }] };
    case 1:
      return { ...observed, slow: [...observed.slow, { ...at, factor }] };
    default:
      return {
        ...observed,
        degraded: [...observed.degraded, { level: random.pick(levels), host: null, factor }],
      };
  }
}
