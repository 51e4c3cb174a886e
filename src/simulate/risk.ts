/**
 * When a job ends, and at what cost: many runs of it over the failure model, from one seed. Probabilities come with their
 * standard errors.
 */
import { Random } from '../util/random.js';
import type { RunSetting } from './goodputRun.js';
import { JobRun } from './goodputRun.js';

export interface RiskJob extends RunSetting {
  /** As predicted, stragglers included. */
  readonly workSec: number;
  /** From here to failures per run the expectation is a guide: it settles how many runs there is time for. */
  readonly expectedFailures: number;
}

/** How far the work may be from what was predicted: a lognormal factor, common to all steps of a run. */
export interface WorkSpread {
  /** Mean and standard deviation of the factor's logarithm. */
  readonly mean: number;
  readonly deviation: number;
}

/** Times of all runs, ascending; a run that never ends is infinite. */
export interface TimeSample {
  readonly sortedSec: Float64Array;
  /** Over all runs; Infinity when one never ends. */
  readonly meanSec: number;
  readonly meanErrorSec: number;
  readonly meanFailures: number;
}

export interface Probability {
  readonly probability: number;
  /** Of the estimate; 0 where every run says the same. */
  readonly standardError: number;
}

export const MOST_RUNS = 10_000;
const LEAST_RUNS = 200;
/** Failures over all runs, about 50 ns each. */
const MOST_FAILURES = 2e7;

/** Runs that such jobs get: fewer where each fails very often. */
export function runsFor(expectedFailures: number, most = MOST_RUNS): number {
  const afforded = Math.floor(MOST_FAILURES / Math.max(1, expectedFailures));
  return Math.min(most, Math.max(LEAST_RUNS, afforded));
}

/** 10th and 90th percentile of a factor as a lognormal. */
export function spreadOf(low: number, high: number): WorkSpread {
  const half = 0.5 * Math.log(high / low);
  return { mean: 0.5 * Math.log(high * low), deviation: half / NORMAL_P90 };
}

/** 90th percentile of the standard normal distribution. */
const NORMAL_P90 = 1.2815515655446004;

/** Runs the job `runsFor` times. */
export function sampleTimes(
  job: RiskJob,
  seed: number,
  spread: WorkSpread | null = null,
  most = MOST_RUNS,
): TimeSample {
  const runs = runsFor(job.expectedFailures, most);
  const random = new Random(seed);
  // Factors of their own stream: with and without a spread the failures are the same.
  const factors = random.fork();
  const jobRun = new JobRun(job);
  const times = new Float64Array(runs);
  let failures = 0;
  for (let i = 0; i < runs; i++) {
    const factor = spread === null ? 1 : Math.exp(spread.mean + spread.deviation * factors.normal());
    times[i] = jobRun.run(job.workSec * factor, random);
    failures += jobRun.failures;
  }
  let sum = 0;
  for (let i = 0; i < runs; i++) sum += times[i];
  const meanSec = sum / runs;
  let squares = 0;
  for (let i = 0; i < runs; i++) squares += (times[i] - meanSec) ** 2;
  const meanErrorSec = meanSec === Infinity ? Infinity : Math.sqrt(squares / (runs - 1) / runs);
  return { sortedSec: times.sort(), meanSec, meanErrorSec, meanFailures: failures / runs };
}

/** Share of the runs that end within this time. */
export function endsWithin({ sortedSec }: TimeSample, timeSec: number): Probability {
  let low = 0;
  let high = sortedSec.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sortedSec[middle] <= timeSec) low = middle + 1;
    else high = middle;
  }
  const probability = low / sortedSec.length;
  return {
    probability,
    standardError: Math.sqrt((probability * (1 - probability)) / sortedSec.length),
  };
}

/** The time within which a share q of the runs ends, seconds. */
export function timeQuantile({ sortedSec }: TimeSample, q: number): number {
  return sortedSec[Math.min(sortedSec.length - 1, Math.max(0, Math.ceil(q * sortedSec.length) - 1))];
}
