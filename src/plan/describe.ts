/** A candidate in a few words. */
import { describeDegrees } from '../parallel/degrees.js';
import { RECOMPUTE_POLICIES } from '../parallel/recompute.js';
import { leannessOf } from './candidate.js';
import type { Candidate } from './types.js';

/** `dp=8 tp=2 pp=4, 1f1b, ZeRO-1, microbatch 2, recompute selective`; what goes without saying is left out. */
export function describeCandidate(c: Candidate): string {
  const parts = [describeDegrees(c)];
  if (c.pp > 1) parts.push(c.schedule);
  if (c.cp > 1) parts.push(`${c.contextExchange} context`);
  if (c.zeroStage > 0) parts.push(`ZeRO-${c.zeroStage}`);
  parts.push(`microbatch ${c.microbatch}`);
  const policies = [...new Set(c.recompute)].sort((a, b) => a - b);
  if (leannessOf(c) !== 0) parts.push(`leanness ${leannessOf(c)}`);
  if (policies.some((p) => p > 0))
    parts.push(`recompute ${policies.map((p) => RECOMPUTE_POLICIES[p]).join('/')}`);
  return parts.join(', ');
}
