/** The splitting thread. */
import type { SplitRequest, SplitSummary } from '../api/split.js';
import { splitFile } from '../api/split.js';
import { work } from './thread.js';

await work<SplitRequest, number, SplitSummary | null>((request, tell, isStopped) =>
  splitFile(request, { onProgress: tell, isStopped }),
);
