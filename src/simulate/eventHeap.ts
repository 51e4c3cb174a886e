/**
 * The engine's queue of events: a binary heap over typed arrays. Events come out by time, then priority (lower first),
 * then the order in which they were put in, so that equal times never depend on the heap's shape.
 */
export class EventHeap {
  /** Number of events waiting. */
  size = 0;
  private timeSec: Float64Array;
  /** priority * 2^44 + sequence: exact up to priority 511. */
  private rank: Float64Array;
  private payload: Int32Array;
  private sequence = 0;

  constructor(capacity = 256) {
    this.timeSec = new Float64Array(capacity);
    this.rank = new Float64Array(capacity);
    this.payload = new Int32Array(capacity);
  }

  clear(): void {
    this.size = 0;
    this.sequence = 0;
  }

  /** Time of the next event, seconds; Infinity when none waits. */
  nextTimeSec(): number {
    return this.size === 0 ? Infinity : this.timeSec[0];
  }

  push(timeSec: number, priority: number, payload: number): void {
    if (this.size === this.payload.length) this.grow();
    const { timeSec: times, rank: ranks, payload: payloads } = this;
    const rank = priority * SEQUENCES + this.sequence++;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const parentTime = times[parent];
      if (parentTime < timeSec || (parentTime === timeSec && ranks[parent] < rank)) break;
      times[at] = parentTime;
      ranks[at] = ranks[parent];
      payloads[at] = payloads[parent];
      at = parent;
    }
    times[at] = timeSec;
    ranks[at] = rank;
    payloads[at] = payload;
  }

  /** Takes the next event out and gives its payload. Must not be called on an empty queue. */
  pop(): number {
    const { timeSec: times, rank: ranks, payload: payloads } = this;
    const result = payloads[0];
    const last = --this.size;
    const time = times[last];
    const rank = ranks[last];
    const moved = payloads[last];
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      const right = child + 1;
      if (
        right < last &&
        (times[right] < times[child] || (times[right] === times[child] && ranks[right] < ranks[child]))
      )
        child = right;
      if (time < times[child] || (time === times[child] && rank < ranks[child])) break;
      times[at] = times[child];
      ranks[at] = ranks[child];
      payloads[at] = payloads[child];
      at = child;
    }
    times[at] = time;
    ranks[at] = rank;
    payloads[at] = moved;
    return result;
  }

  private grow(): void {
    const size = 2 * this.payload.length;
    const widen = <T extends Float64Array | Int32Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.timeSec = widen(this.timeSec, new Float64Array(size));
    this.rank = widen(this.rank, new Float64Array(size));
    this.payload = widen(this.payload, new Int32Array(size));
  }
}

const SEQUENCES = 2 ** 44;
