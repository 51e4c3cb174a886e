/** Indexed reads and writes. A gather from a table by data is the `lookup` factor: vocabulary and expert parallelism. */
import { DType, isFloat } from '../model/dtype.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { gradInputs, needsGrad, outputElements } from './defaults.js';
import * as dim from './dim.js';
import { wholeInput } from './movement.js';
import type {
  Dim,
  Factor,
  FactorKind,
  FactorRule,
  InferContext,
  KnownValue,
  OpFamily,
  OpInstance,
  OpRule,
} from './types.js';
import { countOf, numbersOf, smallDims, stridesOf } from './value.js';

const gather: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const [data, indices] = [ctx.shape(0), ctx.shape(1)];
    if (data === null || indices === null) return ctx.setTensor(0, dtype, null);
    if (data.length === 0) ctx.fail('Gather from a scalar');
    const axis = normalizeAxis(ctx, ctx.attrs.int('axis', 0), data.length);
    const out = [...data.slice(0, axis), ...indices, ...data.slice(axis + 1)];
    ctx.setTensor(0, dtype, out, gatheredValue(ctx, axis));
  },
  work: (op) => ({
    flop: 0,
    kernel: 'gather',
    touchedElements: 2 * outputElements(op) + countOf(op.inputShape(1) ?? []),
  }),
  factors(op) {
    const [data, indices] = [op.inputShape(0) ?? [], op.inputShape(1) ?? []];
    const axis = wrapAxis(op.attrs.int('axis', 0), data.length);
    const factors: Factor[] = data.map((size, k) => ({
      size,
      kind: k === axis ? tableKind(op) : 'parallel',
    }));
    const rows = indices.map((size) => [factors.push({ size, kind: 'parallel' }) - 1]);
    const columns = data.map((_, k) => [k]);
    return {
      factors,
      inputs: [columns, rows],
      outputs: [[...columns.slice(0, axis), ...rows, ...columns.slice(axis + 1)]],
      linear: true,
    };
  },
  backward: indexedBackward,
};

/**
 * An axis indexed by data may be split: absent rows add zero. Constant indices pick fixed rows, as a slice does; then only a
 * table of weights (a position embedding) is worth a lookup.
 */
function tableKind(op: OpInstance): FactorKind {
  return op.inputValue(1) === null || op.inputIsParameter(0) ? 'lookup' : 'whole';
}

/** The gradient adds rows into the table at the saved indices. */
function indexedBackward(op: OpInstance): ReturnType<NonNullable<OpRule['backward']>> {
  if (!needsGrad(op, 0) || !isFloat(op.outputDtype(0))) return null;
  const saved = op.inputValue(1) === null ? [1] : [];
  return { grads: [{ input: 0, flop: outputElements(op) }], savesInputs: saved, savesOutputs: [] };
}

function gatheredValue(ctx: InferContext, axis: number): KnownValue | null {
  const value = ctx.value(0);
  if (value === null || axis !== 0) return null;
  const index = ctx.value(1);
  if (index === null) return null;
  const inner = value.dims.length === 1 ? 1 : countOf(value.dims.slice(1));
  const elements: Dim[] = [];
  for (const i of index.elements) {
    if (typeof i !== 'number') return null;
    const row = i < 0 ? i + value.dims[0] : i;
    if (!(row >= 0 && row < value.dims[0])) {
      ctx.fail(`Gather of index ${String(i)} from an axis of ${String(value.dims[0])}`);
    }
    for (let k = 0; k < inner; k++) elements.push(value.elements[row * inner + k]);
  }
  return { dtype: value.dtype, dims: [...index.dims, ...value.dims.slice(1)], elements };
}

