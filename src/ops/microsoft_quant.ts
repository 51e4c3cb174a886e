/**
 * ORT's quantised operators (com.microsoft): element-wise and pooling forms with scales and zero points beside the data,
 * quantised products, and weight-only block quantisation. Products of float activations carry a gradient to the
 * activation (as in QLoRA); fully quantised ones carry none.
 */
import { DType } from '../model/dtype.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { broadcastShapes } from './broadcast.js';
import { concatShapes } from './concat_split.js';
import { qLinearConv } from './conv.js';
import { inputElements, needsGrad, outputElements } from './defaults.js';
import { dimText, firstDtype, positive, ranked, sameAsInput, unify } from './expect.js';
import { FactorBuilder, alignedFactors, outputAligned, type Layout } from './factor_builder.js';
import { gemmForm, gemmShape, withColumnVectors } from './matmul.js';
import { globalPoolFactors, globalShape, poolFactors, poolShape } from './pool.js';
import { matmulShape, productLayouts, productWork } from './product_rule.js';
import { dequantizeLinear, quantizeLinear } from './quantize.js';
import { reduceFactors } from './reduce.js';
import { dynamicQuantizeLstm } from './rnn.js';
import { SOFTMAX_FLOP } from './softmax.js';
import { kernelElements } from './window.js';
import { numbersOf } from './value.js';
import type { Dim, FactorRule, InferContext, OpFamily, OpInstance, OpRule } from './types.js';

const noGradient = (): null => null;

/** @param data indices of the data inputs, which are broadcast together */
function quantizedElementwise(data: readonly number[], flop: number): OpRule {
  return {
    infer(ctx) {
      let shape = ctx.shape(data[0]);
      for (const i of data.slice(1)) shape = broadcastShapes(ctx, shape, ctx.shape(i));
      ctx.setTensor(0, firstDtype(ctx, data[data.length - 1], data[0]), shape);
    },
    work: (op) => ({ flop: flop * outputElements(op), kernel: 'elementwise' }),
    factors: outputAligned,
    backward: noGradient,
  };
}

const channelsLast = (attrs: OpInstance['attrs']): boolean => attrs.int('channels_last', 0) !== 0;

const qLinearAveragePool: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.dtype(0), poolShape(ctx, channelsLast(ctx.attrs)));
  },
  work: (op) => ({ flop: outputElements(op) * kernelElements(op), kernel: 'reduce' }),
  factors: (op) => poolFactors(op, false, channelsLast(op.attrs)),
  backward: noGradient,
};

const qLinearGlobalAveragePool: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 2);
    ctx.setTensor(0, ctx.dtype(0), x === null ? null : globalShape(x, channelsLast(ctx.attrs)));
  },
  work: (op) => ({ flop: inputElements(op), kernel: 'reduce' }),
  factors: (op) => globalPoolFactors(op, 'whole', channelsLast(op.attrs)),
  backward: noGradient,
};

