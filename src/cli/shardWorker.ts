/** The solving thread: told to stop, it is out of time and ends with the best so far. It starts the threads beside it. */
import { Worker } from 'node:worker_threads';
import type { ShardNews, ShardRequest, ShardResult } from '../api/index.js';
import { solveShard } from '../api/index.js';
import { work } from './thread.js';

await work<ShardRequest, ShardNews, ShardResult>(async (request, tell, stopped) => {
  const started = performance.now();
  const beside: Worker[] = [];
  const result = await solveShard(request, {
    clock: () => (stopped() ? Infinity : performance.now() / 1000),
    onNews: tell,
    startThread: (assistance) =>
      void beside.push(
        new Worker(new URL('./shardAssistant.js', import.meta.url), { workerData: assistance }),
      ),
  });
  await Promise.all(beside.map((worker) => worker.terminate()));
  return { ...result, wallSec: (performance.now() - started) / 1000 };
});
