/** Methods compared by what their best plans take when things fail. */
import { formatPercent, formatSeconds, formatSpan, formatTable } from '../util/format.js';
import { formatEnd } from './riskTable.js';

/** The best plan of one method as a job. */
export interface JobRow {
  readonly method: string;
  readonly seed: number;
  /** Objective value. */
  readonly value: number;
  readonly stepTimeSec: number;
  /** Between checkpoints, seconds of work; null: none pays. */
  readonly intervalSec: number | null;
  readonly goodput: number | null;
  /** Null: the job never ends. */
  readonly expectedSec: number | null;
  /** From 1; equal ones share a rank. */
  readonly rankByValue: number;
  readonly rank: number;
}

export interface JobsFacts {
  readonly steps: number;
  /** Of the whole job; null: nothing fails. */
  readonly mtbfSec: number | null;
  /** Shortest expected time first. */
  readonly methods: readonly JobRow[];
}

/** @param objective as the comparison has it: `time` compares step times */
export function jobsTable({ steps, mtbfSec, methods }: JobsFacts, objective: string): string {
  const often = mtbfSec === null ? 'nothing fails' : `a failure every ${formatSpan(mtbfSec)}`;
  const head = ['method', 'step', 'goodput', 'checkpoint every', 'expected time', 'rank', `by ${objective}`];
  const rows = methods.map((m) => [
    m.method,
    formatSeconds(m.stepTimeSec),
    formatPercent(m.goodput ?? 0),
    m.intervalSec === null ? 'none pays' : formatSpan(m.intervalSec),
    formatEnd(m.expectedSec),
    String(m.rank),
    String(m.rankByValue),
  ]);
  return [
    `The best plan of each method, ${steps} steps, ${often}`,
    '',
    formatTable([head, ...rows]),
    rankingSentence(methods, objective),
  ].join('\n');
}

/** Where the order by expected time is another than that by the objective. */
export function rankingSentence(methods: readonly JobRow[], objective: string): string {
  const moved = methods.filter((m) => m.rank !== m.rankByValue);
  if (moved.length === 0) return `the order by expected time is that by ${objective}`;
  const places = moved.map((m) => `${m.method} ${m.rank} in place of ${m.rankByValue}`);
  return `the order by expected time is another than that by ${objective}: ${places.join(', ')}`;
}
