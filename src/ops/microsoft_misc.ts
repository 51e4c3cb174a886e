/** What is left of com.microsoft for inference: shapes, spectra, padding, generation loops. */
import { DType } from '../model/dtype.js';
import { normalizeAxis } from './axis.js';
import { broadcastInputs } from './broadcast.js';
import { family as constants } from './constant.js';
import { needsGrad, outputElements } from './defaults.js';
import { add, floorDiv, mul, sub } from './dim.js';
import { ranked, sameAsInput } from './expect.js';
import { FactorBuilder, alignedFactors, outputAligned, type Layout } from './factor_builder.js';
import { family as gathers } from './gather_scatter.js';
import { cropAndResize, gridSample } from './image.js';
import { family as movements } from './movement.js';
import { present } from './product_rule.js';
import { fftFlop } from './signal.js';
import { family as slices } from './slice_pad.js';
import { countOf, onlyElement, onlyNumber } from './value.js';
import type { InferContext, OpFamily, OpRule, Shape, Work } from './types.js';

const noGradient = (): null => null;

// ---------------------------------------------------------------------------------------------------------------
// Shapes and values

/** Inserts a dimension of 1 at an axis given as an input. */
const expandDims: OpRule = {
  infer(ctx) {
    const x = ctx.shape(0);
    const axis = onlyNumber(ctx.value(1));
    if (x === null) ctx.setTensor(0, ctx.dtype(0), null);
    else if (axis === null) ctx.setTensor(0, ctx.dtype(0), [...x.map(() => ctx.freshDim()), ctx.freshDim()]);
    else {
      const at = normalizeAxis(ctx, axis, x.length + 1);
      ctx.setTensor(0, ctx.dtype(0), [...x.slice(0, at), 1, ...x.slice(at)]);
    }
  },
  work: () => ({ flop: 0, kernel: 'view' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [];
    const y = op.outputShape(0) ?? [];
    const axis = onlyNumber(op.inputValue(1)) ?? 0;
    const at = axis < 0 ? axis + y.length : axis;
    const ids = b.each(x, 'parallel').map((f) => [f]);
    return b.rule([ids], [[...ids.slice(0, at), [], ...ids.slice(at)]], true);
  },
  backward: (op) =>
    needsGrad(op, 0) ? { grads: [{ input: 0, flop: 0 }], savesInputs: [], savesOutputs: [] } : null,
};

/** Values of a vector without repeats, where each came from, and how often. */
const unique: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 1, 1);
    const count = ctx.freshDim();
    ctx.setTensor(0, ctx.dtype(0), [count]);
    if (ctx.hasOutput(1)) ctx.setTensor(1, DType.INT64, x);
    if (ctx.hasOutput(2)) ctx.setTensor(2, DType.INT64, [count]);
  },
  backward: noGradient,
};

/** (a + ib)(c + id) on pairs in the last axis. */
const complexMul: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.dtype(0), broadcastInputs(ctx));
  },
  work: (op) => ({ flop: 3 * outputElements(op), kernel: 'elementwise' }),
  factors(op) {
    const rule = outputAligned(op);
    const last = rule.factors.length - 1;
    return {
      ...rule,
      factors: rule.factors.map((f, k) => (k === last ? { ...f, kind: 'whole' as const } : f)),
    };
  },
};

/** Real signals over the last `signal_ndim` axes to one-sided spectra [..., n/2 + 1, 2], and back. */
function realFft(inverseTransform: boolean): OpRule {
  return {
    infer(ctx) {
      const x = ranked(ctx, 0, 1);
      if (x === null) ctx.setTensor(0, ctx.dtype(0), null);
      else if (inverseTransform) {
        const bins = x[x.length - 2] ?? ctx.freshDim();
        ctx.setTensor(0, ctx.dtype(0), [...x.slice(0, -2), mul(sub(bins, 1), 2)]);
      } else ctx.setTensor(0, ctx.dtype(0), [...x.slice(0, -1), add(floorDiv(x[x.length - 1], 2), 1), 2]);
    },
    work(op): Work {
      const signal = (inverseTransform ? op.outputShape(0) : op.inputShape(0)) ?? [1];
      const axes = op.attrs.int('signal_ndim', 1);
      const points = countOf(signal.slice(-axes));
      return { flop: fftFlop(points, countOf(signal) / Math.max(points, 1)) / 2, kernel: 'other' };
    },
    factors: (op) => {
      const b = new FactorBuilder(op);
      const axes = op.attrs.int('signal_ndim', 1) + (inverseTransform ? 1 : 0);
      const x = op.inputShape(0) ?? [];
      const y = op.outputShape(0) ?? [];
      const batch = b.each(x.slice(0, -axes), 'parallel').map((f) => [f]);
      const rest = (shape: readonly number[]): Layout => [
        ...batch,
        ...b.each(shape.slice(batch.length), 'whole').map((f) => [f]),
      ];
      return b.rule([rest(x)], [rest(y)], true);
    },
  };
}

