/** Comparisons, boolean and bitwise operators, Where. No gradient passes except through Where. */
import { DType, isFloat } from '../model/dtype.js';
import { broadcastFactors, broadcastIndex, broadcastShapes } from './broadcast.js';
import { gradInputs, outputElements } from './defaults.js';
import * as fold from './fold_math.js';
import { binary, unary } from './pointwise.js';
import type { Dim, InferContext, KnownValue, OpFamily, OpRule, Shape } from './types.js';
import { countOf, smallDims } from './value.js';

const compare = (f: (x: Dim, y: Dim) => Dim | null): OpRule =>
  binary({ fold: f, output: DType.BOOL, noGradient: true });

/** A function of two truth values; `absorbing` decides alone (false for And, true for Or). */
const logical = (f: (x: boolean, y: boolean) => boolean): OpRule =>
  binary({
    output: DType.BOOL,
    noGradient: true,
    fold: (x, y) => (typeof x === 'number' && typeof y === 'number' ? Number(f(x !== 0, y !== 0)) : null),
  });

const bitwise = (f: (x: bigint, y: bigint) => bigint): OpRule =>
  binary({
    noGradient: true,
    fold: (x, y) =>
      typeof x === 'number' && typeof y === 'number' && Number.isInteger(x) && Number.isInteger(y)
        ? Number(f(BigInt(x), BigInt(y)))
        : null,
  });

const where: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(1) === DType.UNDEFINED ? ctx.dtype(2) : ctx.dtype(1);
    const shape = broadcastShapes(ctx, broadcastShapes(ctx, ctx.shape(0), ctx.shape(1)), ctx.shape(2));
    ctx.setTensor(0, dtype, shape, foldWhere(ctx, dtype, shape));
  },
  work: (op) => ({ flop: outputElements(op), kernel: 'elementwise' }),
  factors: (op) => broadcastFactors(op),
  backward(op) {
    const grads = gradInputs(op);
    if (grads.length === 0 || !isFloat(op.outputDtype(0))) return null;
    const flop = outputElements(op);
    return { grads: grads.map((input) => ({ input, flop })), savesInputs: [0], savesOutputs: [] };
  },
};

function foldWhere(ctx: InferContext, dtype: DType, shape: Shape | null): KnownValue | null {
  const condition = ctx.value(0);
  const dims = condition === null ? null : smallDims(shape);
  if (condition === null || dims === null) return null;
  const [x, y] = [ctx.value(1), ctx.value(2)];
  const count = countOf(dims);
  const ic = broadcastIndex(condition.dims, dims);
  const ix = x === null ? null : broadcastIndex(x.dims, dims);
  const iy = y === null ? null : broadcastIndex(y.dims, dims);
  const elements = new Array<Dim>(count);
  for (let i = 0; i < count; i++) {
    const c = condition.elements[ic === null ? i : ic[i]];
    if (typeof c !== 'number') return null;
    const from = c !== 0 ? x : y;
    if (from === null) return null;
    const index = c !== 0 ? ix : iy;
    elements[i] = from.elements[index === null ? i : index[i]];
  }
  return { dtype, dims, elements };
}

export const family: OpFamily = {
  domain: '',
  rules: {
    Equal: compare(fold.equal),
    Less: compare(fold.less),
    Greater: compare((x, y) => fold.less(y, x)),
    LessOrEqual: compare((x, y) => fold.not(fold.less(y, x))),
    GreaterOrEqual: compare((x, y) => fold.not(fold.less(x, y))),
    And: logical((x, y) => x && y),
    Or: logical((x, y) => x || y),
    Xor: logical((x, y) => x !== y),
    Not: unary({ output: DType.BOOL, noGradient: true, fold: fold.not }),
    BitwiseAnd: bitwise((x, y) => x & y),
    BitwiseOr: bitwise((x, y) => x | y),
    BitwiseXor: bitwise((x, y) => x ^ y),
    BitwiseNot: unary({ noGradient: true }),
    IsNaN: unary({
      output: DType.BOOL,
      noGradient: true,
      fold: fold.onNumbers((x) => Number(Number.isNaN(x))),
    }),
    IsInf: unary({ output: DType.BOOL, noGradient: true }),
    Where: where,
  },
};
