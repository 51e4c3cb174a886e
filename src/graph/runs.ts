/**
 * Repetition in a string of unit classes: `E a b a b a b H` holds (a b) three times. The run that covers most work is taken
 * first, then what is left on either side is searched.
 */

export interface Run {
  /** Units from .. to, exclusive; a whole number of periods. */
  readonly from: number;
  readonly to: number;
  readonly period: number;
}

/**
 * @param classes class per unit
 * @param work per unit
 * @param isHeavy per unit: a run holds at least one heavy unit a period
 * @param phase cost of letting a period start at a unit; the cheapest start among the possible ones is taken
 * @param minShare a period with less of the total work is no layer
 */
export function findRuns(
  classes: Int32Array,
  work: Float64Array,
  isHeavy: Uint8Array,
  phase: (unit: number) => number,
  minShare: number,
): Run[] {
  const n = classes.length;
  const prefix = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) prefix[i + 1] = prefix[i] + work[i];
  const heavy = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) heavy[i + 1] = heavy[i] + isHeavy[i];
  const maxPeriod = n > 8192 ? 8 : 64;
  const runs: Run[] = [];
  const ranges: [number, number][] = [[0, n]];
  while (ranges.length > 0) {
    const [low, high] = ranges.pop()!;
    let best: Run | null = null;
    let bestWork = 0;
    for (let period = 1; period <= maxPeriod && 2 * period <= high - low; period++) {
      let matched = 0;
      for (let i = low; i + period <= high; i++) {
        if (i + period < high && classes[i] === classes[i + period]) {
          matched++;
          continue;
        }
        if (matched >= period) {
          const run = align(i - matched, i + period, period, phase);
          const covered = prefix[run.to] - prefix[run.from];
          const repeats = (run.to - run.from) / period;
          // A longer period wins only by covering clearly more.
          if (heavy[run.from + period] === heavy[run.from] && heavy[n] > 0) {
            matched = 0;
            continue;
          }
          if (covered > bestWork * 1.0001 && covered / repeats >= minShare * prefix[n]) {
            best = run;
            bestWork = covered;
          }
        }
        matched = 0;
      }
    }
    if (best === null) continue;
    runs.push(best);
    if (best.from - low >= 2) ranges.push([low, best.from]);
    if (high - best.to >= 2) ranges.push([best.to, high]);
  }
  return runs.sort((a, b) => a.from - b.from);
}

/**
 * Whole periods within [from, to), starting where it is cheapest; the earliest of equals. Judged by the second period's start:
 * the first unit may be a stranger that merely looks like the run's (the encoder's last).
 */
function align(from: number, to: number, period: number, phase: (unit: number) => number): Run {
  const slack = (to - from) % period;
  let start = from;
  let cost = Infinity;
  for (let o = 0; o <= slack; o++) {
    const c = phase(from + o + period);
    if (c < cost) {
      cost = c;
      start = from + o;
    }
  }
  return { from: start, to: start + (to - from - slack), period };
}
