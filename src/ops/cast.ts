/** Conversions of the element type. */
import { DType, dtypeBits, dtypeName, isFloat } from '../model/dtype.js';
import { needsGrad, outputElements } from './defaults.js';
import { floorDiv, mul } from './dim.js';
import { wholeInput } from './movement.js';
import type { Dim, Factor, InferContext, KnownValue, OpFamily, OpRule, Shape } from './types.js';
import { isFollowed, isInteger } from './value.js';

/** The value after conversion; `null` when some element cannot be told. */
export function castValue(value: KnownValue | null, to: DType): KnownValue | null {
  if (value === null || !isFollowed(to) || !isFollowed(value.dtype)) return null;
  if (value.dtype === to) return value;
  const elements: Dim[] = [];
  for (const e of value.elements) {
    const d = castElement(e, to);
    if (d === null) return null;
    elements.push(d);
  }
  return { dtype: to, dims: value.dims, elements };
}

function castElement(e: Dim, to: DType): Dim | null {
  // A symbol is an integer: exact in integers and floats, but its truth depends on whether it is zero.
  if (typeof e !== 'number') return to === DType.BOOL ? null : e;
  if (to === DType.BOOL) return e !== 0 ? 1 : 0;
  if (isInteger(to)) return Number.isFinite(e) ? Math.trunc(e) : null;
  return to === DType.FLOAT ? Math.fround(e) : e;
}

/** Target of Cast; opset 1-5 spelled it as text. */
function castTarget(ctx: InferContext): DType {
  const to = ctx.attrs.optionalInt('to');
  if (to !== null) return to;
  const name = ctx.attrs.string('to', '');
  const code = (DType as unknown as Record<string, unknown>)[name];
  if (typeof code === 'number') return code;
  return ctx.fail('Cast without its target type `to`');
}

const conversion = (target: (ctx: InferContext) => DType): OpRule => ({
  infer(ctx) {
    const to = target(ctx);
    ctx.setTensor(0, to, ctx.shape(0), castValue(ctx.value(0), to));
  },
  work: (op) => ({ flop: 0 * outputElements(op), kernel: 'elementwise' }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const dims = shape.map((_, k) => [k]);
    const factors: Factor[] = shape.map((size) => ({ size, kind: 'parallel' }));
    // CastLike reads only the type of its second input.
    const inputs = op.inputCount > 1 ? [dims, wholeInput(op, 1, factors)] : [dims];
    return { factors, inputs, outputs: [dims], linear: true };
  },
  backward(op) {
    if (!needsGrad(op, 0) || !isFloat(op.outputDtype(0))) return null;
    return { grads: [{ input: 0, flop: 0 }], savesInputs: [], savesOutputs: [] };
  },
});

/** Same bits, another type: the last dimension changes with the width. */
const bitCast: OpRule = {
  infer(ctx) {
    const to = castTarget(ctx);
    ctx.setTensor(0, to, bitCastShape(ctx, ctx.shape(0), ctx.dtype(0), to));
  },
  work: () => ({ flop: 0, kernel: 'view' }),
  backward: () => null,
};

function bitCastShape(ctx: InferContext, shape: Shape | null, from: DType, to: DType): Shape | null {
  const [a, b] = [dtypeBits(from), dtypeBits(to)];
  if (shape === null || a === b || a === 0 || b === 0) return shape;
  if (shape.length === 0) ctx.fail(`a scalar ${dtypeName(from)} cannot be reread as ${dtypeName(to)}`);
  const last = shape[shape.length - 1];
  return [...shape.slice(0, -1), floorDiv(mul(last, a), b)];
}

export const family: OpFamily = {
  domain: '',
  rules: {
    Cast: conversion(castTarget),
    CastLike: conversion((ctx) => ctx.dtype(1)),
    BitCast: bitCast,
  },
};
