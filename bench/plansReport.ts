/** What a run of the suite comes to: rows per instance, the scores that the agents are judged by, and the page. */
import { isAgent, summarizeRuns } from '../src/api/compare.js';
import type { CompareRun, CompareSetting, MethodSummary } from '../src/api/compare.js';
import type { BestKnown, SuiteInstance } from '../src/api/suite.js';
import { formatPercent } from '../src/util/format.js';
import { median } from '../src/util/stats.js';

export interface Outcome {
  readonly instance: SuiteInstance;
  readonly setting: CompareSetting;
  readonly runs: readonly CompareRun[];
}

export interface Row {
  readonly instance: string;
  readonly objective: string;
  readonly devices: number;
  readonly lowerBound: number | null;
  /** The better of the stored best known value and the best of all runs. */
  readonly best: number;
  readonly bestIsProved: boolean;
  /** The cluster is mixed, damaged or thin, or the graph irregular: where methods that decompose have a hard time. */
  readonly isUneven: boolean;
  readonly methods: readonly MethodSummary[];
}

/** The search that the shipped checkpoint guides, and what it is held against. */
const AGENT = 'agent';
const CONTROLS: readonly string[] = ['auto-no-agent', 'agent-uniform'];
/** Values this near are ties. */
const TIE = 0.005;

/**
 * @param by which of the runs
 * @param known stored values; better ones found here count instead
 */
export function rowsOf(
  outcomes: readonly Outcome[],
  by: CompareRun['by'],
  known: ReadonlyMap<string, BestKnown>,
): Row[] {
  return outcomes.map(({ instance, setting, runs }) => {
    const stored = known.get(instance.name);
    const best = Math.min(stored?.value ?? Infinity, ...runs.map((r) => r.value ?? Infinity));
    return {
      instance: instance.name,
      objective: instance.objective,
      devices: instance.devices,
      lowerBound: setting.lowerBound,
      best,
      bestIsProved: stored?.proved === true || runs.some((r) => r.exhaustive),
      isUneven: instance.cluster.endsWith('.yaml') || instance.model.kind === 'irregular',
      methods: summarizeRuns(
        runs.filter((r) => r.by === by),
        setting.lowerBound,
        best,
      ),
    };
  });
}

/** The classical method with the best median, null where none ran; portfolios and controls are none. */
function bestBaseline({ methods }: Row): MethodSummary | null {
  const baselines = methods.filter((m) => !isAgent(m.method) && !CONTROLS.includes(m.method));
  return baselines.reduce<MethodSummary | null>(
    (a, b) => (a === null || (b.median ?? Infinity) < (a.median ?? Infinity) ? b : a),
    null,
  );
}

function gapOf(row: Row, method: string): number {
  return row.methods.find((m) => m.method === method)?.gapToBest ?? Infinity;
}

/** How the method stands against the best baseline of each instance. */
export interface Score {
  readonly method: string;
  /** Instances on which its median is at most 0.5 % above the best baseline's, and on which it is 0.5 % below. */
  readonly tiesOrBeats: number;
  readonly beats: number;
  readonly instances: number;
  /** Instances on which its median is at most 1 % above the best baseline's. */
  readonly withinOnePercent: number;
  readonly worst: number;
  /** Uneven instances on which the best baseline leaves a gap of over 0.5 %, and those on which the method closes half of it. */
  readonly open: number;
  readonly halved: number;
}

export function scoreOf(rows: readonly Row[], method: string): Score {
  let [tiesOrBeats, beats, withinOnePercent, open, halved] = [0, 0, 0, 0, 0];
  let worst = -Infinity;
  for (const row of rows) {
    const baseline = bestBaseline(row)?.gapToBest ?? Infinity;
    const own = gapOf(row, method);
    const ratio = baseline === Infinity ? (own === Infinity ? 0 : -1) : (1 + own) / (1 + baseline) - 1;
    if (ratio <= TIE) tiesOrBeats++;
    if (ratio < -TIE) beats++;
    if (ratio <= 2 * TIE) withinOnePercent++;
    worst = Math.max(worst, ratio);
    if (!row.isUneven || baseline <= TIE) continue;
    open++;
    if (own <= baseline / 2) halved++;
  }
  return { method, tiesOrBeats, beats, instances: rows.length, withinOnePercent, worst, open, halved };
}

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const rule = (count: number): string =>
  line(Array.from({ length: count }, (_, i) => (i === 0 ? '---' : '---:')));
const gapCell = (gap: number): string => (gap === Infinity ? 'no plan' : formatPercent(gap));

