/** Constants and tensors made from shapes or scalars. */
import { DType } from '../model/dtype.js';
import { readInts, readNumbers } from '../model/tensor.js';
import type { TensorProto } from '../model/types.js';
import { outputElements } from './defaults.js';
import * as dim from './dim.js';
import {
  MAX_KNOWN_ELEMENTS,
  type Dim,
  type Factor,
  type InferContext,
  type KnownValue,
  type OpFamily,
  type OpInstance,
  type OpRule,
  type Shape,
} from './types.js';
import {
  countOf,
  filledValue,
  isFollowed,
  isInteger,
  onlyElement,
  scalarValue,
  smallDims,
  vectorValue,
} from './value.js';

const FOLLOWED_WHOLE: ReadonlySet<DType> = new Set([DType.INT64, DType.INT32, DType.BOOL]);
const MAX_SMALL_ELEMENTS = 16;

/** Elements of a small constant; `null` when large, external, or of a type that is not followed. */
export function tensorValue(tensor: TensorProto): KnownValue | null {
  const dtype: DType = tensor.dataType ?? 0;
  const dims = tensor.dims.map(Number);
  // Shapes and index tables are read whole; of weights and quantised payloads only what may be a scale or a bound.
  const limit = FOLLOWED_WHOLE.has(dtype) ? MAX_KNOWN_ELEMENTS : MAX_SMALL_ELEMENTS;
  if (!isFollowed(dtype) || countOf(dims) > limit) return null;
  const elements =
    isInteger(dtype) || dtype === DType.BOOL
      ? readInts(tensor, MAX_KNOWN_ELEMENTS)
      : readNumbers(tensor, MAX_KNOWN_ELEMENTS);
  return elements === null ? null : { dtype, dims, elements: Array.from(elements, Number) };
}

const constant: OpRule = {
  infer(ctx) {
    const { attrs } = ctx;
    const tensor = attrs.raw('value')?.t;
    if (tensor !== undefined) {
      const value = tensorValue(tensor);
      return ctx.setTensor(0, tensor.dataType ?? 0, value?.dims ?? tensor.dims.map(Number), value);
    }
    const sparse = attrs.raw('sparse_value')?.sparseTensor;
    if (sparse !== undefined) return ctx.setTensor(0, sparse.values?.dataType ?? 0, sparse.dims.map(Number));
    if (attrs.has('value_int')) return constantOf(ctx, scalarValue(DType.INT64, attrs.int('value_int', 0)));
    if (attrs.has('value_float'))
      return constantOf(ctx, scalarValue(DType.FLOAT, attrs.float('value_float', 0)));
    if (attrs.has('value_ints')) return constantVector(ctx, DType.INT64, attrs.ints('value_ints') ?? []);
    if (attrs.has('value_floats'))
      return constantVector(ctx, DType.FLOAT, attrs.floats('value_floats') ?? []);
    if (attrs.has('value_string')) return ctx.setTensor(0, DType.STRING, []);
    if (attrs.has('value_strings'))
      return ctx.setTensor(0, DType.STRING, [attrs.strings('value_strings')?.length ?? 0]);
    ctx.fail('Constant without a value');
  },
  work: () => ({ flop: 0, kernel: 'view' }),
  backward: () => null,
};

function constantOf(ctx: InferContext, value: KnownValue): void {
  ctx.setTensor(0, value.dtype, value.dims, value);
}

function constantVector(ctx: InferContext, dtype: DType, elements: readonly number[]): void {
  if (elements.length > MAX_KNOWN_ELEMENTS) ctx.setTensor(0, dtype, [elements.length]);
  else constantOf(ctx, vectorValue(dtype, elements));
}

const constantOfShape: OpRule = {
  infer(ctx) {
    const tensor = ctx.attrs.raw('value')?.t;
    const dtype: DType = tensor?.dataType ?? DType.FLOAT;
    const shape = shapeFromValue(ctx, 0);
    const fill = tensor === undefined ? 0 : onlyElement(tensorValue(tensor));
    ctx.setTensor(0, dtype, shape, fill === null ? null : filledValue(dtype, shape, fill));
  },
  work: (op) => ({ flop: 0 * outputElements(op), kernel: 'elementwise' }),
  factors: freeOutput,
  backward: () => null,
};

/**
 * The shape that a 1-D integer input holds: its known elements, fresh dimensions when only its length is known, `null`
 * otherwise. @throws PartitionError on a negative size
 */
export function shapeFromValue(ctx: InferContext, input: number): Shape | null {
  const value = ctx.value(input);
  if (value !== null) {
    for (const d of value.elements)
      if (typeof d === 'number' && d < 0) ctx.fail(`dimension ${String(d)} is negative`);
    return value.elements;
  }
  const shape = ctx.shape(input);
  if (shape === null || shape.length !== 1 || typeof shape[0] !== 'number' || shape[0] > 64) return null;
  return Array.from({ length: shape[0] }, () => ctx.freshDim());
}

/** Inputs hold sizes, not data: every output dimension may be split freely. */
function freeOutput(op: OpInstance): {
  factors: Factor[];
  inputs: (number[][] | null)[];
  outputs: (number[][] | null)[];
} {
  const out = op.outputShape(0) ?? [];
  const factors: Factor[] = out.map((size) => ({ size, kind: 'parallel' }));
  const inputs: (number[][] | null)[] = [];
  for (let i = 0; i < op.inputCount; i++) {
    const shape = op.inputShape(i);
    inputs.push(shape === null ? null : shape.map((size) => [factors.push({ size, kind: 'whole' }) - 1]));
  }
  return { factors, inputs, outputs: [out.map((_, k) => [k])] };
}

