/** The training thread. */
import type { TrainRequest, TrainSummary } from '../api/index.js';
import { trainPolicy } from '../api/index.js';
import { work } from './thread.js';
import type { TrainNews } from './trainThread.js';

await work<TrainRequest, TrainNews, TrainSummary>((request, tell, stopped) =>
  trainPolicy(request, {
    clock: () => performance.now() / 1000,
    now: () => Date.now() / 1000,
    stopped,
    onUpdate: (report, updates, backend) => tell({ report, updates, backend }),
  }),
);
