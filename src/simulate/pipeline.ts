/**
 * How long a pipeline takes, given what each virtual stage needs for one microbatch. Three ways, from cheap to exact:
 * closed forms where all stages are equal; a max-plus recurrence over stages and microbatches; and, once the
 * recurrence repeats itself with a constant shift, a jump over the repetitions (exact: a max-plus system whose whole
 * state has shifted by a constant goes on shifting by it).
 *
 * The recurrence walks all ranks in step. In step k of 1F1B every rank r does its forward k and then its backward
 * k - (pp - 1) + r, so that a task needs only results of the same step or the one before:
 *
 *     rank 0   F0 F1 F2 B0 F3 B1 ...        step 2: F2 on every rank, then B0 on rank 0, B1 on rank 1, ...
 *     rank 1      F0 F1 B0 F2 B1 ...
 *     rank 2         F0 B0 F1 B1 ...
 *
 * Interleaved 1F1B (Narayanan et al. 2021, Megatron-Core's order): virtual microbatches run in groups of pp, chunk by
 * chunk; in step k rank r does virtual forward k - r and virtual backward k - W + r with W = 2 (pp - 1) + (vpp - 1) pp.
 *
 * A transfer delays the receiver but keeps neither rank busy.
 */
import type { ScheduleKind } from '../plan/types.js';

/** Relative difference below which two shifts count as the same (rounding of sums of a few thousand terms). */
const SAME = 1e-12;

/** Relative difference below which two stages count as equal. */
const EQUAL = 1e-10;

/** Scratch and results of pipeline timing; allocates only when a longer pipeline than ever before comes. */
export class PipelineTimer {
  /** Per rank: when its last backward (or forward, in inference) ends, seconds. Valid for the last call's pp ranks. */
  finishSec = new Float64Array(16);
  /** Steps the recurrence walked in the last call (0: closed form). For benches and tests. */
  steps = 0;
  private forwardEnd = new Float64Array(16);
  private saved = new Float64Array(32);
  private savedForward = new Float64Array(32);

  /**
   * Time of one step, from the first forward to the last backward, seconds.
   *
   * @param forward seconds of one microbatch's forward pass on each virtual stage (rank v % pp)
   * @param backward the same for the backward pass, recomputation included
   * @param transfer seconds between the end of virtual stage v - 1 and v's start (index v; [0] is not read)
   */
  train(
    schedule: ScheduleKind,
    pp: number,
    vpp: number,
    microbatches: number,
    forward: Float64Array,
    backward: Float64Array,
    transfer: Float64Array,
  ): number {
    this.reserve(pp);
    this.steps = 0;
    if (pp === 1) {
      const total = microbatches * (forward[0] + backward[0]);
      this.finishSec[0] = total;
      return total;
    }
    if (schedule === 'gpipe') return this.gpipe(pp, microbatches, forward, backward, transfer);
    if (schedule === 'interleaved') this.interleaved(pp, vpp, microbatches, forward, backward, transfer);
    else if (equalStages(pp, forward, backward, transfer))
      return this.equal(pp, microbatches, forward[0], backward[0], transfer[1]);
    else this.oneForwardOneBackward(pp, microbatches, forward, backward, transfer);
    return this.latest(pp);
  }

  /** Forward passes only (inference): a flow shop of identical jobs, which has a closed form. */
  infer(pp: number, microbatches: number, forward: Float64Array, transfer: Float64Array): number {
    this.reserve(pp);
    this.steps = 0;
    let first = 0;
    let widest = 0;
    for (let r = 0; r < pp; r++) {
      first += forward[r] + (r > 0 ? transfer[r] : 0);
      widest = Math.max(widest, forward[r]);
      this.finishSec[r] = first + (microbatches - 1) * widest;
    }
    return this.finishSec[pp - 1];
  }

  /** All forwards, then all backwards: two flow shops of identical jobs, one after the other. */
  private gpipe(
    pp: number,
    microbatches: number,
    forward: Float64Array,
    backward: Float64Array,
    transfer: Float64Array,
  ): number {
    const start = this.infer(pp, microbatches, forward, transfer);
    let first = start;
    let widest = 0;
    for (let r = pp - 1; r >= 0; r--) {
      first += backward[r] + (r < pp - 1 ? transfer[r + 1] : 0);
      widest = Math.max(widest, backward[r]);
      this.finishSec[r] = first + (microbatches - 1) * widest;
    }
    return this.finishSec[0];
  }

  /**
   * Equal stages under 1F1B. Rank 0 ends its first backward after the whole way down and up, then follows one stage
   * time a microbatch; every pp microbatches it runs dry for the round trip of transfers, because only pp are in flight.
   */
  private equal(pp: number, microbatches: number, f: number, b: number, x: number): number {
    const trips = 1 + Math.floor((microbatches - 1) / pp);
    const total = (pp + microbatches - 1) * (f + b) + trips * 2 * (pp - 1) * x;
    for (let r = 0; r < pp; r++) this.finishSec[r] = total - r * (b + x);
    return total;
  }

