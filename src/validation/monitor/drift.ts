/**
 * Tests that tell a change of level from noise, many at once: two-sided self-starting CUSUMs (Hawkins, "Self-starting CUSUM
 * charts for location and scale", The Statistician 36, 1987). Every value is compared with all values before it,
 *
 *     t = (x - mean) / sd * sqrt(n / (n + 1)),   u = normal deviate of the same probability as Student's t with n - 1
 *
 * so that u is a standard normal deviate from the start although nothing is known beforehand: no error of a learned
 * mean can shorten the run length. Outliers (a checkpoint, a garbage collection) are cut at three deviations. Noise that
 * remembers its past is seen in the successive differences and widens the scale.
 */

import { median } from '../../util/stats.js';

/** Values that seed a test, robustly: those far from their median are left out. */
export const SEED_VALUES = 24;
/** No alarm before so many values. */
export const WARM_UP_VALUES = 50;
/** Deviations that an outlier counts for, at most. */
const CUT = 3;
/** Median absolute deviation of a normal distribution, in standard deviations. */
const MAD_TO_SD = 1.4826;
const SEED_OUTLIER = 4;
/** Values over which the memory of the noise is averaged, at most. */
const MEMORY_SPAN = 2000;
/** No correction for more memory than this. */
const MOST_MEMORY = 0.9;

/** Values that are kept, to say when a change began. */
const KEPT_VALUES = 64;

/** Numbers kept of one test, beside its values. */
const FIELDS = 8;
const COUNT = 0;
const MEAN = 1;
const SQUARES = 2;
const UP = 3;
const DOWN = 4;
const LAST = 5;
const DIFFERENCE = 6;
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

  /**
   * @param tests how many
   * @param reference half of the change to look for, in deviations: smaller finds smaller changes, later
   * @param leastDeviation values differ by at least this much, whatever was seen
   */
  constructor(
    readonly tests: number,
    private readonly reference: number,
    private readonly leastDeviation: number,
  ) {
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
    const t = ((value - s[at + MEAN]) / sd) * Math.sqrt(n / (n + 1));
    const deviate = Math.max(-CUT, Math.min(CUT, normalDeviate(t, n - 1)));
    const u = deviate / this.memoryScale(at, deviate, seen);
    this.learn(at, value, sd, t);
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
    return [Array.from(this.state), Array.from(this.kept)];
  }

  restore([state, kept]: readonly (readonly number[])[]): void {
    this.state = Float64Array.from(state);
    this.kept = Float64Array.from(kept);
    this.active = 0;
    for (let i = 0; i < this.tests; i++) if (this.state[i * FIELDS + SEEN] >= WARM_UP_VALUES) this.active++;
  }

  private seed(test: number): void {
    const values = this.kept.slice(test * KEPT_VALUES, test * KEPT_VALUES + SEED_VALUES).sort();
    const middle = (values[SEED_VALUES / 2 - 1] + values[SEED_VALUES / 2]) / 2;
    const distances = values.map((v) => Math.abs(v - middle)).sort();
    const spread = MAD_TO_SD * ((distances[SEED_VALUES / 2 - 1] + distances[SEED_VALUES / 2]) / 2);
    const limit = SEED_OUTLIER * Math.max(spread, this.leastDeviation);
    const kept = values.filter((v) => Math.abs(v - middle) <= limit);
    const mean = kept.reduce((a, b) => a + b, 0) / kept.length;
    const at = test * FIELDS;
    this.state[at + COUNT] = kept.length;
    this.state[at + MEAN] = mean;
    this.state[at + SQUARES] = kept.reduce((a, v) => a + (v - mean) ** 2, 0);
    this.state[at + DIFFERENCE] = 1;
  }

  /** Welford's update, with the value cut at three deviations. */
  private learn(at: number, value: number, sd: number, t: number): void {
    const s = this.state;
    const n = s[at + COUNT];
    const spread = sd * Math.sqrt((n + 1) / n);
    const cut = t > CUT ? s[at + MEAN] + CUT * spread : t < -CUT ? s[at + MEAN] - CUT * spread : value;
    const before = cut - s[at + MEAN];
    s[at + COUNT] = n + 1;
    s[at + MEAN] += before / (n + 1);
    s[at + SQUARES] += before * (cut - s[at + MEAN]);
  }

  /**
   * How much wider sums of these deviates spread than sums of independent ones: sqrt((1 + r) / (1 - r)) for a first-order
   * memory r. r = 1 - E[(u - u')^2] / 2 (von Neumann's ratio), which a change of level does not touch; only what chance
   * does not explain counts.
   */
  private memoryScale(at: number, deviate: number, seen: number): number {
    const s = this.state;
    const n = Math.min(MEMORY_SPAN, seen - SEED_VALUES);
    if (n > 1) s[at + DIFFERENCE] += ((deviate - s[at + LAST]) ** 2 / 2 - s[at + DIFFERENCE]) / n;
    s[at + LAST] = deviate;
    const r = Math.min(MOST_MEMORY, 1 - s[at + DIFFERENCE] - 2 * Math.sqrt(3 / n));
    return r > 0 ? Math.sqrt((1 + r) / (1 - r)) : 1;
  }

  /** Says when the level changed, most likely, and goes on from the new one. */
  private alarm(test: number): Alarm {
    const s = this.state;
    const at = test * FIELDS;
    const total = s[at + COUNT];
    const mean = s[at + MEAN];
    const rise = s[at + UP] >= s[at + DOWN] ? 1 : -1;
    const cut = CUT * Math.max(this.leastDeviation, Math.sqrt(s[at + SQUARES] / (total - 1)));
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
    const variance = Math.max(0, s[at + SQUARES] - best) / (total - 1);
    s[at + COUNT] = Math.max(2, length);
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

/**
 * Normal deviate of the same probability as a Student t: Wallace (Annals of Mathematical Statistics 30, 1959), within 0.02
 * for 5 degrees of freedom or more.
 */
export function normalDeviate(t: number, freedom: number): number {
  const size = ((8 * freedom + 1) / (8 * freedom + 3)) * Math.sqrt(freedom * Math.log1p((t * t) / freedom));
  return t < 0 ? -size : size;
}
