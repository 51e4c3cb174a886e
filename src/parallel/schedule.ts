import { invariant } from '../util/errors.js';

/** Orders in which a pipeline stage works: all forwards first, one-forward-one-backward, or 1F1B over several chunks. */
export type ScheduleKind = 'gpipe' | '1f1b' | 'interleaved';

export const SCHEDULES: readonly ScheduleKind[] = ['gpipe', '1f1b', 'interleaved'];

/** Why a schedule cannot run; null when it can. Interleaving needs microbatches divisible by pp (Megatron-Core). */
export function scheduleFault(
  kind: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
): string | null {
  if (!Number.isSafeInteger(microbatches) || microbatches < 1)
    return `the number of microbatches ${microbatches} is not a positive integer`;
  if (kind !== 'interleaved') return vpp === 1 ? null : `${kind} runs one chunk per rank, found vpp = ${vpp}`;
  if (vpp < 2 || pp < 2) return `interleaved needs pp > 1 and vpp > 1, found pp = ${pp}, vpp = ${vpp}`;
  if (microbatches % pp !== 0)
    return `interleaved needs microbatches divisible by pp = ${pp}, found ${microbatches}`;
  return null;
}

/**
 * Forward passes of one chunk of one microbatch whose activations a pipeline rank holds at its peak. A rank's
 * activations are `inFlight * (activations of one of its chunks)`; without interleaving a rank has one chunk.
 *
 * GPipe holds every microbatch. 1F1B's rank r warms up with pp - 1 - r forwards and holds one more (Narayanan et al.
 * 2019). Interleaved 1F1B warms up with 2 (pp - 1 - r) + (vpp - 1) pp chunk-forwards and holds one more (Narayanan et
 * al. 2021, Megatron-Core `schedules.py`), all of them when the microbatches run out first.
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
  const total = microbatches * vpp;
  return Math.min(total, 2 * (pp - 1 - rank) + (vpp - 1) * pp + 1);
}

/** Idle time over ideal time with equal stages: (pp - 1) / microbatches, divided by vpp when interleaved. */
export function bubbleFraction(pp: number, vpp: number, microbatches: number): number {
  return (pp - 1) / (microbatches * vpp);
}
