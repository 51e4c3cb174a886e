/** `partition train`: from a configuration to a policy, by way of checkpoints that training can go on from. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBackend, loadCheckpoint, PlanTrainer, saveCheckpoint } from '../agent/index.js';
import type { TrainingReport } from '../agent/index.js';
import { PartitionError } from '../util/errors.js';
import { dataPath, writeFileAtomic } from '../util/files.js';
import { EventFile } from '../util/eventFile.js';
import { readTrainingConfig } from './trainingConfig.js';
import type { TrainingConfig } from './trainingConfig.js';
import { trainingProblem } from './trainingProblems.js';

/** Configuration of the policy that ships. */
export const SHIPPED_TRAINING: string = fileURLToPath(dataPath('training/plan-ppo.yaml'));

export interface TrainRequest {
  readonly configPath: string;
  /** Folder of checkpoint.json, policy.json, metrics.jsonl and TensorBoard's event files. */
  readonly out: string;
  /** Go on from the folder's checkpoint. */
  readonly resume: boolean;
}

export interface TrainHooks {
  /** Seconds, monotone; used for the limit in seconds only. */
  readonly clock: () => number;
  /** Seconds since 1970, for TensorBoard. */
  readonly now: () => number;
  readonly onUpdate?: (report: TrainingReport, updates: number, backend: string) => void;
  /** Asked between updates: training stops for now, with a checkpoint, when true. */
  readonly stopped: () => boolean;
}

/** What `partition train --json` prints. */
export interface TrainSummary {
  readonly algorithm: string;
  readonly backend: string;
  readonly seed: number;
  /** Done so far, and of the whole training. */
  readonly updates: number;
  readonly plannedUpdates: number;
  readonly episodes: number;
  /** Of this run. */
  readonly wallSec: number;
  /** False when it stopped for time or on request: `--resume` goes on. */
  readonly finished: boolean;
  /** Means over the last tenth of the updates; null before the first. */
  readonly meanReturn: number | null;
  readonly bestReturn: number | null;
  readonly checkpointPath: string;
  readonly policyPath: string;
  readonly metricsPath: string;
}

/**
 * Trains until the budget is spent or somebody stops it. With the same configuration and backend the files come out the
 * same, byte for byte, however often training was stopped and resumed (event files aside, which hold the time of day).
 *
 * @throws PartitionError input or usage for what the user can mend
 */
export async function trainPolicy(request: TrainRequest, hooks: TrainHooks): Promise<TrainSummary> {
  const started = hooks.clock();
  const config = readTrainingConfig(request.configPath);
  const paths = pathsOf(request.out);
  const resumed = request.resume ? loadCheckpoint(paths.checkpointPath) : null;
  if (resumed === null && existsSync(paths.checkpointPath))
    throw new PartitionError(
      'usage',
      'a training stands there already',
      request.out,
      'go on with --resume, or choose another folder with --out',
    );
  if (resumed !== null && resumed.config !== config.canonical)
    throw new PartitionError('usage', 'checkpoint of another configuration', paths.checkpointPath);
  const backend = await loadBackend();
  const trainer = new PlanTrainer(
    backend,
    (index) => trainingProblem(config, index),
    settingsOf(config),
    config.canonical,
    resumed,
    paths.checkpointPath,
  );
  // Updates after the checkpoint are done again.
  const lines = resumed === null ? [] : metricsUpTo(paths.metricsPath, trainer.updates);
  const events = new EventFile(request.out, trainer.updates, hooks.now());
  const save = (): void => {
    writeFileAtomic(paths.metricsPath, lines.map((l) => `${l}\n`).join(''));
    events.flush();
    saveCheckpoint(paths.checkpointPath, trainer.checkpoint(true));
  };
  try {
    while (!trainer.finished && !hooks.stopped() && hooks.clock() - started < config.budget.maxSec) {
      const report = trainer.update();
      lines.push(JSON.stringify(report));
      const { update, episodes, ...scalars } = report;
      events.add(update, hooks.now(), { episodes, ...scalars });
      hooks.onUpdate?.(report, config.budget.updates, backend.name);
      if (report.update % config.checkpointEvery === 0) save();
      // Lets a request to stop come in.
      await new Promise((resolve) => setImmediate(resolve));
    }
    save();
    saveCheckpoint(paths.policyPath, trainer.checkpoint(false));
    const { episodes } = trainer.checkpoint(false).trainedBy;
    return {
      algorithm: config.algorithm,
      backend: backend.name,
      seed: config.seed,
      updates: trainer.updates,
      plannedUpdates: config.budget.updates,
      episodes,
      wallSec: hooks.clock() - started,
      finished: trainer.finished,
      ...lately(lines),
      ...paths,
    };
  } finally {
    trainer.dispose();
  }
}

function pathsOf(out: string): Pick<TrainSummary, 'checkpointPath' | 'policyPath' | 'metricsPath'> {
  return {
    checkpointPath: join(out, 'checkpoint.json'),
    policyPath: join(out, 'policy.json'),
    metricsPath: join(out, 'metrics.jsonl'),
  };
}

/** A configuration as the trainer takes it. */
export function settingsOf(c: TrainingConfig): ConstructorParameters<typeof PlanTrainer>[2] {
  const { seed, problems, updatesPerProblem, episodes, teacher, ppo } = c;
  return {
    seed,
    updates: c.budget.updates,
    problems,
    updatesPerProblem,
    episodes,
    teacherEvaluations: teacher.evaluations,
    cloningWeight: teacher.weight,
    cloningSteps: teacher.steps,
    cloningMemory: teacher.memory,
    embedding: c.embedding,
    ppo,
  };
}

function metricsUpTo(path: string, updates: number): string[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').split('\n').filter(Boolean).slice(0, updates);
}

function lately(lines: readonly string[]): Pick<TrainSummary, 'meanReturn' | 'bestReturn'> {
  if (lines.length === 0) return { meanReturn: null, bestReturn: null };
  const last = lines.slice(-Math.ceil(lines.length / 10)).map((l) => JSON.parse(l) as TrainingReport);
  const mean = (f: (r: TrainingReport) => number): number => last.reduce((s, r) => s + f(r), 0) / last.length;
  return { meanReturn: mean((r) => r.meanReturn), bestReturn: mean((r) => r.bestReturn) };
}
