/**
 * How long a pipeline takes, given what each virtual stage needs for one microbatch. A closed form where there is one
 * (GPipe, forward passes, equal stages: `equalPipeline`); else a max-plus recurrence over stages and microbatches, and,
 * once it repeats itself with a constant shift, a jump over the repetitions. All of it is exact: a max-plus system
 * whose whole state has shifted by a constant goes on shifting by it.
 *
 * The recurrence walks all ranks in step. In step k of 1F1B every rank r does its forward k and then its backward
 * k - (pp - 1) + r, so that a task needs only results of the same step or the one before; under ZB-H1 it then does
 * weight gradient k - (pp - 1):
 *
 *     rank 0   F0 F1 F2 B0 F3 B1 ...        step 2: F2 on every rank, then B0 on rank 0, B1 on rank 1, ...
 *     rank 1      F0 F1 B0 F2 B1 ...
 *     rank 2         F0 B0 F1 B1 ...
 *
 * Interleaved 1F1B (Narayanan et al. 2021, Megatron-Core's order): virtual microbatches run in groups of pp, chunk by
 * chunk; in step k rank r does virtual forward k - r and virtual backward k - W + r with W = 2 (pp - 1) + (vpp - 1) pp.
 *
 * A transfer delays its receiver but keeps neither rank busy; a rank's sends go out one after the other, in the order
 * of its tasks (one egress link, both directions).
 */
import type { ScheduleKind } from '../plan/types.js';
import { equalPipeline } from './equalPipeline.js';

/** Relative difference below which two shifts count as the same (rounding of sums of a few thousand terms). */
const SAME = 1e-12;

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

/** Scratch and results of pipeline timing; allocates only when a longer pipeline than ever before comes. */
export class PipelineTimer {
  /** Per rank: when its last task ends, seconds. Valid for the last call's pp ranks. */
  finishSec = new Float64Array(16);
  /** Per virtual stage: when its last backward pass (of training) ends and its gradients are complete. */
  chunkEndSec = new Float64Array(64);
  /** Steps the recurrence walked in the last call (0: closed form). For benches and tests. */
  steps = 0;
  /** Per rank: when its last message of each kind arrives at its neighbour. */
  private activationSent = new Float64Array(16);
  private gradientSent = new Float64Array(16);
  private saved = new Float64Array(48);
  /** Per rank: the backward pass in the two parts that ZB-H1 makes of it; all and nothing under 1F1B. */
  private inputSec = new Float64Array(16);
  private lateSec = new Float64Array(16);
  private bases = new Int32Array(64);
  private basesPp = 0;
  private basesGroup = 0;

  /** Time of one step, from its start to the last backward pass, seconds. */
  train(schedule: ScheduleKind, pp: number, vpp: number, microbatches: number, times: StageTimes): number {
    this.reserve(pp, pp * vpp);
    this.steps = 0;
    if (pp === 1) {
      const total = times.gatherExposedSec[0] + microbatches * (times.forwardSec[0] + times.backwardSec[0]);
      this.finishSec[0] = total;
      this.chunkEndSec[0] = total;
      return total;
    }
    const { finishSec, chunkEndSec } = this;
    if (schedule === 'gpipe') this.gpipe(pp, microbatches, times);
    else if (equalPipeline(schedule, pp, vpp, microbatches, times, finishSec, chunkEndSec))
      return this.latest(pp);
    else if (schedule === 'interleaved') {
      this.interleaved(pp, vpp, microbatches, times);
      return this.latest(pp);
    } else this.oneForwardOneBackward(pp, microbatches, times, schedule === 'zb-h1');
    for (let r = 0; r < pp; r++) chunkEndSec[r] = finishSec[r]!;
    return this.latest(pp);
  }

  /**
   * Forward passes only (inference): a flow shop of identical jobs, links being machines too. The last job waits for the
   * first to come through and then for the slowest machine on its way; a rank that begins late begins a way of its own.
   */
  infer(pp: number, microbatches: number, times: StageTimes): number {
    const { forwardSec, transferSec, gatherExposedSec } = times;
    this.reserve(pp, pp);
    this.steps = 0;
    const { finishSec } = this;
    let reached = -1;
    for (let from = 0; from < pp; from++) {
      // When the first job would begin here anyway.
      const arrival = from === 0 ? -1 : reached + transferSec[from];
      if (from > 0 && gatherExposedSec[from] <= arrival) {
        reached = arrival + forwardSec[from];
        continue;
      }
      let first = gatherExposedSec[from];
      let widest = 0;
      for (let r = from; r < pp; r++) {
        const message = r > from ? transferSec[r] : 0;
        first += forwardSec[r] + message;
        widest = Math.max(widest, forwardSec[r], message);
        const end = first + (microbatches - 1) * widest;
        finishSec[r] = from === 0 ? end : Math.max(finishSec[r], end);
      }
      reached = gatherExposedSec[from] + forwardSec[from];
    }
    return finishSec[pp - 1];
  }

