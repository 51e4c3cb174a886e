/**
 * Operators of ORT's training graphs (com.microsoft): gradients, optimizers, accumulation and communication. A graph that
 * has them holds its own backward pass, so none of them has a gradient rule. Shapes follow the inputs they are gradients
 * of; FLOP is that of the forward operator's gradient. Source: ORT's training_op_defs.
 */
import { DType } from '../model/dtype.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { concatShapes } from './concat_split.js';
import { inputElements, outputElements } from './defaults.js';
import { FactorBuilder, alignedFactors, type Layout } from './factor_builder.js';
import { crossEntropyBackward, lossFactors } from './loss.js';
import { LAYER_NORM_FLOP } from './norm.js';
import { numbersOf } from './value.js';
import type { InferContext, KernelKind, OpFamily, OpRule, Shape, ValueType } from './types.js';

const noGradient = (): null => null;

/** Output o has the type and shape of input `from[o]`; -1 leaves an output alone. */
function mirrored(from: readonly number[], flop: number, kernel: KernelKind = 'elementwise'): OpRule {
  return {
    infer(ctx) {
      from.forEach((i, o) => {
        if (i >= 0 && ctx.hasOutput(o) && ctx.hasInput(i)) copyType(ctx, i, o);
      });
    },
    work: (op) => ({ flop: flop * inputElements(op, Math.max(from[0], 0)), kernel }),
    backward: noGradient,
  };
}

function copyType(ctx: InferContext, i: number, o: number): void {
  const type: ValueType | null = ctx.type(i);
  if (type !== null) ctx.setOutput(o, type);
}

/** Pointwise gradients: every tensor is aligned with the incoming gradient. */
function pointwise(flop: number, from = 0): OpRule {
  return { ...mirrored([from], flop), factors: (op) => alignedFactors(op, () => 'parallel') };
}

/** Output of a shape given as a value input. */
function ofShape(shapeInput: number, dataInput: number, kernel: KernelKind): OpRule {
  return {
    infer(ctx) {
      const given = ctx.value(shapeInput)?.elements ?? null;
      ctx.setTensor(0, ctx.dtype(dataInput), given);
    },
    work: (op) => ({ flop: inputElements(op, dataInput), kernel }),
    backward: noGradient,
  };
}

/** dY, X, scale, ...: gradients of X, scale and bias. The hidden axis carries statistics; the weights' are row sums. */
function normGrad(flop: number, from: readonly number[]): OpRule {
  return {
    ...mirrored(from, flop, 'norm'),
    factors(op) {
      const x = op.inputShape(0) ?? [1];
      const axis = wrapAxis(op.attrs.int('axis', -1), x.length);
      const b = new FactorBuilder(op);
      const rows = x.slice(0, axis).map((size) => [b.add(size, 'contraction')]);
      const hidden = x.slice(axis).map((size) => [b.add(size, 'normalized')]);
      const inputs: Layout[] = [];
      for (let i = 0; i < op.inputCount; i++) inputs.push([...rows, ...hidden]);
      return b.rule(
        inputs,
        from.map(() => [...rows, ...hidden]),
      );
    },
  };
}

/** dY, Y. Until opset 12 all axes from `axis` on are normalised together. */
function softmaxGrad(flattened: boolean): OpRule {
  return {
    ...mirrored([0], 4, 'norm'),
    factors(op) {
      const axis = wrapAxis(op.attrs.int('axis', flattened ? 1 : -1), op.inputShape(0)?.length ?? 0);
      return alignedFactors(op, (k) => ((flattened ? k >= axis : k === axis) ? 'normalized' : 'parallel'));
    },
  };
}

/** dY, X, W -> dX, dW, dB: twice the forward convolution. */
const convGrad: OpRule = {
  infer(ctx) {
    if (ctx.hasOutput(0)) copyType(ctx, 1, 0);
    if (ctx.hasOutput(1)) copyType(ctx, 2, 1);
    const w = ctx.shape(2);
    if (ctx.hasOutput(2)) ctx.setTensor(2, ctx.dtype(2), w === null ? null : [w[0]]);
  },
  work(op) {
    const perOutput = (op.inputShape(2) ?? [1]).slice(1).reduce((p, d) => p * d, 1);
    return { flop: 4 * inputElements(op, 0) * perOutput, kernel: 'conv' };
  },
  backward: noGradient,
};

/** scores, labels, weight, ignore_index -> loss, log-probabilities. */
const lossInternal: OpRule = {
  infer(ctx) {
    const reduction = ctx.attrs.string('reduction', 'mean');
    ctx.setTensor(0, ctx.attrs.int('output_type', ctx.dtype(0)), reduction === 'none' ? ctx.shape(1) : []);
    if (ctx.hasOutput(1)) ctx.setTensor(1, ctx.dtype(0), ctx.shape(0));
  },
  work: (op) => ({ flop: 6 * inputElements(op), kernel: 'norm' }),
  factors: (op) => lossFactors(op, 'normalized'),
  backward: crossEntropyBackward,
};

