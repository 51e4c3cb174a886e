/** Differences between recorded prices and those found now. */
import { describeCandidate } from '../plan/describe.js';
import type { Candidate } from '../plan/types.js';
import { PRICE_COLUMNS } from './record.js';

/** The number of a price that differs most. */
export interface PriceDifference {
  /** Line of the record. */
  readonly line: number;
  readonly plan: string;
  readonly field: string;
  /** As text, because they may be no finite numbers. */
  readonly recorded: string;
  readonly found: string;
}

/** Differences that are told one by one. */
const TOLD = 5;

/** Counts plans whose price is another than recorded. */
export class PriceDifferences {
  plans = 0;
  /** Largest relative difference of any number (1 = all of it), 0 when none differs. */
  largest = 0;
  readonly first: PriceDifference[] = [];

  /** @param tolerance largest relative difference that counts as none; 0 = every bit counts */
  constructor(private readonly tolerance: number) {}

  compare(line: number, candidate: Candidate, recorded: Float64Array, found: Float64Array): void {
    let worst = -1;
    let worstBy = 0;
    for (let i = 0; i < found.length; i++) {
      const by = this.difference(recorded[i], found[i]);
      if (by > worstBy) {
        worst = i;
        worstBy = by;
      }
    }
    if (worst < 0) return;
    this.plans++;
    this.largest = Math.max(this.largest, worstBy);
    if (this.first.length >= TOLD) return;
    this.first.push({
      line,
      plan: describeCandidate(candidate),
      field: PRICE_COLUMNS[worst],
      recorded: String(recorded[worst]),
      found: String(found[worst]),
    });
  }

  private difference(a: number, b: number): number {
    if (Object.is(a, b)) return 0;
    // Another release may not have had the column.
    if (this.tolerance > 0 && Number.isNaN(a)) return 0;
    if (a === b) return this.tolerance > 0 ? 0 : Number.MIN_VALUE;
    const by = Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b));
    if (Number.isNaN(by)) return 1;
    return by > this.tolerance ? by : 0;
  }
}