  /** All forwards, then all backwards: two flow shops of identical jobs, one after the other. */
  private gpipe(pp: number, microbatches: number, times: StageTimes): void {
    const { backwardSec, transferSec } = times;
    let first = this.infer(pp, microbatches, times);
    let widest = 0;
    for (let r = pp - 1; r >= 0; r--) {
      const message = r < pp - 1 ? transferSec[r + 1] : 0;
      first += backwardSec[r] + message;
      widest = Math.max(widest, backwardSec[r], message);
      this.finishSec[r] = first + (microbatches - 1) * widest;
    }
  }

  private oneForwardOneBackward(pp: number, microbatches: number, times: StageTimes, defers: boolean): void {
    const { inputSec, lateSec, finishSec, gradientSent } = this;
    for (let r = 0; r < pp; r++) {
      lateSec[r] = defers ? times.weightSec[r] : 0;
      inputSec[r] = times.backwardSec[r] - lateSec[r];
      finishSec[r] = times.gatherExposedSec[r]!;
      gradientSent[r] = 0;
    }
    const steps = microbatches + pp - 1;
    let k = 0;
    while (k < pp - 1) this.step(k++, pp, microbatches, times);
    if (k < microbatches) k = this.steadySteps(k, pp, microbatches, times);
    while (k < steps) this.step(k++, pp, microbatches, times);
  }

  /** Any step of 1F1B and ZB-H1: forwards, backwards and weight gradients where there are still, or already, some. */
  private step(k: number, pp: number, microbatches: number, times: StageTimes): void {
    const { forwardSec, transferSec } = times;
    const { inputSec, lateSec } = this;
    const last = this.finishSec;
    const sent = this.gradientSent;
    const steps = microbatches + pp - 1;
    const isForward = k < microbatches;
    // Once forwards have run out ranks end one after the other, the last rank first; W goes on everywhere.
    const ranks = isForward ? pp : Math.min(pp, steps - k);
    let arrival = 0;
    for (let r = 0; r < ranks; r++) {
      let t = last[r];
      let link = sent[r];
      if (isForward) {
        if (arrival > t) t = arrival;
        t += forwardSec[r];
        if (r + 1 < pp) {
          link = (t > link ? t : link) + transferSec[r + 1];
          arrival = link;
        }
      }
      if (k - (pp - 1) + r >= 0) {
        // sent[r + 1] still holds the arrival of the neighbour's gradient, sent one step ago.
        if (r + 1 < pp && sent[r + 1] > t) t = sent[r + 1];
        t += inputSec[r];
        if (r > 0) link = (t > link ? t : link) + transferSec[r];
      }
      last[r] = t;
      sent[r] = link;
    }
    if (k >= pp - 1) for (let r = 0; r < pp; r++) last[r] += lateSec[r];
    this.steps++;
  }

