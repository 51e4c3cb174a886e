/**
 * A pipeline that is told, task by task, what each rank does next: forward passes, backward passes (gradient of the
 * inputs), gradients of weights, and which message each rank's link sends next. Events as in `simulate/pipeline`:
 * a transfer keeps neither rank busy, and a rank's messages go out one after the other.
 *
 *     rank 0   F0 F1 F2 .. B0 W0 ...      asked whenever it is free and something is ready and fits its memory;
 *     link 0      --0 --1 --2             asked when two or more messages wait, else sends what there is
 */
import { EventHeap } from '../simulate/eventHeap.js';

export const FORWARD = 0;
export const BACKWARD = 1;
export const WEIGHT = 2;
export const SEND_FORWARD = 3;
export const SEND_BACKWARD = 4;
/** Leaves the rank idle until something more becomes ready for it. */
export const WAIT = 5;
const WAKE = 6;
const KINDS = 7;

/** Microbatches of one kind on offer at once, oldest first, where microbatches differ in size. */
const OFFERED_PER_KIND = 8;

export interface ScheduleProblem {
  readonly ranks: number;
  readonly microbatches: number;
  /** Per rank, seconds of a microbatch of size 1; `backwardSec` is all of the backward pass, `weightSec` the part put off. */
  readonly forwardSec: Float64Array;
  readonly backwardSec: Float64Array;
  readonly weightSec: Float64Array;
  /** [r]: between rank r - 1 and rank r, both ways; [0] is not read. */
  readonly transferSec: Float64Array;
  /** Per rank: it starts no earlier. */
  readonly readySec: Float64Array;
  /** Whether weight gradients are tasks of their own; otherwise they are part of the backward pass. */
  readonly splitsBackward: boolean;
  /** Backward passes are always let run: they alone make room. Bytes kept from a forward pass on, the part of them kept until the weight gradient, and room for them; a rank holds one at least. */
  readonly savedBytes: Float64Array;
  readonly lateBytes: Float64Array;
  readonly limitBytes: Float64Array;
  /** Size of each microbatch, times and bytes in proportion; null: all 1. */
  readonly sizes: Float64Array | null;
}

export class ScheduleState {
  nowSec = 0;
  /** The rank that is asked, and whether its link is. -1 when all is done. */
  rank = -1;
  asksLink = false;
  /** What is on offer: kinds, microbatches, and 1 where it may be chosen. Options end with WAIT unless a link is asked. */
  offerCount = 0;
  readonly offerKind = new Uint8Array(64);
  readonly offerMicrobatch = new Int32Array(64);
  readonly offerLegal = new Uint8Array(64);
  /** [kind * ranks + rank]: tasks of FORWARD, BACKWARD, WEIGHT begun. */
  readonly begun: Int32Array;
  readonly heldBytes: Float64Array;
  /** The kind that each rank did last, -1 before the first. */
  readonly lastKind: Int8Array;
  readonly finishSec: Float64Array;
  readonly busy: Uint8Array;
  readonly kinds: readonly number[];
  /** Messages on their way or waiting to go, to each rank from below and from above: [2 * rank + (gradient ? 1 : 0)]. */
  readonly inbound: Int32Array;
  private readonly heap = new EventHeap();
  private readonly freeAtSec: Float64Array;
  private readonly remainingSec: Float64Array;
  private readonly linkBusy: Uint8Array;
  private readonly waiting: Uint8Array;
  /** Ready tasks in the order they became ready: [(kind * ranks + rank) * microbatches + i]; kinds 3 and 4 share a queue. */
  private readonly queue: Int32Array;
  private readonly queueReadySec: Float64Array;
  private readonly queued: Int32Array;

