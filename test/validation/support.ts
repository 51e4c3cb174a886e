/** Measured runs for tests: a plausible one, changed in a few cells. */
import { readCsv } from '../../src/validation/csv.js';
import type { MeasuredRow, RowFault } from '../../src/validation/row.js';
import { COLUMNS, readRows } from '../../src/validation/row.js';

export type Cells = Readonly<Record<string, string | number>>;

/** GPT 3.6B on 64 A100. */
export const PLAIN: Cells = {
  id: 'lab-0001',
  source: 'a lab notebook',
  note: '',
  model_name: 'GPT-3.6B',
  architecture: 'dense',
  layers: 30,
  hidden: 3072,
  ffn: 12288,
  heads: 32,
  kv_heads: 32,
  vocab: 51200,
  seq_len: 2048,
  params_b: 3.6,
  hardware: 'A100-80GB',
  gpus: 64,
  gpus_per_node: 8,
  precision: 'fp16',
  tp: 2,
  pp: 1,
  vpp: 1,
  cp: 1,
  ep: 1,
  dp: 32,
  zero_stage: 0,
  micro_batch: 8,
  global_batch: 512,
  recompute: 'full',
  seq_parallel: 0,
  metric: 'step_s',
  value: 3,
  verified: 'read',
};

export function csvOf(rows: readonly Cells[], columns: readonly string[] = COLUMNS): string {
  const cell = (row: Cells, name: string): string => `"${String(row[name] ?? '').replaceAll('"', '""')}"`;
  return [columns.join(','), ...rows.map((row) => columns.map((c) => cell(row, c)).join(','))].join('\n');
}

/** Rows and faults of a table of plain runs with these changes. */
export function rowsOf(...changes: readonly Cells[]): { rows: MeasuredRow[]; faults: RowFault[] } {
  const cells = changes.map((change, i) => ({ ...PLAIN, id: `lab-${i + 1}`, ...change }));
  return readRows(readCsv(csvOf(cells), 'runs.csv'), 'runs.csv');
}

export function rowOf(change: Cells = {}): MeasuredRow {
  const { rows, faults } = rowsOf(change);
  if (rows.length === 0) throw new Error(faults[0].reason);
  return rows[0];
}