  /**
   * The steps in which every rank does one of each, from step pp - 1 until the last forward; those that only repeat are
   * jumped over.
   *
   * @returns the step that comes next
   */
  private steadySteps(from: number, pp: number, microbatches: number, times: StageTimes): number {
    const { forwardSec, transferSec } = times;
    const { inputSec, lateSec } = this;
    const last = this.finishSec;
    const sent = this.gradientSent;
    let savedStep = -1;
    let k = from;
    for (; k < microbatches; k++) {
      let arrival = 0;
      let shift = 0;
      let spread = 0;
      for (let r = 0; r < pp; r++) {
        const before = last[r];
        const sentBefore = sent[r];
        let t = (arrival > before ? arrival : before) + forwardSec[r];
        let link = sentBefore;
        if (r + 1 < pp) {
          link = (t > link ? t : link) + transferSec[r + 1];
          arrival = link;
          const gradient = sent[r + 1];
          if (gradient > t) t = gradient;
        }
        t += inputSec[r];
        if (r > 0) link = (t > link ? t : link) + transferSec[r];
        t += lateSec[r];
        last[r] = t;
        sent[r] = link;
        if (r === 0) shift = t - before;
        spread = Math.max(spread, Math.abs(t - before - shift), Math.abs(link - sentBefore - shift));
      }
      this.steps++;
      let period = 0;
      if (spread <= SAME * last[0]) period = 1;
      else if (savedStep < 0) {
        this.save(pp, last, sent);
        savedStep = k;
      } else if (k === savedStep + pp) {
        shift = this.shiftOf(pp, last, sent);
        if (shift >= 0) period = pp;
        else {
          this.save(pp, last, sent);
          savedStep = k;
        }
      }
      if (period === 0) continue;
      const jumps = Math.floor((microbatches - 1 - k) / period);
      if (jumps <= 0) continue;
      k += jumps * period;
      for (let r = 0; r < pp; r++) {
        last[r] += jumps * shift;
        sent[r] += jumps * shift;
      }
      savedStep = -1;
    }
    return k;
  }

  private interleaved(pp: number, vpp: number, microbatches: number, times: StageTimes): void {
    const { forwardSec, backwardSec, transferSec } = times;
    const last = this.finishSec;
    const { activationSent, gradientSent, chunkEndSec } = this;
    for (let r = 0; r < pp; r++) last[r] = times.gatherExposedSec[r]!;
    activationSent.fill(0, 0, pp);
    gradientSent.fill(0, 0, pp);
    const group = pp * vpp;
    const total = microbatches * vpp;
    const lag = 2 * (pp - 1) + (vpp - 1) * pp;
    const chunkBase = this.chunkBases(pp, group);
    const firstBackward = lag - (pp - 1);
    this.fill(firstBackward, pp, group, times);
    let savedStep = -1;
    for (let k = firstBackward; k < total + pp - 1; k++) {
      // Positions in their groups of rank 0's forward and backward; the ranks follow in order.
      let inForward = (k % group) + 1;
      let inBackward = ((k + 2 * group - lag) % group) - 1;
      // Of the step before: the wrap-around neighbours (rank pp - 1 -> 0 forward, rank 0 -> pp - 1 backward).
      let activation = activationSent[pp - 1];
      const firstGradient = gradientSent[0];
      for (let r = 0; r < pp; r++) {
        let t = last[r];
        const ownActivation = activationSent[r];
        let link = ownActivation > gradientSent[r] ? ownActivation : gradientSent[r];
        const i = k - r;
        inForward = inForward === 0 ? group - 1 : inForward - 1;
        if (i >= 0 && i < total) {
          const v = chunkBase[inForward] + r;
          if (v > 0 && activation > t) t = activation;
          t += forwardSec[v];
          if (v + 1 < group) {
            link = (t > link ? t : link) + transferSec[v + 1];
            activationSent[r] = link;
          }
        }
        activation = ownActivation;
        const j = k - lag + r;
        inBackward = inBackward + 1 === group ? 0 : inBackward + 1;
        if (j >= 0 && j < total) {
          const v = group - pp - chunkBase[inBackward] + r;
          if (v < group - 1) {
            const gradient = r + 1 < pp ? gradientSent[r + 1] : firstGradient;
            if (gradient > t) t = gradient;
          }
          t += backwardSec[v];
          if (v > 0) gradientSent[r] = (t > link ? t : link) + transferSec[v];
          // Overwritten until the last microbatch: jumps end before its first backward.
          chunkEndSec[v] = t;
        }
        last[r] = t;
      }
      this.steps++;
      // Steady from the step in which rank 0 does its first backward until it does its last forward.
      if (k < lag || k >= total - 1 || savedStep === Infinity) continue;
      if (savedStep >= 0 && k < savedStep + group) continue;
      if (savedStep >= 0) {
        const shift = this.shiftOf(pp, last, activationSent, gradientSent);
        const jumps = Math.floor((total - 1 - k) / group);
        if (shift >= 0 && jumps > 0) {
          k += jumps * group;
          for (let r = 0; r < pp; r++) {
            last[r] += jumps * shift;
            activationSent[r] += jumps * shift;
            gradientSent[r] += jumps * shift;
          }
          savedStep = Infinity;
          continue;
        }
      }
      this.save(pp, last, activationSent, gradientSent);
      savedStep = k;
    }
    this.drain(total + pp - 1, lag, pp, vpp, microbatches, times);
  }

