/**
 * Tests that tell a change of level from noise, many at once: two-sided self-starting CUSUMs (Hawkins, "Self-starting CUSUM
 * charts for location and scale", The Statistician 36, 1987) of the innovations of noise that remembers its past. What the
 * last value does not foretell,
 *
 *     e = (x - mean) - r (x' - mean)
 *
 * is compared with all innovations before it,
 *
 *     t = e / sd * sqrt(n / (n + 1)),   u = normal deviate of the same probability as Student's t with n - 1
 *
 * so that u is a standard normal deviate from the start although nothing is known beforehand: no error of a learned mean
 * can shorten the run length. Outliers (a checkpoint, a garbage collection) are cut at three deviations. The memory r comes
 * from differences (noiseMemory.ts), which neither a change of level nor a ramp touches.
 */

import { median } from '../../util/stats.js';
import { NoiseMemory } from './noiseMemory.js';

/** Values that seed a test, robustly: those far from their median are left out. */
export const SEED_VALUES = 24;
/** No alarm before so many values. */
export const WARM_UP_VALUES = 50;
/** Deviations that an outlier counts for, at most. */
const CUT = 3;
/** Median absolute deviation of a normal distribution, in standard deviations. */
const MAD_TO_SD = 1.4826;
const SEED_OUTLIER = 4;
/** Halves of the seed whose medians lie further apart than this, in deviations, show a level that has not settled. */
const UNSETTLED = 1.25;

/** Values that are kept, to say when a change began. */
const KEPT_VALUES = 64;

/** Numbers kept of one test, beside its values. */
const FIELDS = 8;
const COUNT = 0;
const MEAN = 1;
/** Sum of squared innovations. */
const SQUARES = 2;
const UP = 3;
const DOWN = 4;
/** The value before, cut and whole. */
const LAST = 5;
const LAST_WHOLE = 6;
const SEEN = 7;

export interface Alarm {
  /** Number of the test. */
  readonly test: number;
  /** Change of level, in the unit of the values. */
  readonly change: number;
  /** Values since the change, this one included. */
  readonly length: number;
}

export class DriftBank {
  private state: Float64Array;
  /** Rings of the last values. */
  private kept: Float64Array;
  private active = 0;
  private readonly memory: NoiseMemory;

  /**
   * @param tests how many
   * @param reference half of the change to look for, in deviations: smaller finds smaller changes, later
   * @param leastDeviation values differ by at least this much, whatever was seen
   * @param alike whether the noise of all tests is of one kind, so that its memory is learned from all of them
   */
  constructor(
    readonly tests: number,
    private readonly reference: number,
    private readonly leastDeviation: number,
    alike = false,
  ) {
    this.memory = new NoiseMemory(tests, alike);
    this.state = new Float64Array(tests * FIELDS);
    this.kept = new Float64Array(tests * KEPT_VALUES);
  }

  /** Tests that have seen enough to give alarms. */
  get activeTests(): number {
    return this.active;
  }

  /** Takes the next value of a test. An alarm starts the test anew at the level after the change. */
  push(test: number, value: number, threshold: number): Alarm | null {
    const s = this.state;
    const at = test * FIELDS;
    const seen = ++s[at + SEEN];
    this.kept[test * KEPT_VALUES + ((seen - 1) % KEPT_VALUES)] = value;
    if (seen <= SEED_VALUES) {
      if (seen === SEED_VALUES) this.seed(test);
      return null;
    }
    if (seen === WARM_UP_VALUES) this.active++;
    const n = s[at + COUNT];
    const sd = Math.max(this.leastDeviation, Math.sqrt(s[at + SQUARES] / (n - 1)));
    const r = this.memory.of(test);
    const foretold = this.foretell(at, r, value);
    const t = ((value - foretold) / sd) * Math.sqrt(n / (n + 1));
    const deviate = Math.max(-CUT, Math.min(CUT, normalDeviate(t, n - 1)));
    const u = deviate / this.memory.scale(test);
    this.memory.addInnovation(test, deviate);
    this.learn(test, value, foretold, sd, t);
    s[at + UP] = Math.max(0, s[at + UP] + u - this.reference);
    s[at + DOWN] = Math.max(0, s[at + DOWN] - u - this.reference);
    if (seen < WARM_UP_VALUES || (s[at + UP] <= threshold && s[at + DOWN] <= threshold)) return null;
    return this.alarm(test);
  }

  /** Level of a test so far; NaN before it is seeded. */
  level(test: number): number {
    return this.state[test * FIELDS + SEEN] < SEED_VALUES ? NaN : this.state[test * FIELDS + MEAN];
  }

  /** Plain numbers from which `restore` goes on. */
  snapshot(): number[][] {
    return [Array.from(this.state), Array.from(this.kept), ...this.memory.snapshot()];
  }

  restore([state, kept, ...memory]: readonly (readonly number[])[]): void {
    this.memory.restore(memory);
    this.state = Float64Array.from(state);
    this.kept = Float64Array.from(kept);
    this.active = 0;
    for (let i = 0; i < this.tests; i++) if (this.state[i * FIELDS + SEEN] >= WARM_UP_VALUES) this.active++;
  }

