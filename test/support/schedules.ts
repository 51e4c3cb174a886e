/** Random pipelines for tests and benches of the schedule episode. */
import type { ScheduleProblem } from '../../src/agent/scheduleState.js';
import type { Random } from '../../src/util/random.js';

export interface ScheduleShape {
  readonly ranks: number;
  readonly microbatches: number;
  readonly splitsBackward?: boolean;
  /** Microbatches in flight that fit. */
  readonly room?: number;
  readonly unequalSizes?: boolean;
  readonly transfer?: number;
}

/** Stages that differ by up to 30 % either way. */
export function randomSchedule(random: Random, shape: ScheduleShape): ScheduleProblem {
  const { ranks, microbatches } = shape;
  const column = (base: number): Float64Array =>
    Float64Array.from({ length: ranks }, () => base * (0.7 + 0.6 * random.next()));
  const backwardSec = column(2);
  return {
    ranks,
    microbatches,
    forwardSec: column(1),
    backwardSec,
    weightSec: backwardSec.map((b) => b * (0.3 + 0.4 * random.next())),
    transferSec: column(shape.transfer ?? 0.2),
    readySec: column(0.3),
    splitsBackward: shape.splitsBackward ?? false,
    savedBytes: new Float64Array(ranks).fill(1),
    lateBytes: new Float64Array(ranks).fill(0.4),
    limitBytes: new Float64Array(ranks).fill(shape.room ?? Infinity),
    sizes:
      shape.unequalSizes === true
        ? Float64Array.from({ length: microbatches }, () => 0.5 + random.next())
        : null,
  };
}
