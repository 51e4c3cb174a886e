/** How far two runs of a model lie apart. */
import { DType } from '../../model/index.js';
import type { SplitFacts } from './facts.js';
import { fromHalf } from './half.js';
import type { RuntimeTensor } from './runtime.js';

export interface OutputDifference {
  readonly name: string;
  /** Largest difference of two elements; null when one run gives no number where the other does, or another shape. */
  readonly maxAbs: number | null;
  /** That over the largest element of the whole model's output. */
  readonly maxRel: number | null;
  readonly pass: boolean;
}

export function difference(
  name: string,
  whole: RuntimeTensor,
  split: RuntimeTensor | undefined,
  tolerance: number,
): OutputDifference {
  const failed = { name, maxAbs: null, maxRel: null, pass: false };
  if (split?.dims.length !== whole.dims.length || !whole.dims.every((d, k) => d === split.dims[k]))
    return failed;
  if (whole.type !== split.type) return failed;
  let maxAbs = 0;
  let largest = 0;
  for (let i = 0; i < whole.data.length; i++) {
    const [a, b] = [elementOf(whole, i), elementOf(split, i)];
    if (Object.is(a, b) || a === b) {
      if (Number.isFinite(a)) largest = Math.max(largest, Math.abs(a));
      continue;
    }
    if (!Number.isFinite(a) || !Number.isFinite(b)) return failed;
    maxAbs = Math.max(maxAbs, Math.abs(a - b));
    largest = Math.max(largest, Math.abs(a));
  }
  const maxRel = maxAbs === 0 ? 0 : largest === 0 ? null : maxAbs / largest;
  return { name, maxAbs, maxRel, pass: maxRel !== null && maxRel <= tolerance };
}

function elementOf(tensor: RuntimeTensor, i: number): number {
  const value = Number(tensor.data[i]);
  return tensor.type === 'float16' ? fromHalf(value) : value;
}

const SINGLE = 1e-4;
const HALF = 2e-3;
/** A partial sum that rounds the other way moves a quantised activation by a whole step. */
const QUANTISED = 5e-2;

/** How far apart whole and split may lie: by the coarsest arithmetic that the split touches. */
export function defaultTolerance(facts: SplitFacts, tp: number): number {
  const quantises = facts.nodes.some(({ proto }) => QUANTISERS.has(proto.opType ?? ''));
  if (quantises && tp > 1) return QUANTISED;
  const halves = facts.nodes.some(({ proto }) =>
    proto.output.some((name) => {
      const type = facts.type(name);
      return type?.kind === 'tensor' && (type.dtype === DType.FLOAT16 || type.dtype === DType.BFLOAT16);
    }),
  );
  return halves ? HALF : SINGLE;
}

const QUANTISERS: ReadonlySet<string> = new Set(['QuantizeLinear', 'DynamicQuantizeLinear']);
