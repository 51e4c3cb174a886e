/**
 * How high a CUSUM's threshold must be for a false alarm to be as rare as it is said to be.
 *
 * One-sided CUSUM of independent standard normal deviates u, S = max(0, S + u - k), alarm at S > h. Its average run length
 * without a change is, by Siegmund's corrected diffusion approximation (Sequential Analysis, 1985, equation 2.56),
 *
 *     ARL(k, h) = (exp(2 k b) - 2 k b - 1) / (2 k^2),   b = h + 1.166
 */

/** Expected excess of a normal random walk over a boundary, both ends of the path. */
const OVERSHOOT = 1.166;

/** Average number of deviates between false alarms of a one-sided CUSUM. */
export function averageRunLength(reference: number, threshold: number): number {
  const x = 2 * reference * (threshold + OVERSHOOT);
  return (Math.exp(x) - x - 1) / (2 * reference * reference);
}

/**
 * The threshold at which one false alarm in any of many two-sided tests is expected in so many steps; the tests' rates
 * add up, whether or not they are independent.
 *
 * @param tests two-sided tests that each see one deviate a step
 * @param steps between false alarms of all of them together
 */
export function thresholdFor(reference: number, tests: number, steps: number): number {
  const runLength = 2 * Math.max(1, tests) * steps;
  let low = 0;
  let high = 1;
  while (averageRunLength(reference, high) < runLength) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (averageRunLength(reference, middle) < runLength) low = middle;
    else high = middle;
  }
  return high;
}

/** Mean number of steps from a change to its alarm: the path's slope is the change, in deviations, less the reference. */
export function expectedDelay(reference: number, threshold: number, change: number): number {
  return change > reference ? (threshold + OVERSHOOT) / (change - reference) : Infinity;
}
