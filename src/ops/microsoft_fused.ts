/** ORT's fused products, convolutions and pools (com.microsoft). */
import { DType, dtypeBytes } from '../model/dtype.js';
import {
  causalConvWithState,
  convBackward,
  convFactors,
  convShape,
  convWork,
  CONV,
  family as convolutions,
  type ConvForm,
} from './conv.js';
import { needsGrad, outputElements } from './defaults.js';
import { add, mul, sub } from './dim.js';
import { firstDtype, ranked, unify } from './expect.js';
import { alignedFactors } from './factor_builder.js';
import { gemmFactors, gemmForm, gemmShape } from './matmul.js';
import { poolFactors, poolShape } from './pool.js';
import {
  matmulShape,
  productBackward,
  productFactors,
  productLayouts,
  productWork,
  type OperandForm,
} from './product_rule.js';
import { countOf, numbersOf } from './value.js';
import { kernelElements } from './window.js';
import type { Attributes, Dim, OpFamily, OpInstance, OpRule } from './types.js';

const noGradient = (): null => null;

// ---------------------------------------------------------------------------------------------------------------
// Products

function fusedForms(attrs: Attributes): [OperandForm, OperandForm] {
  const form = (m: string): OperandForm => ({
    transposed: attrs.int(`trans${m}`, 0) !== 0,
    batchTransposed: attrs.int(`transBatch${m}`, 0) !== 0,
  });
  return [form('A'), form('B')];
}

/** FusedMatMul and TransposeMatMul: numpy.matmul of transposed operands. */
const fusedMatMul: OpRule = {
  infer(ctx) {
    const [a, b] = fusedForms(ctx.attrs);
    ctx.setTensor(0, firstDtype(ctx, 0, 1), matmulShape(ctx, ctx.shape(0), ctx.shape(1), a, b));
  },
  work: (op) => productWork(op, 0, fusedForms(op.attrs)[0]),
  factors: (op) => productFactors(op, 0, 1, ...fusedForms(op.attrs)),
  backward: (op) => productBackward(op, productWork(op, 0, fusedForms(op.attrs)[0]).flop),
};

/** A fused activation is not linear, and its gradient reads the product's output. */
function activated(rule: OpRule): OpRule {
  return {
    ...rule,
    work(op) {
      const work = rule.work!(op);
      return { ...work, flop: work.flop + outputElements(op) };
    },
    factors(op) {
      const { factors, inputs, outputs } = rule.factors!(op);
      return { factors, inputs, outputs };
    },
    backward(op) {
      const backward = rule.backward!(op);
      return backward === null ? null : { ...backward, savesOutputs: [0] };
    },
  };
}

const fusedGemm: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 0, 1), gemmShape(ctx, 0, 1, 2));
  },
  work: (op) => productWork(op, 0, gemmForm(op.attrs).a),
  factors: (op) => gemmFactors(op, 0, 1, 2),
  backward: (op) => productBackward(op, productWork(op, 0, gemmForm(op.attrs).a).flop, 0, 1, 2),
};

const gemmFloat8: OpRule = {
  ...fusedGemm,
  infer(ctx) {
    ctx.setTensor(0, ctx.attrs.int('dtype', DType.FLOAT), gemmShape(ctx, 0, 1, 2));
  },
};

/** X, W, bias over the columns: gelu(X W + bias). */
const gemmFastGelu: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.dtype(0), matmulShape(ctx, ctx.shape(0), ctx.shape(1)));
  },
  work(op) {
    const product = productWork(op);
    return { flop: product.flop + 9 * outputElements(op), kernel: 'gemm' };
  },
  factors(op) {
    const p = productLayouts(op, 0, 1);
    return p.builder.rule([p.left, p.right, [p.column]], [p.out]);
  },
  backward(op) {
    const rule = productBackward(op, productWork(op).flop, 0, 1, 2);
    // The gelu's input is no tensor of the graph: the product is kept beside them.
    return rule === null
      ? null
      : { ...rule, extraSavedBytes: dtypeBytes(op.outputDtype(0), outputElements(op)) };
  },
};

/** Sparse A [M, K] times dense B. */
const sparseToDenseMatMul: OpRule = {
  infer(ctx) {
    const t = ctx.type(0);
    const a = t !== null && (t.kind === 'sparse' || t.kind === 'tensor') ? t.shape : null;
    const form = gemmForm(ctx.attrs);
    ctx.setTensor(0, firstDtype(ctx, 1), matmulShape(ctx, a, ranked(ctx, 1, 2, 2), form.a, form.b));
  },
  work(op) {
    const b = op.inputShape(1) ?? [1, 1];
    const inner = op.attrs.int('transB', 0) !== 0 ? b[b.length - 1] : b[0];
    return { flop: 2 * outputElements(op) * inner, kernel: 'gemm' };
  },
  backward: noGradient,
};

/** Pairwise distances of rows: A [M, N], B [K, N] -> [M, K]. */
const cDist: OpRule = {
  infer(ctx) {
    const a = ranked(ctx, 0, 2, 2);
    const b = ranked(ctx, 1, 2, 2);
    if (a !== null && b !== null) unify(ctx, a[1], b[1], 'columns of both matrices');
    ctx.setTensor(0, ctx.dtype(0), a === null || b === null ? null : [a[0], b[0]]);
  },
  work: (op) => ({ flop: 3 * outputElements(op) * (op.inputShape(0)?.[1] ?? 1), kernel: 'gemm' }),
  factors: (op) => {
    const { factors, inputs, outputs } = productFactors(op, 0, 1, {}, { transposed: true });
    // A root is taken of the sum, so partial sums may not pass.
    return {
      factors: factors.map((f) => (f.kind === 'contraction' ? { ...f, kind: 'normalized' as const } : f)),
      inputs,
      outputs,
    };
  },
  backward: (op) => productBackward(op, 3 * outputElements(op) * (op.inputShape(0)?.[1] ?? 1)),
};

