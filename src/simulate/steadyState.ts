/**
 * Recognising that a recurrence repeats itself: its whole state (two or three columns of one number per rank) has shifted
 * by the same constant since it was saved.
 */

/** Relative difference below which two shifts count as the same (rounding of sums of a few thousand terms). */
export const SAME = 1e-12;

/** Copies the state's columns into `saved`, which holds three of them. */
export function saveState(
  saved: Float64Array,
  pp: number,
  a: Float64Array,
  b: Float64Array,
  c?: Float64Array,
): void {
  for (let r = 0; r < pp; r++) {
    saved[r] = a[r]!;
    saved[pp + r] = b[r]!;
    if (c !== undefined) saved[2 * pp + r] = c[r]!;
  }
}

/** Now less saved when it is the same for the whole state, else -1. */
export function shiftOf(
  saved: Float64Array,
  pp: number,
  a: Float64Array,
  b: Float64Array,
  c?: Float64Array,
): number {
  const shift = a[0] - saved[0];
  const slack = SAME * a[0];
  for (let r = 0; r < pp; r++) {
    if (Math.abs(a[r] - saved[r] - shift) > slack) return -1;
    if (Math.abs(b[r] - saved[pp + r] - shift) > slack) return -1;
    if (c !== undefined && Math.abs(c[r] - saved[2 * pp + r] - shift) > slack) return -1;
  }
  return shift;
}
