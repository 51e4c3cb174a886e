/** Trains in a second thread, so that Ctrl-C and progress are answered while it works. */
import { Worker } from 'node:worker_threads';
import type { TrainRequest, TrainSummary, TrainingReport } from '../api/index.js';
import { PartitionError } from '../util/errors.js';

/** Messages of the training thread. */
export type TrainMessage =
  | {
      readonly kind: 'update';
      readonly report: TrainingReport;
      readonly updates: number;
      readonly backend: string;
    }
  | { readonly kind: 'done'; readonly summary: TrainSummary }
  | { readonly kind: 'fault'; readonly fault: Pick<PartitionError, 'code' | 'message' | 'where' | 'hint'> }
  | { readonly kind: 'crash'; readonly message: string; readonly stack: string };

/** A training that runs. */
export interface TrainingThread {
  readonly ended: Promise<TrainSummary>;
  /** Asks it to write a checkpoint and end after the present update. */
  stop(): void;
}

export function trainInWorker(
  request: TrainRequest,
  onUpdate: (report: TrainingReport, updates: number, backend: string) => void,
): TrainingThread {
  // Shared memory, because the thread is too busy to read messages.
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./trainWorker.js', import.meta.url), { workerData: { request, flag } });
  const ended = new Promise<TrainSummary>((resolve, reject) => {
    worker.on('message', (message: TrainMessage) => {
      if (message.kind === 'update') onUpdate(message.report, message.updates, message.backend);
      else if (message.kind === 'done') resolve(message.summary);
      else if (message.kind === 'fault') {
        const { code, message: what, where, hint } = message.fault;
        reject(new PartitionError(code, what, where, hint));
      } else reject(Object.assign(new Error(message.message), { stack: message.stack }));
    });
    worker.on('error', reject);
    worker.on('exit', (code) => reject(new Error(`internal: the training thread stopped with code ${code}`)));
  }).finally(() => worker.terminate());
  return { ended, stop: () => void Atomics.store(flag, 0, 1) };
}
