/** The training thread: runs one request and posts updates, the summary, or what went wrong. */
import { parentPort, workerData } from 'node:worker_threads';
import type { TrainRequest } from '../api/index.js';
import { trainPolicy } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import type { TrainMessage } from './trainThread.js';

const { request, flag } = workerData as { request: TrainRequest; flag: Int32Array };

function post(message: TrainMessage): void {
  parentPort!.postMessage(message);
}

try {
  const summary = await trainPolicy(request, {
    clock: () => performance.now() / 1000,
    now: () => Date.now() / 1000,
    stopped: () => Atomics.load(flag, 0) === 1,
    onUpdate: (report, updates, backend) => post({ kind: 'update', report, updates, backend }),
  });
  post({ kind: 'done', summary });
} catch (error) {
  if (error instanceof PartitionError) {
    const { code, message, where, hint } = error;
    post({ kind: 'fault', fault: { code, message, where, hint } });
  } else {
    const e = error instanceof Error ? error : new Error(String(error));
    post({ kind: 'crash', message: e.message, stack: e.stack ?? '' });
  }
}
