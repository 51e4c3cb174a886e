/** Operators that only re-read the same elements in row-major order: free, and transparent to gradients and sharding. */
import { isFloat } from '../model/dtype.js';
import { normalizeAxes, normalizeAxis, wrapAxis } from './axis.js';
import { needsGrad } from './defaults.js';
import * as dim from './dim.js';
import { refineShapes } from './refine.js';
import type {
  BackwardRule,
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
import { countOf, numbersOf, smallDims } from './value.js';

/** The same elements under another shape. */
function reshapedValue(ctx: InferContext, shape: Shape | null): KnownValue | null {
  const value = ctx.value(0);
  const dims = value === null ? null : smallDims(shape);
  if (value === null || dims === null || countOf(dims) !== value.elements.length) return null;
  return { dtype: value.dtype, dims, elements: value.elements };
}

function setView(ctx: InferContext, shape: Shape | null): void {
  ctx.setTensor(0, ctx.dtype(0), shape, reshapedValue(ctx, shape));
}

/** A view's gradient is a view. */
export function viewBackward(op: OpInstance): BackwardRule | null {
  if (!needsGrad(op, 0) || !isFloat(op.outputDtype(0))) return null;
  return { grads: [{ input: 0, flop: 0 }], savesInputs: [], savesOutputs: [] };
}

function viewFactors(op: OpInstance, inferred = -1): FactorRule {
  const r = refineShapes(op.inputShape(0) ?? [], op.outputShape(0) ?? [], inferred);
  const inputs: (number[][] | null)[] = [r.from];
  for (let i = 1; i < op.inputCount; i++) {
    inputs.push(op.inputShape(i)?.map((size) => [r.factors.push({ size, kind: 'whole' }) - 1]) ?? null);
  }
  return { factors: r.factors, inputs, outputs: [r.to], linear: true };
}

const view = (
  infer: (ctx: InferContext) => void,
  factors: (op: OpInstance) => FactorRule = viewFactors,
): OpRule => ({
  infer,
  work: () => ({ flop: 0, kernel: 'view' }),
  factors: (op) => factors(op),
  backward: viewBackward,
});

/**
 * Factors of a view that says where each dimension goes, so that dimensions of size 1 are not mistaken for one another:
 * input dimension k has factor k, the output's are given.
 */
function mappedFactors(op: OpInstance, outputs: number[][]): FactorRule {
  const factors: Factor[] = (op.inputShape(0) ?? []).map((size) => ({ size, kind: 'parallel' }));
  const inputs: (number[][] | null)[] = [factors.map((_, k) => [k])];
  for (let i = 1; i < op.inputCount; i++) {
    inputs.push(op.inputShape(i)?.map((size) => [factors.push({ size, kind: 'whole' }) - 1]) ?? null);
  }
  return { factors, inputs, outputs: [outputs], linear: true };
}

/** Axes of a checked Squeeze or Unsqueeze, counted in a tensor of `rank`; `null` when they are not given or not known. */
function instanceAxes(op: OpInstance, rank: number): readonly number[] | null {
  const axes =
    op.inputCount > 1 && op.inputShape(1) !== null ? numbersOf(op.inputValue(1)) : op.attrs.ints('axes');
  return axes?.map((a) => wrapAxis(a, rank)) ?? null;
}

/** Target of a Reshape: an input, or before opset 5 an attribute. */
function reshapeTarget(ctx: InferContext): readonly Dim[] | null {
  return ctx.hasInput(1) ? (ctx.value(1)?.elements ?? null) : ctx.attrs.ints('shape');
}

function inferReshape(ctx: InferContext): void {
  const target = reshapeTarget(ctx);
  const shape = ctx.shape(0);
  if (target === null) {
    const length = ctx.shape(1)?.[0];
    const rank = ctx.shape(1)?.length === 1 && typeof length === 'number' && length <= 64 ? length : null;
    return setView(ctx, rank === null ? null : Array.from({ length: rank }, () => ctx.freshDim()));
  }
  const out: (Dim | null)[] = [];
  const allowZero = ctx.attrs.int('allowzero', 0) === 1;
  let inferred = -1;
  for (let i = 0; i < target.length; i++) {
    const d = target[i];
    if (d === -1) {
      if (inferred >= 0) ctx.fail('Reshape to a shape with two -1');
      inferred = i;
      out.push(null);
    } else if (d === 0 && !allowZero) {
      if (shape !== null && i >= shape.length)
        ctx.fail(`Reshape copies dimension ${String(i)} of a rank-${String(shape.length)} tensor`);
      out.push(shape === null ? ctx.freshDim() : shape[i]);
    } else {
      if (typeof d === 'number' && d < 0) ctx.fail(`Reshape to a dimension of ${String(d)}`);
      out.push(d);
    }
  }
  if (inferred >= 0) out[inferred] = inferredDim(ctx, shape, out, inferred);
  else if (shape !== null) checkVolume(ctx, shape, out as Dim[]);
  setView(ctx, out as Dim[]);
}

/** What the -1 stands for: the input's volume over the other dimensions'. */
function inferredDim(ctx: InferContext, shape: Shape | null, out: readonly (Dim | null)[], at: number): Dim {
  if (shape === null) return ctx.freshDim();
  // Cancel what both sides share first, so that symbols divide.
  const left = [...shape];
  let others: Dim = 1;
  for (let i = 0; i < out.length; i++) {
    if (i === at) continue;
    const d = out[i]!;
    const same = d === 0 ? -1 : left.indexOf(d);
    if (same >= 0) left.splice(same, 1);
    else others = dim.mul(others, d);
  }
  const volume = dim.product(left);
  // 0 / 0: a tensor without elements; the convention is 0.
  if (others === 0)
    return volume === 0 ? 0 : ctx.fail(`cannot reshape ${dim.shapeText(shape)} to a zero-size shape`);
  const exact = dim.divideExact(volume, others);
  if (exact !== null) return exact;
  if (typeof volume === 'number' && typeof others === 'number') {
    ctx.fail(`cannot reshape ${dim.shapeText(shape)}: ${String(volume)} is no multiple of ${String(others)}`);
  }
  return dim.floorDiv(volume, others);
}

function checkVolume(ctx: InferContext, shape: Shape, out: Shape): void {
  const [a, b] = [dim.product(shape), dim.product(out)];
  if (typeof a === 'number' && typeof b === 'number' && a !== b) {
    ctx.fail(
      `cannot reshape ${dim.shapeText(shape)} (${String(a)} elements) to ${dim.shapeText(out)} (${String(b)})`,
    );
  }
}

const reshape: OpRule = {
  ...view(inferReshape),
  factors(op) {
    const target = op.inputCount > 1 ? numbersOf(op.inputValue(1)) : op.attrs.ints('shape');
    return viewFactors(op, target?.indexOf(-1) ?? -1);
  },
};

const flatten = view((ctx) => {
  const shape = ctx.shape(0);
  if (shape === null) return setView(ctx, [ctx.freshDim(), ctx.freshDim()]);
  const given = ctx.attrs.int('axis', 1);
  const axis = given === shape.length ? given : normalizeAxis(ctx, given, shape.length);
  setView(ctx, [dim.product(shape, 0, axis), dim.product(shape, axis)]);
}, flattenFactors);

function flattenFactors(op: OpInstance): FactorRule {
  const rank = op.inputShape(0)?.length ?? 0;
  const given = op.attrs.int('axis', 1);
  const axis = given < 0 ? given + rank : given;
  const all = Array.from({ length: rank }, (_, k) => k);
  return mappedFactors(op, [all.slice(0, axis), all.slice(axis)]);
}

/** Axes: an attribute before opset 13, an input since. `undefined`: not given; `null`: given but not known. */
function givenAxes(ctx: InferContext): readonly number[] | null | undefined {
  if (ctx.hasInput(1)) return numbersOf(ctx.value(1));
  return ctx.attrs.ints('axes') ?? undefined;
}

const squeeze = view((ctx) => {
  const shape = ctx.shape(0);
  const given = givenAxes(ctx);
  if (shape === null) return setView(ctx, null);
  if (given === null) {
    const count = ctx.shape(1)?.[0];
    const rank = typeof count === 'number' ? shape.length - count : -1;
    return setView(ctx, rank < 0 ? null : Array.from({ length: rank }, () => ctx.freshDim()));
  }
  if (given === undefined) {
    // All dimensions of size 1 go; a symbol may be one.
    return setView(ctx, shape.every((d) => typeof d === 'number') ? shape.filter((d) => d !== 1) : null);
  }
  const axes = normalizeAxes(ctx, given, shape.length);
  for (const a of axes) {
    const d = shape[a];
    if (typeof d === 'number' && d !== 1)
      ctx.fail(`Squeeze of axis ${String(a)} of ${dim.shapeText(shape)}: it is not 1`);
  }
  setView(
    ctx,
    shape.filter((_, i) => !axes.includes(i)),
  );
}, squeezeFactors);

function squeezeFactors(op: OpInstance): FactorRule {
  const shape = op.inputShape(0) ?? [];
  const axes = instanceAxes(op, shape.length);
  const kept = shape.flatMap((size, k) => ((axes === null ? size === 1 : axes.includes(k)) ? [] : [[k]]));
  return kept.length === op.outputShape(0)?.length ? mappedFactors(op, kept) : viewFactors(op);
}

const unsqueeze = view((ctx) => {
  const shape = ctx.shape(0);
  const given = givenAxes(ctx);
  if (shape === null) return setView(ctx, null);
  if (given === null || given === undefined) {
    const count = ctx.shape(1)?.[0];
    const rank = typeof count === 'number' && count <= 64 ? shape.length + count : -1;
    return setView(ctx, rank < 0 ? null : Array.from({ length: rank }, () => ctx.freshDim()));
  }
  const rank = shape.length + given.length;
  const axes = normalizeAxes(ctx, given, rank);
  const out: Dim[] = [];
  let next = 0;
  for (let i = 0; i < rank; i++) out.push(axes.includes(i) ? 1 : shape[next++]);
  setView(ctx, out);
}, unsqueezeFactors);

/** A new dimension of 1 has no factor. */
function unsqueezeFactors(op: OpInstance): FactorRule {
  const out = op.outputShape(0) ?? [];
  const axes = instanceAxes(op, out.length);
  if (axes === null) return viewFactors(op);
  let next = 0;
  return mappedFactors(
    op,
    out.map((_, k) => (axes.includes(k) ? [] : [next++])),
  );
}

export const family: OpFamily = {
  domain: '',
  rules: { Reshape: reshape, Flatten: flatten, Squeeze: squeeze, Unsqueeze: unsqueeze },
};
