/**
 * What no plan with given decisions can beat, whatever its cuts, if it is to fit: communication that the stack exposes,
 * gradient traffic, the optimizer and memory count, only the cuts are free. `bound` takes the least of it over the space.
 *
 * Virtual stages in a chain, one per rank (1F1B, GPipe, ZB-H1, inference). A rank r that holds segments [s, e) must fit in
 * its memory, and with w its work on one microbatch, M microbatches, x the least transfer between neighbours, P(s) the work
 * on the segments before s, A its forward part, and `tail` what its rank still does after its last task, the step lasts
 *
 *     1. gather + M w + tail                        it does nothing else in that time
 *     2. A(s) + r x + M w + tail                    before, the first microbatch comes through the ranks before it
 *     3. P(s) + 2 r x + M w + tail of rank 0        after, the last gradient goes back (ZB-H1: P without gradients of
 *                                                   weights, and min(M, r + 1) of its own may come later)
 *     4. k (W + 2 (pp - 1) x) + the same with M - k pp microbatches      1F1B: rank 0 starts microbatch m + pp when m is back
 *
 * Each grows with e and falls with s (what leaves the rank is before it, at most once per microbatch). So for a target time the
 * farthest cuts that every rank in turn can take, perhaps none, reach farthest, and the target is out of reach where these miss the
 * end.
 * Bisection over the target gives the bound.
 *
 * Ranks that hold several runs of segments: `spreadBound`.
 */
import { gatherSec, reduceSec, scattersEveryMicrobatch, scatterSec } from '../simulate/dataTraffic.js';
import type { PlanProblem } from '../simulate/types.js';
import { DecidedRanks } from './decidedRanks.js';
import type { Decisions } from './space.js';
import { spreadBoundSec } from './spreadBound.js';
import type { StageModel } from './stageModel.js';

/** Relative width at which bisection ends; its lower end is the bound. */
const CLOSE = 2e-4;

/**
 * `sharding`: mesh, microbatch, axis order, context exchange and recomputation; the schedule may be any, and so may ZeRO.
 * `schedule`: that too. `all`: with the ZeRO stage and its shards.
 */
export type DecisionLevel = 'sharding' | 'schedule' | 'all';

export class DecidedBound {
  private readonly ranks: DecidedRanks;

  constructor(problem: PlanProblem, model: StageModel) {
    this.ranks = new DecidedRanks(problem, model);
  }

  /**
   * Seconds that no plan with these decisions is below; Infinity when none of them fits.
   *
   * @param level how much of `d` counts
   * @param belowSec bounds from here on need not be told apart: Infinity is returned for all of them
   */
  boundSec(d: Decisions, level: DecisionLevel, belowSec = Infinity): number {
    this.ranks.take(d, level === 'all');
    const n = this.ranks.segments;
    if ((this.ranks.before[n] * this.ranks.microbatches) / d.pp >= belowSec) return Infinity;
    if (d.pp > 1 && this.ranks.train && (d.vpp > 1 || level === 'sharding'))
      return spreadBoundSec(this.ranks, level !== 'sharding');
    if (d.pp === 1) return this.need(0, 0, n);
    if (!this.reaches(belowSec)) return Infinity;
    let high = this.start();
    let low = 0;
    while (!this.reaches(high)) {
      low = high;
      high = Math.min(high * 1.1, belowSec);
    }
    while (high - low > CLOSE * high) {
      const middle = (low + high) / 2;
      if (this.reaches(middle)) high = middle;
      else low = middle;
    }
    return low;
  }

  /** A time near the bound from below: all work spread evenly, and one microbatch's way. */
  private start(): number {
    const { before, segments, microbatches, d } = this.ranks;
    return Math.max((before[segments] * microbatches) / d.pp, this.ranks.forwardBefore[segments], 1e-12);
  }

  /** Whether ranks that take as many segments as they can within the time reach the end of the model. */
  private reaches(timeSec: number): boolean {
    const n = this.ranks.segments;
    let from = 0;
    for (let r = 0; r < this.ranks.d.pp && from < n; r++) {
      // A rank that can take nothing here is passed over: those after it hold fewer microbatches.
      if (!this.canTake(r, from, from + 1, timeSec)) continue;
      let fits = from + 1;
      let misses = n + 1;
      for (let step = 1; fits + step <= n && misses > n; step *= 2) {
        if (this.canTake(r, from, fits + step, timeSec)) fits += step;
        else misses = fits + step;
      }
      while (misses - fits > 1) {
        const middle = (fits + misses) >> 1;
        if (middle <= n && this.canTake(r, from, middle, timeSec)) fits = middle;
        else misses = middle;
      }
      from = fits;
    }
    return from >= n;
  }

