/** Step times so far: the recent ones, and sums over all. */

const RECENT_STEPS = 1000;

export class StepTimes {
  private readonly recent = new Float64Array(RECENT_STEPS);
  count = 0;
  sumSec = 0;
  tokens = 0;
  lastStep = -1;
  lastSec = NaN;

  add(seconds: number, step: number, tokens: number): void {
    this.recent[this.count++ % RECENT_STEPS] = seconds;
    this.sumSec += seconds;
    this.tokens += tokens;
    this.lastStep = step;
    this.lastSec = seconds;
  }

  /** Of the last thousand steps, ascending. */
  sorted(): Float64Array {
    return this.recent.slice(0, Math.min(this.count, RECENT_STEPS)).sort();
  }

  /** q-quantile of the last thousand steps; NaN when there is none. */
  quantile(q: number): number {
    const sorted = this.sorted();
    return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  }

  median(): number {
    return this.quantile(0.5);
  }

  snapshot(): unknown {
    const { count, sumSec, tokens, lastStep } = this;
    const lastSec = Number.isNaN(this.lastSec) ? null : this.lastSec;
    return { count, sumSec, tokens, lastStep, lastSec, recent: Array.from(this.recent.slice(0, count)) };
  }

  restore(from: unknown): void {
    const { recent, lastSec, ...numbers } = from as { recent: number[]; lastSec: number | null };
    Object.assign(this, numbers);
    this.lastSec = lastSec ?? NaN;
    this.recent.set(recent);
  }
}
