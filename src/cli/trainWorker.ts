/** The training thread. */
import type {
  EpisodeFacts,
  FineTuneFacts,
  FineTuneRequest,
  TrainHooks,
  TrainRequest,
  TrainSummary,
} from '../api/index.js';
import { fineTunePolicy, isEpisodeConfig, trainEpisodes, trainPolicy } from '../api/index.js';
import { work } from './thread.js';
import type { TrainNews } from './trainThread.js';

await work<TrainRequest | FineTuneRequest, TrainNews, TrainSummary | FineTuneFacts | EpisodeFacts>(
  (request, tell, stopped) => {
    const hooks: TrainHooks = {
      clock: () => performance.now() / 1000,
      now: () => Date.now() / 1000,
      stopped,
      onUpdate: (report, updates, backend) => tell({ kind: 'update', report, updates, backend }),
      onProgress: (text) => tell({ kind: 'text', text }),
    };
    if ('from' in request) return fineTunePolicy(request, hooks);
    return isEpisodeConfig(request.configPath) ? trainEpisodes(request, hooks) : trainPolicy(request, hooks);
  },
);