/** Class labels of any shape against scores with the classes last. */
const sparseLoss: OpRule = {
  ...lossInternal,
  factors: (op) => lossFactors(op, 'normalized', (op.inputShape(0)?.length ?? 1) - 1),
};

/** dY, log_prob, label, ... -> gradient of the scores. */
const lossGrad: OpRule = {
  infer(ctx) {
    const out = ctx.attrs.optionalInt('output_type');
    ctx.setTensor(0, out ?? ctx.dtype(1), ctx.shape(1));
  },
  work: (op) => ({ flop: 3 * outputElements(op), kernel: 'norm' }),
  backward: noGradient,
};

/** Inputs joined along `axis`, and the length of each. */
const concatTraining: OpRule = {
  infer(ctx) {
    const shapes: (Shape | null)[] = [];
    for (let i = 0; i < ctx.inputCount; i++) shapes.push(ctx.shape(i));
    const known = shapes.find((s) => s !== null);
    const axis = ctx.attrs.int('axis', 0);
    ctx.setTensor(
      0,
      ctx.dtype(0),
      known === undefined || known === null
        ? null
        : concatShapes(ctx, shapes, normalizeAxis(ctx, axis, known.length)),
    );
    if (ctx.hasOutput(1)) ctx.setTensor(1, DType.INT64, [ctx.inputCount]);
  },
  work: (op) => ({ flop: 0, kernel: 'move', touchedElements: 2 * outputElements(op) }),
};

/** input, split lengths. */
const splitTraining: OpRule = {
  infer(ctx) {
    const x = ctx.shape(0);
    const lengths = numbersOf(ctx.value(1));
    for (let o = 0; o < ctx.outputCount; o++) {
      if (!ctx.hasOutput(o)) continue;
      const axis = wrapAxis(ctx.attrs.int('axis', 0), x?.length ?? 0);
      ctx.setTensor(
        o,
        ctx.dtype(0),
        x === null ? null : x.map((d, k) => (k === axis ? (lengths?.[o] ?? ctx.freshDim()) : d)),
      );
    }
  },
  work: (op) => ({ flop: 0, kernel: 'move', touchedElements: 2 * inputElements(op) }),
};

/** Axes along which each of two shapes was stretched: how many is data. */
const broadcastGradientArgs: OpRule = {
  infer(ctx) {
    for (let o = 0; o < ctx.outputCount; o++)
      if (ctx.hasOutput(o)) ctx.setTensor(o, firstIndexType(ctx), [ctx.freshDim()]);
  },
  backward: noGradient,
};

function firstIndexType(ctx: InferContext): DType {
  const dtype = ctx.dtype(0);
  return dtype === DType.UNDEFINED ? DType.INT64 : dtype;
}

/** Hands module outputs to the framework and takes their gradients back; outputs listed as non-differentiable have none. */
const yieldOp: OpRule = {
  infer(ctx) {
    const skipped = ctx.attrs.ints('non_differentiable_outputs') ?? [];
    let o = 0;
    for (let i = 0; i < ctx.inputCount && o < ctx.outputCount; i++) {
      if (skipped.includes(i)) continue;
      if (ctx.hasOutput(o)) copyType(ctx, i, o);
      o++;
    }
  },
  work: () => ({ flop: 0, kernel: 'view' }),
  backward: noGradient,
};

/** old sum, value, overwrite -> flag, and the new sum. */
const accumulatorV2: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, DType.BOOL, [1]);
    if (ctx.hasOutput(1)) copyType(ctx, 0, 1);
  },
  work: (op) => ({ flop: inputElements(op), kernel: 'elementwise' }),
  backward: noGradient,
};

/** R, T, weights, gradients, moment 1, moment 2, ... -> new T, moments, weights, gradients, mixed-precision weights. */
const adam: OpRule = mirrored([1, 4, 5, 2, 3, 6], 12);

/** Updates in place through sequences: a flag and the updated sequences. */
const sequenceOptimizer: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, DType.BOOL, [1]);
    for (const [o, i] of [
      [1, 2],
      [2, 4],
      [3, 5],
    ])
      if (ctx.hasOutput(o)) copyType(ctx, i, o);
  },
  backward: noGradient,
};

/**
 * update_signal, loss_scale, gradient_norm, learning rate, step, then (weight, gradient, moment 1, moment 2, mixed
 * weight) per group -> step, then (weight, gradient, moment 1, moment 2, mixed weight) per group.
 */
const lamb: OpRule = {
  infer(ctx) {
    if (ctx.hasOutput(0) && ctx.hasInput(4)) copyType(ctx, 4, 0);
    for (let o = 1; o < ctx.outputCount; o++)
      if (ctx.hasOutput(o) && ctx.hasInput(o + 4)) copyType(ctx, o + 4, o);
  },
  work(op) {
    let elements = 0;
    for (let i = 5; i < op.inputCount; i += 5) elements += inputElements(op, i);
    return { flop: 16 * elements, kernel: 'elementwise' };
  },
  backward: noGradient,
};

