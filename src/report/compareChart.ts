/** Curves of a comparison: the best value so far against evaluations and against seconds; as SVG or a page of its own. */
import type { CompareFacts } from './compareTable.js';
import { compareTable } from './compareTable.js';
import type { CurvePanel } from './curveChart.js';
import { curveChart, escapeXml } from './curveChart.js';

/** Runs of which curves are drawn. */
export interface CurveFacts {
  readonly method: string;
  readonly by: string;
  readonly curve: readonly {
    readonly evaluations: number;
    readonly wallSec: number;
    readonly value: number;
  }[];
}

/** Two panels for each measure: against evaluations, and against seconds. */
export function compareChart(facts: CompareFacts, runs: readonly CurveFacts[]): string {
  return curveChart(facts.comparisons.flatMap((c) => panels(facts, c.by, runs)));
}

function panels(facts: CompareFacts, by: string, runs: readonly CurveFacts[]): CurvePanel[] {
  const scale = facts.lowerBound ?? 1;
  const methods = facts.comparisons.find((c) => c.by === by)!.methods.map((m) => m.method);
  const measured = runs.filter((r) => r.by === by && r.curve.length > 0);
  const panel = (field: 'evaluations' | 'wallSec', least: number): CurvePanel => {
    const all = measured.flatMap((r) => r.curve.map((p) => Math.max(least, p[field])));
    return {
      title: `${facts.model}, ${facts.devices} devices: equal ${by === 'seconds' ? 'time' : 'evaluations'}`,
      xLabel: field === 'evaluations' ? 'evaluations' : 'seconds',
      yLabel: facts.lowerBound === null ? 'objective' : 'step time / lower bound',
      xMin: Math.max(least, Math.min(...all)),
      xMax: Math.max(least * 10, ...all),
      series: methods.map((name) => ({
        name,
        runs: measured
          .filter((r) => r.method === name)
          .map((r) => ({
            x: r.curve.map((p) => Math.max(least, p[field])),
            y: r.curve.map((p) => p.value / scale),
          })),
      })),
    };
  };
  return measured.length === 0 ? [] : [panel('evaluations', 1), panel('wallSec', 1e-3)];
}

/** The chart and the table on one self-contained page. */
export function comparePage(facts: CompareFacts, runs: readonly CurveFacts[]): string {
  const title = escapeXml(`Methods compared: ${facts.model}, ${facts.devices} devices`);
  return [
    '<!DOCTYPE html>',
    '<html lang="en"><head><meta charset="utf-8">',
    `<title>${title}</title>`,
    '<style>body{font-family:sans-serif;margin:2em;max-width:75em}pre{overflow-x:auto}</style>',
    `</head><body><h1>${title}</h1>`,
    compareChart(facts, runs),
    `<pre>${escapeXml(compareTable(facts))}</pre>`,
    '</body></html>',
    '',
  ].join('\n');
}
