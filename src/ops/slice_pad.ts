/** Slice (attributes before opset 10, inputs since) and Pad (attributes before 11). */
import { isFloat } from '../model/dtype.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { needsGrad, outputElements } from './defaults.js';
import * as dim from './dim.js';
import { moveBackward, wholeInput } from './movement.js';
import type {
  Dim,
  Factor,
  FactorRule,
  InferContext,
  KnownValue,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
} from './types.js';
import { numbersOf } from './value.js';

interface SliceArguments {
  readonly starts: readonly Dim[] | null;
  readonly ends: readonly Dim[] | null;
  readonly axes: readonly number[] | null;
  readonly steps: readonly number[] | null;
  /** How many axes are sliced; `null` when even that is not known. */
  readonly count: number | null;
}

function sliceArguments(ctx: InferContext): SliceArguments {
  if (ctx.inputCount === 1) {
    const starts = ctx.attrs.ints('starts');
    if (starts === null) ctx.fail('Slice without starts');
    return {
      starts,
      ends: ctx.attrs.ints('ends'),
      axes: ctx.attrs.ints('axes'),
      steps: null,
      count: starts.length,
    };
  }
  const starts = ctx.value(1)?.elements ?? null;
  const ends = ctx.value(2)?.elements ?? null;
  const length = starts?.length ?? ends?.length ?? ctx.shape(1)?.[0] ?? ctx.shape(2)?.[0];
  return {
    starts,
    ends,
    axes: ctx.hasInput(3) ? numbersOf(ctx.value(3)) : null,
    steps: ctx.hasInput(4) ? numbersOf(ctx.value(4)) : null,
    count: typeof length === 'number' ? length : null,
  };
}

/** Elements in a slice. `null` when it cannot be told. */
function sliceLength(size: Dim, start: Dim, end: Dim, step: number): Dim | null {
  if (step > 0) {
    // A fixed start inside a symbolic size is taken to be inside: `s - 1` says more than `s - min(1, s)`.
    const inside = typeof start === 'number' && start >= 0 && start < 2 ** 31 - 1 && typeof size !== 'number';
    const from = inside ? start : clampIndex(start, size, 0, size);
    const to = clampIndex(end, size, 0, size);
    if (from === null || to === null) return null;
    return atLeastZero(dim.ceilDiv(dim.sub(to, from), step));
  }
  const last = dim.sub(size, 1);
  const from = clampIndex(start, size, 0, last);
  const to = clampIndex(end, size, -1, last);
  if (from === null || to === null) return null;
  return atLeastZero(dim.ceilDiv(dim.sub(from, to), -step));
}

/** A negative index counts from the end; the result is held between `low` and `high`. */
function clampIndex(index: Dim, size: Dim, low: number, high: Dim): Dim | null {
  if (typeof index === 'number' && typeof size === 'number' && typeof high === 'number') {
    return Math.min(high, Math.max(low, index < 0 ? index + size : index));
  }
  // Sentinels for "to the end" and "from the start" need no arithmetic.
  if (typeof index === 'number' && index >= 2 ** 31 - 1) return high;
  if (typeof index === 'number' && index <= -(2 ** 31) + 1) return low;
  const negative =
    typeof index === 'number' ? index < 0 : dim.isNonNegative(dim.neg(index)) && !dim.isNonNegative(index);
  if (!negative && typeof index !== 'number' && !dim.isNonNegative(index)) {
    // Of a symbolic difference (`total - past`) the sign is not known; shape arithmetic means an index from the start.
    return dim.compare(index, high) === 1 ? high : index;
  }
  const at = negative ? dim.add(index, size) : index;
  if (dim.compare(at, high) === 1) return high;
  // `s - 1` is taken to be inside too.
  if (dim.compare(at, high) === -1) return dim.compare(at, low) === -1 ? low : at;
  return typeof at === 'number' && at <= low ? at : dim.min(at, high);
}

