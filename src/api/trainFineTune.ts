/**
 * `partition train --from-log`: the policy goes on learning on jobs that were observed, and takes the place of the old one
 * only if the guard lets it pass.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Checkpoint, PolicySource } from '../agent/index.js';
import {
  encodeCheckpoint,
  loadBackend,
  loadCheckpoint,
  PlanTrainer,
  saveCheckpoint,
} from '../agent/index.js';
import type { VerdictRule } from '../agent/policyVerdict.js';
import { verdictOf } from '../agent/policyVerdict.js';
import { checkpointFrom, policyInUse } from '../agent/pretrained.js';
import { stream } from '../agent/training.js';
import type { PlanProblem } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';
import { dataPath, removeQuietly, writeFileAtomic } from '../util/files.js';
import type { FineTuneFacts } from '../report/fineTuneTable.js';
import { settingsOf } from './train.js';
import type { Judged } from './trainGuard.js';
import { judgePolicies, judgedInstance, judgedSuite, previousOf, replacePolicy } from './trainGuard.js';
import { readTrainingConfig } from './trainingConfig.js';
import type { TrainingConfig, TrainingOverrides } from './trainingConfig.js';
import { fits, trainingProblem } from './trainingProblems.js';
import { findJobs, jobKey, observedProblem, openJob, variedProblem } from './trainJobs.js';
import type { ObservedJob } from './trainJobs.js';
import type { TrainHooks } from './trainRun.js';
import { runTraining, trainingFiles } from './trainRun.js';

/** Configuration of fine-tuning. */
export const FINE_TUNING: string = fileURLToPath(dataPath('training/fine-tune.yaml'));

export interface FineTuneRequest extends TrainingOverrides {
  readonly configPath: string;
  /** Log, monitor's state, a job's folder, or a folder of such. */
  readonly from: string;
  readonly planPath?: string | undefined;
  readonly modelPath?: string | undefined;
  /** Folder of policy.json (the policy in use), candidate.json (the new one), checkpoint, metrics and event files. */
  readonly out: string;
  readonly resume: boolean;
  /** Another file that an accepted policy is written to. */
  readonly install?: string | undefined;
}

/** Varied problems of every job that the judgement looks at, beside the job as it stands. */
const JUDGED_VARIATIONS = 2;
/** Draws before a variation that fits is given up for the job as it stands. */
const MOST_DRAWS = 20;
/** Streams of random numbers that have nothing to do with each other. */
const TRAINING_STREAM = 0x3c6ef372;
const JUDGING_STREAM = 0x510e527f;

/**
 * Fine-tunes and judges. The same log, policy, settings and backend give the same files, byte for byte, however often it was
 * stopped and resumed (event files aside); a limit in seconds is the exception.
 *
 * @throws PartitionError input for logs, plans and models that do not belong together, usage for what stands there already,
 * infeasible when nothing fits the devices of a job
 */
export async function fineTunePolicy(request: FineTuneRequest, hooks: TrainHooks): Promise<FineTuneFacts> {
  const started = hooks.clock();
  const { out } = request;
  const policyPath = join(out, 'policy.json');
  const candidatePath = join(out, 'candidate.json');
  const files = trainingFiles(out);
  const source = startOf(policyPath);
  const { checkpoint: start, where: oldPolicy } = checkpointFrom(source);
  const config = suited(readTrainingConfig(request.configPath, request), start);
  const jobs = findJobs(request.from, request.planPath, request.modelPath).map((job) => {
    hooks.onProgress?.(`reading ${job.logPath}`);
    return openJob(job);
  });
  const exact = jobs.map(exactProblem);
  const instances = [...judgedJobs(config, jobs, exact), ...judgedSuite(config.guard.suite)];
  const key = keyOf(config, start, jobs);
  const resumed = resumedFrom(request, files.checkpointPath, key);
  const backend = await loadBackend();
  const trainer = new PlanTrainer(
    backend,
    (index) => problemOfTraining(config, jobs, exact, index),
    settingsOf(config),
    key,
    resumed,
    resumed === null ? oldPolicy : files.checkpointPath,
    start,
  );
  try {
    const late = await runTraining(
      {
        trainer,
        files,
        out,
        backend: backend.name,
        updates: config.budget.updates,
        checkpointEvery: config.checkpointEvery,
        resumed: resumed !== null,
        untilSec: started + config.budget.maxSec,
      },
      hooks,
    );
    saveCheckpoint(candidatePath, trainer.checkpoint(false));
    const candidate: PolicySource = { kind: 'file', path: candidatePath };
    const trials = await judgePolicies(instances, [source, candidate], config.guard, hooks);
    const verdict = trials === null ? null : verdictOf(trials, config.guard);
    const replaced = verdict?.accepted === true;
    if (replaced) replacePolicy(policyPath, candidatePath, oldPolicy);
    // Who plans with the folder's policy finds one whatever the judgement was.
    else if (!existsSync(policyPath)) writeFileAtomic(policyPath, readFileSync(oldPolicy));
    if (replaced && request.install !== undefined) replacePolicy(request.install, candidatePath, null);
    if (verdict !== null) removeQuietly(files.checkpointPath);
    return {
      backend: backend.name,
      seed: config.seed,
      updates: trainer.updates,
      plannedUpdates: config.budget.updates,
      episodes: trainer.checkpoint(false).trainedBy.episodes,
      wallSec: hooks.clock() - started,
      ...late,
      jobs: jobs.map((job) => ({ name: job.name, log: job.files.logPath, notes: job.notes })),
      oldPolicy,
      verdict:
        verdict === null
          ? null
          : { ...verdict, rule: ruleOf(config), instances: trials!.map(judgedInstance) },
      policyPath,
      previousPath: replaced ? previousOf(policyPath) : null,
      installedPath: replaced ? (request.install ?? null) : null,
      candidatePath,
      metricsPath: files.metricsPath,
    };
  } finally {
    trainer.dispose();
  }
}

