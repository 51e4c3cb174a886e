/** A thread of a comparison: opens the model once and runs jobs as they come. */
import { parentPort, workerData } from 'node:worker_threads';
import type { CompareJob } from '../api/index.js';
import { ComparisonRunner } from '../api/index.js';
import { loadPlugins } from '../api/plugins.js';
import { usePolicy } from '../api/policy.js';
import type { CompareData, CompareMessage, CompareTask } from './compareThread.js';
import { failureOf } from './thread.js';

function post(message: CompareMessage): void {
  parentPort!.postMessage(message);
}

let runner: ComparisonRunner | null = null;

async function perform(task: CompareTask): Promise<void> {
  const { request, plugins, policy } = workerData as CompareData;
  await loadPlugins(plugins);
  if (runner === null) usePolicy(policy);
  runner ??= ComparisonRunner.open(request);
  if (task === 'setting') post({ kind: 'setting', setting: runner.setting() });
  else
    post({ kind: 'run', run: await runner.run(task satisfies CompareJob, () => performance.now() / 1000) });
}

parentPort!.on('message', (task: CompareTask) => {
  perform(task).catch((error: unknown) => post(failureOf(error)));
});