function atLeastZero(d: Dim): Dim {
  if (typeof d === 'number') return Math.max(0, d);
  return d;
}

const slice: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const shape = ctx.shape(0);
    if (shape === null) return ctx.setTensor(0, dtype, null);
    const a = sliceArguments(ctx);
    if (ctx.hasInput(3) && a.axes === null)
      return ctx.setTensor(
        0,
        dtype,
        shape.map(() => ctx.freshDim()),
      );
    const out: Dim[] = [...shape];
    const axes = a.axes ?? (a.count === null ? null : Array.from({ length: a.count }, (_, i) => i));
    if (axes === null)
      return ctx.setTensor(
        0,
        dtype,
        shape.map(() => ctx.freshDim()),
      );
    for (let i = 0; i < axes.length; i++) {
      const axis = normalizeAxis(ctx, axes[i], shape.length);
      const step = ctx.hasInput(4) ? a.steps?.[i] : 1;
      if (step === 0) ctx.fail('Slice with a step of 0');
      const [start, end] = [a.starts?.[i], a.ends?.[i]];
      const known = start !== undefined && end !== undefined && step !== undefined;
      out[axis] = (known ? sliceLength(shape[axis], start, end, step) : null) ?? ctx.freshDim();
    }
    ctx.setTensor(0, dtype, out, slicedValue(ctx, a, out));
  },
  work: (op) => ({ flop: 0, kernel: 'move', touchedElements: 2 * outputElements(op) }),
  factors: sliceFactors,
  backward: moveBackward,
};

/** Of 1-D values, with numeric bounds. */
function slicedValue(ctx: InferContext, a: SliceArguments, out: Shape): KnownValue | null {
  const value = ctx.value(0);
  if (value === null || value.dims.length !== 1) return null;
  const [start, length] = [a.starts?.[0], out[0]];
  const step = a.steps?.[0] ?? 1;
  const size = value.dims[0];
  if (typeof start !== 'number' || typeof length !== 'number' || (ctx.hasInput(4) && a.steps === null))
    return null;
  const wrapped = start < 0 ? start + size : start;
  const from = Math.min(step > 0 ? size : size - 1, Math.max(0, wrapped));
  const elements: Dim[] = [];
  for (let i = 0; i < length; i++) elements.push(value.elements[from + i * step]);
  return { dtype: value.dtype, dims: [length], elements };
}

/**
 * Untouched axes stay parallel. A slice that is one of several equal chunks cuts its axis into [chunks whole, chunk
 * parallel]; any other leaves the axis whole.
 */
function sliceFactors(op: OpInstance): FactorRule {
  const shape = op.inputShape(0) ?? [];
  const out = op.outputShape(0) ?? [];
  const legacy = op.inputCount === 1;
  const starts = legacy ? op.attrs.ints('starts') : numbersOf(op.inputValue(1));
  const axes = legacy ? op.attrs.ints('axes') : op.inputCount > 3 ? numbersOf(op.inputValue(3)) : null;
  const steps = op.inputCount > 4 ? numbersOf(op.inputValue(4)) : null;
  const factors: Factor[] = shape.map((size) => ({ size, kind: 'parallel' }));
  const from = shape.map((_, k) => [k]);
  const to = shape.map((_, k) => [k]);
  for (let k = 0; k < shape.length; k++) {
    const position = axes === null ? k : axes.findIndex((a) => wrapAxis(a, shape.length) === k);
    if (shape[k] === out[k] && !((steps?.[position] ?? 1) < 0)) continue;
    const start = position < 0 ? undefined : starts?.[position];
    const at = start === undefined ? NaN : start < 0 ? start + shape[k] : start;
    if ((steps?.[position] ?? 1) === 1 && out[k] > 1 && shape[k] % out[k] === 0 && at % out[k] === 0) {
      factors[k] = { size: shape[k] / out[k], kind: 'whole' };
      const part = factors.push({ size: out[k], kind: 'parallel' }) - 1;
      from[k] = [k, part];
      to[k] = [part];
    } else {
      factors[k] = { size: shape[k], kind: 'whole' };
      to[k] = [factors.push({ size: out[k], kind: 'whole' }) - 1];
    }
  }
  const inputs: (number[][] | null)[] = [from];
  for (let i = 1; i < op.inputCount; i++) inputs.push(wholeInput(op, i, factors));
  return { factors, inputs, outputs: [to], linear: true };
}

