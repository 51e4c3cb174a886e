/** A comparison of methods as people read it. */
import { formatPercent, formatSeconds, formatTable, quantileName } from '../util/format.js';
import { jobsTable } from './compareJobs.js';
import type { JobsFacts } from './compareJobs.js';

/** The fields of a method's row that the table shows. */
export interface CompareRowFacts {
  readonly method: string;
  readonly isAgent: boolean;
  readonly lowerQuartile: number | null;
  readonly median: number | null;
  readonly upperQuartile: number | null;
  readonly wonShare: number;
  readonly beatsRandomShare: number;
  readonly evaluations: number;
  readonly wallSec: number;
  readonly gapToBound: number | null;
  readonly gapToBest: number | null;
  readonly proved: number;
  readonly endedEarly: boolean;
  readonly capped: boolean;
  readonly failure: string | null;
}

export interface CompareFacts {
  readonly model: string;
  readonly devices: number;
  readonly cluster: string;
  readonly objective: string;
  /** Absent: nominal values. */
  readonly robust?: { readonly slowerShare: number; readonly draws: number };
  readonly lowerBound: number | null;
  readonly seeds: readonly number[];
  readonly best: { readonly value: number; readonly method: string; readonly seed: number } | null;
  readonly comparisons: readonly {
    readonly by: string;
    readonly amount: number;
    readonly methods: readonly CompareRowFacts[];
  }[];
  /** Absent: nothing was said of failures. */
  readonly goodput?: JobsFacts;
}

/** An objective value: seconds when only time counts, else a number without a unit of its own. */
export function formatValue(value: number | null, objective: string): string {
  if (value === null) return 'no plan';
  return objective === 'time' ? formatSeconds(value) : value.toPrecision(4);
}

export function compareTable(facts: CompareFacts): string {
  const { objective, lowerBound, best, seeds } = facts;
  const count = seeds.length === 1 ? '1 seed' : `${seeds.length} seeds`;
  const { robust } = facts;
  const aim =
    robust === undefined
      ? `objective ${objective}`
      : `objective ${quantileName(robust.slowerShare)} of the step time over ${robust.draws} draws`;
  const lines = [`${facts.model} on ${facts.devices} devices of ${facts.cluster}, ${aim}, ${count}`];
  for (const { by, amount, methods } of facts.comparisons) {
    const measure = by === 'seconds' ? `${amount} s of wall time` : `${amount} evaluations`;
    lines.push('', `Equal ${by === 'seconds' ? 'time' : 'evaluations'}: ${measure} a run`, '');
    lines.push(rowsTable(methods, objective));
    const failures = methods.filter((m) => m.failure !== null);
    for (const { method, failure } of failures) lines.push(`${method} did not run: ${failure}`);
    if (methods.some((m) => m.endedEarly))
      lines.push('* ended by itself before its evaluations were spent: to be compared by time');
    if (methods.some((m) => m.capped))
      lines.push('! works on tables or a network and ran out of time, not of evaluations');
  }
  lines.push('');
  if (lowerBound !== null) lines.push(`no plan of the space is below ${formatValue(lowerBound, objective)}`);
  if (best !== null) {
    lines.push(`best: ${formatValue(best.value, objective)} by ${best.method}, seed ${best.seed}`);
  }
  if (facts.goodput !== undefined) lines.push('', jobsTable(facts.goodput, objective));
  return lines.join('\n');
}

function rowsTable(methods: readonly CompareRowFacts[], objective: string): string {
  const head = [
    'method',
    'median',
    'quartiles',
    'to best',
    'to bound',
    'best of all',
    'beats random',
    'evaluations',
    'time',
    'proved',
  ];
  const rows = methods
    .filter((m) => m.failure === null)
    .map((m) => [
      `${m.method}${m.endedEarly ? ' *' : ''}${m.capped ? ' !' : ''}`,
      formatValue(m.median, objective),
      `${formatValue(m.lowerQuartile, objective)} .. ${formatValue(m.upperQuartile, objective)}`,
      m.gapToBest === null ? '' : `+${formatPercent(m.gapToBest)}`,
      m.gapToBound === null ? '' : `+${formatPercent(m.gapToBound)}`,
      `${Math.round(100 * m.wonShare)}%`,
      m.method === 'random' ? '' : `${Math.round(100 * m.beatsRandomShare)}%`,
      String(Math.round(m.evaluations)),
      formatSeconds(m.wallSec),
      m.proved > 0 ? 'yes' : '',
    ]);
  return formatTable([head, ...rows]);
}
