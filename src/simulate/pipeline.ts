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
 * Interleaved pipelines are walked likewise (`interleavedPipeline`).
 *
 * A transfer delays its receiver but keeps neither rank busy; a rank's sends go out one after the other, in the order
 * of its tasks (one egress link, both directions).
 */
import type { ScheduleKind } from '../plan/types.js';
import { equalPipeline } from './equalPipeline.js';
import { InterleavedTimer } from './interleavedPipeline.js';
import { SAME, saveState, shiftOf } from './steadyState.js';
import type { StageTimes } from './stageTimes.js';

/** Scratch and results of pipeline timing; allocates only when a longer pipeline than ever before comes. */
export class PipelineTimer {
  /** Per rank: when its last task ends, seconds. Valid for the last call's pp ranks. */
  finishSec = new Float64Array(16);
  /** Per virtual stage: when its last backward pass (of training) ends and its gradients are complete. */
  chunkEndSec = new Float64Array(64);
  /** Steps the recurrence walked in the last call (0: closed form). For benches and tests. */
  steps = 0;
  private readonly interleaved = new InterleavedTimer();
  /** Per rank: when its last message arrives at its neighbour. */
  private gradientSent = new Float64Array(16);
  private saved = new Float64Array(48);
  /** Per rank: the backward pass in the two parts that ZB-H1 makes of it; all and nothing under 1F1B. */
  private inputSec = new Float64Array(16);
  private lateSec = new Float64Array(16);

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
      this.steps = this.interleaved.run(pp, vpp, microbatches, times, finishSec, chunkEndSec);
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
        saveState(this.saved, pp, last, sent);
        savedStep = k;
      } else if (k === savedStep + pp) {
        shift = shiftOf(this.saved, pp, last, sent);
        if (shift >= 0) period = pp;
        else {
          saveState(this.saved, pp, last, sent);
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

  private latest(pp: number): number {
    let latest = 0;
    for (let r = 0; r < pp; r++) if (this.finishSec[r] > latest) latest = this.finishSec[r]!;
    return latest;
  }

  private reserve(pp: number, stages: number): void {
    if (stages > this.chunkEndSec.length) this.chunkEndSec = new Float64Array(2 * stages);
    if (pp <= this.finishSec.length) return;
    this.finishSec = new Float64Array(2 * pp);
    this.gradientSent = new Float64Array(2 * pp);
    this.saved = new Float64Array(6 * pp);
    this.inputSec = new Float64Array(2 * pp);
    this.lateSec = new Float64Array(2 * pp);
  }
}
