import { invariant } from '../util/errors.js';

/**
 * Orders in which a pipeline stage works: all forwards first, one-forward-one-backward, 1F1B over several chunks, or
 * 1F1B with the gradients of weights put off (ZB-H1 of Qi et al. 2024).
 *
 * ZB-H1 parts the backward pass of a microbatch in B (gradient of the inputs, recomputation included), which other
 * stages wait for, and W (gradient of the weights), which nobody waits for. Rank r does B as soon as 1F1B would and W
 * of microbatch j after B of microbatch j + r, so that W fills what is idle in 1F1B:
 *
 *     rank 0   F0 F1 F2       B0 W0 B1 W1 B2 W2        pp = 3, 3 microbatches
 *     rank 1      F0 F1    B0 F2 B1 W0 B2 W1 W2
 *     rank 2         F0 B0 F1 B1 F2 B2 W0 W1 W2
 */
export type ScheduleKind = 'gpipe' | '1f1b' | 'interleaved' | 'zb-h1';

export const SCHEDULES: readonly ScheduleKind[] = ['gpipe', '1f1b', 'interleaved', 'zb-h1'];

/** Why a schedule cannot run; null when it can. Interleaving needs microbatches divisible by pp (Megatron-Core). */
export function scheduleFault(
  kind: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
): string | null {
  if (!Number.isSafeInteger(microbatches) || microbatches < 1)
    return `the number of microbatches ${microbatches} is not a positive integer`;
  if (kind !== 'interleaved' && vpp !== 1) return `${kind} runs one chunk per rank, found vpp = ${vpp}`;
  if (kind === 'zb-h1' && pp < 2) return `zb-h1 needs pp > 1, found pp = ${pp}`;
  if (kind !== 'interleaved') return null;
  if (vpp < 2 || pp < 2) return `interleaved needs pp > 1 and vpp > 1, found pp = ${pp}, vpp = ${vpp}`;
  if (microbatches % pp !== 0)
    return `interleaved needs microbatches divisible by pp = ${pp}, found ${microbatches}`;
  return null;
}

/**
 * Forward passes of one chunk of one microbatch whose saved activations a pipeline rank holds at its peak. A rank's
 * activations are `inFlight * (activations of one of its chunks)`; without interleaving a rank has one chunk.
 *
 * GPipe holds every microbatch. 1F1B's rank r warms up with pp - 1 - r forwards and holds one more (Narayanan et al.
 * 2019). Interleaved 1F1B warms up with 2 (pp - 1 - r) + (vpp - 1) pp chunk-forwards and holds one more (Narayanan et
 * al. 2021, Megatron-Core `schedules.py`), all of them when the microbatches run out first. ZB-H1 holds what 1F1B's
 * first rank does on every rank; `deferredChunks` of it have had their B and are not counted here.
 */
export function inFlightChunks(
  kind: ScheduleKind,
  rank: number,
  pp: number,
  vpp: number,
  microbatches: number,
): number {
  invariant(rank >= 0 && rank < pp, `pipeline rank ${rank} of ${pp}`);
  if (kind === 'gpipe') return microbatches;
  if (kind === '1f1b') return Math.min(microbatches, pp - rank);
  if (kind === 'zb-h1') return Math.min(microbatches, pp) - deferredChunks(kind, rank, microbatches);
  const total = microbatches * vpp;
  return Math.min(total, 2 * (pp - 1 - rank) + (vpp - 1) * pp + 1);
}

/**
 * Microbatches whose B is done and whose W is not at the peak of a rank's memory. What W reads is kept until then, also
 * what recomputation has just made again for B.
 */
export function deferredChunks(kind: ScheduleKind, rank: number, microbatches: number): number {
  return kind === 'zb-h1' ? Math.min(rank + 1, microbatches) : 0;
}

/** Idle time over ideal time with equal stages: (pp - 1) / microbatches, divided by vpp when interleaved. */
export function bubbleFraction(pp: number, vpp: number, microbatches: number): number {
  return (pp - 1) / (microbatches * vpp);
}

/**
 * Idle seconds of the first rank of a pipeline of equal stages without transfers. ZB-H1's formula (Qi et al. 2024,
 * table 2) holds where W takes no longer than F.
 *
 * @param forwardSec of a microbatch on all chunks of one rank; also the two below
 * @param inputSec B, recomputation included
 * @param weightSec W
 */
export function bubbleSec(
  kind: ScheduleKind,
  pp: number,
  vpp: number,
  forwardSec: number,
  inputSec: number,
  weightSec: number,
): number {
  if (kind === 'zb-h1') return (pp - 1) * (forwardSec + inputSec - weightSec);
  return ((pp - 1) * (forwardSec + inputSec + weightSec)) / vpp;
}
