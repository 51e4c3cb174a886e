/** `partition train`: from a configuration to a policy, by way of checkpoints that training can go on from. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBackend, loadCheckpoint, PlanTrainer, saveCheckpoint } from '../agent/index.js';
import { PartitionError } from '../util/errors.js';
import { dataPath } from '../util/files.js';
import { readTrainingConfig } from './trainingConfig.js';
import type { TrainingConfig, TrainingOverrides } from './trainingConfig.js';
import { trainingProblem } from './trainingProblems.js';
import type { LateReturns, TrainHooks } from './trainRun.js';
import { runTraining, trainingFiles } from './trainRun.js';

export type { TrainHooks } from './trainRun.js';

/** Configuration of the policy that ships. */
export const SHIPPED_TRAINING: string = fileURLToPath(dataPath('training/plan-ppo.yaml'));

export interface TrainRequest extends TrainingOverrides {
  readonly configPath: string;
  /** Folder of checkpoint.json, policy.json, metrics.jsonl and TensorBoard's event files. */
  readonly out: string;
  /** Go on from the folder's checkpoint. */
  readonly resume: boolean;
}

/** What `partition train --json` prints. */
export interface TrainSummary extends LateReturns {
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
  const config = readTrainingConfig(request.configPath, request);
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
  try {
    const late = await runTraining(
      {
        trainer,
        files: paths,
        out: request.out,
        backend: backend.name,
        updates: config.budget.updates,
        checkpointEvery: config.checkpointEvery,
        resumed: resumed !== null,
        untilSec: started + config.budget.maxSec,
      },
      hooks,
    );
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
      ...late,
      ...paths,
    };
  } finally {
    trainer.dispose();
  }
}

function pathsOf(out: string): Pick<TrainSummary, 'checkpointPath' | 'policyPath' | 'metricsPath'> {
  return { ...trainingFiles(out), policyPath: join(out, 'policy.json') };
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
