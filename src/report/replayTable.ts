/** A record priced again, as people read it. */
import type { PriceDifference } from '../simulate/difference.js';
import { oneLine } from '../util/errors.js';
import { formatPercent, formatSeconds, formatSi, formatTable } from '../util/format.js';

/** What prices were made for. */
export interface ReplayPlace {
  readonly cluster: string;
  readonly devices: number;
  readonly stack: string;
  readonly calibration: string | null;
  /** Level whose uplinks were changed, null when as the cluster has them. */
  readonly oversubscription: { readonly level: string; readonly ratio: number } | null;
}

/** One plan in both orders; values are of the objective, null where it does not fit. */
export interface ReplayedPlan {
  /** Line of the record. */
  readonly line: number;
  readonly plan: string;
  readonly before: number | null;
  readonly after: number | null;
  readonly rankBefore: number | null;
  readonly rankAfter: number | null;
  /** After over before. */
  readonly change: number | null;
}

export interface ReplayFacts {
  readonly record: string;
  readonly model: string;
  readonly recordedVersion: string;
  readonly version: string;
  readonly method: string;
  readonly objective: string;
  /** Prices in the record, and different plans among them. */
  readonly evaluations: number;
  readonly plans: number;
  readonly before: ReplayPlace;
  readonly after: ReplayPlace;
  /** True when nothing was asked to be other than recorded: then every price must be the same. */
  readonly again: boolean;
  /** Relative difference that counts as none; 0 = bit by bit; null when prices were asked to differ. */
  readonly tolerance: number | null;
  readonly differences: {
    readonly plans: number;
    readonly largest: number;
    readonly first: readonly PriceDifference[];
  };
  readonly fitBefore: number;
  readonly fitAfter: number;
  readonly rankCorrelation: number | null;
  readonly bestBefore: ReplayedPlan | null;
  readonly top: readonly ReplayedPlan[];
  readonly warnings: readonly string[];
}

export function replayTable(facts: ReplayFacts): string {
  return facts.again ? verdict(facts) : `${head(facts)}\n\n${comparison(facts)}`;
}

function verdict(facts: ReplayFacts): string {
  const { differences, evaluations, tolerance, bestBefore } = facts;
  const how = tolerance === 0 ? 'bit by bit' : `within ${tolerance}`;
  const lines = [head(facts), ''];
  if (differences.plans === 0) lines.push(`all ${evaluations} prices are as recorded, ${how}`);
  else {
    lines.push(
      `${differences.plans} of ${evaluations} prices differ from the record (compared ${how}), by up to ${formatPercent(differences.largest)}; the first:`,
      formatTable([
        ['line', 'number', 'recorded', 'found', 'plan'],
        ...differences.first.map((d) => [String(d.line), d.field, d.recorded, d.found, d.plan]),
      ]),
    );
  }
  if (bestBefore !== null && bestBefore.before !== null)
    lines.push(`best plan: ${bestBefore.plan}, ${formatValue(bestBefore.before, facts)}`);
  return lines.join('\n');
}

function head(facts: ReplayFacts): string {
  const { before, after } = facts;
  const rows = [
    [
      'record',
      `${oneLine(facts.record, 120)}: ${facts.evaluations} prices of ${facts.plans} plans, method ${oneLine(facts.method, 40)}`,
    ],
    ['model', oneLine(facts.model, 120)],
    [facts.again ? 'priced on' : 'before', describePlace(before)],
  ];
  if (!facts.again) rows.push(['after', describePlace(after)]);
  return formatTable(rows, 2);
}

function describePlace(place: ReplayPlace): string {
  const parts = [
    `${place.devices} devices of ${oneLine(place.cluster, 60)}`,
    `stack ${oneLine(place.stack, 60)}`,
  ];
  if (place.calibration !== null) parts.push(`calibration ${oneLine(place.calibration, 60)}`);
  if (place.oversubscription !== null)
    parts.push(`${place.oversubscription.level} oversubscribed ${place.oversubscription.ratio}:1`);
  return parts.join(', ');
}

function comparison(facts: ReplayFacts): string {
  const { bestBefore, top, rankCorrelation } = facts;
  const lines: string[] = [];
  const unit = facts.objective === 'time' ? 'step' : 'value';
  const row = (name: string, p: ReplayedPlan): string[] => [
    name,
    formatValue(p.before, facts),
    formatValue(p.after, facts),
    p.change === null ? '-' : `${p.change >= 1 ? '+' : ''}${formatPercent(p.change - 1)}`,
    p.rankBefore === null ? '-' : String(p.rankBefore),
    p.rankAfter === null ? '-' : String(p.rankAfter),
    p.plan,
  ];
  const header = ['', `${unit} before`, `${unit} after`, 'change', 'rank before', 'rank after', ''];
  const rows = [header];
  if (bestBefore !== null) rows.push(row('best before', bestBefore));
  top.forEach((p, i) => rows.push(row(i === 0 ? 'best after' : `  ${i + 1}`, p)));
  lines.push(
    alignLast(rows),
    '',
    `${facts.fitBefore} of ${facts.plans} plans fitted before, ${facts.fitAfter} fit after`,
  );
  if (rankCorrelation !== null)
    lines.push(`rank correlation before and after: ${rankCorrelation.toFixed(3)} (Spearman)`);
  return lines.join('\n');
}

/** Numbers to the right, the last column's words to the left. */
function alignLast(rows: readonly string[][]): string {
  const table = formatTable(rows.map((row) => row.slice(0, -1))).split('\n');
  const width = Math.max(...table.map((line) => line.length));
  return table.map((line, i) => `${line.padEnd(width)}  ${rows[i].at(-1)}`.trimEnd()).join('\n');
}

function formatValue(value: number | null, { objective }: ReplayFacts): string {
  if (value === null) return 'too large';
  return objective === 'time' ? formatSeconds(value) : formatSi(value);
}