/** Output like the indices; the axis is whole, all others are aligned. */
const gatherElements: OpRule = {
  infer(ctx) {
    const [data, indices] = [ctx.shape(0), ctx.shape(1)];
    if (data !== null && indices !== null && data.length !== indices.length) {
      ctx.fail(
        `GatherElements of rank ${String(data.length)} with indices of rank ${String(indices.length)}`,
      );
    }
    if (data !== null) normalizeAxis(ctx, ctx.attrs.int('axis', 0), data.length);
    ctx.setTensor(0, ctx.dtype(0), indices);
  },
  work: (op) => ({ flop: 0, kernel: 'gather', touchedElements: 3 * outputElements(op) }),
  factors(op) {
    const [data, indices] = [op.inputShape(0) ?? [], op.inputShape(1) ?? []];
    const axis = wrapAxis(op.attrs.int('axis', 0), data.length);
    const factors: Factor[] = indices.map((size) => ({ size, kind: 'parallel' }));
    const table = data.map((size, k) => {
      if (k === axis) return [factors.push({ size, kind: 'lookup' }) - 1];
      return size === indices[k] ? [k] : [factors.push({ size, kind: 'whole' }) - 1];
    });
    // A dimension of the indices that reads only the head of the data's may not be split against it.
    indices.forEach((size, k) => {
      if (k !== axis && size !== data[k]) factors[k] = { size, kind: 'whole' };
    });
    const same = indices.map((_, k) => [k]);
    return { factors, inputs: [table, same], outputs: [same], linear: true };
  },
  backward: indexedBackward,
};

const gatherND: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const [data, indices] = [ctx.shape(0), ctx.shape(1)];
    const depth = indices?.[indices.length - 1];
    if (data === null || indices === null || typeof depth !== 'number') return ctx.setTensor(0, dtype, null);
    const batch = ctx.attrs.int('batch_dims', 0);
    if (batch + depth > data.length)
      ctx.fail(`GatherND indexes ${String(depth)} axes of ${dim.shapeText(data)}`);
    const out = [...indices.slice(0, -1), ...data.slice(batch + depth)];
    ctx.setTensor(0, dtype, out, gatheredNDValue(ctx, depth, batch, smallDims(out)));
  },
  work: (op) => ({
    flop: 0,
    kernel: 'gather',
    touchedElements: 2 * outputElements(op) + countOf(op.inputShape(1) ?? []),
  }),
  factors(op) {
    const [data, indices] = [op.inputShape(0) ?? [], op.inputShape(1) ?? []];
    const batch = op.attrs.int('batch_dims', 0);
    const depth = indices[indices.length - 1] ?? 0;
    const factors: Factor[] = data.map((size, k) => ({
      size,
      kind: k < batch || k >= batch + depth ? 'parallel' : tableKind(op),
    }));
    const rows = indices.map((size, k) => {
      if (k < batch) return [k];
      return [factors.push({ size, kind: k === indices.length - 1 ? 'whole' : 'parallel' }) - 1];
    });
    const out = [...rows.slice(0, -1), ...data.map((_, k) => [k]).slice(batch + depth)];
    return { factors, inputs: [data.map((_, k) => [k]), rows], outputs: [out], linear: true };
  },
  backward: indexedBackward,
};

function gatheredNDValue(
  ctx: InferContext,
  depth: number,
  batch: number,
  dims: number[] | null,
): KnownValue | null {
  const [value, index] = [ctx.value(0), numbersOf(ctx.value(1))];
  if (value === null || index === null || dims === null || batch !== 0) return null;
  const strides = stridesOf(value.dims);
  const inner = countOf(value.dims.slice(depth));
  const elements: Dim[] = [];
  for (let at = 0; at < index.length; at += depth) {
    let from = 0;
    for (let k = 0; k < depth; k++) {
      const i = index[at + k];
      const row = i < 0 ? i + value.dims[k] : i;
      if (!(row >= 0 && row < value.dims[k]))
        ctx.fail(`GatherND of index ${String(i)} from an axis of ${String(value.dims[k])}`);
      from += row * strides[k];
    }
    for (let k = 0; k < inner; k++) elements.push(value.elements[from + k]);
  }
  return { dtype: value.dtype, dims, elements };
}