  constructor(readonly problem: ScheduleProblem) {
    const { ranks, microbatches } = problem;
    this.kinds = problem.splitsBackward ? [FORWARD, BACKWARD, WEIGHT] : [FORWARD, BACKWARD];
    this.begun = new Int32Array(3 * ranks);
    this.heldBytes = new Float64Array(ranks);
    this.lastKind = new Int8Array(ranks);
    this.finishSec = new Float64Array(ranks);
    this.busy = new Uint8Array(ranks);
    this.inbound = new Int32Array(2 * ranks);
    this.freeAtSec = new Float64Array(ranks);
    this.remainingSec = new Float64Array(ranks);
    this.linkBusy = new Uint8Array(ranks);
    this.waiting = new Uint8Array(ranks);
    // The queue of links holds messages of both directions.
    this.queue = new Int32Array(5 * ranks * microbatches);
    this.queueReadySec = new Float64Array(5 * ranks * microbatches);
    this.queued = new Int32Array(4 * ranks);
    this.start();
  }

  start(): void {
    const { ranks, microbatches, readySec } = this.problem;
    this.nowSec = 0;
    this.heap.clear();
    for (const a of [this.begun, this.heldBytes, this.finishSec, this.inbound]) a.fill(0);
    for (const a of [this.linkBusy, this.waiting, this.queued]) a.fill(0);
    this.lastKind.fill(-1);
    for (let r = 0; r < ranks; r++) {
      this.busy[r] = 1;
      this.freeAtSec[r] = readySec[r];
      this.remainingSec[r] = 0;
      for (let m = 0; m < microbatches; m++)
        for (const kind of this.kinds) this.remainingSec[r] += this.durationSec(kind, r, m);
      this.heap.push(readySec[r], 0, this.payload(WAKE, r, 0));
    }
    for (let m = 0; m < microbatches; m++) this.enqueue(FORWARD, 0, m);
    this.advance();
  }

  get done(): boolean {
    return this.rank < 0;
  }

  /** Seconds of a task or message. */
  durationSec(kind: number, r: number, m: number): number {
    const { forwardSec, backwardSec, weightSec, transferSec, splitsBackward, sizes } = this.problem;
    const size = sizes === null ? 1 : sizes[m];
    if (kind === FORWARD) return size * forwardSec[r];
    if (kind === BACKWARD) return size * (backwardSec[r] - (splitsBackward ? weightSec[r] : 0));
    if (kind === WEIGHT) return size * weightSec[r];
    return size * transferSec[kind === SEND_FORWARD ? r + 1 : r];
  }

  /** When the offered task became ready; now for WAIT. */
  offerReadySec(option: number): number {
    const kind = this.offerKind[option];
    if (kind === WAIT) return this.nowSec;
    const queue = Math.min(kind, SEND_FORWARD);
    const base = this.base(queue, this.rank);
    for (let i = 0; i < this.queued[queue * this.problem.ranks + this.rank]; i++)
      if (this.queue[base + i] === this.entry(kind, this.offerMicrobatch[option]))
        return this.queueReadySec[base + i];
    return this.nowSec;
  }

  /** Ready tasks of a kind on a rank. */
  readyCount(kind: number, r: number): number {
    return this.queued[kind * this.problem.ranks + r];
  }

  /** Bytes that the rank holds once the task is done. */
  bytesAfter(kind: number, r: number, m: number): number {
    const { savedBytes, lateBytes, splitsBackward, sizes } = this.problem;
    const size = sizes === null ? 1 : sizes[m];
    const late = splitsBackward ? lateBytes[r] : 0;
    if (kind === FORWARD) return this.heldBytes[r] + size * savedBytes[r];
    if (kind === BACKWARD) return this.heldBytes[r] - size * (savedBytes[r] - late);
    if (kind === WEIGHT) return this.heldBytes[r] - size * late;
    return this.heldBytes[r];
  }

