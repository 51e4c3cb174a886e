/** Reductions over axes; axes as an attribute or, from opset 13 (ReduceSum) and 18 (the others), as an input. */
import { DType, isFloat } from '../model/dtype.js';
import { normalizeAxes, wrapAxis } from './axis.js';
import { inputElements, needsGrad } from './defaults.js';
import * as fold from './fold_math.js';
import type {
  Dim,
  Factor,
  FactorKind,
  InferContext,
  KnownValue,
  OpFamily,
  OpInstance,
  OpRule,
} from './types.js';
import { countOf, numbersOf } from './value.js';

interface ReduceSpec {
  /** `contraction` where splitting the axis leaves partial sums. */
  readonly kind: FactorKind;
  readonly linear?: boolean;
  readonly saves: 'nothing' | 'input' | 'both';
  /** FLOP per input element. */
  readonly flop?: number;
  readonly fold?: (x: Dim, y: Dim) => Dim | null;
}

/** Axes to reduce, normalised; `null` when they are given by an unknown input. */
function axesOf(ctx: InferContext, rank: number): readonly number[] | null {
  const attribute = ctx.attrs.ints('axes');
  let axes: readonly number[] | null = attribute;
  if (attribute === null && ctx.hasInput(1)) {
    axes = numbersOf(ctx.value(1));
    if (axes === null)
      return ctx.shape(1)?.[0] === 0 ? emptyAxes(ctx.attrs.int('noop_with_empty_axes', 0), rank) : null;
  }
  if (axes === null || axes.length === 0) return emptyAxes(ctx.attrs.int('noop_with_empty_axes', 0), rank);
  return normalizeAxes(ctx, axes, rank);
}

/** No axes: all of them, unless the node asks for none. */
function emptyAxes(noop: number, rank: number): number[] {
  return noop === 1 ? [] : Array.from({ length: rank }, (_, i) => i);
}

/** Axes of a checked instance, `null` when not known. */
function axesOfInstance(op: OpInstance, rank: number): readonly number[] | null {
  let axes = op.attrs.ints('axes');
  if (axes === null && op.inputCount > 1 && op.inputShape(1) !== null) {
    axes = numbersOf(op.inputValue(1));
    if (axes === null) return null;
  }
  if (axes === null || axes.length === 0) return emptyAxes(op.attrs.int('noop_with_empty_axes', 0), rank);
  return axes.map((a) => wrapAxis(a, rank));
}

function reduction(spec: ReduceSpec): OpRule {
  return {
    infer(ctx) {
      const dtype = ctx.dtype(0);
      const shape = ctx.shape(0);
      if (shape === null) return ctx.setTensor(0, dtype, null);
      const keep = ctx.attrs.int('keepdims', 1) === 1;
      const axes = axesOf(ctx, shape.length);
      if (axes === null) {
        // The rank survives with keepdims; which dimensions become 1 does not show.
        return ctx.setTensor(0, dtype, keep ? shape.map(() => ctx.freshDim()) : null);
      }
      const out: Dim[] = [];
      for (let i = 0; i < shape.length; i++) {
        if (!axes.includes(i)) out.push(shape[i]);
        else if (keep) out.push(1);
      }
      ctx.setTensor(0, dtype, out, foldReduction(ctx, spec, axes, out));
    },
    work: (op) => ({ flop: (spec.flop ?? 1) * inputElements(op), kernel: 'reduce' }),
    factors: (op) => reduceFactors(op, axesOfInstance(op, op.inputShape(0)?.length ?? 0), spec),
    backward(op) {
      if (!needsGrad(op, 0) || !isFloat(op.outputDtype(0))) return null;
      return {
        grads: [{ input: 0, flop: inputElements(op) }],
        savesInputs: spec.saves === 'nothing' ? [] : [0],
        savesOutputs: spec.saves === 'both' ? [0] : [],
      };
    },
  };
}

/** Of 1-D values only, all of it: products of shapes. */
function foldReduction(
  ctx: InferContext,
  spec: ReduceSpec,
  axes: readonly number[],
  out: readonly Dim[],
): KnownValue | null {
  const x = ctx.value(0);
  if (x === null) return null;
  if (axes.length === 0) return x;
  if (spec.fold === undefined || x.dims.length > 1 || x.elements.length === 0) return null;
  let sum: Dim | null = x.elements[0];
  for (let i = 1; i < x.elements.length && sum !== null; i++) sum = spec.fold(sum, x.elements[i]);
  return sum === null ? null : { dtype: x.dtype, dims: out as number[], elements: [sum] };
}

/** One factor per input dimension; reduced ones are absent from the output (size-1 dimensions have no factor). */
export function reduceFactors(
  op: OpInstance,
  axes: readonly number[] | null,
  spec: { readonly kind: FactorKind; readonly linear?: boolean },
): ReturnType<NonNullable<OpRule['factors']>> {
  const shape = op.inputShape(0) ?? [];
  const rank = shape.length;
  const reduced = (k: number): boolean => axes === null || axes.includes(k);
  const factors: Factor[] = shape.map((size, k) => ({ size, kind: reduced(k) ? spec.kind : 'parallel' }));
  const kept: number[][] = [];
  const outRank = op.outputShape(0)?.length ?? 0;
  for (let k = 0; k < rank; k++) {
    if (!reduced(k)) kept.push([k]);
    else if (outRank === rank) kept.push([]);
  }
  const inputs: (number[][] | null)[] = [shape.map((_, k) => [k])];
  for (let i = 1; i < op.inputCount; i++) {
    inputs.push(op.inputShape(i)?.map((size) => [factors.push({ size, kind: 'whole' }) - 1]) ?? null);
  }
  const outputs: (number[][] | null)[] = [];
  for (let i = 0; i < op.outputCount; i++) outputs.push(op.outputShape(i) === null ? null : kept);
  return spec.linear === true ? { factors, inputs, outputs, linear: true } : { factors, inputs, outputs };
}