function scalar(dtype: (ctx: InferContext) => DType): OpRule {
  return {
    infer(ctx) {
      ctx.setTensor(0, dtype(ctx), []);
    },
    work(op) {
      let elements = 0;
      for (let i = 0; i < op.inputCount; i++) elements += inputElements(op, i);
      return { flop: 2 * elements, kernel: 'reduce' };
    },
    backward: noGradient,
  };
}

/** InputSignal, Remote, data... -> OutputSignal. */
const send = scalar(() => DType.BOOL);

/** InputSignal, Remote -> OutputSignal and data whose shapes only the sender knows: as declared. */
const recv: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, DType.BOOL, []);
    for (let o = 1; o < ctx.outputCount; o++) {
      const declared = ctx.declared(o);
      if (ctx.hasOutput(o) && declared !== null) ctx.setOutput(o, declared);
    }
  },
  backward: noGradient,
};

/** Tensors pass through, one output an input (all-reduce, mixed-precision scaling, pass-through). */
function passThrough(first: number): OpRule {
  return {
    infer(ctx) {
      for (let o = 0; o < ctx.outputCount; o++)
        if (ctx.hasOutput(o) && ctx.hasInput(o + first)) copyType(ctx, o + first, o);
    },
    work(op) {
      let elements = 0;
      for (let o = 0; o < op.outputCount; o++) elements += outputElements(op, o);
      return { flop: elements, kernel: 'move' };
    },
    backward: noGradient,
  };
}

/** Gradient of a dropout whose packed mask cannot follow the data's axes. */
const bitmaskDropoutGrad: OpRule = {
  ...mirrored([0], 2),
  factors: (op) => alignedFactors(op, () => 'whole'),
};

const POINTWISE_GRADIENTS: Readonly<Record<string, OpRule>> = {
  ReluGrad: pointwise(1),
  GeluGrad: pointwise(12),
  FastGeluGrad: pointwise(12),
  BiasGeluGrad_dX: pointwise(12),
  BiasFastGeluGrad_dX: pointwise(12),
  QuickGeluGrad: pointwise(6),
  SigmoidGrad: pointwise(3),
  TanhGrad: pointwise(3),
  LeakyReluGrad: pointwise(2),
  EluGrad: pointwise(3),
  HardSigmoidGrad: pointwise(2),
  AbsGrad: pointwise(2),
  SinGrad: pointwise(2),
  LogGrad: pointwise(1),
  DropoutGrad: pointwise(2),
};

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: {
    ...POINTWISE_GRADIENTS,
    BitmaskDropoutGrad: bitmaskDropoutGrad,
    SoftmaxGrad: softmaxGrad(true),
    SoftmaxGrad_13: softmaxGrad(false),
    LogSoftmaxGrad: softmaxGrad(true),
    LogSoftmaxGrad_13: softmaxGrad(false),
    LayerNormalizationGrad: normGrad(2 * LAYER_NORM_FLOP, [1, 2, 2]),
    InvertibleLayerNormalizationGrad: normGrad(2 * LAYER_NORM_FLOP, [1, 2, 3]),
    SimplifiedLayerNormalizationGrad: normGrad(LAYER_NORM_FLOP, [1, 2]),
    BatchNormalizationGrad: mirrored([1, 2, 2], 8, 'norm'),
    BatchNormInternal: mirrored([0, 3, 4, 3, 4], 4, 'norm'),
    ConvGrad: convGrad,
    GatherGrad: ofShape(0, 2, 'gather'),
    GatherNDGrad: ofShape(0, 2, 'gather'),
    GatherElementsGrad: ofShape(1, 0, 'gather'),
    SliceGrad: ofShape(1, 0, 'move'),
    SoftmaxCrossEntropyLossInternal: lossInternal,
    SoftmaxCrossEntropyLossInternalGrad: lossGrad,
    SoftmaxCrossEntropyLossGrad: lossGrad,
    SoftmaxCrossEntropy: lossInternal,
    SoftmaxCrossEntropyGrad: lossGrad,
    SparseSoftmaxCrossEntropy: sparseLoss,
    SparseSoftmaxCrossEntropyGrad: lossGrad,
    ConcatTraining: concatTraining,
    SplitTraining: splitTraining,
    BroadcastGradientArgs: broadcastGradientArgs,
    YieldOp: yieldOp,
    InPlaceAccumulator: mirrored([0], 1),
    InPlaceAccumulatorV2: accumulatorV2,
    GradientAccumulator: mirrored([0], 1),
    ZeroGradient: mirrored([0], 0),
    AdamOptimizer: adam,
    AdamWOptimizer: sequenceOptimizer,
    SGDOptimizerV2: sequenceOptimizer,
    SGDOptimizer: mirrored([1, 2], 2),
    LambOptimizer: lamb,
    ReduceAllL2: scalar((ctx) => ctx.dtype(0)),
    IsFinite: { ...pointwise(1), infer: (ctx) => ctx.setTensor(0, DType.BOOL, ctx.shape(0)) },
    Scale: mirrored([0], 1),
    PassThrough: passThrough(0),
    MixedPrecisionScale: passThrough(1),
    NcclAllReduce: passThrough(0),
    Group: scalar(() => DType.BOOL),
    Send: send,
    Recv: recv,
  },
};