  /** No schedule that goes on from here ends earlier; the makespan itself once all is done. */
  boundSec(): number {
    let bound = 0;
    for (let r = 0; r < this.problem.ranks; r++) {
      const left = this.remainingSec[r];
      // What remains is summed in another order than it was counted down in: only tasks decide whether any is left.
      const isDone =
        this.begun[this.kinds.length * this.problem.ranks - this.problem.ranks + r] ===
        this.problem.microbatches;
      const from = this.busy[r] === 1 ? Math.max(this.freeAtSec[r], this.nowSec) : this.nowSec;
      bound = Math.max(bound, isDone && this.busy[r] === 0 ? this.finishSec[r] : isDone ? from : from + left);
    }
    return bound;
  }

  /** Does the offered task, then goes on to the next question. */
  choose(option: number): void {
    const r = this.rank;
    const kind = this.offerKind[option];
    if (kind === WAIT) this.waiting[r] = 1;
    else if (this.asksLink) this.send(r, kind, this.offerMicrobatch[option]);
    else this.run(r, kind, this.offerMicrobatch[option]);
    this.advance();
  }

  /** Until somebody must be asked or all is done. */
  private advance(): void {
    const { ranks } = this.problem;
    for (;;) {
      for (let r = 0; r < ranks; r++) {
        if (this.linkBusy[r] === 1) continue;
        const count = this.queued[SEND_FORWARD * ranks + r];
        if (count === 0) continue;
        if (count > 1) return this.askLink(r);
        const entry = this.queue[this.base(SEND_FORWARD, r)];
        this.send(r, SEND_FORWARD + (entry & 1), entry >> 1);
      }
      // Messages that take no time arrive before anybody is asked.
      if (this.heap.nextTimeSec() > this.nowSec)
        for (let r = 0; r < ranks; r++)
          if (this.busy[r] === 0 && this.waiting[r] === 0 && this.askRank(r)) return;
      if (this.heap.size === 0) {
        if (this.waiting.includes(1)) {
          // Everybody waits for the others: somebody has to do something.
          this.waiting.fill(0);
          continue;
        }
        this.rank = -1;
        this.offerCount = 0;
        return;
      }
      this.nowSec = this.heap.nextTimeSec();
      while (this.heap.nextTimeSec() <= this.nowSec) this.happen(this.heap.pop());
    }
  }

  /** Offers what the rank may do; false when nothing. */
  private askRank(r: number): boolean {
    const { ranks, limitBytes, sizes } = this.problem;
    let n = 0;
    let legal = 0;
    for (const kind of this.kinds) {
      const count = Math.min(this.queued[kind * ranks + r], sizes === null ? 1 : OFFERED_PER_KIND);
      for (let i = 0; i < count; i++) {
        const m = this.queue[this.base(kind, r) + i];
        // One microbatch always fits: a rank that holds nothing may take any.
        const fits =
          kind !== FORWARD ||
          this.heldBytes[r] <= 1e-9 * limitBytes[r] ||
          this.bytesAfter(kind, r, m) <= limitBytes[r] * (1 + 1e-9);
        this.offerKind[n] = kind;
        this.offerMicrobatch[n] = m;
        legal += this.offerLegal[n++] = fits ? 1 : 0;
      }
    }
    if (legal === 0) return false;
    this.offerKind[n] = WAIT;
    this.offerMicrobatch[n] = 0;
    this.offerLegal[n++] = this.heap.size > 0 ? 1 : 0;
    this.offerCount = n;
    this.rank = r;
    this.asksLink = false;
    return true;
  }

  private askLink(r: number): void {
    const count = Math.min(64, this.queued[SEND_FORWARD * this.problem.ranks + r]);
    for (let i = 0; i < count; i++) {
      const entry = this.queue[this.base(SEND_FORWARD, r) + i];
      this.offerKind[i] = SEND_FORWARD + (entry & 1);
      this.offerMicrobatch[i] = entry >> 1;
      this.offerLegal[i] = 1;
    }
    this.offerCount = count;
    this.rank = r;
    this.asksLink = true;
  }

