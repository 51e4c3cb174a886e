/** What an engine run did: intervals, and how many bytes of activations each rank held; columns that grow. */

/** Streams of one pipeline rank. */
export const STREAM_COMPUTE = 0;
/** Exposed tensor-, context- and expert-parallel collectives. */
export const STREAM_COLLECTIVE = 1;
/** Gradient reductions and parameter gathers. */
export const STREAM_DATA_PARALLEL = 2;
/** Sends to neighbouring stages. */
export const STREAM_TRANSFER = 3;
export const STREAM_COUNT = 4;

/** What an interval is. */
export const WORK_FORWARD = 0;
export const WORK_BACKWARD = 1;
/** A transfer of activations to the next virtual stage, or of their gradient to the one before. */
export const WORK_SEND_ACTIVATION = 2;
export const WORK_SEND_GRADIENT = 3;
export const WORK_GATHER_PARAMETERS = 4;
export const WORK_REDUCE_GRADIENTS = 5;
export const WORK_SUM_TIED = 6;
export const WORK_OPTIMIZER = 7;
/** The gradient of a stage's weights, where the schedule parts it from the backward pass (ZB-H1). */
export const WORK_WEIGHT_GRADIENT = 8;

/** Interval i: columns at index i, i < count. */
export class Timeline {
  count = 0;
  rank = new Int32Array(1024);
  stream = new Uint8Array(1024);
  work = new Uint8Array(1024);
  /** -1 where the work belongs to the whole rank. */
  virtualStage = new Int32Array(1024);
  microbatch = new Int32Array(1024);
  startSec = new Float64Array(1024);
  endSec = new Float64Array(1024);

  /** Change i of a rank's saved activations, i < holdCount, in order of time. */
  holdCount = 0;
  holdRank = new Int32Array(1024);
  holdSec = new Float64Array(1024);
  heldBytes = new Float64Array(1024);

  add(
    rank: number,
    stream: number,
    work: number,
    virtualStage: number,
    microbatch: number,
    startSec: number,
    endSec: number,
  ): void {
    // Kernels of a task are told even when they take no time: the task is part of the schedule.
    const isTask = stream === STREAM_COMPUTE && microbatch >= 0;
    if (endSec <= startSec && !isTask) return;
    if (this.count === this.rank.length) this.grow();
    const i = this.count++;
    this.rank[i] = rank;
    this.stream[i] = stream;
    this.work[i] = work;
    this.virtualStage[i] = virtualStage;
    this.microbatch[i] = microbatch;
    this.startSec[i] = startSec;
    this.endSec[i] = endSec;
  }

  /** Rank holds this many bytes of saved activations from this time on. */
  hold(rank: number, timeSec: number, bytes: number): void {
    if (this.holdCount === this.holdRank.length) {
      const size = 2 * this.holdCount;
      this.holdRank = copyInto(this.holdRank, new Int32Array(size));
      this.holdSec = copyInto(this.holdSec, new Float64Array(size));
      this.heldBytes = copyInto(this.heldBytes, new Float64Array(size));
    }
    const i = this.holdCount++;
    this.holdRank[i] = rank;
    this.holdSec[i] = timeSec;
    this.heldBytes[i] = bytes;
  }

  private grow(): void {
    const size = 2 * this.rank.length;
    this.rank = copyInto(this.rank, new Int32Array(size));
    this.stream = copyInto(this.stream, new Uint8Array(size));
    this.work = copyInto(this.work, new Uint8Array(size));
    this.virtualStage = copyInto(this.virtualStage, new Int32Array(size));
    this.microbatch = copyInto(this.microbatch, new Int32Array(size));
    this.startSec = copyInto(this.startSec, new Float64Array(size));
    this.endSec = copyInto(this.endSec, new Float64Array(size));
  }
}

function copyInto<T extends Float64Array | Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