/** Y_scale, Y_zero_point, then (tensor, scale, zero point) for each input. */
const qLinearConcat: OpRule = {
  infer(ctx) {
    const shapes = [];
    for (let i = 2; i < ctx.inputCount; i += 3) shapes.push(ctx.shape(i));
    const known = shapes.find((s) => s !== null);
    const axis = ctx.attrs.int('axis', 1);
    const shape =
      known === undefined || known === null
        ? null
        : concatShapes(ctx, shapes, normalizeAxis(ctx, axis, known.length));
    ctx.setTensor(0, firstDtype(ctx, 1, 2), shape);
  },
  work: (op) => ({ flop: 2 * outputElements(op), kernel: 'move' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const y = op.outputShape(0) ?? [];
    const axis = wrapAxis(op.attrs.int('axis', 1), y.length);
    const ids = y.map((size, k) => (k === axis ? b.whole(size) : b.parallel(size)));
    const inputs: Layout[] = [];
    for (let i = 2; i < op.inputCount; i += 3)
      inputs[i] = (op.inputShape(i) ?? []).map((size, k) => [k === axis ? b.whole(size) : ids[k]]);
    return b.rule(inputs, [ids.map((f) => [f])]);
  },
  backward: noGradient,
};

const qLinearSoftmax: OpRule = {
  infer: (ctx) => {
    sameAsInput(ctx);
  },
  work: (op) => ({ flop: SOFTMAX_FLOP * outputElements(op), kernel: 'norm' }),
  // Its attribute states the opset of the softmax it stands for.
  factors(op) {
    const opset = op.attrs.int('opset', 13);
    const rank = op.inputShape(0)?.length ?? 0;
    const axis = wrapAxis(op.attrs.int('axis', opset < 13 ? 1 : -1), rank);
    return alignedFactors(op, (k) => ((opset < 13 ? k >= axis : k === axis) ? 'normalized' : 'parallel'));
  },
  backward: noGradient,
};

/** Axes as an attribute. */
function reducedAxes(ctx: InferContext | OpInstance, rank: number): number[] {
  const axes = ctx.attrs.ints('axes');
  if (axes === null || axes.length === 0) return Array.from({ length: rank }, (_, k) => k);
  return axes.map((a) => wrapAxis(a, rank));
}

/** data, scale, zero point, reduced scale, reduced zero point. */
function quantizedReduce(dtype: (ctx: InferContext) => DType): OpRule {
  return {
    infer(ctx) {
      const x = ranked(ctx, 0, 0);
      if (x === null) {
        ctx.setTensor(0, dtype(ctx), null);
        return;
      }
      const axes = reducedAxes(ctx, x.length);
      const keep = ctx.attrs.int('keepdims', 1) !== 0;
      const shape: Dim[] = [];
      x.forEach((d, k) => {
        if (!axes.includes(k)) shape.push(d);
        else if (keep) shape.push(1);
      });
      ctx.setTensor(0, dtype(ctx), shape);
    },
    work: (op) => ({ flop: inputElements(op), kernel: 'reduce' }),
    factors: (op) =>
      reduceFactors(op, reducedAxes(op, op.inputShape(0)?.length ?? 0), { kind: 'contraction' }),
    backward: noGradient,
  };
}

// ---------------------------------------------------------------------------------------------------------------
// Products

/** A float activation times an integer matrix with per-column scales. */
function quantizedProduct(
  a: number,
  b: number,
  vectors: readonly number[],
  result: (ctx: InferContext) => DType,
): OpRule {
  return {
    infer(ctx) {
      ctx.setTensor(0, result(ctx), matmulShape(ctx, ctx.shape(a), ctx.shape(b)));
    },
    work: (op) => productWork(op, a),
    factors: (op) => withColumnVectors(op, a, b, vectors),
    backward: (op) => activationGradient(op, productWork(op, a).flop, [b, ...vectors]),
  };
}

/** Weights stay frozen: one product for the activation's gradient, which reads the weight. */
function activationGradient(
  op: OpInstance,
  flop: number,
  reads: readonly number[],
): ReturnType<NonNullable<OpRule['backward']>> {
  if (!needsGrad(op, 0)) return null;
  const savesInputs = reads
    .filter((i) => i < op.inputCount && op.inputShape(i) !== null)
    .sort((x, y) => x - y);
  return { grads: [{ input: 0, flop }], savesInputs, savesOutputs: [] };
}

/** A, a_scale, a_zero_point, B, b_scale, b_zero_point, C, y_scale, y_zero_point. */
const qGemm: OpRule = {
  infer(ctx) {
    const dtype = ctx.hasInput(8) ? ctx.dtype(8) : DType.FLOAT;
    ctx.setTensor(0, dtype, gemmShape(ctx, 0, 3, 6));
  },
  work: (op) => productWork(op, 0, gemmForm(op.attrs).a),
  factors(op) {
    const form = gemmForm(op.attrs);
    const p = productLayouts(op, 0, 3, form.a, form.b);
    const inputs: Layout[] = [];
    inputs[0] = p.left;
    inputs[3] = p.right;
    for (const i of [4, 5]) inputs[i] = [p.column];
    inputs[6] = p.out;
    return p.builder.rule(inputs, [p.out]);
  },
  backward: noGradient,
};

/** Blocked weights of A [..., K] times a matrix of N columns. */
interface BlockedForm {
  readonly n: (attrs: OpInstance['attrs'], ctx: { shape(i: number): readonly Dim[] | null }) => Dim | null;
  readonly k: (attrs: OpInstance['attrs']) => number | null;
  /** Inputs of one projection: [weights, scales, zero points, bias...]. */
  readonly operands: readonly number[];
}

const NBITS: BlockedForm = {
  n: (attrs) => attrs.optionalInt('N'),
  k: (attrs) => attrs.optionalInt('K'),
  operands: [1, 2, 3, 5],
};
const BLOCK_FLOAT: BlockedForm = {
  n: (_, ctx) => ctx.shape(1)?.[0] ?? null,
  k: () => null,
  operands: [1, 2, 4, 5],
};

function inferBlocked(ctx: InferContext, form: BlockedForm): void {
  const a = ranked(ctx, 0, 1);
  const k = form.k(ctx.attrs);
  if (a !== null && k !== null) unify(ctx, k, a[a.length - 1], 'K and columns of A');
  const n = form.n(ctx.attrs, ctx) ?? ctx.freshDim();
  ctx.setTensor(0, ctx.dtype(0), a === null ? null : [...a.slice(0, -1), n]);
}

/**
 * Rows parallel, N parallel, K a contraction in whole blocks: K = [blocks, block], weights [N, blocks, bytes of a block].
 * A dimension that is not made of whole blocks stays whole.
 */
function blockedFactors(op: OpInstance, form: BlockedForm): FactorRule {
  const b = new FactorBuilder(op);
  const a = op.inputShape(0) ?? [1];
  const y = op.outputShape(0) ?? [1];
  const k = a[a.length - 1];
  const w = op.inputShape(form.operands[0]) ?? [1];
  const blocks = w.length === 3 ? w[1] : (op.inputShape(form.operands[1])?.[1] ?? 1);
  const rows = b.each(a.slice(0, -1), 'parallel').map((f) => [f]);
  const column = b.parallel(y[y.length - 1]);
  const whole = blocks > 0 && k % blocks === 0;
  const block = whole ? b.add(blocks, 'contraction') : b.whole(k);
  const inputs: Layout[] = [[...rows, whole ? [block, b.whole(k / blocks)] : [block]]];
  for (const i of form.operands) {
    const shape = op.inputShape(i);
    if (shape === null || !whole) {
      if (shape !== null) inputs[i] = [[column], ...b.each(shape.slice(1), 'whole').map((f) => [f])];
      continue;
    }
    // Flat scales and zero points are [N * blocks].
    if (shape.length === 1) inputs[i] = shape[0] === y[y.length - 1] ? [[column]] : [[column, block]];
    else
      inputs[i] = shape.map((size, axis) =>
        axis === 0
          ? [column]
          : axis === 1 && size % blocks === 0
            ? size === blocks
              ? [block]
              : [block, b.whole(size / blocks)]
            : [b.whole(size)],
      );
  }
  return b.rule(inputs, [[...rows, [column]]]);
}

function blockedFlop(op: OpInstance): number {
  const a = op.inputShape(0) ?? [1];
  return 2 * outputElements(op) * a[a.length - 1];
}

function blocked(form: BlockedForm): OpRule {
  return {
    infer: (ctx) => {
      inferBlocked(ctx, form);
    },
    work: (op) => ({ flop: blockedFlop(op), kernel: 'gemm' }),
    factors: (op) => blockedFactors(op, form),
    backward: (op) => activationGradient(op, blockedFlop(op), form.operands.slice(0, 3)),
  };
}

/** Weights of [N, K] in one flat run of bytes: only rows of A and columns of Y can be told apart. */
function flatBlocked(columns: (ctx: InferContext) => Dim | null): OpRule {
  return {
    infer(ctx) {
      const a = ranked(ctx, 0, 1);
      ctx.setTensor(0, ctx.dtype(0), a === null ? null : [...a.slice(0, -1), columns(ctx) ?? ctx.freshDim()]);
    },
    work: (op) => ({ flop: blockedFlop(op), kernel: 'gemm' }),
    factors(op) {
      const b = new FactorBuilder(op);
      const a = op.inputShape(0) ?? [1];
      const y = op.outputShape(0) ?? [1];
      const rows = b.each(a.slice(0, -1), 'parallel').map((f) => [f]);
      return b.rule([[...rows, [b.whole(a[a.length - 1])]]], [[...rows, [b.whole(y[y.length - 1])]]]);
    },
    backward: (op) => activationGradient(op, blockedFlop(op), [1, 2]),
  };
}

/** A, skip, norm_scale, gate weights and scales and bias, up weights and scales and bias. */
const nBitsMlp: OpRule = {
  infer(ctx) {
    const a = ranked(ctx, 0, 1);
    ctx.setTensor(0, ctx.dtype(0), a === null ? null : [...a.slice(0, -1), positive(ctx, 'N')]);
    if (ctx.hasOutput(1)) ctx.setTensor(1, ctx.dtype(0), a);
  },
  work: (op) => ({ flop: 2 * blockedFlop(op), kernel: 'gemm' }),
};

/** A, skip, norm_scale, then weights, scales and bias of query, key and value. */
const nBitsQkv: OpRule = {
  infer(ctx) {
    const a = ranked(ctx, 0, 1);
    const columns = [positive(ctx, 'Nq'), positive(ctx, 'Nkv'), positive(ctx, 'Nkv')];
    columns.forEach((n, o) => {
      if (ctx.hasOutput(o)) ctx.setTensor(o, ctx.dtype(0), a === null ? null : [...a.slice(0, -1), n]);
    });
    if (ctx.hasOutput(3)) ctx.setTensor(3, ctx.dtype(0), a);
  },
  work(op) {
    const a = op.inputShape(0) ?? [1];
    let columns = 0;
    for (const o of [0, 1, 2]) columns += outputElements(op, o);
    return { flop: 2 * columns * a[a.length - 1], kernel: 'gemm' };
  },
};

/** data, indices, scales, zero_points; packed bytes hold 8/bits values along the last axis. */
const gatherBlockQuantized: OpRule = {
  infer(ctx) {
    const data = ranked(ctx, 0, 1);
    const indices = ctx.shape(1);
    const dtype = firstDtype(ctx, 2);
    if (data === null || indices === null) {
      ctx.setTensor(0, dtype, null);
      return;
    }
    const axis = wrapAxis(ctx.attrs.int('gather_axis', 0), data.length);
    if (axis < 0 || axis >= data.length)
      ctx.fail(`attribute gather_axis: outside a rank-${String(data.length)} tensor`);
    const shape = data.slice();
    const packs = ctx.dtype(0) === DType.UINT8 ? 8 / ctx.attrs.int('bits', 4) : 1;
    const last = shape[shape.length - 1];
    if (packs > 1) shape[shape.length - 1] = typeof last === 'number' ? last * packs : ctx.freshDim();
    ctx.setTensor(0, dtype, [...shape.slice(0, axis), ...indices, ...shape.slice(axis + 1)]);
  },
  work: (op) => ({ flop: 2 * outputElements(op), kernel: 'gather', touchedElements: 2 * outputElements(op) }),
  factors(op) {
    const b = new FactorBuilder(op);
    const data = op.inputShape(0) ?? [1];
    const indices = op.inputShape(1) ?? [];
    const scales = op.inputShape(2) ?? data;
    const axis = wrapAxis(op.attrs.int('gather_axis', 0), data.length);
    const y = op.outputShape(0) ?? [];
    const table = b.add(data[axis], 'lookup');
    const rows = b.each(indices, 'parallel').map((f) => [f]);
    const kept = data.map((size, k) => {
      if (k === axis) return [table];
      const out = y[k < axis ? k : k + indices.length - 1];
      return out === size ? [b.parallel(size)] : [b.whole(size)];
    });
    const layoutY: Layout = [...kept.slice(0, axis), ...rows, ...kept.slice(axis + 1)];
    return b.rule(
      [kept, rows, scales.map((size, k) => (size === data[k] ? kept[k] : [b.whole(size)]))],
      [layoutY],
    );
  },
  backward: noGradient,
};

const zeroPointType =
  (i: number) =>
  (ctx: InferContext): DType =>
    firstDtype(ctx, i, 0);
const always = (dtype: DType) => (): DType => dtype;

/** Inputs (data, scale, zero point, scale, zero point) -> data in another order of storage or type. */
function reordered(result: (ctx: InferContext) => DType): OpRule {
  return {
    infer(ctx) {
      ctx.setTensor(0, result(ctx), ctx.shape(0));
    },
    work: (op) => ({ flop: outputElements(op), kernel: 'move' }),
    factors: outputAligned,
    backward: noGradient,
  };
}

/** Blocks of MatMulFpQ4 are bytes without a shape; B_shape [K, N] is a value. */
function fpQ4Columns(ctx: InferContext): Dim | null {
  const shape = numbersOf(ctx.value(2));
  if (shape === null) return null;
  if (shape.length !== 2) ctx.fail(`B_shape: expected 2 values, found ${dimText(shape.length)}`);
  return shape[1];
}

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: {
    QLinearAdd: quantizedElementwise([0, 3], 4),
    QLinearMul: quantizedElementwise([0, 3], 4),
    MulInteger: {
      ...quantizedElementwise([0, 2], 2),
      infer(ctx) {
        ctx.setTensor(0, DType.INT32, broadcastShapes(ctx, ctx.shape(0), ctx.shape(2)));
      },
    },
    QLinearSigmoid: quantizedElementwise([0], 4),
    QLinearLeakyRelu: quantizedElementwise([0], 4),
    QLinearWhere: quantizedElementwise([0, 1, 4], 3),
    QLinearAveragePool: qLinearAveragePool,
    QLinearGlobalAveragePool: qLinearGlobalAveragePool,
    QLinearConcat: qLinearConcat,
    QLinearSoftmax: qLinearSoftmax,
    QLinearReduceMean: quantizedReduce((ctx) => ctx.dtype(0)),
    ReduceSumInteger: quantizedReduce((ctx) => (ctx.dtype(0) === DType.UINT8 ? DType.UINT32 : DType.INT32)),
    QLinearConv: qLinearConv(channelsLast),
    DynamicQuantizeMatMul: quantizedProduct(0, 1, [2, 3, 4], (ctx) => ctx.dtype(0)),
    MatMulIntegerToFloat: {
      ...quantizedProduct(0, 1, [3, 5, 6], (ctx) => firstDtype(ctx, 2, 3)),
      backward: noGradient,
    },
    MatMulInteger16: {
      ...quantizedProduct(0, 1, [], (ctx) =>
        ctx.dtype(0) === DType.UINT16 && ctx.dtype(1) === DType.UINT16 ? DType.UINT32 : DType.INT32,
      ),
      backward: noGradient,
    },
    QGemm: qGemm,
    MatMulNBits: blocked(NBITS),
    MatMulBlockQuantizedFp8Weight: blocked(BLOCK_FLOAT),
    MatMulBlockQuantizedFp4Weight: blocked(BLOCK_FLOAT),
    MatMulNBitsMlp: nBitsMlp,
    MatMulNBitsQkv: nBitsQkv,
    MatMulBnb4: flatBlocked((ctx) =>
      ctx.attrs.int('transB', 1) !== 0 ? positive(ctx, 'N') : positive(ctx, 'K'),
    ),
    MatMulFpQ4: flatBlocked(fpQ4Columns),
    GatherBlockQuantized: gatherBlockQuantized,
    QuantizeLinear: quantizeLinear,
    DequantizeLinear: dequantizeLinear,
    DynamicQuantizeLSTM: dynamicQuantizeLstm,
    QuantizeWithOrder: reordered(always(DType.INT8)),
    DequantizeWithOrder: reordered((ctx) => ctx.attrs.int('to', DType.FLOAT)),
    QOrderedMatMul: {
      ...quantizedProduct(0, 2, [3, 5], zeroPointType(0)),
      backward: noGradient,
    },
    QOrderedGelu: quantizedElementwise([0], 10),
    QOrderedLayerNormalization: {
      ...reordered(zeroPointType(0)),
      work: (op) => ({ flop: 8 * outputElements(op), kernel: 'norm' }),
      factors: (op) => alignedFactors(op, (k, rank) => (k === rank - 1 ? 'normalized' : 'parallel')),
    },
  },
};
