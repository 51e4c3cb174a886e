/** A thread beside the one that solves a sharding instance: it shares the core and tells what it finds. */
import { workerData } from 'node:worker_threads';
import type { ShardAssistance } from '../api/index.js';
import { assistShard } from '../api/index.js';

assistShard(workerData as ShardAssistance, () => performance.now() / 1000);
