/** Probability to finish by a date within a cost: `--deadline`, `--max-cost`. */
import type { Plan } from '../plan/types.js';
import type { GoodputFacts } from '../report/goodputTable.js';
import type { RiskFacts, RiskFigures } from '../report/riskTable.js';
import { goodputOf } from '../simulate/goodput.js';
import type { JobSize } from '../simulate/goodput.js';
import { endsWithin, runsFor, sampleTimes, spreadOf, timeQuantile } from '../simulate/risk.js';
import type { RiskJob, TimeSample, WorkSpread } from '../simulate/risk.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { stepTimeInterval } from '../validation/intervals.js';
import { durationSec, jobOf, parseMtbf, planGoodput } from './goodput.js';
import type { GoodputRequest } from './goodput.js';
import type { ProblemOptions } from './problem.js';
import { clusterOf } from './problem.js';

/** Flags as they were given. */
export interface RiskFlags {
  readonly mtbf?: string | undefined;
  readonly deadline?: string | undefined;
  readonly start?: string | undefined;
  readonly maxCost?: string | undefined;
}

/** What `--deadline` and `--max-cost` ask. */
export interface RiskRequest {
  /** As written. */
  readonly deadline: string | null;
  /** From the start on, seconds. */
  readonly deadlineSec: number | null;
  /** The day on which the job starts, at 00:00 UTC. */
  readonly start: string | null;
  readonly maxCostUsd: number | null;
}

const DAY_MS = 86_400_000;
/** The last day that has four digits of a year. */
const LAST_MS = Date.UTC(9999, 11, 31);

/**
 * What is asked, or null when nothing is.
 *
 * @throws PartitionError usage
 */
export function parseRisk({ mtbf, deadline, start, maxCost }: RiskFlags): RiskRequest | null {
  if (deadline === undefined && maxCost === undefined) {
    if (start === undefined) return null;
    throw new PartitionError('usage', 'says nothing without --deadline or --max-cost', '--start');
  }
  if (mtbf === undefined)
    throw new PartitionError(
      'usage',
      'expected --mtbf with the steps of the job and what fails',
      deadline === undefined ? '--max-cost' : '--deadline',
      'for example --mtbf device=50000h,steps=100000, or --mtbf steps=100000 when nothing fails',
    );
  const startMs = start === undefined ? null : dayMs(start, '--start');
  return {
    deadline: deadline?.trim() ?? null,
    deadlineSec: deadline === undefined ? null : parseDeadline(deadline, startMs),
    start: startMs === null ? null : dayOf(startMs),
    maxCostUsd: maxCost === undefined ? null : parseMoney(maxCost),
  };
}

/** Seconds from the start: of a duration, or to the end of a day. */
function parseDeadline(text: string, startMs: number | null): number {
  const duration = durationSec(text);
  if (duration !== null && duration > 0) return duration;
  if (!/^\s*\d+-\d/.test(text))
    throw new PartitionError(
      'usage',
      `expected a duration above 0 such as 30d or a date YYYY-MM-DD, found ${oneLine(text, 40) || 'nothing'}`,
      '--deadline',
      'durations take s, m, h or d',
    );
  const endMs = dayMs(text, '--deadline') + DAY_MS;
  if (startMs === null)
    throw new PartitionError(
      'usage',
      'a date takes --start with the day on which the job starts',
      '--deadline',
      `for example --start ${dayOf(endMs - 31 * DAY_MS)} --deadline ${text.trim()}`,
    );
  if (endMs <= startMs)
    throw new PartitionError('usage', `${text.trim()} is before the start, ${dayOf(startMs)}`, '--deadline');
  return (endMs - startMs) / 1000;
}

/** A day of the calendar as milliseconds, 00:00 UTC. */
function dayMs(text: string, flag: string): number {
  const match = /^\s*(\d{4})-(\d{2})-(\d{2})\s*$/.exec(text);
  const at = match === null ? NaN : Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]));
  // The calendar rolls 2026-02-30 over into March.
  if (Number.isNaN(at) || dayOf(at) !== text.trim())
    throw new PartitionError(
      'usage',
      `expected a date YYYY-MM-DD, found ${oneLine(text, 40) || 'nothing'}`,
      flag,
    );
  return at;
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function parseMoney(text: string): number {
  const usd = /^\s*\d+(?:\.\d+)?(?:e\d+)?\s*$/i.test(text) ? Number(text) : NaN;
  if (!(usd > 0 && usd < Infinity))
    throw new PartitionError(
      'usage',
      `expected US dollars above 0, found ${oneLine(text, 40) || 'nothing'}`,
      '--max-cost',
      'for example --max-cost 2e6',
    );
  return usd;
}

/**
 * A cost can only be compared on a cluster that has a price.
 *
 * @throws PartitionError usage, before anything is searched
 */
export function checkPriced(
  risk: RiskRequest | null,
  options: Pick<ProblemOptions, 'cluster' | 'calibration' | 'devices'>,
): void {
  if (risk === null || risk.maxCostUsd === null) return;
  if (!clusterOf(options).groups.some((group) => group.pricePerDeviceHourUsd > 0)) throw unpriced();
}

