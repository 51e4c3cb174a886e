/** One measured training run: its configuration and the metric that was published. */
import { PartitionError, oneLine } from '../util/errors.js';
import { nearNames } from '../util/near.js';
import type { CsvRecord, CsvTable } from './csv.js';

/** `step_s` seconds per optimizer step, `mfu` a fraction. */
export const METRICS = ['step_s', 'tokens_per_s_per_gpu', 'tflops_per_gpu', 'mfu'] as const;
export type Metric = (typeof METRICS)[number];

/** `null`: the source does not say. */
export interface MeasuredRow {
  /** Line in the file. */
  readonly line: number;
  readonly id: string;
  readonly source: string;
  readonly note: string;
  readonly modelName: string;
  readonly layers: number | null;
  readonly hidden: number | null;
  readonly ffn: number | null;
  readonly heads: number | null;
  readonly kvHeads: number | null;
  readonly vocab: number | null;
  readonly experts: number | null;
  readonly topk: number | null;
  readonly sequenceLength: number;
  /** Billions. */
  readonly parametersB: number | null;
  readonly hardware: string;
  readonly devices: number;
  /** Devices of the fast-interconnect domain. */
  readonly devicesPerDomain: number | null;
  readonly precision: string;
  readonly tp: number;
  readonly pp: number;
  readonly vpp: number | null;
  readonly cp: number;
  readonly ep: number;
  readonly zeroStage: 0 | 1 | 2 | 3 | null;
  readonly microbatch: number | null;
  readonly globalBatch: number | null;
  readonly recompute: 'none' | 'selective' | 'full' | null;
  readonly sequenceParallel: boolean | null;
  readonly metric: Metric;
  readonly value: number;
}

/** A row that cannot be used, and why. */
export interface RowFault {
  readonly line: number;
  readonly id: string;
  /** `field: expected X, found Y`. */
  readonly reason: string;
}

/** More than any run has; what is larger is a slip that would only cost memory. */
const MOST_DEVICES = 2 ** 20;
const MOST_TOKENS = 2 ** 24;

const REQUIRED = [
  'id',
  'layers',
  'hidden',
  'heads',
  'vocab',
  'seq_len',
  'hardware',
  'gpus',
  'precision',
  'tp',
  'pp',
  'metric',
  'value',
] as const;

const OPTIONAL = [
  'source',
  'note',
  'model_name',
  'architecture',
  'ffn',
  'kv_heads',
  'experts',
  'topk',
  'params_b',
  'gpus_per_node',
  'vpp',
  'cp',
  'ep',
  'dp',
  'zero_stage',
  'micro_batch',
  'global_batch',
  'recompute',
  'seq_parallel',
  'verified',
] as const;

/** Columns that a file of measured runs has; others are ignored. */
export const COLUMNS: readonly string[] = [...REQUIRED, ...OPTIONAL];

/**
 * Rows of a table, in order, and what is wrong with the others.
 *
 * @throws PartitionError input naming the columns that are missing
 */
export function readRows(
  table: CsvTable,
  where: string,
): { readonly rows: MeasuredRow[]; readonly faults: RowFault[] } {
  const missing = REQUIRED.filter((name) => !table.columns.includes(name));
  if (missing.length > 0) throw missingColumns(missing, table.columns, where);
  const rows: MeasuredRow[] = [];
  const faults: RowFault[] = [];
  const lineOf = new Map<string, number>();
  for (const record of table.records) {
    const cells = new Cells(table.columns, record);
    try {
      const row = readRow(cells, table.columns.length);
      const first = lineOf.get(row.id);
      if (first !== undefined) throw new CellFault('id', `the same as on line ${first}`);
      lineOf.set(row.id, row.line);
      rows.push(row);
    } catch (e) {
      if (!(e instanceof CellFault)) throw e;
      faults.push({ line: record.line, id: oneLine(cells.text('id'), 80), reason: e.message });
    }
  }
  return { rows, faults };
}

function missingColumns(
  missing: readonly string[],
  columns: readonly string[],
  where: string,
): PartitionError {
  const others = columns.filter((name) => !COLUMNS.includes(name));
  const slips = missing.flatMap((name) => nearNames(name, others, 1).map((near) => `${near} for ${name}`));
  return new PartitionError(
    'input',
    `missing column${missing.length > 1 ? 's' : ''} ${missing.join(', ')}`,
    where,
    slips.length > 0 ? `found ${slips.join(', ')}` : `expected ${REQUIRED.join(',')} and what else is known`,
  );
}

