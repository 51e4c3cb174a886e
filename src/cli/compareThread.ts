/** Runs of a comparison in threads, one job at a time each. */
import { Worker } from 'node:worker_threads';
import type { CompareJob, CompareRequest, CompareRun, CompareSetting } from '../api/index.js';
import { loadedPlugins } from '../api/plugins.js';
import { policyInUse } from '../api/policy.js';
import type { Failure } from './thread.js';
import { failed } from './thread.js';

/** What a thread is started with. */
export interface CompareData {
  readonly request: CompareRequest;
  readonly plugins: readonly string[];
  readonly policy: string | null;
}

export type CompareTask = 'setting' | CompareJob;

export type CompareMessage =
  | { readonly kind: 'setting'; readonly setting: CompareSetting }
  | { readonly kind: 'run'; readonly run: CompareRun }
  | Failure;

/**
 * @param onRun told of every run when it is done
 * @throws PartitionError as `ComparisonRunner`
 */
export async function compareInWorkers(
  request: CompareRequest,
  jobs: readonly CompareJob[],
  threads: number,
  onRun: (done: CompareRun, count: number) => void,
): Promise<{ setting: CompareSetting; runs: CompareRun[] }> {
  const tasks: CompareTask[] = ['setting', ...jobs];
  const workers = Array.from(
    { length: Math.min(threads, tasks.length) },
    () =>
      new Worker(new URL('./compareWorker.js', import.meta.url), {
        workerData: { request, plugins: loadedPlugins(), policy: policyInUse() } satisfies CompareData,
      }),
  );
  const order = new Map(jobs.map((job, i) => [key(job), i]));
  const runs: CompareRun[] = [];
  let setting: CompareSetting | null = null;
  let next = 0;
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            const give = (): void => {
              if (next < tasks.length) worker.postMessage(tasks[next++]);
              else resolve();
            };
            worker.on('message', (message: CompareMessage) => {
              if (message.kind === 'fault' || message.kind === 'crash') reject(failed(message));
              else {
                if (message.kind === 'setting') setting = message.setting;
                else onRun(message.run, runs.push(message.run));
                give();
              }
            });
            worker.on('error', reject);
            worker.on('exit', (code) =>
              reject(new Error(`internal: a thread of the comparison stopped with code ${code}`)),
            );
            give();
          }),
      ),
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  // Threads end their runs in any order; results do not depend on it.
  runs.sort((a, b) => order.get(key(a))! - order.get(key(b))!);
  return { setting: setting!, runs };
}

function key({ by, method, seed }: CompareJob): string {
  return `${by} ${method} ${seed}`;
}
