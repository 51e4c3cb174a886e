/** Seconds of one microbatch, by virtual stage v (on rank v % pp); a filled `StageLoad` fits. */
export interface StageTimes {
  readonly forwardSec: Float64Array;
  /** All of the backward pass, recomputation included. */
  readonly backwardSec: Float64Array;
  /** The part of it that ZB-H1 puts off; other schedules do not read it. */
  readonly weightSec: Float64Array;
  /** Between the end of virtual stage v - 1 and v's start; [0] is not read. */
  readonly transferSec: Float64Array;
  /** By rank: it starts no earlier. */
  readonly gatherExposedSec: Float64Array;
}
