/** The loop of a training: updates until it is done, stopped or out of time, with checkpoints, metrics and event files. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PlanTrainer, TrainingReport } from '../agent/index.js';
import { saveCheckpoint } from '../agent/index.js';
import { EventFile } from '../util/eventFile.js';
import { writeFileAtomic } from '../util/files.js';

export interface TrainHooks {
  /** Seconds, monotone; used for the limit in seconds only. */
  readonly clock: () => number;
  /** Seconds since 1970, for TensorBoard. */
  readonly now: () => number;
  readonly onUpdate?: (report: TrainingReport, updates: number, backend: string) => void;
  /** Told what goes on before and after the updates. */
  readonly onProgress?: (text: string) => void;
  /** Asked between updates: training stops for now, with a checkpoint, when true. */
  readonly stopped: () => boolean;
}

export interface TrainingFiles {
  readonly checkpointPath: string;
  readonly metricsPath: string;
}

export interface TrainingRun {
  readonly trainer: PlanTrainer;
  readonly files: TrainingFiles;
  /** Folder of the event files. */
  readonly out: string;
  readonly backend: string;
  /** Of the whole training. */
  readonly updates: number;
  readonly checkpointEvery: number;
  /** The training goes on, so that metrics of updates done before are kept. */
  readonly resumed: boolean;
  /** By the clock of the hooks: training stops for now when it is reached. */
  readonly untilSec: number;
}

/** Means over the last tenth of the updates; null before the first. */
export interface LateReturns {
  readonly meanReturn: number | null;
  readonly bestReturn: number | null;
}

export function trainingFiles(out: string): TrainingFiles {
  return { checkpointPath: join(out, 'checkpoint.json'), metricsPath: join(out, 'metrics.jsonl') };
}

export async function runTraining(run: TrainingRun, hooks: TrainHooks): Promise<LateReturns> {
  const { trainer, files } = run;
  // Updates after the checkpoint are done again.
  const lines = run.resumed ? metricsUpTo(files.metricsPath, trainer.updates) : [];
  const events = new EventFile(run.out, trainer.updates, hooks.now());
  const save = (): void => {
    writeFileAtomic(files.metricsPath, lines.map((l) => `${l}\n`).join(''));
    events.flush();
    saveCheckpoint(files.checkpointPath, trainer.checkpoint(true));
  };
  while (!trainer.finished && !hooks.stopped() && hooks.clock() < run.untilSec) {
    const report = trainer.update();
    lines.push(JSON.stringify(report));
    const { update, episodes, ...scalars } = report;
    events.add(update, hooks.now(), { episodes, ...scalars });
    hooks.onUpdate?.(report, run.updates, run.backend);
    if (report.update % run.checkpointEvery === 0) save();
    // Lets a request to stop come in.
    await new Promise((resolve) => setImmediate(resolve));
  }
  save();
  return lately(lines);
}

function metricsUpTo(path: string, updates: number): string[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').split('\n').filter(Boolean).slice(0, updates);
}

function lately(lines: readonly string[]): LateReturns {
  if (lines.length === 0) return { meanReturn: null, bestReturn: null };
  const last = lines.slice(-Math.ceil(lines.length / 10)).map((l) => JSON.parse(l) as TrainingReport);
  const mean = (f: (r: TrainingReport) => number): number => last.reduce((s, r) => s + f(r), 0) / last.length;
  return { meanReturn: mean((r) => r.meanReturn), bestReturn: mean((r) => r.bestReturn) };
}