/** weight [V, D], indices -> [..., D]. */
const torchEmbedding: OpRule = {
  infer(ctx) {
    const table = ranked(ctx, 0, 2, 2);
    const indices = ctx.shape(1);
    ctx.setTensor(0, ctx.dtype(0), table === null || indices === null ? null : [...indices, table[1]]);
  },
  work: (op) => ({ flop: 0, kernel: 'gather', touchedElements: 2 * outputElements(op) }),
  factors(op) {
    const b = new FactorBuilder(op);
    const table = op.inputShape(0) ?? [1, 1];
    const rows = b.each(op.inputShape(1) ?? [], 'parallel').map((f) => [f]);
    const column = [b.parallel(table[1])];
    return b.rule([[[b.add(table[0], 'lookup')], column], rows], [[...rows, column]]);
  },
  backward: (op) =>
    needsGrad(op, 0)
      ? { grads: [{ input: 0, flop: outputElements(op) }], savesInputs: present(op, [1]), savesOutputs: [] }
      : null,
};

/** Windows of `size` along `dim` every `step`: [..., windows, ..., size]. */
const unfoldTensor: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 1);
    const size = ctx.attrs.int('size', 1);
    if (x === null) {
      ctx.setTensor(0, ctx.dtype(0), null);
      return;
    }
    const at = normalizeAxis(ctx, ctx.attrs.int('dim', -1), x.length, 'dim');
    const windows = add(floorDiv(sub(x[at], size), ctx.attrs.int('step', 1)), 1);
    ctx.setTensor(0, ctx.dtype(0), [...x.slice(0, at), windows, ...x.slice(at + 1), size]);
  },
  work: (op) => ({ flop: 0, kernel: 'move', touchedElements: 2 * outputElements(op) }),
};

/** [B, S, H] of padded sequences -> [tokens, H] and the bookkeeping. */
const removePadding: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 3, 3);
    const hidden = x?.[2] ?? ctx.freshDim();
    ctx.setTensor(0, ctx.dtype(0), [ctx.freshDim(), hidden]);
    const [batch, seq] = [x?.[0] ?? ctx.freshDim(), x?.[1] ?? ctx.freshDim()];
    if (ctx.hasOutput(1)) ctx.setTensor(1, DType.INT32, [batch, seq]);
    if (ctx.hasOutput(2)) ctx.setTensor(2, DType.INT32, [add(batch, 1)]);
    if (ctx.hasOutput(3)) ctx.setTensor(3, DType.INT32, [1]);
  },
  work: (op) => ({ flop: 0, kernel: 'gather', touchedElements: 2 * outputElements(op) }),
};

const restorePadding: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 2, 2);
    const offset = ranked(ctx, 1, 2, 2);
    ctx.setTensor(0, ctx.dtype(0), x === null || offset === null ? null : [...offset, x[1]]);
  },
  work: (op) => ({ flop: 0, kernel: 'gather', touchedElements: 2 * outputElements(op) }),
};

/** Random integers in [0, input) or the like: same shape and type. */
const sameShape: OpRule = {
  infer: (ctx) => {
    sameAsInput(ctx);
  },
  work: (op) => ({ flop: outputElements(op), kernel: 'elementwise' }),
  factors: (op) => alignedFactors(op, () => 'parallel'),
};