function unpriced(): PartitionError {
  return new PartitionError(
    'usage',
    'the cluster has no price',
    '--max-cost',
    'give its devices pricePerDeviceHourUsd in a cluster file',
  );
}

/** A job whose end is asked for. */
export interface RiskSubject extends JobSize {
  /** Null where the cluster has no price. */
  readonly usdPerStep: number | null;
  /** Before the first step. */
  readonly standstillSec: number;
  /** 10th and 90th percentile of measured over predicted step time; null where nothing is known. */
  readonly ratios: { readonly low: number; readonly high: number } | null;
}

/** How far steps of such plans were from their prediction; null where nothing was measured. */
export function ratiosOf({ stack, phase, cluster }: Plan): RiskSubject['ratios'] {
  const interval = stepTimeInterval(1, { stack, phase, cluster: cluster.name });
  return interval && { low: interval.lowSec, high: interval.highSec };
}

/** The plan's job under these failures: when it ends, what it costs. */
export function planRisk(
  plan: Plan,
  request: GoodputRequest,
  risk: RiskRequest,
  options: Pick<ProblemOptions, 'cluster' | 'calibration'>,
  seed: number,
): RiskFacts {
  const subject = {
    ...jobOf(plan, request, options),
    usdPerStep: plan.prediction.costPerStep,
    standstillSec: 0,
    ratios: ratiosOf(plan),
  };
  return riskOf(subject, request, risk, seed);
}

/** The plan's job under what was said of failures; empty where nothing was. @throws PartitionError usage, as the flags */
export function underFailures(
  plan: Plan,
  flags: RiskFlags | undefined,
  options: Pick<ProblemOptions, 'cluster' | 'calibration'>,
  seed: number,
): { goodput?: GoodputFacts; risk?: RiskFacts } {
  if (flags?.mtbf === undefined) return {};
  const request = parseMtbf(flags.mtbf);
  const risk = parseRisk(flags);
  const goodput = planGoodput(plan, request, options);
  return risk === null ? { goodput } : { goodput, risk: planRisk(plan, request, risk, options, seed) };
}

/**
 * Many runs of the job.
 *
 * @throws PartitionError usage when a cost is asked for without a price
 */
export function riskOf(
  subject: RiskSubject,
  request: GoodputRequest,
  risk: RiskRequest,
  seed: number,
): RiskFacts {
  const { mtbfSec, intervalSec, workSec, expectedFailures } = goodputOf(request, subject);
  const job: RiskJob = { ...request, mtbfSec, intervalSec, workSec, expectedFailures };
  const { usdPerStep, stepTimeSec, hosts, ratios } = subject;
  if (risk.maxCostUsd !== null && usdPerStep === null) throw unpriced();
  // Spare hosts are paid for as well.
  const usdPerSec =
    usdPerStep === null ? null : (usdPerStep / stepTimeSec) * (1 + request.spareHosts / Math.max(1, hosts));
  const figures = (spread: WorkSpread | null): RiskFigures =>
    figuresOf(sampleTimes(job, seed, spread), risk, subject.standstillSec, usdPerSec);
  return {
    runs: runsFor(expectedFailures),
    seed,
    start: risk.start,
    deadline: risk.deadline,
    deadlineSec: risk.deadlineSec,
    maxCostUsd: risk.maxCostUsd,
    usdPerHour: usdPerSec === null ? null : usdPerSec * 3600,
    predicted: figures(null),
    uncertain: ratios === null ? null : figures(spreadOf(ratios.low, ratios.high)),
  };
}

function figuresOf(
  sample: TimeSample,
  { deadlineSec, maxCostUsd, start }: RiskRequest,
  standstillSec: number,
  usdPerSec: number | null,
): RiskFigures {
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  const times = [0.1, 0.5, 0.9].map((q) => finite(standstillSec + timeQuantile(sample, q)));
  const usd = times.map((timeSec) => (timeSec === null || usdPerSec === null ? null : timeSec * usdPerSec));
  const dates = times.map((timeSec) => dateAfter(start, timeSec));
  // Time is what is paid for: a cost is a time.
  const costSec = maxCostUsd === null || usdPerSec === null ? null : maxCostUsd / usdPerSec;
  const chance = (limitSec: number | null): RiskFigures['both'] =>
    limitSec === null ? null : endsWithin(sample, limitSec - standstillSec);
  return {
    meanSec: finite(standstillSec + sample.meanSec),
    meanErrorSec: finite(sample.meanErrorSec),
    p10Sec: times[0],
    p50Sec: times[1],
    p90Sec: times[2],
    p10Date: dates[0],
    p50Date: dates[1],
    p90Date: dates[2],
    p10Usd: usd[0],
    p50Usd: usd[1],
    p90Usd: usd[2],
    inTime: chance(deadlineSec),
    withinCost: chance(costSec),
    both: deadlineSec === null || costSec === null ? null : chance(Math.min(deadlineSec, costSec)),
  };
}

/** The day so long after the start; null without a start, without an end, and beyond the calendar. */
function dateAfter(start: string | null, timeSec: number | null): string | null {
  if (start === null || timeSec === null) return null;
  const at = Date.parse(start) + timeSec * 1000;
  return at > LAST_MS ? null : dayOf(at);
}
