/** Builders of elementwise rules: one place for their shape, folding, work, factors and gradients. */
import { DType, isFloat } from '../model/dtype.js';
import { broadcastFactors, broadcastInputs, broadcastShapes, mapBroadcast } from './broadcast.js';
import { gradInputs, outputElements } from './defaults.js';
import type { BackwardRule, Dim, InferContext, KnownValue, OpInstance, OpRule, Shape } from './types.js';
import { smallDims } from './value.js';

/** What the gradient of an elementwise operator reads again. */
export type Saves = 'nothing' | 'inputs' | 'output';

export interface UnarySpec {
  /** FLOP per element; a transcendental function counts as one. */
  readonly flop?: number;
  readonly saves?: Saves;
  /** No gradient passes (comparisons, rounding). */
  readonly noGradient?: boolean;
  readonly linear?: boolean;
  /** Element type of the output; that of the input unless given. */
  readonly output?: DType;
  /** Result on a known element; `null` when it cannot be told. */
  readonly fold?: (x: Dim, dtype: DType) => Dim | null;
}

export function unary(spec: UnarySpec): OpRule {
  const flop = spec.flop ?? 1;
  return {
    infer(ctx) {
      const dtype = spec.output ?? ctx.dtype(0);
      ctx.setTensor(
        0,
        dtype,
        ctx.shape(0),
        spec.fold === undefined ? null : foldUnary(ctx, dtype, spec.fold),
      );
    },
    work: (op) => ({ flop: flop * outputElements(op), kernel: 'elementwise' }),
    factors: (op) => broadcastFactors(op, spec.linear),
    backward: (op) => (spec.noGradient ? null : pointwiseBackward(op, spec.saves ?? 'inputs', flop)),
  };
}

function foldUnary(
  ctx: InferContext,
  dtype: DType,
  fold: (x: Dim, dtype: DType) => Dim | null,
): KnownValue | null {
  const x = ctx.value(0);
  if (x === null) return null;
  const elements: Dim[] = [];
  for (const e of x.elements) {
    const d = fold(e, x.dtype);
    if (d === null || !isSafe(d)) return null;
    elements.push(typeof d === 'number' && dtype === DType.FLOAT ? Math.fround(d) : d);
  }
  return { dtype, dims: x.dims, elements };
}

/** Integers beyond 2^53 are not followed: they are no dimensions. */
function isSafe(d: Dim): boolean {
  return typeof d !== 'number' || !(Math.abs(d) > Number.MAX_SAFE_INTEGER) || !Number.isInteger(d);
}

/** Gradients of an elementwise operator, each one FLOP an output element times `flop`. */
export function pointwiseBackward(op: OpInstance, saves: Saves, flop = 1): BackwardRule | null {
  const grads = gradInputs(op);
  if (grads.length === 0 || !isFloat(op.outputDtype(0))) return null;
  const each = flop * outputElements(op);
  return {
    grads: grads.map((input) => ({ input, flop: each })),
    savesInputs: saves === 'inputs' ? grads : [],
    savesOutputs: saves === 'output' ? [0] : [],
  };
}

export interface BinarySpec {
  readonly flop?: number;
  readonly linear?: boolean;
  readonly output?: DType;
  readonly noGradient?: boolean;
  readonly fold?: (x: Dim, y: Dim, dtype: DType, ctx: InferContext) => Dim | null;
  /** Gradients and what they read; adds save nothing. */
  readonly backward?: (op: OpInstance) => BackwardRule | null;
  /** True when a partial sum may pass through; overrides `linear`. */
  readonly isLinear?: (op: OpInstance) => boolean;
}

