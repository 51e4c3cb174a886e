/** Multidirectional (numpy) broadcasting: of symbolic shapes, of known values, and the factors it implies. */
import type { KnownValue, Factor, FactorRule, InferContext, OpInstance, Shape, Dim } from './types.js';
import { max, shapeText } from './dim.js';
import { countOf } from './value.js';

/** Shape of `a` and `b` broadcast together; `null` when a rank is unknown. @throws PartitionError when they cannot be */
export function broadcastShapes(ctx: InferContext, a: Shape | null, b: Shape | null): Shape | null {
  if (a === null || b === null) return null;
  if (a === b || sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  const shape = new Array<Dim>(rank);
  for (let i = 0; i < rank; i++) {
    const x = i < rank - a.length ? 1 : a[i - rank + a.length];
    const y = i < rank - b.length ? 1 : b[i - rank + b.length];
    const d = broadcastDim(x, y);
    if (d === null) ctx.fail(`shapes ${shapeText(a)} and ${shapeText(b)} cannot be broadcast together`);
    shape[i] = d;
  }
  return shape;
}

/** One dimension of a broadcast; `null` when two numbers contradict. */
export function broadcastDim(x: Dim, y: Dim): Dim | null {
  if (x === y || y === 1) return x;
  if (x === 1) return y;
  if (typeof x === 'number') return typeof y === 'number' ? null : x;
  if (typeof y === 'number') return y;
  // One of two symbols is 1, or both are equal: the larger either way. (Sizes of zero do not occur here.)
  return max(x, y);
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Broadcast of all inputs. */
export function broadcastInputs(ctx: InferContext): Shape | null {
  let shape = ctx.shape(0);
  for (let i = 1; i < ctx.inputCount; i++)
    if (ctx.hasInput(i)) shape = broadcastShapes(ctx, shape, ctx.shape(i));
  return shape;
}

/**
 * Applies `f` to two known values broadcast together; `null` when f is anywhere, or the result is too large or the
 * shapes do not fit.
 */
export function mapBroadcast(
  a: KnownValue,
  b: KnownValue,
  dims: readonly number[],
  f: (x: Dim, y: Dim) => Dim | null,
): Dim[] | null {
  const count = countOf(dims);
  const ia = broadcastIndex(a.dims, dims);
  const ib = broadcastIndex(b.dims, dims);
  const out = new Array<Dim>(count);
  for (let i = 0; i < count; i++) {
    const d = f(a.elements[ia === null ? i : ia[i]], b.elements[ib === null ? i : ib[i]]);
    if (d === null) return null;
    out[i] = d;
  }
  return out;
}

/** For each element of `dims`, which element of a tensor of dims `from` it reads; `null` for the identity. */
export function broadcastIndex(from: readonly number[], dims: readonly number[]): Int32Array | null {
  const count = countOf(dims);
  if (countOf(from) === count) return null;
  const index = new Int32Array(count);
  const lead = dims.length - from.length;
  for (let i = 0; i < count; i++) {
    let rest = i;
    let at = 0;
    let stride = 1;
    for (let k = dims.length - 1; k >= 0; k--) {
      const c = rest % dims[k];
      rest = (rest - c) / dims[k];
      if (k < lead) continue;
      const n = from[k - lead];
      if (n !== 1) at += c * stride;
      stride *= n;
    }
    index[i] = at;
  }
  return index;
}

/**
 * Factors of an elementwise operator: one parallel factor per output dimension; an input dimension of 1 that is
 * stretched has none.
 * @param linear see FactorRule.linear
 */
export function broadcastFactors(op: OpInstance, linear = false): FactorRule {
  const out = op.outputShape(0) ?? [];
  const factors: Factor[] = out.map((size) => ({ size, kind: 'parallel' }));
  const inputs: (number[][] | null)[] = [];
  // Before opset 7 a second operand was aligned at an axis; some files keep the attribute.
  const axis = op.attrs.int('broadcast', 0) === 1 ? op.attrs.optionalInt('axis') : null;
  for (let i = 0; i < op.inputCount; i++) {
    const shape = op.inputShape(i);
    const lead = i === 1 && axis !== null ? axis : out.length - (shape?.length ?? 0);
    inputs.push(alignDims(shape, out, lead));
  }
  const identity = out.map((_, k) => [k]);
  const outputs: (number[][] | null)[] = [];
  for (let i = 0; i < op.outputCount; i++) outputs.push(op.outputShape(i) === null ? null : identity);
  return linear ? { factors, inputs, outputs, linear } : { factors, inputs, outputs };
}

/**
 * Factor ids of an input's dimensions, aligned with an output whose dimension k is factor k.
 * @param lead output dimension that the input's first one belongs to; right-aligned unless given
 */
export function alignDims(
  shape: readonly number[] | null,
  out: readonly number[],
  lead = out.length - (shape?.length ?? 0),
): number[][] | null {
  if (shape === null) return null;
  return shape.map((d, k) => (d === 1 && out[k + lead] !== 1 ? [] : [k + lead]));
}
