/** The planning thread. */
import type { PlanReply, PlanRequest } from '../api/index.js';
import { planModel } from '../api/index.js';
import type { PlanNews } from './planThread.js';
import { work } from './thread.js';

await work<PlanRequest, PlanNews, PlanReply>((request, tell) =>
  planModel(request, {
    clock: () => performance.now() / 1000,
    onProgress: (text, best) => tell({ text, best }),
  }),
);
