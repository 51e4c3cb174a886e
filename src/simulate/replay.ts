/**
 * Reads a recorded search back: first the whole file is checked against its last line, then its plans are gone through
 * one by one, so that a record of any length takes little memory.
 */
import { createHash } from 'node:crypto';
import type { Candidate } from '../plan/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { linesOf } from '../util/files.js';
import { DECISIONS, PLAN_COLUMNS, PRICE_COLUMNS, RECORD_FORMAT, RECORD_SCHEMA } from './record.js';
import type { RecordHeader } from './record.js';

const EXPECTED = 'a recorded search';

/** One priced plan of a record. */
export interface RecordedPrice {
  /** Line of the file, from 1. */
  readonly line: number;
  readonly candidate: Candidate;
  /** In the order of `PRICE_COLUMNS`; NaN where the record lacks the column. */
  readonly price: Float64Array;
}

/**
 * Checks that a file is a whole, unaltered record.
 *
 * @throws PartitionError input: no record, one of a newer release, truncated, altered
 */
export function verifyRecord(path: string): { header: RecordHeader; evaluations: number } {
  const hash = createHash('sha256');
  let header: RecordHeader | null = null;
  let last = '';
  let count = 0;
  let whole = true;
  for (const { line, ended } of linesOf(path, EXPECTED)) {
    if (header === null) header = readHeader(line, path);
    else hash.update(`${last}\n`);
    last = line;
    whole = ended;
    count++;
  }
  if (header === null) throw noRecord(path, 'an empty file');
  const footer = readFooter(last);
  if (count < 2 || !whole || footer === null)
    throw new PartitionError(
      'input',
      `truncated: it ends at line ${count} without the line that closes a record`,
      path,
      'record the search again',
    );
  if (footer.evaluations !== count - 2)
    throw altered(path, `it says it holds ${footer.evaluations} plans and holds ${count - 2}`);
  if (footer.sha256 !== hash.digest('hex')) throw altered(path, 'its checksum does not fit what it holds');
  return { header, evaluations: footer.evaluations };
}

function noRecord(path: string, found: string): PartitionError {
  return new PartitionError(
    'input',
    `expected ${EXPECTED}, found ${found}`,
    path,
    'partition <model.onnx> --devices N --record trace.jsonl writes one',
  );
}

function altered(path: string, how: string): PartitionError {
  return new PartitionError('input', `altered since it was written: ${how}`, path, 'record the search again');
}

/** What every header holds, and of which type. */
const HEADER_FIELDS: readonly (readonly [string, 'string' | 'number' | 'object'])[] = [
  ['programVersion', 'string'],
  ['model.name', 'string'],
  ['model.digest', 'string'],
  ['cluster.name', 'string'],
  ['cluster.devices', 'number'],
  ['cluster.digest', 'string'],
  ['cluster.definition', 'object'],
  ['stack.name', 'string'],
  ['stack.definition', 'object'],
  ['phase', 'string'],
  ['precision', 'string'],
  ['globalBatch', 'number'],
  ['sequenceLength', 'number'],
  ['settings', 'object'],
  ['search.method', 'string'],
  ['search.seed', 'number'],
  ['columns.plan', 'object'],
  ['columns.price', 'object'],
];

function readHeader(line: string, path: string): RecordHeader {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw noRecord(path, 'no header in its first line');
  }
  const { format, schemaVersion } = (value ?? {}) as Partial<RecordHeader>;
  if (format !== RECORD_FORMAT) throw noRecord(path, 'another kind of file');
  if (schemaVersion !== RECORD_SCHEMA)
    throw new PartitionError(
      'input',
      `schemaVersion: expected ${RECORD_SCHEMA}, found ${oneLine(String(schemaVersion), 40)}`,
      path,
      'the record was written by another release: record the search again',
    );
  for (const [name, type] of HEADER_FIELDS) {
    const found = name
      .split('.')
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | null | undefined)?.[key], value);
    if (typeof found !== type || found === null)
      throw new PartitionError('input', `header: expected ${name} of type ${type}`, path);
  }
  const header = value as RecordHeader;
  const { plan } = header.columns;
  if (PLAN_COLUMNS.some((name, i) => plan[i] !== name) || plan.length !== PLAN_COLUMNS.length)
    throw new PartitionError(
      'input',
      `its plans have the decisions ${oneLine(Array.from(plan).join(', '), 300)}, this release's have ${PLAN_COLUMNS.join(', ')}`,
      path,
      `it was recorded by version ${oneLine(header.programVersion, 40)}: record the search again`,
    );
  return header;
}

function readFooter(line: string): { evaluations: number; sha256: string } | null {
  try {
    const value = JSON.parse(line) as { evaluations?: unknown; sha256?: unknown } | null;
    if (typeof value?.evaluations !== 'number' || typeof value.sha256 !== 'string') return null;
    return { evaluations: value.evaluations, sha256: value.sha256 };
  } catch {
    return null;
  }
}

/**
 * The plans of a record that `verifyRecord` has passed, in the order they were priced.
 *
 * @throws PartitionError input naming the line that is no priced plan
 */
export function* recordedPrices(path: string, header: RecordHeader): Generator<RecordedPrice> {
  const column = PRICE_COLUMNS.map((name) => header.columns.price.indexOf(name));
  let line = 0;
  let pending: string | null = null;
  for (const next of linesOf(path, EXPECTED)) {
    line++;
    // The first line is the header, the last one the footer.
    if (pending !== null) yield readLine(pending, line - 1, column, path);
    pending = line === 1 ? null : next.line;
  }
}

function readLine(text: string, line: number, column: readonly number[], path: string): RecordedPrice {
  const fault = (): PartitionError => new PartitionError('input', `line ${line}: no priced plan`, path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw fault();
  }
  if (!Array.isArray(value) || !Array.isArray(value[0]) || !Array.isArray(value[1])) throw fault();
  const candidate = candidateFrom(value[0]);
  if (candidate === null) throw fault();
  const price = value[1] as unknown[];
  return {
    line,
    candidate,
    price: Float64Array.from(column, (at) => (at < 0 ? NaN : Number(price[at]))),
  };
}

/** Decisions from their columns; whether they make a legal plan is for `checkCandidate`. */
export function candidateFrom(row: readonly unknown[]): Candidate | null {
  if (row.length !== PLAN_COLUMNS.length) return null;
  const recompute = row[DECISIONS.length];
  const stages = row[DECISIONS.length + 1];
  if (typeof recompute !== 'string' || !/^\d*$/.test(recompute) || !Array.isArray(stages)) return null;
  const stageStart = new Int32Array(stages.length + 1);
  stages.forEach((count, v) => (stageStart[v + 1] = stageStart[v] + Number(count)));
  const decisions = Object.fromEntries(DECISIONS.map((name, i) => [name, row[i]])) as unknown as Candidate;
  return { ...decisions, recompute: Uint8Array.from(recompute, Number), stageStart };
}
