/** What a target could not say, kept while it writes; and how it is told inside a file. */
import { oneLine } from '../util/errors.js';
import type { EmitInput, EmitTarget, NotExpressed } from './types.js';

export class Notes {
  private readonly list: NotExpressed[] = [];

  /** Said, but the job starts and does the plan's work. */
  differs(asked: string, instead: string): void {
    this.list.push({ asked, instead, blocks: false });
  }

  /** The tool would refuse, or run another job. */
  blocks(asked: string, instead: string): void {
    this.list.push({ asked, instead, blocks: true });
  }

  get all(): readonly NotExpressed[] {
    return this.list;
  }

  get isBlocked(): boolean {
    return this.list.some((n) => n.blocks);
  }
}

/** First lines of every file: which tool, which plan, what is missing. Without a clock, a path or a host. */
export function headerLines(
  target: Pick<EmitTarget, 'name' | 'toolVersion'>,
  { plan }: EmitInput,
  notes: Notes,
): string[] {
  const lines = [
    `Written by partition emit --target ${target.name}, for ${target.toolVersion}.`,
    oneLine(
      `Plan of ${plan.model.name} on ${plan.cluster.devices} devices of ${plan.cluster.name}, ${plan.globalBatch} sequences a step.`,
      300,
    ),
  ];
  if (notes.all.length === 0) return lines;
  lines.push('', 'The plan asks what these files do not say:');
  for (const { asked, instead, blocks } of notes.all)
    lines.push(`- ${blocks ? 'DOES NOT START: ' : ''}${oneLine(asked, 300)}: ${oneLine(instead, 400)}`);
  return lines;
}

/** Lines as comments. */
export function commented(lines: readonly string[], mark = '#'): string {
  return lines.map((line) => (line === '' ? mark : `${mark} ${line}`) + '\n').join('');
}