/** ceil((limit - start) / delta) elements, none when that is negative. */
const range: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const [start, limit, delta] = [
      onlyElement(ctx.value(0)),
      onlyElement(ctx.value(1)),
      onlyElement(ctx.value(2)),
    ];
    if (start === null || limit === null || delta === null) return ctx.setTensor(0, dtype, [ctx.freshDim()]);
    const length = rangeLength(ctx, start, limit, delta);
    ctx.setTensor(0, dtype, [length], rangeValue(dtype, start, delta, length));
  },
  work: (op) => ({ flop: outputElements(op), kernel: 'elementwise' }),
  factors: freeOutput,
  backward: () => null,
};

function rangeLength(ctx: InferContext, start: Dim, limit: Dim, delta: Dim): Dim {
  if (delta === 0) ctx.fail('Range with a delta of 0 never ends');
  if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number') {
    return Math.max(0, Math.ceil((limit - start) / delta));
  }
  const symbolic = (d: Dim): boolean => typeof d !== 'number' || Number.isInteger(d);
  if (!symbolic(start) || !symbolic(limit) || typeof delta !== 'number' || !Number.isInteger(delta))
    return ctx.freshDim();
  const span = delta > 0 ? dim.sub(limit, start) : dim.sub(start, limit);
  const length = dim.ceilDiv(span, Math.abs(delta));
  return dim.isNonNegative(length) ? length : dim.max(length, 0);
}

function rangeValue(dtype: DType, start: Dim, delta: Dim, length: Dim): KnownValue | null {
  if (typeof length !== 'number' || length > MAX_KNOWN_ELEMENTS) return null;
  const elements: Dim[] = [];
  for (let i = 0; i < length; i++) {
    const step = typeof delta === 'number' ? i * delta : dim.mul(delta, i);
    elements.push(
      typeof start === 'number' && typeof step === 'number' ? start + step : dim.add(start, step),
    );
  }
  return vectorValue(dtype, elements);
}

const eyeLike: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.attrs.optionalInt('dtype') ?? ctx.dtype(0), ctx.shape(0));
  },
  work: () => ({ flop: 0, kernel: 'elementwise' }),
  factors: freeOutput,
  backward: () => null,
};

/** The new axis holds the depth; it and the indices' axes may be split. */
const oneHot: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(2);
    const shape = ctx.shape(0);
    if (shape === null) return ctx.setTensor(0, dtype, null);
    const axis = oneHotAxis(ctx.attrs.int('axis', -1), shape.length);
    if (axis === null)
      return ctx.fail(`axis ${String(ctx.attrs.int('axis', -1))} is outside the output's rank`);
    const depth = onlyElement(ctx.value(1)) ?? ctx.freshDim();
    const out = [...shape.slice(0, axis), depth, ...shape.slice(axis)];
    ctx.setTensor(0, dtype, out, oneHotValue(ctx, axis, out));
  },
  work: (op) => ({ flop: 0 * outputElements(op), kernel: 'elementwise' }),
  factors(op) {
    const out = op.outputShape(0) ?? [];
    const axis = oneHotAxis(op.attrs.int('axis', -1), out.length - 1) ?? 0;
    const factors: Factor[] = out.map((size) => ({ size, kind: 'parallel' }));
    const indices = (op.inputShape(0) ?? []).map((_, k) => [k < axis ? k : k + 1]);
    const none = (i: number): number[][] | null => op.inputShape(i)?.map(() => []) ?? null;
    const values = op.inputShape(2) === null ? null : [[factors.push({ size: 2, kind: 'whole' }) - 1]];
    return { factors, inputs: [indices, none(1), values], outputs: [out.map((_, k) => [k])] };
  },
  backward: () => null,
};

function oneHotAxis(axis: number, rank: number): number | null {
  if (axis < -rank - 1 || axis > rank) return null;
  return axis < 0 ? axis + rank + 1 : axis;
}

/** Of a scalar or a vector of indices. */
function oneHotValue(ctx: InferContext, axis: number, out: Shape): KnownValue | null {
  const [indices, values, dims] = [ctx.value(0), ctx.value(2), smallDims(out)];
  if (indices === null || values === null || dims === null || dims.length > 2) return null;
  const depth = dims[axis];
  const elements = new Array<Dim>(countOf(dims)).fill(values.elements[0]);
  for (let i = 0; i < indices.elements.length; i++) {
    const at = indices.elements[i];
    if (typeof at !== 'number') return null;
    const hot = at < 0 ? at + depth : at;
    // An index out of range leaves its row off everywhere.
    if (hot >= 0 && hot < depth)
      elements[axis === 0 ? hot * (dims[1] ?? 1) + i : i * depth + hot] = values.elements[1];
  }
  return { dtype: values.dtype, dims, elements };
}

export const family: OpFamily = {
  domain: '',
  rules: {
    Constant: constant,
    ConstantOfShape: constantOfShape,
    Range: range,
    EyeLike: eyeLike,
    OneHot: oneHot,
  },
};
