/** When a job ends and at what cost, with what probability, as people read it. */
import { formatPercent, formatSpan, formatTable, formatUsd } from '../util/format.js';

/** A share of simulated runs. */
export interface Chance {
  readonly probability: number;
  readonly standardError: number;
}

/** Of all runs; null: in so many runs the job never ends. */
export interface RiskFigures {
  readonly meanSec: number | null;
  readonly meanErrorSec: number | null;
  /** Within these times one in ten, half, and nine in ten of the runs end. */
  readonly p10Sec: number | null;
  readonly p50Sec: number | null;
  readonly p90Sec: number | null;
  /** Null where no start was given. */
  readonly p10Date: string | null;
  readonly p50Date: string | null;
  readonly p90Date: string | null;
  /** Null where the cluster has no price. */
  readonly p10Usd: number | null;
  readonly p50Usd: number | null;
  readonly p90Usd: number | null;
  /** Null where it was not asked for. */
  readonly inTime: Chance | null;
  readonly withinCost: Chance | null;
  readonly both: Chance | null;
}

export interface RiskFacts {
  readonly runs: number;
  readonly seed: number;
  /** As stated; null: not. */
  readonly start: string | null;
  readonly deadline: string | null;
  readonly deadlineSec: number | null;
  readonly maxCostUsd: number | null;
  /** USD an hour, spare hosts included; null where the cluster has no price. */
  readonly usdPerHour: number | null;
  /** With steps as long as predicted. */
  readonly predicted: RiskFigures;
  /** With steps as far from their prediction as measured ones were; null where nothing was measured. */
  readonly uncertain: RiskFigures | null;
}

/** A thousand years. */
const NEVER_SEC = 1000 * 365 * 86_400;

/** The time until a job ends; one that practically never does has none. */
export function formatEnd(timeSec: number | null): string {
  return timeSec === null || timeSec > NEVER_SEC ? 'never' : formatSpan(timeSec);
}

/** `86.1% ± 0.3%`. */
export function formatChance({ probability, standardError }: Chance): string {
  return `${formatPercent(probability)} ± ${formatPercent(standardError)}`;
}

/** What was asked for: the headings of the probabilities. */
export function riskQuestions(f: RiskFacts): string[] {
  const time = f.start === null ? `in ${f.deadline}` : `by ${f.deadline}`;
  const cost = `within ${formatUsd(f.maxCostUsd ?? 0)}`;
  const { inTime, withinCost, both } = f.predicted;
  return [inTime && time, withinCost && cost, both && 'both'].filter((q) => q !== null);
}

/** A row a figure: as the steps were predicted, and as uncertain as predictions are. */
export function riskRows(f: RiskFacts): string[][] {
  const sides = f.uncertain === null ? [f.predicted] : [f.predicted, f.uncertain];
  const end = (timeSec: number | null, date: string | null, usd: number | null): string => {
    const time = f.start === null ? formatEnd(timeSec) : (date ?? 'never');
    return usd === null || time === 'never' ? time : `${time}, ${formatUsd(usd)}`;
  };
  const keys = (['inTime', 'withinCost', 'both'] as const).filter((key) => f.predicted[key] !== null);
  const questions = riskQuestions(f);
  return [
    ['simulated runs', 'steps as predicted', 'predictions off as measured ones'].slice(0, 1 + sides.length),
    ['1 in 10 ends', ...sides.map((r) => end(r.p10Sec, r.p10Date, r.p10Usd))],
    ['half', ...sides.map((r) => end(r.p50Sec, r.p50Date, r.p50Usd))],
    ['9 in 10', ...sides.map((r) => end(r.p90Sec, r.p90Date, r.p90Usd))],
    ...keys.map((key, i) => [questions[i], ...sides.map((r) => formatChance(r[key]!))]),
  ];
}

export function riskTable(f: RiskFacts): string {
  return `${formatTable(riskRows(f))}\n${riskNote(f)}`;
}

export function riskNote({ runs, seed }: RiskFacts): string {
  return `${runs} runs of the job, seed ${seed}; probabilities with their standard errors`;
}