/** Scatters return the data with some elements replaced or added to. */
const scatter = (
  checked: boolean,
  axes: (op: OpInstance) => (k: number) => boolean,
  value?: ValueRule,
): OpRule => ({
  infer(ctx) {
    const data = ctx.shape(0);
    if (checked && data !== null) normalizeAxis(ctx, ctx.attrs.int('axis', 0), data.length);
    ctx.setTensor(0, ctx.dtype(0), data, value === undefined ? null : value(ctx));
  },
  work: (op) => ({
    flop: op.attrs.string('reduction', 'none') === 'none' ? 0 : countOf(op.inputShape(2) ?? []),
    kernel: 'gather',
    // The data is copied unless it is updated in place; a framework that trains does copy.
    touchedElements: 2 * outputElements(op) + 2 * countOf(op.inputShape(2) ?? []),
  }),
  factors: (op) => scatterFactors(op, axes(op)),
  backward(op) {
    const grads = gradInputs(op).filter((i) => i === 0 || i === 2);
    if (grads.length === 0 || !isFloat(op.outputDtype(0))) return null;
    const updates = countOf(op.inputShape(2) ?? []);
    return {
      grads: grads.map((input) => ({ input, flop: input === 0 ? outputElements(op) : updates })),
      savesInputs: op.inputValue(1) === null ? [1] : [],
      savesOutputs: [],
    };
  },
});

type ValueRule = (ctx: InferContext) => KnownValue | null;

/** Trailing dimensions that data and updates share are parallel; indexed ones are whole. */
function scatterFactors(op: OpInstance, indexed: (k: number) => boolean): FactorRule {
  const data = op.inputShape(0) ?? [];
  const updates = op.inputShape(2) ?? [];
  const factors: Factor[] = data.map((size, k) => ({ size, kind: indexed(k) ? 'whole' : 'parallel' }));
  const columns = data.map((_, k) => [k]);
  const lead = updates.length - data.length;
  const rows = updates.map((size, u) => {
    const k = u - lead;
    if (k >= 0 && !indexed(k) && data[k] === size) return [k];
    return [factors.push({ size, kind: 'whole' }) - 1];
  });
  const inputs: (number[][] | null)[] = [columns, wholeInput(op, 1, factors), rows];
  for (let i = 3; i < op.inputCount; i++) inputs.push(wholeInput(op, i, factors));
  // A data dimension that the updates do not cover entirely may not be split apart from them.
  data.forEach((size, k) => {
    const u = k + lead;
    if (!indexed(k) && (u < 0 || updates[u] !== size)) factors[k] = { size, kind: 'whole' };
  });
  return { factors, inputs, outputs: [columns] };
}

const scatterElements = scatter(true, (op) => {
  const axis = wrapAxis(op.attrs.int('axis', 0), op.inputShape(0)?.length ?? 0);
  const indices = op.inputShape(1) ?? [];
  const data = op.inputShape(0) ?? [];
  return (k) => k === axis || indices[k] !== data[k];
});

/** The last dimension of the indices says how many leading axes they index. */
const scatterND = scatter(
  false,
  (op) => {
    const depth = op.inputShape(1)?.at(-1) ?? 0;
    return (k) => k < depth;
  },
  scatteredNDValue,
);

/** Small vectors only: shapes patched in place. */
function scatteredNDValue(ctx: InferContext): KnownValue | null {
  const [data, index, updates] = [ctx.value(0), numbersOf(ctx.value(1)), ctx.value(2)];
  if (data === null || index === null || updates === null || data.dims.length !== 1) return null;
  if (ctx.attrs.string('reduction', 'none') !== 'none' || updates.elements.length !== index.length)
    return null;
  const elements = [...data.elements];
  for (let i = 0; i < index.length; i++) {
    const at = index[i] < 0 ? index[i] + elements.length : index[i];
    if (!(at >= 0 && at < elements.length)) return null;
    elements[at] = updates.elements[i];
  }
  return { ...data, elements };
}

