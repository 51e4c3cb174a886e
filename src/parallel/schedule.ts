import { invariant } from '../util/errors.js';

/** Orders in which a pipeline stage works: all forwards first, one-forward-one-backward, or 1F1B over several chunks. */
export type ScheduleKind = 'gpipe' | '1f1b' | 'interleaved';

export const SCHEDULE_KINDS: readonly ScheduleKind[] = ['gpipe', '1f1b', 'interleaved'];

/** The schedule that degrees imply. */
export function scheduleFor(vpp: number): ScheduleKind {
  return vpp > 1 ? 'interleaved' : '1f1b';
}

/** Why a schedule cannot run; null when it can. Interleaving needs microbatches divisible by pp (Megatron-Core). */
export function scheduleFault(
  kind: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
  anyMicrobatches = false,
): string | null {
  if (!Number.isSafeInteger(microbatches) || microbatches < 1)
    return `the number of microbatches ${microbatches} is not a positive integer`;
  if (kind !== 'interleaved') return vpp === 1 ? null : `${kind} runs one chunk per rank, found vpp = ${vpp}`;
  if (vpp < 2 || pp < 2) return `interleaved needs pp > 1 and vpp > 1, found pp = ${pp}, vpp = ${vpp}`;
  if (!anyMicrobatches && microbatches % pp !== 0)
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
  // With exactly pp microbatches Megatron runs all forwards first; the general count is an under-estimate there.
  if (microbatches === pp) return total;
  return Math.min(total, 2 * (pp - 1 - rank) + (vpp - 1) * pp + 1);
}

/** Idle time over ideal time with equal stages: (pp - 1) / microbatches, divided by vpp when interleaved. */
export function bubbleFraction(pp: number, vpp: number, microbatches: number): number {
  return (pp - 1) / (microbatches * vpp);
}

/** Idle share of the whole step, 0..1. */
export function bubbleShare(pp: number, vpp: number, microbatches: number): number {
  const fraction = bubbleFraction(pp, vpp, microbatches);
  return fraction / (1 + fraction);
}

/** Step time of a pipeline of equal stages: `stageSec` is forward plus backward of one microbatch on one rank. */
export function equalStagesTimeSec(pp: number, vpp: number, microbatches: number, stageSec: number): number {
  return stageSec * (microbatches + (pp - 1) / vpp);
}