/** Amounts per dimension, begins then ends; `null` when not known. */
function padAmounts(ctx: InferContext, rank: number): readonly Dim[] | null {
  const given = ctx.hasInput(1)
    ? (ctx.value(1)?.elements ?? null)
    : (ctx.attrs.ints('pads') ?? ctx.attrs.ints('paddings'));
  if (given === null || !ctx.hasInput(3)) return given;
  const axes = numbersOf(ctx.value(3));
  if (axes === null) return null;
  const full = new Array<Dim>(2 * rank).fill(0);
  axes.forEach((a, i) => {
    const axis = normalizeAxis(ctx, a, rank);
    full[axis] = given[i];
    full[axis + rank] = given[i + axes.length];
  });
  return full;
}

const pad: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const shape = ctx.shape(0);
    if (shape === null) return ctx.setTensor(0, dtype, null);
    const rank = shape.length;
    const pads = padAmounts(ctx, rank);
    if (pads === null)
      return ctx.setTensor(
        0,
        dtype,
        shape.map(() => ctx.freshDim()),
      );
    if (pads.length !== 2 * rank)
      ctx.fail(`Pad of a rank-${String(rank)} tensor with ${String(pads.length)} amounts`);
    const out = shape.map((d, k) => dim.add(d, dim.add(pads[k], pads[k + rank])));
    for (const d of out)
      if (typeof d === 'number' && d < 0) ctx.fail(`Pad leaves a dimension of ${String(d)}`);
    ctx.setTensor(0, dtype, out, paddedValue(ctx, pads, out));
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const out = op.outputShape(0) ?? [];
    const factors: Factor[] = shape.map((size, k) => ({
      size,
      kind: size === out[k] ? 'parallel' : 'whole',
    }));
    const to = out.map((size, k) => [size === shape[k] ? k : factors.push({ size, kind: 'whole' }) - 1]);
    const inputs: (number[][] | null)[] = [shape.map((_, k) => [k])];
    for (let i = 1; i < op.inputCount; i++) inputs.push(wholeInput(op, i, factors));
    return { factors, inputs, outputs: [to], linear: op.inputCount < 3 };
  },
  backward(op) {
    if (!needsGrad(op, 0) || !isFloat(op.outputDtype(0))) return null;
    return { grads: [{ input: 0, flop: 0 }], savesInputs: [], savesOutputs: [] };
  },
};

/** Constant padding of 1-D integer values (shapes being extended). */
function paddedValue(ctx: InferContext, pads: readonly Dim[], out: Shape): KnownValue | null {
  const value = ctx.value(0);
  const [before, after, length] = [pads[0], pads[1], out[0]];
  if (value === null || out.length !== 1 || ctx.attrs.string('mode', 'constant') !== 'constant') return null;
  if (typeof before !== 'number' || typeof after !== 'number' || typeof length !== 'number') return null;
  if (before < 0 || after < 0 || length > 4096) return null;
  const fill = ctx.hasInput(2) ? ctx.value(2)?.elements[0] : ctx.attrs.float('value', 0);
  if (fill === undefined) return null;
  const elements: Dim[] = [
    ...new Array<Dim>(before).fill(fill),
    ...value.elements,
    ...new Array<Dim>(after).fill(fill),
  ];
  return { dtype: value.dtype, dims: [length], elements };
}

export const family: OpFamily = { domain: '', rules: { Slice: slice, Pad: pad } };