/** Writes a step into a key-value cache at per-sample positions; batch and trailing axes are parallel. */
const tensorScatter: OpRule = {
  infer: (ctx) => ctx.setTensor(0, ctx.dtype(0), ctx.shape(0)),
  work: (op) => ({ flop: 0, kernel: 'gather', touchedElements: 2 * countOf(op.inputShape(1) ?? []) }),
  factors(op) {
    const data = op.inputShape(0) ?? [];
    const update = op.inputShape(1) ?? [];
    const axis = wrapAxis(op.attrs.int('axis', -2), data.length);
    const factors: Factor[] = data.map((size, k) => ({ size, kind: k === axis ? 'whole' : 'parallel' }));
    const columns = data.map((_, k) => [k]);
    const rows = update.map((size, k) => [k === axis ? factors.push({ size, kind: 'whole' }) - 1 : k]);
    const inputs: (number[][] | null)[] = [columns, rows];
    if (op.inputCount > 2) inputs.push(op.inputShape(2)?.map(() => [0]) ?? null);
    return { factors, inputs, outputs: [columns] };
  },
  backward(op) {
    const grads = gradInputs(op).filter((i) => i < 2);
    if (grads.length === 0) return null;
    return { grads: grads.map((input) => ({ input, flop: 0 })), savesInputs: [], savesOutputs: [] };
  },
};

// ---------------------------------------------------------------------------------------------------------------
// Outputs whose size depends on the data: INT64 indices and filtered tensors

const nonZero: OpRule = {
  infer(ctx) {
    const rank = ctx.shape(0)?.length;
    const value = ctx.value(0);
    const known = numbersOf(value);
    if (value !== null && known !== null && value.dims.length === 1) {
      const at = known.flatMap((e, i) => (e === 0 ? [] : [i]));
      const dims = [1, at.length];
      return ctx.setTensor(0, DType.INT64, dims, { dtype: DType.INT64, dims, elements: at });
    }
    // A scalar counts as a vector of one element.
    ctx.setTensor(0, DType.INT64, [rank === undefined ? ctx.freshDim() : Math.max(1, rank), ctx.freshDim()]);
  },
  work: (op) => ({ flop: countOf(op.inputShape(0) ?? []), kernel: 'gather' }),
  backward: () => null,
};

const compress: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.attrs.optionalInt('axis');
    const kept = numbersOf(ctx.value(1))?.filter((e) => e !== 0).length;
    if (axis === null) return ctx.setTensor(0, ctx.dtype(0), [kept ?? ctx.freshDim()]);
    if (shape === null) return ctx.setTensor(0, ctx.dtype(0), null);
    const out: Dim[] = [...shape];
    out[normalizeAxis(ctx, axis, shape.length)] = kept ?? ctx.freshDim();
    ctx.setTensor(0, ctx.dtype(0), out);
  },
  work: (op) => ({ flop: 0, kernel: 'gather', touchedElements: 2 * outputElements(op) }),
  backward: indexedBackward,
};

const unique: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.attrs.optionalInt('axis');
    const found = ctx.freshDim();
    let out: Dim[] | null = [found];
    if (axis !== null) {
      out = shape === null ? null : [...shape];
      if (out !== null) out[normalizeAxis(ctx, axis, out.length)] = found;
    }
    ctx.setTensor(0, ctx.dtype(0), out);
    const inverse =
      axis === null
        ? shape === null
          ? ctx.freshDim()
          : dim.product(shape)
        : (shape?.[wrapAxis(axis, shape.length)] ?? ctx.freshDim());
    const lengths = [found, inverse, found];
    for (let i = 1; i < ctx.outputCount; i++)
      if (ctx.hasOutput(i)) ctx.setTensor(i, DType.INT64, [lengths[i - 1]]);
  },
  work: (op) => ({ flop: countOf(op.inputShape(0) ?? []), kernel: 'other' }),
  backward: () => null,
};

export const family: OpFamily = {
  domain: '',
  rules: {
    Gather: gather,
    GatherElements: gatherElements,
    GatherND: gatherND,
    Scatter: scatterElements,
    ScatterElements: scatterElements,
    ScatterND: scatterND,
    TensorScatter: tensorScatter,
    NonZero: nonZero,
    Compress: compress,
    Unique: unique,
  },
};
