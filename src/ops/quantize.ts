/**
 * Quantisation of the default domain: per tensor, per axis, and blocked along an axis (opset 21). The scale's layout
 * follows the data's: a blocked axis is [blocks, block]. Gradients pass straight through (quantisation-aware training);
 * a frozen integer weight has none because it is no float.
 */
import { DType } from '../model/dtype.js';
import { needsGrad, outputElements } from './defaults.js';
import { wrapAxis } from './axis.js';
import { dimText, firstDtype } from './expect.js';
import { FactorBuilder, alignedFactors, type Layout } from './factor_builder.js';
import type { FactorRule, InferContext, OpFamily, OpInstance, OpRule } from './types.js';

/** Scale shapes: a scalar, [1], a vector along the axis, or the data's rank with the axis divided by the block size. */
function checkScale(ctx: InferContext): void {
  const x = ctx.shape(0);
  const scale = ctx.shape(1);
  if (x === null || scale === null || scale.length === 0) return;
  const axis = ctx.attrs.int('axis', 1);
  if (scale.length === 1) {
    const n = scale[0];
    if (n === 1 || x.length === 0) return;
    const at = wrapAxis(axis, x.length);
    if (at < 0 || at >= x.length)
      ctx.fail(`axis ${String(axis)} is outside a rank-${String(x.length)} tensor`);
    const block = ctx.attrs.int('block_size', 0);
    if (block === 0 && typeof n === 'number' && typeof x[at] === 'number' && n !== x[at])
      ctx.fail(`scale: expected ${dimText(x[at])} values along axis ${String(at)}, found ${dimText(n)}`);
    return;
  }
  if (scale.length !== x.length)
    ctx.fail(`scale: expected rank 0, 1 or ${String(x.length)}, found rank ${String(scale.length)}`);
}

/** Data, scale and zero point. Also for the com.microsoft forms. */
export function quantizeFactors(op: OpInstance): FactorRule {
  const x = op.inputShape(0) ?? [];
  const scale = op.inputShape(1);
  if (scale === null || scale.length === 0) return alignedFactors(op, () => 'parallel');
  const axis = wrapAxis(op.attrs.int('axis', 1), x.length);
  const b = new FactorBuilder(op);
  const along = scale.length === 1 ? scale[0] : scale[axis];
  const blocked = along > 1 && along !== x[axis] && x[axis] % along === 0;
  const layout = x.map((size, k) =>
    k === axis && blocked ? [b.parallel(along), b.whole(size / along)] : [b.parallel(size)],
  );
  const scaled: Layout =
    scale.length === 1
      ? [[layout[axis]?.[0] ?? b.whole(along)]]
      : layout.map((ids, k) => (k === axis ? [ids[0]] : ids));
  const inputs: Layout[] = [layout, scaled, scaled];
  return b.rule(inputs, [layout]);
}

export const quantizeLinear: OpRule = {
  infer(ctx) {
    checkScale(ctx);
    const stated = ctx.attrs.int('output_dtype', 0) as DType;
    const dtype = stated !== DType.UNDEFINED ? stated : ctx.hasInput(2) ? ctx.dtype(2) : DType.UINT8;
    ctx.setTensor(0, dtype, ctx.shape(0));
  },
  work: (op) => ({ flop: 3 * outputElements(op), kernel: 'elementwise' }),
  factors: quantizeFactors,
  backward: straightThrough,
};

export const dequantizeLinear: OpRule = {
  infer(ctx) {
    checkScale(ctx);
    const stated = ctx.attrs.int('output_dtype', 0) as DType;
    ctx.setTensor(0, stated !== DType.UNDEFINED ? stated : firstDtype(ctx, 1), ctx.shape(0));
  },
  work: (op) => ({ flop: 2 * outputElements(op), kernel: 'elementwise' }),
  factors: quantizeFactors,
  backward: straightThrough,
};

function straightThrough(op: OpInstance): ReturnType<NonNullable<OpRule['backward']>> {
  if (!needsGrad(op, 0)) return null;
  return { grads: [{ input: 0, flop: outputElements(op) }], savesInputs: [], savesOutputs: [] };
}

/** Range of the whole tensor, then quantisation: outputs y, scale, zero point. */
const dynamicQuantizeLinear: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, DType.UINT8, ctx.shape(0));
    if (ctx.hasOutput(1)) ctx.setTensor(1, DType.FLOAT, []);
    if (ctx.hasOutput(2)) ctx.setTensor(2, DType.UINT8, []);
  },
  work: (op) => ({ flop: 5 * outputElements(op), kernel: 'norm' }),
  factors(op) {
    // A range over every element: splitting an axis costs a reduction of two numbers.
    const b = new FactorBuilder(op);
    const layout = (op.inputShape(0) ?? []).map((size) => [b.add(size, 'normalized')]);
    return b.rule([layout], [layout, [], []]);
  },
  backward: straightThrough,
};

export const family: OpFamily = {
  domain: '',
  rules: {
    QuantizeLinear: quantizeLinear,
    DequantizeLinear: dequantizeLinear,
    DynamicQuantizeLinear: dynamicQuantizeLinear,
  },
};
