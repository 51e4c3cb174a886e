/**
 * Largest value in any range of a fixed array in O(1): a sparse table of the maxima of runs of length 2^k, two of
 * which, overlapping, cover every range.
 *
 *     value  3 1 4 1 5        max of [0, 3) = max(run2[0], run2[1]) = max(3, 4)
 */
export class RangeMax {
  private readonly rows: Float64Array[] = [];

  constructor(values: Float64Array) {
    this.rows.push(values);
    for (let width = 1; 2 * width <= values.length; width *= 2) {
      const below = this.rows[this.rows.length - 1];
      const row = new Float64Array(values.length - 2 * width + 1);
      for (let i = 0; i < row.length; i++) row[i] = Math.max(below[i], below[i + width]);
      this.rows.push(row);
    }
  }

  /** Maximum of [from, to); 0 for an empty range. */
  over(from: number, to: number): number {
    const length = to - from;
    if (length <= 0) return 0;
    const k = 31 - Math.clz32(length);
    const row = this.rows[k];
    const a = row[from];
    const b = row[to - (1 << k)];
    return a > b ? a : b;
  }
}
