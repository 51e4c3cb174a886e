/** Plans for several device counts as people compare them. */
import type { PlanDegrees } from '../plan/types.js';
import {
  formatBytes,
  formatPercent,
  formatSeconds,
  formatSi,
  formatSpan,
  formatTable,
  formatUsd,
} from '../util/format.js';
import type { GoodputFacts } from './goodputTable.js';
import { formatChance, formatEnd, riskQuestions } from './riskTable.js';
import type { RiskFacts } from './riskTable.js';

/** The fields of a sweep's rows that the table shows. */
export interface SweepFacts {
  readonly devices: number;
  readonly plan: {
    readonly degrees: PlanDegrees;
    readonly stepTimeSec: number;
    readonly tokensPerSec: number;
    readonly mfu: number;
    readonly peakMemoryBytes: number;
    readonly energyJoulesPerStep: number;
    readonly goodput?: GoodputFacts;
    readonly risk?: RiskFacts;
  } | null;
  readonly costPerStep: number | null;
  readonly reason: string | null;
  readonly onFrontier: boolean;
}

export function sweepTable(rows: readonly SweepFacts[], folder: string): string {
  const head = [
    'devices',
    'mesh',
    'step',
    'tokens/s',
    'MFU',
    'peak memory',
    'energy',
    'USD a step',
    'frontier',
  ];
  const lines = rows.map(({ devices, plan, costPerStep, onFrontier }) => {
    if (plan === null) return [String(devices), 'no plan fits', '', '', '', '', '', '', ''];
    const { dp, tp, pp, vpp, cp, ep } = plan.degrees;
    const mesh = Object.entries({ dp, tp, pp, vpp, cp, ep })
      .filter(([, n]) => n > 1)
      .map(([name, n]) => `${name} ${n}`);
    return [
      String(devices),
      mesh.join(', ') || 'one device',
      formatSeconds(plan.stepTimeSec),
      formatSi(plan.tokensPerSec),
      formatPercent(plan.mfu),
      formatBytes(plan.peakMemoryBytes),
      formatSi(plan.energyJoulesPerStep, 'J'),
      costPerStep === null ? '' : costPerStep.toPrecision(3),
      onFrontier ? 'yes' : '',
    ];
  });
  const reasons = rows.flatMap((r) => (r.reason === null ? [] : [`${r.devices}: ${r.reason}`]));
  const notes = [...reasons, `plans written to ${folder}/<devices>/plan.json`];
  const jobs = jobsTable(rows);
  return `${formatTable([head, ...lines], 2)}\n\n${jobs === null ? '' : `${jobs}\n\n`}${notes.join('\n')}`;
}

/** Under failures: more devices fail more often. Null where nothing was said of them. */
function jobsTable(rows: readonly SweepFacts[]): string | null {
  const planned = rows.flatMap(({ devices, plan }) =>
    plan?.goodput === undefined ? [] : [{ devices, goodput: plan.goodput, risk: plan.risk }],
  );
  if (planned.length === 0) return null;
  const [{ goodput, risk: asked }] = planned;
  const head = ['devices', 'a failure every', 'goodput', 'checkpoint every', `${goodput.steps} steps`];
  const more = asked === undefined ? [] : ['half end', 'cost', ...riskQuestions(asked)];
  const lines = planned.map(({ devices, goodput: g, risk }) => [
    String(devices),
    g.mtbfSec === null ? 'never' : formatSpan(g.mtbfSec),
    formatPercent(g.goodput ?? 0),
    g.intervalSec === null ? 'none pays' : formatSpan(g.intervalSec),
    formatEnd(g.expectedSec),
    ...(risk === undefined ? [] : chances(risk)),
  ]);
  const note =
    asked?.uncertain == null ? [] : ['chances with step times as far from predictions as measured ones'];
  return [formatTable([[...head, ...more], ...lines]), ...note].join('\n');
}

/** With uncertain predictions where these are known. */
function chances(risk: RiskFacts): string[] {
  const { p50Sec, p50Usd, inTime, withinCost, both } = risk.uncertain ?? risk.predicted;
  return [
    formatEnd(p50Sec),
    p50Usd === null ? '' : formatUsd(p50Usd),
    ...[inTime, withinCost, both].flatMap((c) => (c === null ? [] : [formatChance(c)])),
  ];
}
