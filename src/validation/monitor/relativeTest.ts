/**
 * Which of many units (hosts, ranks) changed against the others. What all of them share, the weather of the step, is taken
 * out: every unit's deviation from its own usual level is compared with the median of all deviations.
 *
 *     deviation[u] = log(time[u]) - usual[u],   x[u] = deviation[u] - median over units,   a drift test on every x[u]
 */
import type { Alarm } from './drift.js';
import { DriftBank, SEED_VALUES } from './drift.js';

/** Fewer units have no middle: each is then compared with its own past alone. */
const FEWEST_FOR_MEDIAN = 3;
/** Steps over which the recent level is averaged. */
const RECENT_STEPS = 30;
/** Steps over which the settled level is averaged, at most. */
const SETTLED_STEPS = 1000;

export class RelativeTest {
  readonly bank: DriftBank;
  /** Mean log of the first values. It stays: a false alarm that moved it would make the others look changed. */
  private readonly usual: Float64Array;
  private readonly learned: Int32Array;
  /** Exponentially weighted mean of x and of the deviation. */
  private readonly recent: Float64Array;
  private readonly recentOwn: Float64Array;
  /** Mean of x, and of how many. */
  private readonly settled: Float64Array;
  private readonly seen: Float64Array;
  private readonly deviations: Float64Array;
  private readonly sorted: Float64Array;

  constructor(
    readonly units: number,
    reference: number,
    leastDeviation: number,
  ) {
    this.bank = new DriftBank(units, reference, leastDeviation, true);
    this.usual = new Float64Array(units);
    this.learned = new Int32Array(units);
    this.recent = new Float64Array(units);
    this.recentOwn = new Float64Array(units);
    this.settled = new Float64Array(units);
    this.seen = new Float64Array(units);
    this.deviations = new Float64Array(units);
    this.sorted = new Float64Array(units);
  }

  /**
   * Takes one step.
   *
   * @param logs by unit; NaN where a unit said nothing
   * @param center the others' deviation where it is known from elsewhere
   * @param alarms takes what is found
   * @returns the median deviation of the units; NaN when too few are known
   */
  step(logs: Float64Array, threshold: number, alarms: Alarm[], center = NaN): number {
    let known = 0;
    for (let u = 0; u < this.units; u++) {
      this.deviations[u] = NaN;
      const log = logs[u];
      if (Number.isNaN(log)) continue;
      if (this.learned[u] < SEED_VALUES) {
        this.usual[u] += (log - this.usual[u]) / ++this.learned[u];
        continue;
      }
      this.sorted[known++] = this.deviations[u] = log - this.usual[u];
    }
    if (known === 0) return NaN;
    const middle = medianOf(this.sorted, known);
    const shared = known >= FEWEST_FOR_MEDIAN ? (Number.isNaN(center) ? middle : center) : 0;
    for (let u = 0; u < this.units; u++) {
      if (Number.isNaN(this.deviations[u])) continue;
      const x = this.deviations[u] - shared;
      this.recent[u] += (x - this.recent[u]) / RECENT_STEPS;
      this.settled[u] += (x - this.settled[u]) / Math.min(SETTLED_STEPS, ++this.seen[u]);
      this.recentOwn[u] += (this.deviations[u] - this.recentOwn[u]) / RECENT_STEPS;
      const alarm = this.bank.push(u, x, threshold);
      if (alarm !== null) alarms.push(alarm);
    }
    return middle;
  }

  /** Whether the unit has been seen often enough to have a usual level. */
  isKnown(unit: number): boolean {
    return this.learned[unit] >= SEED_VALUES;
  }

  /** Usual log of the unit. */
  usualLog(unit: number): number {
    return this.usual[unit];
  }

  /** Recent change against the unit's first values and against the other units, in logs. */
  recentChange(unit: number): number {
    return this.recent[unit];
  }

  /** Recent change against the last thousand steps, in logs: what is new. */
  recentRise(unit: number): number {
    return this.recent[unit] - this.settled[unit];
  }

  /** Recent log of the unit. */
  recentLog(unit: number): number {
    return this.usual[unit] + this.recentOwn[unit];
  }

  snapshot(): number[][] {
    return [
      Array.from(this.usual),
      Array.from(this.learned),
      Array.from(this.recent),
      Array.from(this.recentOwn),
      Array.from(this.settled),
      Array.from(this.seen),
      ...this.bank.snapshot(),
    ];
  }

  restore([usual, learned, recent, recentOwn, settled, seen, ...bank]: readonly (readonly number[])[]): void {
    this.usual.set(usual);
    this.learned.set(learned);
    this.recent.set(recent);
    this.recentOwn.set(recentOwn);
    this.settled.set(settled);
    this.seen.set(seen);
    this.bank.restore(bank);
  }
}

/** Median of the first `count` values, which are sorted on the way. */
function medianOf(values: Float64Array, count: number): number {
  const part = values.subarray(0, count).sort();
  const half = count >> 1;
  return count % 2 === 1 ? part[half] : (part[half - 1] + part[half]) / 2;
}
