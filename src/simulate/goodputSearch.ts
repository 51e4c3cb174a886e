/** The best checkpoint interval as runs of the job have it: no formula, for failures of any kind. */
import { Random } from '../util/random.js';
import { bestIntervalSec } from './goodput.js';
import type { RunSetting } from './goodputRun.js';
import { JobRun } from './goodputRun.js';

/** Intervals looked at, as logarithms over the formula's. */
const HALF_WIDTH = 0.6;
const POINTS = 13;
/** Failures of one run, so many that the last stretch does not matter. */
const FAILURES = 20_000;
const LEAST_STRETCHES = 400;

/** Seconds per second of work, long after the start: mean of several runs. */
export function timePerWork(setting: RunSetting, seed: number, runs: number): number {
  const { intervalSec, checkpointSec, restartSec, mtbfSec } = setting;
  const failuresPerStretch =
    Math.exp(restartSec / mtbfSec) * Math.expm1((intervalSec + checkpointSec) / mtbfSec);
  const stretches = Math.max(LEAST_STRETCHES, Math.ceil(FAILURES / failuresPerStretch));
  const workSec = stretches * intervalSec;
  const job = new JobRun(setting, Infinity);
  let sum = 0;
  for (let run = 0; run < runs; run++) sum += job.run(workSec, new Random(seed + run));
  return sum / runs / workSec;
}

/**
 * Interval at which simulated jobs are shortest, seconds of work: runs at intervals around the formula's, on the same
 * failures for all of them, a cubic through the logarithms of their times, and its lowest point. Infinity when nothing
 * fails or no interval near is the best.
 */
export function simulatedIntervalSec(
  setting: Omit<RunSetting, 'intervalSec'>,
  seed: number,
  runs = 8,
): number {
  let centre = bestIntervalSec(setting.checkpointSec, setting.mtbfSec);
  if (centre === Infinity) return Infinity;
  // Where failures are not exponential the best may be far from the formula's: go there step by step.
  for (let moves = 0; moves < 12; moves++) {
    const x: number[] = [];
    const y: number[] = [];
    for (let i = 0; i < POINTS; i++) {
      x.push(HALF_WIDTH * ((2 * i) / (POINTS - 1) - 1));
      y.push(Math.log(timePerWork({ ...setting, intervalSec: centre * Math.exp(x[i]) }, seed, runs)));
    }
    const lowest = lowestOfCubic(x, y);
    centre *= Math.exp(lowest);
    if (Math.abs(lowest) < 0.5 * HALF_WIDTH) return centre;
  }
  return Infinity;
}

/** Least-squares cubic through the points; where it is lowest between the first and the last x. */
export function lowestOfCubic(x: readonly number[], y: readonly number[]): number {
  const size = 4;
  const a = Array.from({ length: size }, () => new Float64Array(size + 1));
  for (let p = 0; p < x.length; p++)
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) a[i][j] += x[p] ** (i + j);
      a[i][size] += y[p] * x[p] ** i;
    }
  // Gauss and Jordan; the matrix is positive definite, so no pivot is 0.
  for (let i = 0; i < size; i++)
    for (let k = 0; k < size; k++) {
      if (k === i) continue;
      const f = a[k][i] / a[i][i];
      for (let j = i; j <= size; j++) a[k][j] -= f * a[i][j];
    }
  const [, c1, c2, c3] = a.map((row, i) => row[size] / row[i]);
  const at = (t: number): number => t * (c1 + t * (c2 + t * c3));
  const first = x[0];
  const last = x[x.length - 1];
  let lowest = first;
  for (let i = 1; i <= FINE; i++) {
    const t = first + ((last - first) * i) / FINE;
    if (at(t) < at(lowest)) lowest = t;
  }
  return lowest;
}

const FINE = 4000;
