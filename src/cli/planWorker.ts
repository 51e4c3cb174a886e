/** The planning thread: runs one request and posts progress, the plan, or what went wrong. */
import { parentPort, workerData } from 'node:worker_threads';
import type { PlanRequest } from '../api/index.js';
import { planModel } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import type { WorkerMessage } from './planThread.js';

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

try {
  const reply = await planModel(workerData as PlanRequest, {
    clock: () => performance.now() / 1000,
    onProgress: (text, best) => post({ kind: 'progress', text, best }),
  });
  post({ kind: 'done', reply });
} catch (error) {
  if (error instanceof PartitionError) {
    const { code, message, where, hint } = error;
    post({ kind: 'fault', fault: { code, message, where, hint } });
  } else {
    const e = error instanceof Error ? error : new Error(String(error));
    post({ kind: 'crash', message: e.message, stack: e.stack ?? '' });
  }
}