/** The agent, the same search without its policy, and the portfolios, against the best baseline of each instance. */
function scoreTable(rows: readonly Row[]): string[] {
  const methods = [AGENT, CONTROLS[1], 'auto', CONTROLS[0], 'policy'];
  const ran = methods.filter((method) => rows.some((r) => gapOf(r, method) < Infinity));
  const head = [
    'against the best baseline',
    'ties or beats',
    'beats',
    'within 1 %',
    'worst',
    'halves its gap',
  ];
  return [
    line(head),
    rule(head.length),
    ...ran.map((method) => {
      const s = scoreOf(rows, method);
      return line([
        method,
        `${s.tiesOrBeats} of ${s.instances}`,
        String(s.beats),
        `${s.withinOnePercent} of ${s.instances}`,
        gapCell(s.worst),
        `${s.halved} of ${s.open}`,
      ]);
    }),
  ];
}

/** Every instance: its best baseline, the agent and the agent without its policy. */
function agentTable(rows: readonly Row[]): string[] {
  const head = ['instance', 'best baseline', 'its gap', AGENT, CONTROLS[1], 'auto', 'uneven'];
  return [
    line(head),
    rule(head.length),
    ...rows.map((row) => {
      const baseline = bestBaseline(row);
      return line([
        row.instance,
        baseline?.method ?? '',
        gapCell(baseline?.gapToBest ?? Infinity),
        ...[AGENT, CONTROLS[1], 'auto'].map((m) => gapCell(gapOf(row, m))),
        row.isUneven ? 'yes' : '',
      ]);
    }),
  ];
}

function ranIn(rows: readonly Row[]): string[] {
  return [...new Set(rows.flatMap((r) => r.methods.filter((m) => m.median !== null).map((m) => m.method)))];
}

/** Each method over all instances, best first. */
function overallTable(rows: readonly Row[]): string[] {
  const over = ranIn(rows).map((method) => {
    const own = rows.map((r) => r.methods.find((m) => m.method === method)!);
    const gaps = own.map((m) => m.gapToBest ?? Infinity);
    const won = own.filter((m, i) => {
      const least = Math.min(...rows[i].methods.map((x) => x.median ?? Infinity));
      return m.median !== null && m.median <= least * (1 + 1e-9);
    }).length;
    const beats = own.filter((m, i) => {
      const random = rows[i].methods.find((x) => x.method === 'random')?.median ?? Infinity;
      return m.median !== null && m.median < random * (1 - 1e-9);
    }).length;
    return { method, middle: median(gaps), worst: Math.max(...gaps), won, beats, own };
  });
  over.sort((a, b) => a.middle - b.middle || a.worst - b.worst);
  const head = [
    'method',
    'gap to best, median',
    'worst',
    'won',
    'beats random',
    'evaluations',
    'seconds',
    'cut short',
  ];
  return [
    line(head),
    rule(head.length),
    ...over.map(({ method, middle, worst, won, beats, own }) =>
      line([
        method,
        gapCell(middle),
        gapCell(worst),
        `${won} of ${rows.length}`,
        method === 'random' ? '' : `${beats} of ${rows.length}`,
        String(Math.round(median(own.map((m) => m.evaluations)))),
        median(own.map((m) => m.wallSec)).toPrecision(2),
        String(own.filter((m) => m.capped).length),
      ]),
    ),
  ];
}

function instanceTable(rows: readonly Row[]): string[] {
  const ran = ranIn(rows);
  const head = ['instance', 'bound', 'best known', ...ran];
  return [
    line(head),
    rule(head.length),
    ...rows.map((r) =>
      line([
        r.instance,
        r.lowerBound === null ? '' : r.lowerBound.toPrecision(4),
        `${r.best.toPrecision(5)}${r.bestIsProved ? ' (proved)' : ''}`,
        ...ran.map((m) => gapCell(gapOf(r, m))),
      ]),
    ),
  ];
}

/** One measure of the suite. */
export interface Measured {
  /** `2000 evaluations`, `1 s`. */
  readonly amount: string;
  readonly rows: readonly Row[];
}

/** The page. */
export function report(parts: readonly Measured[], how: string): string {
  return [
    '# The suite',
    '',
    `Every method on every instance of \`src/data/suite\`: ${how}. A gap is the distance of the median over seeds from the best value known,`,
    'runs of this page included. A *baseline* is a classical method; `agent` is a search guided by the one checkpoint that ships,',
    '`agent-uniform` the same search without its policy, `auto-no-agent` the portfolio without its agents. *ties or beats*: the median is at most',
    '0.5 % above that of the best of all baselines, which is another one on each instance. *halves its gap*: instances with a mixed, damaged or thin cluster or an irregular',
    'graph on which the best baseline is over 0.5 % from the best value known, and on how many of them the method is at most half as far. *won*: no method has a',
    'better median (ties count for all). *cut short*: a run ended by the clock, not by its evaluations. `make bench-plans` writes this page',
    'and `suite.json`.',
    '',
    ...parts.flatMap(({ amount, rows }) => [
      `## ${amount} each`,
      '',
      ...[scoreTable(rows), agentTable(rows), overallTable(rows), instanceTable(rows)].flatMap((t) => [
        ...t,
        '',
      ]),
    ]),
  ].join('\n');
}
