/** What is left of the capacity, row by row, with least values of runs of rows at hand: adding and asking cost little on long runs. */
const SHIFT = 6;
const RUN = 1 << SHIFT;

export class RowSlack {
  private readonly slack: Float64Array;
  /** Least of a run, its `lazy` included. */
  private readonly least: Float64Array;
  /** Added to all rows of a run but not yet written to them. */
  private readonly lazy: Float64Array;

  constructor(capacity: Float64Array) {
    this.slack = Float64Array.from(capacity);
    const runs = (capacity.length + RUN - 1) >> SHIFT;
    this.least = new Float64Array(runs);
    this.lazy = new Float64Array(runs);
    for (let b = 0; b < runs; b++) this.refresh(b);
  }

  get rowCount(): number {
    return this.slack.length;
  }

  at(row: number): number {
    return this.slack[row] + this.lazy[row >> SHIFT];
  }

  /** Adds to the rows from `begin` up to `end`. */
  add(begin: number, end: number, amount: number): void {
    const { slack, lazy, least } = this;
    let row = begin;
    while (row < end) {
      const b = row >> SHIFT;
      const stop = (b + 1) << SHIFT;
      if (row === b << SHIFT && stop <= end) {
        lazy[b] += amount;
        least[b] += amount;
        row = stop;
        continue;
      }
      const to = stop < end ? stop : end;
      for (; row < to; row++) slack[row] += amount;
      this.refresh(b);
    }
  }

  /** Least of the rows from `begin` up to `end`. */
  leastOf(begin: number, end: number): number {
    const { slack, lazy, least } = this;
    let found = Infinity;
    let row = begin;
    while (row < end) {
      const b = row >> SHIFT;
      const stop = (b + 1) << SHIFT;
      if (row === b << SHIFT && stop <= end) {
        if (least[b] < found) found = least[b];
        row = stop;
        continue;
      }
      const to = stop < end ? stop : end;
      const extra = lazy[b];
      for (; row < to; row++) if (slack[row] + extra < found) found = slack[row] + extra;
    }
    return found;
  }

  /** Collects rows below zero, up to as many as fit. @returns how many */
  overfull(into: Int32Array): number {
    let count = 0;
    for (let b = 0; b < this.least.length; b++) {
      if (this.least[b] >= 0) continue;
      const to = Math.min((b + 1) << SHIFT, this.slack.length);
      for (let row = b << SHIFT; row < to && count < into.length; row++)
        if (this.slack[row] + this.lazy[b] < 0) into[count++] = row;
    }
    return count;
  }

  isOverfull(): boolean {
    for (let b = 0; b < this.least.length; b++) if (this.least[b] < 0) return true;
    return false;
  }

  /** How much rows are overfull, summed. */
  excess(): number {
    let sum = 0;
    for (let b = 0; b < this.least.length; b++) {
      if (this.least[b] >= 0) continue;
      const to = Math.min((b + 1) << SHIFT, this.slack.length);
      for (let row = b << SHIFT; row < to; row++) sum += Math.max(0, -(this.slack[row] + this.lazy[b]));
    }
    return sum;
  }

  private refresh(b: number): void {
    const { slack } = this;
    const to = Math.min((b + 1) << SHIFT, slack.length);
    let found = Infinity;
    for (let row = b << SHIFT; row < to; row++) if (slack[row] < found) found = slack[row];
    this.least[b] = found + this.lazy[b];
  }
}
