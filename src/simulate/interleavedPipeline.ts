/**
 * The recurrence of interleaved 1F1B (Narayanan et al. 2021, Megatron-Core's order): virtual microbatches run in groups
 * of pp, chunk by chunk; in step k rank r does virtual forward k - r and virtual backward k - W + r with
 * W = 2 (pp - 1) + (vpp - 1) pp. A task needs only results of the same step or the one before.
 */
import type { StageTimes } from './stageTimes.js';
import { saveState, shiftOf } from './steadyState.js';

/** Scratch of the recurrence. */
export class InterleavedTimer {
  private steps = 0;
  /** Per rank: when its last message of each kind arrives at its neighbour. */
  private activationSent = new Float64Array(16);
  private gradientSent = new Float64Array(16);
  private saved = new Float64Array(48);
  private bases = new Int32Array(64);
  private basesPp = 0;
  private basesGroup = 0;

  /**
   * Fills when each rank ends its last task and each virtual stage its last backward pass.
   *
   * @returns steps walked
   */
  run(
    pp: number,
    vpp: number,
    microbatches: number,
    times: StageTimes,
    last: Float64Array,
    chunkEndSec: Float64Array,
  ): number {
    this.reserve(pp);
    this.steps = 0;
    const { forwardSec, backwardSec, transferSec } = times;
    const { activationSent, gradientSent } = this;
    for (let r = 0; r < pp; r++) last[r] = times.gatherExposedSec[r]!;
    activationSent.fill(0, 0, pp);
    gradientSent.fill(0, 0, pp);
    const group = pp * vpp;
    const total = microbatches * vpp;
    const lag = 2 * (pp - 1) + (vpp - 1) * pp;
    const chunkBase = this.chunkBases(pp, group);
    const firstBackward = lag - (pp - 1);
    this.fill(firstBackward, pp, group, times, last);
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
        const shift = shiftOf(this.saved, pp, last, activationSent, gradientSent);
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
      saveState(this.saved, pp, last, activationSent, gradientSent);
      savedStep = k;
    }
    this.drain(total + pp - 1, lag, pp, vpp, microbatches, times, last, chunkEndSec);
    return this.steps;
  }

  /** Steps of interleaved 1F1B before the first backward: within the first group. */
  private fill(steps: number, pp: number, group: number, times: StageTimes, last: Float64Array): void {
    const { forwardSec, transferSec } = times;
    const { activationSent, bases } = this;
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
    last: Float64Array,
    chunkEndSec: Float64Array,
  ): void {
    const { backwardSec, transferSec } = times;
    const { activationSent, gradientSent, bases } = this;
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

  private reserve(pp: number): void {
    if (pp <= this.activationSent.length) return;
    this.activationSent = new Float64Array(2 * pp);
    this.gradientSent = new Float64Array(2 * pp);
    this.saved = new Float64Array(6 * pp);
  }
}
