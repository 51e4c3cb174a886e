/** The verifying thread. */
import type { VerifyReply, VerifyRequest } from '../api/verify.js';
import { verifySplit } from '../api/verify.js';
import { work } from './thread.js';

await work<VerifyRequest, string, VerifyReply | null>((request, tell, isStopped) =>
  verifySplit(request, { onProgress: tell, isStopped }),
);