/** Matrix inverses: 2 n^3 FLOP each (Golub & Van Loan, 3.2). */
const inverse: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.dtype(0), ranked(ctx, 0, 2));
  },
  work: (op) => ({ flop: inverseFlop(op), kernel: 'other' }),
  factors: (op) => alignedFactors(op, (k, rank) => (k >= rank - 2 ? 'whole' : 'parallel')),
  backward: (op) =>
    needsGrad(op, 0)
      ? { grads: [{ input: 0, flop: 2 * inverseFlop(op) }], savesInputs: [], savesOutputs: [0] }
      : null,
};

function inverseFlop(op: OpInstance): number {
  const x = op.inputShape(0) ?? [1];
  return 2 * countOf(x) * x[x.length - 1];
}

// ---------------------------------------------------------------------------------------------------------------
// Convolutions

/** Conv with an activation and a residual Z added to its output. */
function fusedConv(channelsLast: boolean, fused: boolean): OpRule {
  const form: ConvForm = { ...CONV, channelsLast };
  return {
    infer(ctx) {
      ctx.setTensor(0, firstDtype(ctx, 0, 1), convShape(ctx, form));
    },
    work(op) {
      const work = convWork(op, form);
      return { flop: work.flop + (fused ? outputElements(op) : 0), kernel: 'conv' };
    },
    factors(op) {
      const rule = convFactors(op, form);
      const fits = op.inputShape(3)?.length === rule.outputs[0]?.length;
      const inputs = rule.inputs.map((layout, i) => (i === 3 && fits ? rule.outputs[0] : layout));
      return fused ? { factors: rule.factors, inputs, outputs: rule.outputs } : rule;
    },
    backward(op) {
      const rule = convBackward(op, convWork(op, form).flop, form);
      if (rule === null || !fused) return rule;
      const grads = needsGrad(op, 3) ? [...rule.grads, { input: 3, flop: 0 }] : rule.grads;
      return { ...rule, grads, savesOutputs: [0] };
    },
  };
}

/** X, W, pads as an input, B. */
const convTransposeWithDynamicPads: OpRule = {
  ...convolutions.rules.ConvTranspose,
  infer(ctx) {
    const x = ranked(ctx, 0, 3);
    const w = ranked(ctx, 1, 3);
    const pads = numbersOf(ctx.value(2));
    if (x === null || w === null) {
      ctx.setTensor(0, ctx.dtype(0), null);
      return;
    }
    const rank = x.length - 2;
    const strides = ctx.attrs.ints('strides') ?? new Array<number>(rank).fill(1);
    const dilations = ctx.attrs.ints('dilations') ?? new Array<number>(rank).fill(1);
    const outputPadding = ctx.attrs.ints('output_padding') ?? new Array<number>(rank).fill(0);
    const spatial = x.slice(2).map((d, k): Dim => {
      if (pads?.length !== 2 * rank) return ctx.freshDim();
      const reach = add(mul(sub(w[k + 2], 1), dilations[k]), 1 + outputPadding[k]);
      return sub(add(mul(sub(d, 1), strides[k]), reach), pads[k] + pads[k + rank]);
    });
    ctx.setTensor(0, ctx.dtype(0), [x[0], mul(w[1], ctx.attrs.int('group', 1)), ...spatial]);
  },
};

function maxPool(channelsLast: boolean): OpRule {
  return {
    infer(ctx) {
      ctx.setTensor(0, ctx.dtype(0), poolShape(ctx, channelsLast));
    },
    work: (op) => ({ flop: outputElements(op) * kernelElements(op), kernel: 'reduce' }),
    factors: (op) => poolFactors(op, false, channelsLast),
    backward: noGradient,
  };
}

/** Sequence [T, ids]-level convolution over characters: Sequence, W, B, C (character table). */
const wordConvEmbedding: OpRule = {
  infer(ctx) {
    const ids = ranked(ctx, 0, 2);
    const w = ctx.shape(1);
    const size = ctx.attrs.optionalInt('embedding_size') ?? w?.[0] ?? ctx.freshDim();
    ctx.setTensor(0, firstDtype(ctx, 1), ids === null ? null : [...ids.slice(0, -1), size]);
  },
  work(op) {
    const w = op.inputShape(1) ?? [1];
    return { flop: 2 * countOf(op.inputShape(0) ?? []) * countOf(w), kernel: 'conv' };
  },
};

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: {
    FusedMatMul: fusedMatMul,
    TransposeMatMul: fusedMatMul,
    FusedMatMulActivation: activated(fusedMatMul),
    FusedGemm: activated(fusedGemm),
    GemmFloat8: gemmFloat8,
    GemmFastGelu: gemmFastGelu,
    SparseToDenseMatMul: sparseToDenseMatMul,
    CDist: cDist,
    Inverse: inverse,
    FusedConv: fusedConv(false, true),
    NhwcConv: fusedConv(true, false),
    NhwcFusedConv: fusedConv(true, true),
    ConvTransposeWithDynamicPads: convTransposeWithDynamicPads,
    CausalConvWithState: causalConvWithState,
    NhwcMaxPool: maxPool(true),
    MaxpoolWithMask: maxPool(false),
    WordConvEmbedding: wordConvEmbedding,
  },
};
