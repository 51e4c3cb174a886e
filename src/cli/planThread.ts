/** Plans in a second thread, so that Ctrl-C and progress are answered while the search runs. */
import { Worker } from 'node:worker_threads';
import type { PlanReply, PlanRequest } from '../api/index.js';
import { PartitionError } from '../util/errors.js';

/** The best plan so far, in words. */
export interface Best {
  readonly stepTimeSec: number;
  readonly text: string;
}

/** Messages of the planning thread. */
export type WorkerMessage =
  | { readonly kind: 'progress'; readonly text: string; readonly best: Best | null }
  | { readonly kind: 'done'; readonly reply: PlanReply }
  | {
      readonly kind: 'fault';
      readonly fault: Pick<PartitionError, 'code' | 'message' | 'where' | 'hint'>;
    }
  | { readonly kind: 'crash'; readonly message: string; readonly stack: string };

/** @throws PartitionError as `planModel` */
export async function planInWorker(
  request: PlanRequest,
  onProgress: (status: string, best: Best | null) => void,
): Promise<PlanReply> {
  const worker = new Worker(new URL('./planWorker.js', import.meta.url), { workerData: request });
  try {
    return await new Promise<PlanReply>((resolve, reject) => {
      worker.on('message', (message: WorkerMessage) => {
        if (message.kind === 'progress') onProgress(message.text, message.best);
        else if (message.kind === 'done') resolve(message.reply);
        else if (message.kind === 'fault') {
          const { code, message: what, where, hint } = message.fault;
          reject(new PartitionError(code, what, where, hint));
        } else reject(Object.assign(new Error(message.message), { stack: message.stack }));
      });
      worker.on('error', reject);
      worker.on('exit', (code) =>
        reject(new Error(`internal: the planning thread stopped with code ${code}`)),
      );
    });
  } finally {
    await worker.terminate();
  }
}
