/** The replanning thread. */
import type { ReplanReply, ReplanRequest } from '../api/index.js';
import { replan } from '../api/index.js';
import { work } from './thread.js';

await work<ReplanRequest, string, ReplanReply>((request, tell) =>
  replan(request, { clock: () => performance.now() / 1000, onProgress: tell }),
);
