/** Compares inferred types with reference shapes from the shared data (see its README). */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { DType, dtypeName } from '../../src/model/dtype.js';
import type { Inferred } from '../../src/graph/infer.js';
import { parseDim } from '../../src/ops/dim_text.js';
import type { Dim } from '../../src/ops/types.js';

export const SHARED = new URL('../../../shared/data/onnx/', import.meta.url).pathname;
export const hasShared = (): boolean => existsSync(`${SHARED}oracle`);

/** A dimension of an oracle: a number, a name, or null when unknown. */
export type OracleDim = number | string | null;
export interface OracleTensor {
  readonly dtype: string;
  /** Absent for what is no tensor. */
  readonly shape?: readonly OracleDim[] | null;
  readonly src?: string;
}
export interface Oracle {
  readonly model: string;
  readonly bound?: Record<string, number>;
  readonly tensors: Record<string, OracleTensor>;
}

export interface Tally {
  equal: number;
  /** The oracle does not know the rank or a dimension. */
  oracleUnknown: number;
  /** We do not know what the oracle knows. */
  weUnknown: number;
  contradiction: number;
  /** The oracle names a tensor that we do not have. */
  absent: number;
  readonly notes: string[];
}

export const newTally = (): Tally => ({
  equal: 0,
  oracleUnknown: 0,
  weUnknown: 0,
  contradiction: 0,
  absent: 0,
  notes: [],
});

export function addTally(sum: Tally, t: Tally): void {
  sum.equal += t.equal;
  sum.oracleUnknown += t.oracleUnknown;
  sum.weUnknown += t.weUnknown;
  sum.contradiction += t.contradiction;
  sum.absent += t.absent;
  sum.notes.push(...t.notes);
}

/** Share of comparable tensors that are equal. */
export function equalShare(t: Tally): number {
  const all = t.equal + t.weUnknown + t.contradiction;
  return all === 0 ? 1 : t.equal / all;
}

export function oracleFiles(prefix: string): string[] {
  return readdirSync(`${SHARED}oracle`).filter((f) => f.startsWith(prefix) && f.endsWith('.json.gz'));
}

export function readOracle(name: string): string {
  return gunzipSync(readFileSync(`${SHARED}oracle/${name}`)).toString('utf8');
}

/** A runtime oracle is a bare map of tensors with numpy type names. */
export function parseRuntime(text: string): Record<string, OracleTensor> {
  // Statistics beside the shapes may be infinite or NaN, which JSON does not have.
  return JSON.parse(text.replace(/:\s*(-?Infinity|NaN)/g, ': null')) as Record<string, OracleTensor>;
}

const NUMPY: Readonly<Record<string, string>> = {
  float32: 'FLOAT',
  float64: 'DOUBLE',
  float16: 'FLOAT16',
  bfloat16: 'BFLOAT16',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  bool: 'BOOL',
  object: 'STRING',
};

/** -1 is how some files spell an unknown dimension. */
const isUnknown = (d: OracleDim): boolean =>
  d === null || (typeof d === 'string' && d.startsWith('unk__')) || (typeof d === 'number' && d < 0);

/**
 * Concrete dimensions must be equal; names are equal up to a renaming that is one and the same for the whole model.
 * @param byValue index of each main-graph value
 */
export function compareOracle(
  inferred: Inferred,
  tensors: Readonly<Record<string, OracleTensor>>,
  skip: ReadonlySet<string> = new Set(),
): Tally {
  const tally = newTally();
  const index = new Map<string, number>();
  // Later values are inside subgraphs and functions: the first of a name is the main graph's.
  inferred.values.forEach((name, v) => {
    if (!index.has(name)) index.set(name, v);
  });
  const renamed = new Map<string, Dim>();
  for (const [name, oracle] of Object.entries(tensors)) {
    if (skip.has(name)) continue;
    const v = index.get(name);
    if (v === undefined) {
      tally.absent++;
      tally.notes.push(`${name}: not among the model's values`);
      continue;
    }
    // Reference tools keep the declared type of an output that contradicts their inference; so do our reports.
    const type = inferred.promised.get(v) ?? inferred.type[v];
    const expectedShape = oracle.shape ?? null;
    if (expectedShape === null) {
      tally.oracleUnknown++;
      continue;
    }
    if (type?.kind !== 'tensor' || type.shape === null) {
      tally.weUnknown++;
      tally.notes.push(`${name}: unknown here, oracle ${oracle.dtype} [${expectedShape.join(', ')}]`);
      continue;
    }
    const ours = type.shape;
    const verdict = compareShapes(ours, expectedShape, renamed);
    const expected = NUMPY[oracle.dtype] ?? oracle.dtype;
    const sameType = expected === 'UNDEFINED' || dtypeName(type.dtype) === expected;
    if (type.dtype === DType.UNDEFINED && !sameType) {
      tally.weUnknown++;
      tally.notes.push(`${name}: unknown element type here, oracle ${oracle.dtype}`);
      continue;
    }
    if (verdict === 'contradiction' || !sameType) {
      tally.contradiction++;
      const text = ours.map((d) => (typeof d === 'number' ? String(d) : d.text)).join(', ');
      tally.notes.push(
        `${name}: ${dtypeName(type.dtype)} [${text}] here, oracle ${oracle.dtype} [${expectedShape.join(', ')}]`,
      );
    } else {
      tally[verdict]++;
      if (verdict === 'weUnknown') {
        const text = ours.map((d) => (typeof d === 'number' ? String(d) : d.text)).join(', ');
        tally.notes.push(`${name}: [${text}] here, oracle [${expectedShape.join(', ')}]`);
      }
    }
  }
  return tally;
}

type Verdict = 'equal' | 'oracleUnknown' | 'weUnknown' | 'contradiction';

function compareShapes(
  ours: readonly Dim[],
  oracle: readonly OracleDim[],
  renamed: Map<string, Dim>,
): Verdict {
  if (ours.length !== oracle.length) return 'contradiction';
  let verdict: Verdict = 'equal';
  for (let i = 0; i < ours.length; i++) {
    const [d, o] = [ours[i], oracle[i]];
    if (isUnknown(o)) continue;
    if (typeof d === 'number') {
      if (typeof o === 'number' && o !== d) return 'contradiction';
      // A number where the oracle has a name: we know more.
      continue;
    }
    if (d.text.startsWith('unk__')) {
      verdict = 'weUnknown';
      continue;
    }
    if (typeof o === 'number') {
      verdict = 'weUnknown';
      continue;
    }
    // The oracle keeps expressions as text, and output names beside the inputs' symbols they equal: each of its names must
    // mean one dimension of ours; two of its names may mean the same.
    const parsed = parseDim(o as string);
    const key = typeof parsed === 'number' ? String(parsed) : parsed.text;
    const before = renamed.get(key);
    if (before === undefined) renamed.set(key, d);
    else if (before !== d) return 'contradiction';
  }
  return verdict;
}

/** Shapes of the arrays in an .npz (an uncompressed or deflated zip of .npy): name to dimensions, headers only. */
export { npzShapes } from './npz.js';