  private run(r: number, kind: number, m: number): void {
    const { ranks } = this.problem;
    this.dequeue(kind, r, m);
    const sec = this.durationSec(kind, r, m);
    this.begun[kind * ranks + r]++;
    this.lastKind[r] = kind;
    if (kind === FORWARD) this.heldBytes[r] = this.bytesAfter(kind, r, m);
    this.busy[r] = 1;
    this.freeAtSec[r] = this.nowSec + sec;
    this.remainingSec[r] -= sec;
    this.heap.push(this.freeAtSec[r], 0, this.payload(kind, r, m));
  }

  private send(r: number, kind: number, m: number): void {
    this.dequeue(kind, r, m);
    this.linkBusy[r] = 1;
    this.heap.push(this.nowSec + this.durationSec(kind, r, m), 0, this.payload(kind, r, m));
  }

  /** Something ends. */
  private happen(payload: number): void {
    const { ranks, microbatches, splitsBackward } = this.problem;
    const m = payload % microbatches;
    const r = Math.floor(payload / microbatches) % ranks;
    const kind = Math.floor(payload / (microbatches * ranks));
    if (kind === SEND_FORWARD || kind === SEND_BACKWARD) {
      this.linkBusy[r] = 0;
      const isGradient = kind === SEND_BACKWARD;
      const to = isGradient ? r - 1 : r + 1;
      this.inbound[2 * to + (isGradient ? 1 : 0)]--;
      this.enqueue(isGradient ? BACKWARD : FORWARD, to, m);
      return;
    }
    this.busy[r] = 0;
    if (kind === WAKE) return;
    this.finishSec[r] = this.nowSec;
    if (kind === FORWARD) {
      if (r === ranks - 1) this.enqueue(BACKWARD, r, m);
      else this.post(SEND_FORWARD, r, m);
      return;
    }
    this.heldBytes[r] = this.bytesAfter(kind, r, m);
    if (kind !== BACKWARD) return;
    if (splitsBackward) this.enqueue(WEIGHT, r, m);
    if (r > 0) this.post(SEND_BACKWARD, r, m);
  }

  /** Puts a message into the link's queue. */
  private post(kind: number, r: number, m: number): void {
    this.inbound[kind === SEND_FORWARD ? 2 * (r + 1) : 2 * (r - 1) + 1]++;
    this.enqueue(kind, r, m);
  }

  private enqueue(kind: number, r: number, m: number): void {
    const queue = Math.min(kind, SEND_FORWARD);
    const at = this.base(queue, r) + this.queued[queue * this.problem.ranks + r]++;
    this.queue[at] = this.entry(kind, m);
    this.queueReadySec[at] = this.nowSec;
    if (queue !== SEND_FORWARD) this.waiting[r] = 0;
  }

  private dequeue(kind: number, r: number, m: number): void {
    const queue = Math.min(kind, SEND_FORWARD);
    const base = this.base(queue, r);
    const count = this.queued[queue * this.problem.ranks + r]--;
    const at = this.queue.indexOf(this.entry(kind, m), base);
    this.queue.copyWithin(at, at + 1, base + count);
    this.queueReadySec.copyWithin(at, at + 1, base + count);
  }

  /** What a queue holds: the microbatch, and for messages also the direction. */
  private entry(kind: number, m: number): number {
    return kind >= SEND_FORWARD ? 2 * m + (kind - SEND_FORWARD) : m;
  }

  private base(queue: number, r: number): number {
    const { ranks, microbatches } = this.problem;
    // The last queue has room for two messages of every microbatch.
    return queue < SEND_FORWARD ? (queue * ranks + r) * microbatches : (3 * ranks + 2 * r) * microbatches;
  }

  private payload(kind: number, r: number, m: number): number {
    return (kind * this.problem.ranks + r) * this.problem.microbatches + m;
  }
}

/** Payloads must fit the event queue's 32 bits. */
export function checkScheduleSize({ ranks, microbatches }: ScheduleProblem): void {
  if (KINDS * ranks * microbatches > 2 ** 31 - 1)
    throw new Error(`internal: ${ranks} ranks and ${microbatches} microbatches are too many tasks`);
}
