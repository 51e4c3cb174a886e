/** The thread of a search for the trade-off of time and energy: told to stop, it ends with what it has. */
import type { ParetoReply, PlanRequest } from '../api/index.js';
import { planPareto } from '../api/index.js';
import type { PlanNews } from './planThread.js';
import { work } from './thread.js';

await work<PlanRequest, PlanNews, ParetoReply>((request, tell, stopped) =>
  planPareto(request, {
    clock: () => performance.now() / 1000,
    onProgress: (text, best) => tell({ text, best }),
    stopped,
  }),
);