function ruleOf({ guard }: TrainingConfig): VerdictRule {
  const { evaluations, seeds, meanTolerance, instanceTolerance } = guard;
  return { evaluations, seeds, meanTolerance, instanceTolerance };
}

/** The policy that was named, the one that an earlier fine-tuning left in the folder, or the one that ships. */
function startOf(policyPath: string): PolicySource {
  if (policyInUse() === null && existsSync(policyPath)) return { kind: 'file', path: policyPath };
  return { kind: 'shipped' };
}

/** The configuration for networks such as the policy's. */
function suited(config: TrainingConfig, { environment }: Checkpoint): TrainingConfig {
  return {
    ...config,
    embedding: environment.name === 'plan-embedded',
    ppo: { ...config.ppo, hidden: environment.hidden },
  };
}

/** All that decides the training. */
function keyOf(config: TrainingConfig, start: Checkpoint, jobs: readonly ObservedJob[]): string {
  const policy = createHash('sha256').update(encodeCheckpoint(start)).digest('hex');
  return JSON.stringify({ config: config.canonical, policy, jobs: jobs.map(jobKey) });
}

function resumedFrom({ resume, out }: FineTuneRequest, path: string, key: string): Checkpoint | null {
  if (!resume) {
    if (!existsSync(path)) return null;
    throw new PartitionError(
      'usage',
      'a training stands there already',
      out,
      'go on with --resume, or choose another folder with --out',
    );
  }
  const checkpoint = loadCheckpoint(path);
  if (checkpoint.config !== key)
    throw new PartitionError(
      'usage',
      'checkpoint of another training: its log, policy or settings were others',
      path,
      'choose another folder with --out',
    );
  return checkpoint;
}

function exactProblem(job: ObservedJob): PlanProblem {
  const problem = observedProblem(job);
  if (!fits(problem))
    throw new PartitionError(
      'infeasible',
      `nothing fits the ${problem.devices} devices that the job has left`,
      job.files.planPath,
      'partition replan says what can be done',
    );
  return problem;
}

/** Some slots of every update hold the observed jobs in turn, every other time varied; the rest are drawn as ever. */
function problemOfTraining(
  config: TrainingConfig,
  jobs: readonly ObservedJob[],
  exact: readonly PlanProblem[],
  index: number,
): PlanProblem {
  const slot = index % config.problems;
  if (slot >= config.observed) return trainingProblem(config, index);
  const turn = Math.floor(index / config.problems) * config.observed + slot;
  const at = turn % jobs.length;
  const isVaried = Math.floor(turn / jobs.length) % 2 === 1;
  return isVaried ? variation(jobs[at], exact[at], config.seed ^ TRAINING_STREAM, index) : exact[at];
}

function variation(job: ObservedJob, exact: PlanProblem, seed: number, index: number): PlanProblem {
  for (let draw = 0; draw < MOST_DRAWS; draw++) {
    const random = stream(seed, index * MOST_DRAWS + draw);
    try {
      const problem = variedProblem(job, random);
      if (fits(problem)) return problem;
    } catch (e) {
      // A fault too many: no device is left.
      if (!(e instanceof PartitionError)) throw e;
    }
  }
  return exact;
}

/** The jobs as they stand, and variations of them that training does not draw. */
function judgedJobs(
  config: TrainingConfig,
  jobs: readonly ObservedJob[],
  exact: readonly PlanProblem[],
): Judged[] {
  const kind = 'observed';
  return jobs.flatMap((job, j): Judged[] => [
    { name: job.name, kind, problem: () => exact[j] },
    ...Array.from(
      { length: JUDGED_VARIATIONS },
      (_, k) =>
        ({
          name: `${job.name}, variation ${k + 1}`,
          kind,
          problem: () => variation(job, exact[j], config.seed ^ JUDGING_STREAM, j * JUDGED_VARIATIONS + k),
        }) as const,
    ),
  ]);
}
