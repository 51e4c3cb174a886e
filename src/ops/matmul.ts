/**
 * Matrix products of the default domain. Source: ONNX operator specification; FLOP as in product_rule.
 */
import { DType } from '../model/dtype.js';
import { broadcastShapes } from './broadcast.js';
import { needsGrad } from './defaults.js';
import { einsum } from './einsum.js';
import { firstDtype, ranked, unify } from './expect.js';
import {
  matmulShape,
  oneActivation,
  productBackward,
  productFactors,
  productLayouts,
  productWork,
} from './product_rule.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { countOf } from './value.js';
import type { FactorRule, InferContext, OpFamily, OpInstance, OpRule, Shape } from './types.js';

const matMul: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 0, 1), matmulShape(ctx, ctx.shape(0), ctx.shape(1)));
  },
  work: (op) => productWork(op),
  factors: (op) => productFactors(op),
  backward: (op) => productBackward(op, productWork(op).flop),
};

interface GemmForm {
  readonly a: { readonly transposed: boolean };
  readonly b: { readonly transposed: boolean };
}

export function gemmForm(attrs: InferContext['attrs']): GemmForm {
  return {
    a: { transposed: attrs.int('transA', 0) !== 0 },
    b: { transposed: attrs.int('transB', 0) !== 0 },
  };
}

/** Gemm and its fused and quantised kin; the operands at `a` and `b`, the bias (or -1) at `bias`. */
export function gemmShape(ctx: InferContext, a: number, b: number, bias: number): Shape | null {
  const form = gemmForm(ctx.attrs);
  // Opset 6 and older, and ORT's fused forms, hold [M, K] operands of higher rank to be flattened: never seen, refused.
  const shape = matmulShape(ctx, ranked(ctx, a, 2, 2), ranked(ctx, b, 2, 2), form.a, form.b);
  const c = bias >= 0 ? ctx.shape(bias) : null;
  if (shape !== null && c !== null) {
    const out = broadcastShapes(ctx, shape, c)!;
    for (let i = 0; i < out.length; i++)
      unify(ctx, shape[i - out.length + shape.length] ?? 1, out[i], 'bias');
  }
  return shape;
}

export function gemmFactors(op: OpInstance, a: number, b: number, bias: number): FactorRule {
  const form = gemmForm(op.attrs);
  const p = productLayouts(op, a, b, form.a, form.b);
  const inputs: Layout[] = [];
  inputs[a] = p.left;
  inputs[b] = p.right;
  if (bias >= 0) inputs[bias] = p.out;
  const hasBias = bias >= 0 && op.inputShape(bias) !== null;
  return p.builder.rule(inputs, [p.out], !hasBias && oneActivation(op, a, b));
}

const gemm: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 0, 1), gemmShape(ctx, 0, 1, 2));
  },
  work: (op) => productWork(op, 0, gemmForm(op.attrs).a),
  factors: (op) => gemmFactors(op, 0, 1, 2),
  backward: (op) => productBackward(op, productWork(op, 0, gemmForm(op.attrs).a).flop, 0, 1, 2),
};

/** Integer products accumulate in int32 and carry no gradient. */
const matMulInteger: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, DType.INT32, matmulShape(ctx, ctx.shape(0), ctx.shape(1)));
  },
  work: (op) => productWork(op),
  factors: (op) => withColumnVectors(op, 0, 1, [3]),
  backward: () => null,
};

/** a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point. */
const qLinearMatMul: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 7, 0), matmulShape(ctx, ctx.shape(0), ctx.shape(3)));
  },
  work: (op) => productWork(op),
  factors: (op) => withColumnVectors(op, 0, 3, [4, 5, 6, 7]),
  backward: () => null,
};

/** Product factors where some inputs are vectors over the output columns (per-column scales and zero points). */
export function withColumnVectors(
  op: OpInstance,
  a: number,
  b: number,
  vectors: readonly number[],
): FactorRule {
  const p = productLayouts(op, a, b);
  const inputs: Layout[] = [];
  inputs[a] = p.left;
  inputs[b] = p.right;
  for (const i of vectors) inputs[i] = [p.column];
  return p.builder.rule(inputs, [p.out]);
}

/** Determinants by LU decomposition: 2/3 n^3 FLOP each (Golub & Van Loan, 3.2.1). */
const det: OpRule = {
  infer(ctx) {
    const shape = ranked(ctx, 0, 2);
    if (shape !== null)
      unify(ctx, shape[shape.length - 2], shape[shape.length - 1], 'rows and columns of a determinant');
    ctx.setTensor(0, ctx.dtype(0), shape === null ? null : shape.slice(0, -2));
  },
  work(op) {
    const shape = op.inputShape(0) ?? [];
    const n = shape[shape.length - 1] ?? 1;
    return { flop: (2 / 3) * countOf(shape) * n, kernel: 'other' };
  },
  factors(op) {
    const b = new FactorBuilder(op);
    const shape = op.inputShape(0) ?? [];
    const batch = b.each(shape.slice(0, -2), 'parallel').map((f) => [f]);
    const matrix = b.each(shape.slice(-2), 'whole').map((f) => [f]);
    return b.rule([[...batch, ...matrix]], [batch]);
  },
  backward(op) {
    const shape = op.inputShape(0) ?? [];
    if (!needsGrad(op, 0)) return null;
    const flop = 2 * countOf(shape) * (shape[shape.length - 1] ?? 1);
    return { grads: [{ input: 0, flop }], savesInputs: [0], savesOutputs: [0] };
  },
};

export const family: OpFamily = {
  domain: '',
  rules: {
    MatMul: matMul,
    Gemm: gemm,
    Einsum: einsum,
    MatMulInteger: matMulInteger,
    QLinearMatMul: qLinearMatMul,
    Det: det,
  },
};