  private canTake(r: number, from: number, to: number, timeSec: number): boolean {
    const need = this.need(r, from, to);
    return need <= timeSec && need < Infinity;
  }

  /** The step if rank r holds segments [from, to), at least, seconds; Infinity where they do not fit. */
  private need(r: number, from: number, to: number): number {
    const { d, train, problem, layout, state, network, microbatches: M, transferSec: x } = this.ranks;
    const { stack } = problem;
    const dense = this.ranks.denseParameters(r, from, to);
    const table = this.ranks.tableOf[r];
    const expert = table.expertParameters[to] - table.expertParameters[from];
    if (this.ranks.memoryBytes(r, from, to, dense, expert) > this.ranks.roomBytes[r]) return Infinity;
    if (!train) {
      const work = table.forwardSec[to] - table.forwardSec[from] + this.ranks.hostSec;
      const way = this.ranks.before[this.ranks.segments] + d.pp * this.ranks.hostSec + (d.pp - 1) * x;
      return Math.max(M * work, way + (M - 1) * work) + stack.stepOverheadSec;
    }
    const { recomputeSec } = this.ranks.policyOf[r];
    const defers = d.schedule === 'zb-h1';
    let forward = table.forwardSec[to] - table.forwardSec[from] + this.ranks.hostSec / 2;
    let weight = defers ? table.weightSec[to] - table.weightSec[from] : 0;
    let backward =
      table.backwardSec[to] -
      table.backwardSec[from] +
      recomputeSec[to] -
      recomputeSec[from] +
      this.ranks.hostSec / 2;
    let tail = stack.stepOverheadSec;
    let gather = 0;
    if (this.ranks.whole) {
      const route = layout.network[r];
      const { gradientsUnderBackward, gathersUnderForward } = stack;
      // As `StageLoad` prices them.
      if (this.ranks.zero >= 2) {
        const fetch = this.ranks.zero === 3 ? gatherSec(network, layout, state, dense, expert, route) : 0;
        const sum = scattersEveryMicrobatch(this.ranks.zero, M)
          ? scatterSec(network, layout, state, dense, expert, route)
          : 0;
        const late = weight > 0 ? Math.max(0, sum - gradientsUnderBackward * weight) : 0;
        const behind = gradientsUnderBackward * (backward - weight);
        backward += Math.max(0, fetch + (weight > 0 ? 0 : sum) - behind) + late;
        weight += late;
        forward += Math.max(0, fetch - gathersUnderForward * forward);
      }
      const scattered = scattersEveryMicrobatch(this.ranks.zero, M);
      const reduce = reduceSec(network, layout, state, this.ranks.zero, scattered, dense, expert, route);
      tail +=
        Math.max(0, reduce - gradientsUnderBackward * (defers ? weight : backward)) +
        this.ranks.optimizerSec(r, dense, expert);
      if (this.ranks.zero === 1 || this.ranks.zero === 2)
        gather = Math.max(
          0,
          gatherSec(network, layout, state, dense, expert, route) - gathersUnderForward * forward,
        );
    } else tail += this.ranks.optimizerSec(r, dense, expert);
    const work = forward + backward;
    const own = M * work;
    const host = r * this.ranks.hostSec;
    let time = Math.max(gather + own + tail, this.ranks.forwardBefore[from] + host / 2 + r * x + own + tail);
    if (defers) {
      const back = this.ranks.inputBefore[from] + host + 2 * r * x + own - Math.min(M, r + 1) * weight;
      time = Math.max(time, back + this.ranks.firstTailSec);
    } else {
      const way = this.ranks.before[from] + host + 2 * r * x;
      time = Math.max(time, way + own + this.ranks.firstTailSec);
      const trips = d.schedule === '1f1b' ? Math.floor((M - 1) / d.pp) : 0;
      if (trips > 0) {
        const round = this.ranks.before[this.ranks.segments] + d.pp * this.ranks.hostSec + 2 * (d.pp - 1) * x;
        time = Math.max(time, trips * round + way + (M - trips * d.pp) * work + this.ranks.firstTailSec);
      }
    }
    return time;
  }
}
