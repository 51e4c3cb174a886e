/** What a calibration fitted, as people read it. */
import { oneLine } from '../util/errors.js';
import { formatTable } from '../util/format.js';

/** One fit; errors are mean |log(predicted / measured)|. */
export interface FitFacts {
  readonly title: string;
  readonly samples: number;
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly parameters: readonly {
    readonly name: string;
    readonly before: number;
    readonly after: number;
    readonly fitted: boolean;
    readonly reason: string | null;
  }[];
  readonly groups: readonly {
    readonly name: string;
    readonly samples: number;
    readonly errorBefore: number;
    readonly errorAfter: number;
  }[];
  readonly notes: readonly string[];
}

/** Groups with errors of their own, beyond which the table would be a page. */
const MOST_GROUPS = 24;

export function calibrationTable(parts: readonly FitFacts[], notes: readonly string[]): string {
  const blocks = parts.map((part) => {
    const lines = [
      `${oneLine(part.title)}: ${part.samples} samples, mean error ${percent(part.errorBefore)} before, ${percent(part.errorAfter)} after`,
      ...parameterLines(part),
    ];
    if (part.groups.length > 1)
      lines.push(
        formatTable([
          ['  measured', 'samples', 'error before', 'after'],
          ...part.groups
            .slice(0, MOST_GROUPS)
            .map((g) => [
              `  ${oneLine(g.name)}`,
              String(g.samples),
              percent(g.errorBefore),
              percent(g.errorAfter),
            ]),
        ]),
      );
    for (const note of part.notes) lines.push(`  note: ${oneLine(note, 300)}`);
    return lines.join('\n');
  });
  const remarks = notes.map((note) => `note: ${oneLine(note, 300)}`).join('\n');
  return [...blocks, ...(remarks === '' ? [] : [remarks])].join('\n\n');
}

/** Reasons follow the figures as sentences do. */
function parameterLines({ parameters }: FitFacts): string[] {
  const rows = parameters.map((p) => [
    `  ${oneLine(p.name)}`,
    figure(p.before),
    p.fitted ? figure(p.after) : '-',
  ]);
  const lines = formatTable([['  number', 'before', 'after'], ...rows]).split('\n');
  return lines.map((line, i) => {
    const reason = i === 0 ? null : parameters[i - 1].reason;
    return reason === null ? line : `${line}  left alone: ${reason}`;
  });
}

/** `7.3%` of a mean absolute logarithm. */
function percent(meanLog: number): string {
  return `${(Math.expm1(meanLog) * 100).toFixed(1)}%`;
}

function figure(value: number): string {
  return String(Number(value.toPrecision(4)));
}
