/**
 * Prices of memory rows while a block is solved: a share of the prices that the dual found for all rows, plus a
 * correction on the few rows that turn out overfull.
 */
import type { RowSlack } from './rowSlack.js';

/** Share of a Polyak step at first, and its factor per step: the target that it aims at is too far. */
const FIRST_SHARE = 1;
const SHARE_FACTOR = 0.92;

export class RowPrices {
  /** Rows with a price from the dual, and the price. */
  private pricedRows = new Int32Array(0);
  private basePrice = new Float64Array(0);
  private readonly baseBefore: Float64Array;
  private base = 0;
  /** Rows with a correction, ascending, and sums of corrections before each of them, and of all. */
  private rows: number[] = [];
  private price: number[] = [];
  private before: number[] = [0];
  private share = FIRST_SHARE;

  constructor(rowCount: number) {
    this.baseBefore = new Float64Array(rowCount + 1);
  }

  /** Prices of the dual for all rows. */
  setBase(price: Float64Array): void {
    const rows: number[] = [];
    for (let r = 0; r < price.length; r++) {
      this.baseBefore[r + 1] = this.baseBefore[r] + price[r];
      if (price[r] > 0) rows.push(r);
    }
    this.pricedRows = Int32Array.from(rows);
    this.basePrice = Float64Array.from(rows, (r) => price[r]);
  }

  /** Begins a block. @param base share of the dual's prices to charge */
  begin(base: number): void {
    this.base = this.pricedRows.length === 0 ? 0 : base;
    this.rows = [];
    this.price = [];
    this.before = [0];
    this.share = FIRST_SHARE;
  }

  /** Whether everything is free. */
  get isFree(): boolean {
    return this.base === 0 && this.rows.length === 0;
  }

  /** Prices times what is used beyond the capacity (negative below it). */
  charge(slack: RowSlack): number {
    let sum = 0;
    for (let k = 0; k < this.rows.length; k++) sum -= this.price[k] * slack.at(this.rows[k]);
    if (this.base === 0) return sum;
    let baseSum = 0;
    for (let k = 0; k < this.pricedRows.length; k++)
      baseSum -= this.basePrice[k] * slack.at(this.pricedRows[k]);
    return sum + this.base * baseSum;
  }

  /** Sum of the prices of rows from `begin` up to `end`. */
  between(begin: number, end: number): number {
    const { rows, before, baseBefore } = this;
    const base = this.base === 0 ? 0 : this.base * (baseBefore[end] - baseBefore[begin]);
    return rows.length === 0 ? base : base + before[firstFrom(rows, end)] - before[firstFrom(rows, begin)];
  }

  /**
   * Polyak's subgradient step on corrections: overfull rows become dearer, corrected rows with room to spare cheaper.
   *
   * @param overfull the first `count` are rows below zero, ascending; of each run the worst gets a correction
   * @param room how far the priced optimum is from the cost to beat
   */
  step(slack: RowSlack, overfull: Int32Array, count: number, room: number): void {
    for (let k = 0; k < count;) {
      let worst = overfull[k];
      let next = k + 1;
      for (; next < count && overfull[next] === overfull[next - 1] + 1; next++)
        if (slack.at(overfull[next]) < slack.at(worst)) worst = overfull[next];
      this.insert(worst);
      k = next;
    }
    const { rows, price } = this;
    let square = 0;
    for (let k = 0; k < rows.length; k++) {
      const short = -slack.at(rows[k]);
      if (short > 0 || price[k] > 0) square += short * short;
    }
    if (square === 0) return;
    const factor = (this.share * room) / square;
    this.share *= SHARE_FACTOR;
    const before = [0];
    const keptRows: number[] = [];
    const keptPrice: number[] = [];
    for (let k = 0; k < rows.length; k++) {
      const next = price[k] - factor * slack.at(rows[k]);
      if (next <= 0) continue;
      keptRows.push(rows[k]);
      keptPrice.push(next);
      before.push(before[before.length - 1] + next);
    }
    this.rows = keptRows;
    this.price = keptPrice;
    this.before = before;
  }

  private insert(row: number): void {
    const at = firstFrom(this.rows, row);
    if (this.rows[at] === row) return;
    this.rows.splice(at, 0, row);
    this.price.splice(at, 0, 0);
  }
}

/** Position of the first entry of at least `row`. */
function firstFrom(rows: readonly number[], row: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle] < row) low = middle + 1;
    else high = middle;
  }
  return low;
}
