/** The training thread. */
import type { FineTuneFacts, FineTuneRequest, TrainHooks, TrainRequest, TrainSummary } from '../api/index.js';
import { fineTunePolicy, trainPolicy } from '../api/index.js';
import { work } from './thread.js';
import type { TrainNews } from './trainThread.js';

await work<TrainRequest | FineTuneRequest, TrainNews, TrainSummary | FineTuneFacts>(
  (request, tell, stopped) => {
    const hooks: TrainHooks = {
      clock: () => performance.now() / 1000,
      now: () => Date.now() / 1000,
      stopped,
      onUpdate: (report, updates, backend) => tell({ kind: 'update', report, updates, backend }),
      onProgress: (text) => tell({ kind: 'text', text }),
    };
    return 'from' in request ? fineTunePolicy(request, hooks) : trainPolicy(request, hooks);
  },
);