export function binary(spec: BinarySpec): OpRule {
  const flop = spec.flop ?? 1;
  return {
    infer(ctx) {
      const first = ctx.dtype(0);
      const dtype = spec.output ?? (first === DType.UNDEFINED ? ctx.dtype(1) : first);
      const shape = isLegacyBroadcast(ctx) ? ctx.shape(0) : broadcastShapes(ctx, ctx.shape(0), ctx.shape(1));
      ctx.setTensor(
        0,
        dtype,
        shape,
        spec.fold === undefined ? null : foldBinary(ctx, dtype, shape, spec.fold),
      );
    },
    work: (op) => ({ flop: flop * outputElements(op), kernel: 'elementwise' }),
    factors: (op) => broadcastFactors(op, spec.isLinear?.(op) ?? spec.linear),
    backward(op) {
      if (spec.noGradient) return null;
      return spec.backward === undefined ? pointwiseBackward(op, 'nothing', flop) : spec.backward(op);
    },
  };
}

/** Before opset 7 the second operand was stretched to the first, at an `axis`; some files keep the attribute. */
function isLegacyBroadcast(ctx: InferContext): boolean {
  return ctx.attrs.int('broadcast', 0) === 1;
}

function foldBinary(
  ctx: InferContext,
  dtype: DType,
  shape: Shape | null,
  fold: (x: Dim, y: Dim, dtype: DType, ctx: InferContext) => Dim | null,
): KnownValue | null {
  const x = ctx.value(0);
  if (x === null) return null;
  const y = ctx.value(1);
  if (y === null || isLegacyBroadcast(ctx)) return null;
  const dims = smallDims(shape);
  if (dims === null) return null;
  const round = dtype === DType.FLOAT;
  const elements = mapBroadcast(x, y, dims, (a, b) => {
    const d = fold(a, b, x.dtype, ctx);
    if (d === null || !isSafe(d)) return null;
    return round && typeof d === 'number' ? Math.fround(d) : d;
  });
  return elements === null ? null : { dtype, dims, elements };
}

export interface VariadicSpec {
  readonly linear?: boolean;
  readonly saves: Saves;
  readonly fold?: (x: Dim, y: Dim, dtype: DType) => Dim | null;
  /** Applied to the folded result of n inputs. */
  readonly finish?: (x: Dim, count: number) => Dim | null;
}

/** Sum, Max and so on over any number of inputs. */
export function variadic(spec: VariadicSpec): OpRule {
  return {
    infer(ctx) {
      const dtype = ctx.dtype(0);
      const shape = broadcastInputs(ctx);
      ctx.setTensor(0, dtype, shape, spec.fold === undefined ? null : foldVariadic(ctx, dtype, shape, spec));
    },
    work: (op) => ({ flop: Math.max(1, op.inputCount - 1) * outputElements(op), kernel: 'elementwise' }),
    factors: (op) => broadcastFactors(op, spec.linear),
    backward: (op) => pointwiseBackward(op, spec.saves),
  };
}

function foldVariadic(
  ctx: InferContext,
  dtype: DType,
  shape: Shape | null,
  spec: VariadicSpec,
): KnownValue | null {
  let sum = ctx.value(0);
  const dims = sum === null ? null : smallDims(shape);
  if (sum === null || dims === null || spec.fold === undefined) return null;
  if (ctx.inputCount === 1 && spec.finish === undefined) return sum;
  const fold = spec.fold;
  for (let i = 1; i < ctx.inputCount; i++) {
    const next = ctx.value(i);
    if (next === null) return null;
    const partial: Shape | null = i === ctx.inputCount - 1 ? dims : broadcastShapes(ctx, sum.dims, next.dims);
    const at = smallDims(partial);
    const elements: Dim[] | null =
      at === null ? null : mapBroadcast(sum, next, at, (a, b) => fold(a, b, dtype));
    if (at === null || elements === null) return null;
    sum = { dtype, dims: at, elements };
  }
  if (spec.finish === undefined) return sum;
  const finished: Dim[] = [];
  for (const e of sum.elements) {
    const d = spec.finish(e, ctx.inputCount);
    if (d === null) return null;
    finished.push(d);
  }
  return { dtype, dims: sum.dims, elements: finished };
}