/** Index of the largest or smallest along one axis: INT64, no gradient. */
const argReduction: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    if (shape === null) return ctx.setTensor(0, DType.INT64, null);
    const [axis] = normalizeAxes(ctx, [ctx.attrs.int('axis', 0)], shape.length);
    const out = [...shape];
    if (ctx.attrs.int('keepdims', 1) === 1) out[axis] = 1;
    else out.splice(axis, 1);
    ctx.setTensor(0, DType.INT64, out);
  },
  work: (op) => ({ flop: inputElements(op), kernel: 'reduce' }),
  factors(op) {
    const rank = op.inputShape(0)?.length ?? 0;
    return reduceFactors(op, [wrapAxis(op.attrs.int('axis', 0), rank)], { kind: 'whole' });
  },
  backward: () => null,
};

/** Extremes are compared again against the output; ties share the gradient. */
const extreme = (f: (x: Dim, y: Dim) => Dim | null): OpRule =>
  reduction({ kind: 'whole', saves: 'both', fold: f });

/** Running sums and products along an axis given as an input. */
const cumulative = (saves: boolean): OpRule => ({
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = numbersOf(ctx.value(1));
    if (shape !== null && axis !== null && axis.length === 1) normalizeAxes(ctx, axis, shape.length);
    ctx.setTensor(0, ctx.dtype(0), shape, saves ? null : foldCumSum(ctx));
  },
  work: (op) => ({ flop: inputElements(op), kernel: 'reduce' }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const axis = numbersOf(op.inputValue(1))?.[0] ?? null;
    const whole = (k: number): boolean => axis === null || k === wrapAxis(axis, shape.length);
    const dims = shape.map((_, k) => [k]);
    return {
      factors: shape.map((size, k) => ({ size, kind: whole(k) ? 'whole' : 'parallel' })),
      inputs: [dims, op.inputShape(1)?.map(() => []) ?? null],
      outputs: [dims],
      linear: !saves,
    };
  },
  backward(op) {
    if (!needsGrad(op, 0)) return null;
    const flop = inputElements(op);
    return { grads: [{ input: 0, flop }], savesInputs: saves ? [0] : [], savesOutputs: saves ? [0] : [] };
  },
});

function foldCumSum(ctx: InferContext): KnownValue | null {
  const x = ctx.value(0);
  if (x === null || x.dims.length !== 1) return null;
  if (ctx.attrs.int('exclusive', 0) === 1 || ctx.attrs.int('reverse', 0) === 1) return null;
  const elements: Dim[] = [];
  let sum: Dim = 0;
  for (const e of x.elements) {
    const next = fold.add(sum, e);
    if (next === null) return null;
    elements.push((sum = next));
  }
  return { ...x, elements };
}

/** The k largest along an axis; k an attribute before opset 10. */
const topK: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    const known = ctx.value(1)?.elements[0] ?? ctx.attrs.optionalInt('k');
    let out: Dim[] | null = null;
    if (shape !== null) {
      const [axis] = normalizeAxes(ctx, [ctx.attrs.int('axis', -1)], shape.length);
      out = [...shape];
      const size = shape[axis];
      if (typeof known === 'number' && typeof size === 'number' && known > size) {
        ctx.fail(`TopK asks for ${String(known)} of ${String(size)} elements`);
      }
      out[axis] = known ?? ctx.freshDim();
    }
    ctx.setTensor(0, ctx.dtype(0), out);
    if (ctx.outputCount > 1) ctx.setTensor(1, DType.INT64, out);
  },
  work: (op) => ({ flop: inputElements(op), kernel: 'reduce' }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const axis = wrapAxis(op.attrs.int('axis', -1), shape.length);
    const factors: Factor[] = shape.map((size, k) => ({ size, kind: k === axis ? 'whole' : 'parallel' }));
    const found = factors.push({ size: op.outputShape(0)?.[axis] ?? 1, kind: 'whole' }) - 1;
    const out = shape.map((_, k) => [k === axis ? found : k]);
    const inputs: (number[][] | null)[] = [shape.map((_, k) => [k])];
    if (op.inputCount > 1) inputs.push(op.inputShape(1)?.map(() => []) ?? null);
    return { factors, inputs, outputs: Array.from({ length: op.outputCount }, () => out) };
  },
  backward(op) {
    if (!needsGrad(op, 0)) return null;
    const flop = countOf(op.outputShape(0) ?? []);
    return { grads: [{ input: 0, flop }], savesInputs: [], savesOutputs: [1] };
  },
};

export const family: OpFamily = {
  domain: '',
  rules: {
    ReduceSum: reduction({ kind: 'contraction', linear: true, saves: 'nothing', fold: fold.add }),
    ReduceMean: reduction({ kind: 'contraction', linear: true, saves: 'nothing' }),
    ReduceSumSquare: reduction({ kind: 'contraction', saves: 'input', flop: 2 }),
    ReduceL1: reduction({ kind: 'contraction', saves: 'input' }),
    ReduceL2: reduction({ kind: 'whole', saves: 'both', flop: 2 }),
    ReduceLogSum: reduction({ kind: 'whole', saves: 'input' }),
    ReduceLogSumExp: reduction({ kind: 'whole', saves: 'both', flop: 2 }),
    ReduceMax: extreme(fold.max),
    ReduceMin: extreme(fold.min),
    ReduceProd: reduction({ kind: 'whole', saves: 'both', fold: fold.mul }),
    ArgMax: argReduction,
    ArgMin: argReduction,
    CumSum: cumulative(false),
    CumProd: cumulative(true),
    TopK: topK,
  },
};
