/** A split model as people read it: what each sub-model holds. */
import { formatBytes, formatTable } from '../util/format.js';

/** The fields of a split that the table shows. */
export interface SplitFactsShown {
  readonly folder: string;
  readonly stages: number;
  readonly tp: number;
  readonly files: readonly {
    readonly stage: number;
    readonly rank: number;
    readonly nodes: number;
    readonly initializerBytes: number;
  }[];
  readonly collectives: number;
  readonly sentTensors: number;
}

/** Rows shown; --json and the manifest have all. */
const MOST_ROWS = 64;

/** One row per stage and rank. */
export function splitTable(facts: SplitFactsShown): string {
  const sums = new Map<
    string,
    { stage: number; rank: number; files: number; nodes: number; bytes: number }
  >();
  for (const { stage, rank, nodes, initializerBytes } of facts.files) {
    const key = `${String(stage)}/${String(rank)}`;
    const sum = sums.get(key) ?? { stage, rank, files: 0, nodes: 0, bytes: 0 };
    sums.set(key, {
      ...sum,
      files: sum.files + 1,
      nodes: sum.nodes + nodes,
      bytes: sum.bytes + initializerBytes,
    });
  }
  const all = [...sums.values()].sort((a, b) => a.stage - b.stage || a.rank - b.rank);
  const rows = all
    .slice(0, MOST_ROWS)
    .map((row) => [
      String(row.stage),
      String(row.rank),
      String(row.files),
      String(row.nodes),
      formatBytes(row.bytes),
    ]);
  const more = all.length - rows.length;
  return [
    formatTable([['stage', 'rank', 'sub-models', 'operators', 'weights'], ...rows], 0),
    ...(more > 0 ? [`${String(more)} more; --json lists them`] : []),
    '',
    `${String(facts.files.length)} sub-models, ${String(facts.collectives)} collectives, ${String(facts.sentTensors)} tensors sent between stages`,
  ].join('\n');
}