  private oneForwardOneBackward(
    pp: number,
    microbatches: number,
    forward: Float64Array,
    backward: Float64Array,
    transfer: Float64Array,
  ): void {
    const last = this.finishSec;
    const saved = this.saved;
    last.fill(0, 0, pp);
    const steps = microbatches + pp - 1;
    let savedStep = -1;
    for (let k = 0; k < steps; k++) {
      let arrival = 0;
      let least = Infinity;
      let most = 0;
      for (let r = 0; r < pp; r++) {
        const before = last[r];
        let t = before;
        if (k < microbatches) {
          if (arrival > t) t = arrival;
          t += forward[r];
          if (r + 1 < pp) arrival = t + transfer[r + 1];
        }
        const j = k - (pp - 1) + r;
        if (j >= 0 && j < microbatches) {
          // last[r + 1] still holds the end of the neighbour's backward j, done one step ago.
          if (r + 1 < pp) {
            const gradient = last[r + 1] + transfer[r + 1];
            if (gradient > t) t = gradient;
          }
          t += backward[r];
        }
        last[r] = t;
        const shift = t - before;
        if (shift < least) least = shift;
        if (shift > most) most = shift;
      }
      this.steps++;
      // Steady state: from step pp - 1 to microbatches - 1 every rank does one forward and one backward a step.
      if (k < pp || k >= microbatches - 1) continue;
      let period = 0;
      let shift = most;
      if (most - least <= SAME * most) period = 1;
      else if (savedStep < 0) {
        for (let r = 0; r < pp; r++) saved[r] = last[r]!;
        savedStep = k;
      } else if (k === savedStep + pp) {
        shift = constantShift(last, saved, pp);
        if (shift >= 0) period = pp;
        else {
          for (let r = 0; r < pp; r++) saved[r] = last[r]!;
          savedStep = k;
        }
      }
      if (period === 0) continue;
      const jumps = Math.floor((microbatches - 1 - k) / period);
      if (jumps <= 0) continue;
      k += jumps * period;
      for (let r = 0; r < pp; r++) last[r] += jumps * shift;
      savedStep = -1;
    }
  }

  private interleaved(
    pp: number,
    vpp: number,
    microbatches: number,
    forward: Float64Array,
    backward: Float64Array,
    transfer: Float64Array,
  ): void {
    const last = this.finishSec;
    const forwardEnd = this.forwardEnd;
    last.fill(0, 0, pp);
    forwardEnd.fill(0, 0, pp);
    const group = pp * vpp;
    const total = microbatches * vpp;
    const lag = 2 * (pp - 1) + (vpp - 1) * pp;
    const steps = total + lag;
    let savedStep = -1;
    for (let k = 0; k < steps; k++) {
      // Ends of the step before: the wrap-around neighbours (rank pp - 1 -> 0 forward, rank 0 -> pp - 1 backward).
      let neighbour = forwardEnd[pp - 1];
      const firstBackward = last[0];
      for (let r = 0; r < pp; r++) {
        let t = last[r];
        const i = k - r;
        const own = forwardEnd[r];
        if (i >= 0 && i < total) {
          const v = Math.floor((i % group) / pp) * pp + r;
          if (v > 0) {
            const arrival = neighbour + transfer[v];
            if (arrival > t) t = arrival;
          }
          t += forward[v];
          forwardEnd[r] = t;
        }
        neighbour = own;
        const j = k - lag + r;
        if (j >= 0 && j < total) {
          const v = (vpp - 1 - Math.floor((j % group) / pp)) * pp + r;
          if (v < group - 1) {
            const gradient = (r + 1 < pp ? last[r + 1] : firstBackward) + transfer[v + 1];
            if (gradient > t) t = gradient;
          }
          t += backward[v];
        }
        last[r] = t;
      }
      this.steps++;
      // Steady from the step in which rank 0 does its first backward until it does its last forward.
      if (k < lag || k >= total - 1) continue;
      if (savedStep >= 0 && k < savedStep + group) continue;
      if (savedStep >= 0) {
        const shift = constantShift(last, this.saved, pp);
        const sameForward = constantShift(forwardEnd, this.savedForward, pp);
        const jumps = Math.floor((total - 1 - k) / group);
        if (shift >= 0 && Math.abs(shift - sameForward) <= SAME * shift && jumps > 0) {
          k += jumps * group;
          for (let r = 0; r < pp; r++) {
            last[r] += jumps * shift;
            forwardEnd[r] += jumps * shift;
          }
          savedStep = Infinity;
          continue;
        }
      }
      if (savedStep === Infinity) continue;
      for (let r = 0; r < pp; r++) {
        this.saved[r] = last[r]!;
        this.savedForward[r] = forwardEnd[r]!;
      }
      savedStep = k;
    }
  }

  private latest(pp: number): number {
    let latest = 0;
    for (let r = 0; r < pp; r++) if (this.finishSec[r] > latest) latest = this.finishSec[r]!;
    return latest;
  }

  private reserve(pp: number): void {
    if (pp <= this.finishSec.length) return;
    this.finishSec = new Float64Array(2 * pp);
    this.forwardEnd = new Float64Array(2 * pp);
    this.saved = new Float64Array(2 * pp);
    this.savedForward = new Float64Array(2 * pp);
  }
}

/** now - then when it is the same for all ranks, else -1. */
function constantShift(now: Float64Array, then: Float64Array, pp: number): number {
  const shift = now[0] - then[0];
  for (let r = 1; r < pp; r++) if (Math.abs(now[r] - then[r] - shift) > SAME * now[r]) return -1;
  return shift;
}

function equalStages(
  pp: number,
  forward: Float64Array,
  backward: Float64Array,
  transfer: Float64Array,
): boolean {
  for (let r = 1; r < pp; r++)
    if (
      differ(forward[r], forward[0]) ||
      differ(backward[r], backward[0]) ||
      differ(transfer[r], transfer[1])
    )
      return false;
  return true;
}

/** Stage times are differences of prefix sums: equal stages differ by their rounding. */
function differ(a: number, b: number): boolean {
  return Math.abs(a - b) > EQUAL * b;
}
