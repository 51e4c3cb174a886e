/** How well predictions agree with measured runs, as a page of text. */
import { formatPercent, formatTable } from '../util/format.js';

/** The fields of a validation that the table shows. */
export interface ValidationFacts {
  readonly rows: readonly { readonly id: string; readonly line: number; readonly reason?: string }[];
  readonly groups: readonly {
    readonly name: string;
    readonly rows: number;
    readonly mape: number;
    readonly spearman: number | null;
    readonly bias: number;
    readonly yardstickMape: number;
    readonly yardstickSpearman: number | null;
    readonly leaveOneOutMape: number | null;
    readonly coverage: number;
  }[];
  readonly overall: {
    readonly predicted: number;
    readonly skipped: number;
    readonly medianMape: number;
    readonly meanMape: number;
    readonly medianSpearman: number | null;
    readonly yardstick: {
      readonly medianMape: number;
      readonly meanMape: number;
      readonly medianSpearman: number | null;
    };
    readonly leaveOneOutMedianMape: number | null;
    readonly leaveOneOutMeanMape: number | null;
    readonly coverage: number | null;
    readonly regret: {
      readonly sets: number;
      readonly median: number | null;
      readonly mean: number | null;
      readonly randomMedian: number | null;
      readonly randomMean: number | null;
    };
  } | null;
}

/** Rows left out that are named one by one; of one reason several share a line. */
const MOST_REASONS = 20;

export function validationTable(facts: ValidationFacts): string {
  const parts = [groupTable(facts), overallLines(facts), skippedLines(facts)];
  return parts.filter((part) => part !== '').join('\n\n');
}

function groupTable({ groups, overall }: ValidationFacts): string {
  if (overall === null) return 'no row could be predicted';
  const head = ['source', 'rows', 'MAPE', 'rank', 'bias', 'constant MFU', 'rank', 'left out', 'in 80%'];
  const lines = groups.map((g) => [
    g.name,
    String(g.rows),
    formatPercent(g.mape),
    rank(g.spearman),
    signed(g.bias),
    formatPercent(g.yardstickMape),
    rank(g.yardstickSpearman),
    g.leaveOneOutMape === null ? '' : formatPercent(g.leaveOneOutMape),
    formatPercent(g.coverage),
  ]);
  const { yardstick } = overall;
  const summary = (
    name: string,
    mape: number,
    spearman: number | null,
    other: number,
    otherRank: number | null,
    left: number | null,
  ): string[] => [
    name,
    '',
    formatPercent(mape),
    rank(spearman),
    '',
    formatPercent(other),
    rank(otherRank),
    left === null ? '' : formatPercent(left),
    '',
  ];
  const median = summary(
    'median source',
    overall.medianMape,
    overall.medianSpearman,
    yardstick.medianMape,
    yardstick.medianSpearman,
    overall.leaveOneOutMedianMape,
  );
  const mean = summary(
    'mean source',
    overall.meanMape,
    null,
    yardstick.meanMape,
    null,
    overall.leaveOneOutMeanMape,
  );
  return formatTable([head, ...lines, [''], median, mean], 1);
}

function overallLines({ overall }: ValidationFacts): string {
  if (overall === null) return '';
  const { regret, coverage } = overall;
  const lines = [
    `${overall.predicted} runs predicted, ${overall.skipped} skipped; error of step time or of the rate per device, rank = Spearman of FLOP/s per device`,
    `constant MFU: one utilisation per hardware and precision, fitted on these rows; left out: predicted with profiles fitted without the source`,
  ];
  if (coverage !== null) lines.push(`80 % intervals hold ${formatPercent(coverage)} of the runs`);
  if (regret.median !== null)
    lines.push(
      `regret of the configuration predicted fastest, ${regret.sets} sets: median ${formatPercent(regret.median)}, mean ${formatPercent(regret.mean!)}` +
        ` (a random choice: ${formatPercent(regret.randomMedian!)}, ${formatPercent(regret.randomMean!)})`,
    );
  return lines.join('\n');
}

/** Reasons, each once, with the rows that it holds for. */
function skippedLines({ rows }: ValidationFacts): string {
  const byReason = new Map<string, string[]>();
  for (const { id, line, reason } of rows) {
    if (reason === undefined) continue;
    const row = `${id || 'a row'} (line ${line})`;
    const known = byReason.get(reason);
    if (known === undefined) byReason.set(reason, [row]);
    else known.push(row);
  }
  const lines = [...byReason].map(([reason, names]) => {
    const shown = names.slice(0, 3).join(', ');
    return `skipped ${shown}${names.length > 3 ? ` and ${names.length - 3} more` : ''}: ${reason}`;
  });
  if (lines.length > MOST_REASONS)
    lines.splice(
      MOST_REASONS,
      lines.length,
      `... and ${lines.length - MOST_REASONS} more reasons; --json lists all`,
    );
  return lines.join('\n');
}

function rank(value: number | null): string {
  return value === null ? '' : value.toFixed(2);
}

function signed(share: number): string {
  return `${share >= 0 ? '+' : ''}${formatPercent(share)}`;
}