  /** Steps of interleaved 1F1B before the first backward: within the first group. */
  private fill(steps: number, pp: number, group: number, times: StageTimes): void {
    const { forwardSec, transferSec } = times;
    const { activationSent, bases } = this;
    const last = this.finishSec;
    for (let k = 0; k < steps; k++) {
      let activation = activationSent[pp - 1];
      const ranks = Math.min(pp, k + 1);
      for (let r = 0; r < ranks; r++) {
        const v = bases[k - r] + r;
        let t = last[r];
        if (v > 0 && activation > t) t = activation;
        t += forwardSec[v];
        activation = activationSent[r]!;
        last[r] = t;
        if (v + 1 < group) activationSent[r] = (t > activation ? t : activation) + transferSec[v + 1];
      }
    }
    this.steps += steps;
  }

  /** Steps of interleaved 1F1B after the last forward: within the last group. */
  private drain(
    from: number,
    lag: number,
    pp: number,
    vpp: number,
    microbatches: number,
    times: StageTimes,
  ): void {
    const { backwardSec, transferSec } = times;
    const { activationSent, gradientSent, chunkEndSec, bases } = this;
    const last = this.finishSec;
    const group = pp * vpp;
    const total = microbatches * vpp;
    const steps = total + lag;
    for (let k = from; k < steps; k++) {
      const firstGradient = gradientSent[0];
      const ranks = Math.min(pp, steps - k);
      // Of rank 0, counted from the start of the last group.
      const first = k - lag - (total - group);
      for (let r = 0; r < ranks; r++) {
        const v = group - pp - bases[first + r] + r;
        let t = last[r];
        if (v < group - 1) {
          const gradient = r + 1 < pp ? gradientSent[r + 1] : firstGradient;
          if (gradient > t) t = gradient;
        }
        t += backwardSec[v];
        if (v > 0) {
          let link = activationSent[r] > gradientSent[r] ? activationSent[r] : gradientSent[r];
          if (t > link) link = t;
          gradientSent[r] = link + transferSec[v];
        }
        chunkEndSec[v] = t;
        last[r] = t;
      }
    }
    this.steps += Math.max(0, steps - from);
  }

  /** First virtual stage of the chunk that position i of a group works on. */
  private chunkBases(pp: number, group: number): Int32Array {
    if (this.basesPp === pp && this.basesGroup === group) return this.bases;
    if (group > this.bases.length) this.bases = new Int32Array(2 * group);
    for (let i = 0; i < group; i++) this.bases[i] = i - (i % pp);
    this.basesPp = pp;
    this.basesGroup = group;
    return this.bases;
  }

  private save(pp: number, a: Float64Array, b: Float64Array, c?: Float64Array): void {
    const { saved } = this;
    for (let r = 0; r < pp; r++) {
      saved[r] = a[r];
      saved[pp + r] = b[r];
      if (c !== undefined) saved[2 * pp + r] = c[r];
    }
  }

  /** now - saved when it is the same for the whole state, else -1. */
  private shiftOf(pp: number, a: Float64Array, b: Float64Array, c?: Float64Array): number {
    const { saved } = this;
    const shift = a[0] - saved[0];
    const slack = SAME * a[0];
    for (let r = 0; r < pp; r++) {
      if (Math.abs(a[r] - saved[r] - shift) > slack) return -1;
      if (Math.abs(b[r] - saved[pp + r] - shift) > slack) return -1;
      if (c !== undefined && Math.abs(c[r] - saved[2 * pp + r] - shift) > slack) return -1;
    }
    return shift;
  }

  private latest(pp: number): number {
    let latest = 0;
    for (let r = 0; r < pp; r++) if (this.finishSec[r] > latest) latest = this.finishSec[r]!;
    return latest;
  }

  private reserve(pp: number, stages: number): void {
    if (stages > this.chunkEndSec.length) this.chunkEndSec = new Float64Array(2 * stages);
    if (pp <= this.finishSec.length) return;
    this.finishSec = new Float64Array(2 * pp);
    this.activationSent = new Float64Array(2 * pp);
    this.gradientSent = new Float64Array(2 * pp);
    this.saved = new Float64Array(6 * pp);
    this.inputSec = new Float64Array(2 * pp);
    this.lateSec = new Float64Array(2 * pp);
  }
}