  private seed(test: number): void {
    const s = this.state;
    const at = test * FIELDS;
    const first = this.kept.slice(test * KEPT_VALUES, test * KEPT_VALUES + SEED_VALUES);
    if (this.isUnsettled(first)) {
      // A job that warms up: the older half says nothing of its level.
      this.kept.set(first.subarray(SEED_VALUES / 2), test * KEPT_VALUES);
      s[at + SEEN] = SEED_VALUES / 2;
      return;
    }
    const middle = median(Array.from(first));
    const limit = SEED_OUTLIER * Math.max(spreadOf(first, middle), this.leastDeviation);
    const kept = first.filter((v) => Math.abs(v - middle) <= limit);
    const mean = kept.reduce((a, b) => a + b, 0) / kept.length;
    s[at + COUNT] = kept.length;
    s[at + MEAN] = mean;
    s[at + SQUARES] = kept.reduce((a, v) => a + (v - mean) ** 2, 0);
    s[at + LAST] = Math.max(middle - limit, Math.min(middle + limit, first[SEED_VALUES - 1]));
    s[at + LAST_WHOLE] = first[SEED_VALUES - 1];
    const spread = Math.sqrt(s[at + SQUARES] / (kept.length - 1));
    for (const v of first) this.memory.add(test, v, spread, Math.abs(v - middle) <= limit);
  }

  private isUnsettled(values: Float64Array): boolean {
    const half = SEED_VALUES / 2;
    const before = values.slice(0, half);
    const after = values.slice(half);
    const [a, b] = [median(Array.from(before)), median(Array.from(after))];
    const spread = Math.max(this.leastDeviation, Math.min(spreadOf(before, a), spreadOf(after, b)));
    return Math.abs(a - b) > UNSETTLED * spread;
  }

  /**
   * What the value before says of this one. An outlier may live on, as noise with memory does, or be over at once, as a
   * checkpoint is: whatever lies between is no surprise.
   */
  private foretell(at: number, r: number, value: number): number {
    const s = this.state;
    const mean = s[at + MEAN];
    const over = mean + r * (s[at + LAST] - mean);
    const alive = mean + r * (s[at + LAST_WHOLE] - mean);
    return over < alive ? Math.min(alive, Math.max(over, value)) : Math.max(alive, Math.min(over, value));
  }

  /** Welford's update, with the innovation cut at three deviations. */
  private learn(test: number, value: number, foretold: number, sd: number, t: number): void {
    const s = this.state;
    const at = test * FIELDS;
    const n = s[at + COUNT];
    const most = CUT * sd * Math.sqrt((n + 1) / n);
    const cut = t > CUT ? foretold + most : t < -CUT ? foretold - most : value;
    const innovation = cut - foretold;
    s[at + COUNT] = n + 1;
    s[at + MEAN] += (cut - s[at + MEAN]) / (n + 1);
    s[at + SQUARES] += (innovation * innovation * n) / (n + 1);
    s[at + LAST] = cut;
    s[at + LAST_WHOLE] = value;
    this.memory.add(test, value, sd, Math.abs(t) <= CUT);
  }

  /** Says when the level changed, most likely, and goes on from the new one. */
  private alarm(test: number): Alarm {
    const s = this.state;
    const at = test * FIELDS;
    const total = s[at + COUNT];
    const mean = s[at + MEAN];
    const rise = s[at + UP] >= s[at + DOWN] ? 1 : -1;
    const r = this.memory.of(test);
    const innovation = Math.sqrt(s[at + SQUARES] / (total - 1));
    // What remembers spreads wider than its innovations.
    const cut = CUT * Math.max(this.leastDeviation, innovation / Math.sqrt(1 - r * r));
    // The last m values against the n - m before: the likelihood of a change there grows with d^2 m (n - m) / n.
    const last = Math.min(KEPT_VALUES, s[at + SEEN] - SEED_VALUES, total - 2);
    let sum = 0;
    let best = 0;
    let length = 1;
    let before = mean;
    for (let m = 1; m <= last; m++) {
      sum += Math.max(mean - cut, Math.min(mean + cut, this.recent(test, m)));
      const rest = (mean * total - sum) / (total - m);
      const difference = sum / m - rest;
      const likelihood = (difference * difference * m * (total - m)) / total;
      if (likelihood > best && difference * rise > 0) {
        best = likelihood;
        length = m;
        before = rest;
      }
    }
    const level = median(Array.from({ length }, (_, i) => this.recent(test, i + 1)));
    // Of the squares, those that the change made are taken out.
    const variance = Math.max(0, s[at + SQUARES] - best * (1 - r) ** 2) / (total - 1);
    s[at + COUNT] = Math.max(2, length * (1 - r));
    s[at + MEAN] = level;
    s[at + SQUARES] = variance * (s[at + COUNT] - 1);
    s[at + UP] = 0;
    s[at + DOWN] = 0;
    // Alarms again once the new level is known well enough.
    s[at + SEEN] = SEED_VALUES;
    this.active--;
    return { test, change: level - before, length };
  }

  /** The value of a test so many values ago, from 1. */
  private recent(test: number, ago: number): number {
    return this.kept[test * KEPT_VALUES + ((this.state[test * FIELDS + SEEN] - ago) % KEPT_VALUES)];
  }
}

/** Standard deviation by the median distance from the middle. */
function spreadOf(values: Float64Array, middle: number): number {
  return MAD_TO_SD * median(Array.from(values, (v) => Math.abs(v - middle)));
}

/**
 * Normal deviate of the same probability as a Student t: Wallace (Annals of Mathematical Statistics 30, 1959), within 0.02
 * for 5 degrees of freedom or more.
 */
export function normalDeviate(t: number, freedom: number): number {
  const size = ((8 * freedom + 1) / (8 * freedom + 3)) * Math.sqrt(freedom * Math.log1p((t * t) / freedom));
  return t < 0 ? -size : size;
}