/** Thrown while one row is read, caught by its reader. */
export class CellFault extends Error {
  constructor(field: string, message: string) {
    super(`${field}: ${oneLine(message, 300)}`);
  }
}

class Cells {
  private readonly byName = new Map<string, string>();
  readonly line: number;
  readonly count: number;

  constructor(columns: readonly string[], record: CsvRecord) {
    this.line = record.line;
    this.count = record.fields.length;
    columns.forEach((name, i) => this.byName.set(name, (record.fields[i] ?? '').trim()));
  }

  text(name: string): string {
    return this.byName.get(name) ?? '';
  }

  required(name: string): string {
    const value = this.text(name);
    if (value === '') throw new CellFault(name, 'empty');
    return value;
  }

  /** A number above 0, or null when empty. */
  positive(name: string): number | null {
    const value = this.text(name);
    if (value === '') return null;
    const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value) ? Number(value) : NaN;
    if (!(number > 0 && number < Infinity))
      throw new CellFault(name, `expected a number above 0, found ${value}`);
    return number;
  }

  size(name: string): number | null {
    const number = this.positive(name);
    if (number !== null && !(Number.isInteger(number) && number < 2 ** 31))
      throw new CellFault(name, `expected a whole number below 2^31, found ${this.text(name)}`);
    return number;
  }

  requiredSize(name: string): number {
    this.required(name);
    return this.size(name)!;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T | null {
    const value = this.text(name);
    if (value === '') return null;
    const found = allowed.find((word) => word === value.toLowerCase());
    if (found === undefined)
      throw new CellFault(name, `expected one of ${allowed.join(', ')}, found ${value}`);
    return found;
  }
}

function readRow(c: Cells, columns: number): MeasuredRow {
  if (c.count !== columns) throw new CellFault('row', `expected ${columns} fields, found ${c.count}`);
  const id = c.required('id');
  const zero = c.oneOf('zero_stage', ['0', '1', '2', '3']);
  const sequenceParallel = c.oneOf('seq_parallel', ['0', '1', 'false', 'true']);
  c.required('metric');
  c.required('value');
  const row: MeasuredRow = {
    line: c.line,
    id,
    source: c.text('source'),
    note: c.text('note'),
    modelName: c.text('model_name'),
    layers: c.size('layers'),
    hidden: c.size('hidden'),
    ffn: c.size('ffn'),
    heads: c.size('heads'),
    kvHeads: c.size('kv_heads'),
    vocab: c.size('vocab'),
    experts: c.size('experts'),
    topk: c.size('topk'),
    sequenceLength: c.requiredSize('seq_len'),
    parametersB: c.positive('params_b'),
    hardware: c.required('hardware'),
    devices: c.requiredSize('gpus'),
    devicesPerDomain: c.size('gpus_per_node'),
    precision: c.required('precision'),
    tp: c.requiredSize('tp'),
    pp: c.requiredSize('pp'),
    vpp: c.size('vpp'),
    cp: c.size('cp') ?? 1,
    ep: c.size('ep') ?? 1,
    zeroStage: zero === null ? null : (Number(zero) as 0 | 1 | 2 | 3),
    microbatch: c.size('micro_batch'),
    globalBatch: c.size('global_batch'),
    recompute: c.oneOf('recompute', ['none', 'selective', 'full']),
    sequenceParallel:
      sequenceParallel === null ? null : sequenceParallel === '1' || sequenceParallel === 'true',
    metric: c.oneOf('metric', METRICS)!,
    value: c.positive('value')!,
  };
  if (row.devices > MOST_DEVICES)
    throw new CellFault('gpus', `expected at most ${MOST_DEVICES}, found ${row.devices}`);
  if (row.sequenceLength > MOST_TOKENS)
    throw new CellFault('seq_len', `expected at most ${MOST_TOKENS}, found ${row.sequenceLength}`);
  const dp = c.size('dp');
  const model = row.tp * row.pp * row.cp;
  if (row.devices % model !== 0)
    throw new CellFault('gpus', `${row.devices} is not divisible by tp * pp * cp = ${model}`);
  if (dp !== null && dp !== row.devices / model)
    throw new CellFault('dp', `expected gpus / (tp * pp * cp) = ${row.devices / model}, found ${dp}`);
  return row;
}

/** Rows are grouped by source: the id without its trailing number. */
export function groupOf(id: string): string {
  return id.replace(/[-_]?\d+$/, '') || id;
}