function typed(dtype: DType, shape: (ctx: InferContext) => Shape | null): OpRule {
  return {
    infer(ctx) {
      ctx.setTensor(0, dtype, shape(ctx));
    },
    backward: noGradient,
  };
}

/** Decay = scale * softplus(a + bias), beta = sigmoid(b), per head. */
const linearAttentionGate: OpRule = {
  infer(ctx) {
    sameAsInput(ctx);
    if (ctx.hasOutput(1)) ctx.setTensor(1, ctx.dtype(0), ctx.shape(ctx.hasInput(3) ? 3 : 0));
  },
  work: (op) => ({ flop: 6 * outputElements(op), kernel: 'elementwise' }),
  factors: (op) => alignedFactors(op, () => 'parallel'),
};

// ---------------------------------------------------------------------------------------------------------------
// Generation loops: their bodies are subgraphs, run once per token; only the shapes of what comes out are known.

/** input_ids [B, S], max_length 1, ..., num_return_sequences 4 -> [B, returned, max_length], scores. */
const beamSearch: OpRule = {
  infer(ctx) {
    const batch = ctx.shape(0)?.[0] ?? ctx.freshDim();
    const length = onlyElement(ctx.value(1)) ?? ctx.freshDim();
    const returned = onlyElement(ctx.value(4)) ?? ctx.freshDim();
    ctx.setTensor(0, DType.INT32, [batch, returned, length]);
    const float = DType.FLOAT;
    if (ctx.hasOutput(1)) ctx.setTensor(1, float, [batch, returned]);
    if (ctx.hasOutput(2))
      ctx.setTensor(2, float, [
        ctx.freshDim(),
        batch,
        onlyElement(ctx.value(3)) ?? ctx.freshDim(),
        ctx.freshDim(),
      ]);
  },
  backward: noGradient,
};

const greedySearch: OpRule = {
  infer(ctx) {
    const batch = ctx.shape(0)?.[0] ?? ctx.freshDim();
    ctx.setTensor(0, DType.INT32, [batch, onlyElement(ctx.value(1)) ?? ctx.freshDim()]);
    if (ctx.hasOutput(1)) ctx.setTensor(1, DType.FLOAT, [ctx.freshDim(), batch, ctx.freshDim()]);
  },
  backward: noGradient,
};

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: {
    ExpandDims: expandDims,
    Trilu: movements.rules.Trilu,
    GatherND: gathers.rules.GatherND,
    Pad: slices.rules.Pad,
    Range: constants.rules.Range,
    GridSample: gridSample,
    CropAndResize: cropAndResize,
    Unique: unique,
    ComplexMul: complexMul,
    ComplexMulConj: complexMul,
    Rfft: realFft(false),
    Irfft: realFft(true),
    TorchEmbedding: torchEmbedding,
    UnfoldTensor: unfoldTensor,
    RemovePadding: removePadding,
    RestorePadding: restorePadding,
    LinearAttentionGate: linearAttentionGate,
    SampleOp: sameShape,
    NGramRepeatBlock: { ...sameShape, infer: (ctx) => ctx.setTensor(0, ctx.dtype(1), ctx.shape(1)) },
    IsAllFinite: typed(DType.BOOL, () => []),
    DynamicTimeWarping: typed(DType.INT32, (ctx) => [2, ctx.freshDim()]),
    MurmurHash3: {
      ...sameShape,
      infer: (ctx) =>
        ctx.setTensor(0, ctx.attrs.int('positive', 1) !== 0 ? DType.UINT32 : DType.INT32, ctx.shape(0)),
    },
    BifurcationDetector: {
      infer(ctx) {
        ctx.setTensor(0, DType.INT64, [ctx.freshDim()]);
        if (ctx.hasOutput(1)) ctx.setTensor(1, DType.INT64, [1]);
      },
      backward: noGradient,
    },
    Tokenizer: typed(DType.STRING, (ctx) => {
      const x = ctx.shape(0);
      return x === null ? null : [...x, ctx.freshDim()];
    }),
    BeamSearch: beamSearch,
    WhisperBeamSearch: beamSearch,
    GreedySearch: greedySearch,
    Sampling: greedySearch,
  },
};
