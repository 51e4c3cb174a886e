/**
 * ORT's fused normalisations (com.microsoft). Saved tensors are those of the plain norm: its input (here the sum of input
 * and skip, kept beside the graph's tensors unless it is an output) and the row statistics.
 */
import { DType, dtypeBytes } from '../model/dtype.js';
import { inputElements, needsGrad, outputElements } from './defaults.js';
import { divideExact } from './dim.js';
import { firstDtype, positive, ranked, sameAsInput, unify } from './expect.js';
import { FactorBuilder, alignedFactors, type Layout } from './factor_builder.js';
import {
  groupNormFactors,
  LAYER_NORM_FLOP,
  normBackward,
  RMS_NORM_FLOP,
  rowNormFactors,
  simplifiedLayerNormalization,
  statisticsShape,
} from './norm.js';
import { present } from './product_rule.js';
import { countOf } from './value.js';
import type { BackwardRule, InferContext, OpFamily, OpInstance, OpRule } from './types.js';

/** input, skip, gamma, [beta], bias: outputs y, mean, inverse deviation, and the sum input + skip + bias. */
function skipNorm(
  flopPerElement: number,
  statistics: number,
  parameters: readonly number[],
  bias: number,
): OpRule {
  return {
    infer(ctx) {
      const x = ranked(ctx, 0, 2);
      const hidden = x?.[x.length - 1];
      for (const i of [...parameters, bias]) {
        const p = ctx.shape(i);
        if (p?.length === 1 && hidden !== undefined)
          unify(ctx, hidden, p[0], 'hidden size of gamma, beta or bias');
      }
      ctx.setTensor(0, ctx.dtype(0), x);
      const rows = statisticsShape(x, (x?.length ?? 1) - 1);
      if (ctx.hasOutput(1)) ctx.setTensor(1, DType.FLOAT, rows);
      if (ctx.hasOutput(2)) ctx.setTensor(2, DType.FLOAT, rows);
      if (ctx.hasOutput(3)) ctx.setTensor(3, ctx.dtype(0), x);
    },
    work: (op) => ({ flop: (flopPerElement + 2) * inputElements(op), kernel: 'norm' }),
    factors: (op) => rowNormFactors(op, (op.inputShape(0)?.length ?? 1) - 1),
    backward(op) {
      const x = op.inputShape(0) ?? [1];
      const rule = normBackward(op, flopPerElement, parameters, countOf(x.slice(0, -1)), statistics);
      return rule === null ? null : skipBackward(op, rule, bias, parameters);
    },
  };
}

/** The sum is what the norm's gradient reads; the gradients of its terms are copies of one another. */
function skipBackward(
  op: OpInstance,
  rule: BackwardRule,
  bias: number,
  parameters: readonly number[],
): BackwardRule {
  const elements = inputElements(op);
  const grads = [...rule.grads];
  if (needsGrad(op, 1)) grads.push({ input: 1, flop: 0 });
  if (bias >= 0 && needsGrad(op, bias)) grads.push({ input: bias, flop: elements });
  const hasSum = op.outputCount > 3 && op.outputShape(3) !== null;
  return {
    grads,
    savesInputs: parameters.filter((i) => i < op.inputCount && op.inputShape(i) !== null),
    savesOutputs: hasSum ? [3] : [],
    extraSavedBytes: (rule.extraSavedBytes ?? 0) + (hasSum ? 0 : dtypeBytes(op.inputDtype(0), elements)),
  };
}

/**
 * input_ids, segment_ids, word_embedding, position_embedding, segment_embedding, gamma, beta, mask, position_ids ->
 * embeddings summed and normalised, mask index, the sum. Rows of the word table are a `lookup`.
 */
const embedLayerNormalization: OpRule = {
  infer(ctx) {
    const ids = ranked(ctx, 0, 2, 2);
    const table = ranked(ctx, 2, 2, 2);
    const dtype = firstDtype(ctx, 2);
    const hidden = table?.[1] ?? ctx.shape(5)?.[0] ?? null;
    const shape = ids === null || hidden === null ? null : [...ids, hidden];
    ctx.setTensor(0, dtype, shape);
    if (ctx.hasOutput(1)) ctx.setTensor(1, DType.INT32, ids === null ? null : [ids[0]]);
    if (ctx.hasOutput(2)) ctx.setTensor(2, dtype, shape);
  },
  work(op) {
    const elements = outputElements(op);
    return { flop: (LAYER_NORM_FLOP + 2) * elements, kernel: 'gather', touchedElements: 4 * elements };
  },
  factors(op) {
    const b = new FactorBuilder(op);
    const [rows, seq] = op.inputShape(0) ?? [1, 1];
    const words = op.inputShape(2) ?? [1, 1];
    const ids: Layout = [[b.parallel(rows)], [b.parallel(seq)]];
    const hidden = [b.add(words[1], 'normalized')];
    const table = (i: number): Layout => [[b.add(op.inputShape(i)?.[0] ?? 1, 'lookup')], hidden];
    const inputs: Layout[] = [ids, ids, table(2), table(3), table(4), [hidden], [hidden], ids, ids];
    const y: Layout = [...ids, hidden];
    return b.rule(inputs, [y, [ids[0]], y]);
  },
  backward(op) {
    const elements = outputElements(op);
    const grads = [2, 3, 4, 5, 6]
      .filter((i) => needsGrad(op, i))
      .map((input) => ({ input, flop: (input >= 5 ? 2 : LAYER_NORM_FLOP) * elements }));
    if (grads.length === 0) return null;
    const hasSum = op.outputCount > 2 && op.outputShape(2) !== null;
    const rows = elements / Math.max(op.inputShape(2)?.[1] ?? 1, 1);
    return {
      grads,
      savesInputs: [0, 1, 5, 8].filter((i) => i < op.inputCount && op.inputShape(i) !== null),
      savesOutputs: hasSum ? [2] : [],
      extraSavedBytes: 8 * rows + (hasSum ? 0 : dtypeBytes(op.outputDtype(0), elements)),
    };
  },
};

/** Channels last by default; X, gamma, beta[, skip, bias]; outputs y and the sum. */
function groupNorm(skip: boolean): OpRule {
  const channelsLast = (op: OpInstance): boolean => op.attrs.int('channels_last', 1) !== 0;
  return {
    infer(ctx) {
      positive(ctx, 'groups');
      const x = ranked(ctx, 0, 3);
      const channels = x === null ? null : x[ctx.attrs.int('channels_last', 1) !== 0 ? x.length - 1 : 1];
      for (const i of [1, 2]) {
        const p = ctx.shape(i);
        if (p?.length === 1 && channels !== null) unify(ctx, channels, p[0], 'channels');
      }
      ctx.setTensor(0, ctx.dtype(0), x);
      if (ctx.hasOutput(1)) ctx.setTensor(1, ctx.dtype(0), x);
    },
    work: (op) => ({ flop: (LAYER_NORM_FLOP + 4) * outputElements(op), kernel: 'norm' }),
    factors(op) {
      const last = channelsLast(op);
      const rank = op.inputShape(0)?.length ?? 2;
      const order = (layout: number[][]): number[][] =>
        last ? [layout[0], ...layout.slice(2), layout[1]] : layout;
      return groupNormFactors(
        op,
        op.attrs.int('groups', 1),
        order,
        skip ? [1, 2, 4] : [1, 2],
        last ? rank - 1 : 1,
      );
    },
    backward(op) {
      const rows = (op.inputShape(0)?.[0] ?? 1) * op.attrs.int('groups', 1);
      const rule = normBackward(op, LAYER_NORM_FLOP, [1, 2], rows, 2);
      if (rule === null || !skip) return rule;
      const grads = [...rule.grads];
      if (needsGrad(op, 3)) grads.push({ input: 3, flop: 0 });
      return { ...rule, grads };
    },
  };
}

/** (x + bias) + skip: nothing saved. */
const biasAdd: OpRule = {
  infer: (ctx) => {
    sameAsInput(ctx);
  },
  work: (op) => ({ flop: 2 * outputElements(op), kernel: 'elementwise' }),
  factors: (op) => alignedFactors(op, () => 'parallel'),
  backward(op) {
    const grads = [0, 1, 2]
      .filter((i) => needsGrad(op, i))
      .map((input) => ({ input, flop: input === 1 ? outputElements(op) : 0 }));
    return grads.length === 0 ? null : { grads, savesInputs: [], savesOutputs: [] };
  },
};

/** Left half times the gelu of the right half of x + bias: [.., 2*d] -> [.., d]. */
const biasSplitGelu: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 1);
    if (x === null) {
      ctx.setTensor(0, ctx.dtype(0), null);
      return;
    }
    const half = divideExact(x[x.length - 1], 2);
    ctx.setTensor(0, ctx.dtype(0), [...x.slice(0, -1), half ?? halfOf(ctx, x[x.length - 1])]);
  },
  work: (op) => ({ flop: 10 * outputElements(op), kernel: 'elementwise' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const y = op.outputShape(0) ?? [1];
    const rows = b.each(y.slice(0, -1), 'parallel').map((f) => [f]);
    const column = b.parallel(y[y.length - 1]);
    const both = [b.whole(2), column];
    return b.rule([[...rows, both], [both]], [[...rows, [column]]]);
  },
};

function halfOf(
  ctx: InferContext,
  d: number | { readonly text: string },
): ReturnType<InferContext['freshDim']> {
  if (typeof d === 'number') ctx.fail(`input 0: expected an even last dimension, found ${String(d)}`);
  return ctx.freshDim();
}

/** X * rsqrt(mean(X^2)) * scale * silu(gate) over groups of scale's length in the last axis. */
const gatedRmsNorm: OpRule = {
  infer: (ctx) => {
    sameAsInput(ctx);
  },
  work: (op) => ({ flop: (RMS_NORM_FLOP + 5) * outputElements(op), kernel: 'norm' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [1];
    const size = op.inputShape(1)?.[0] ?? x[x.length - 1];
    const rows = b.each(x.slice(0, -1), 'parallel').map((f) => [f]);
    const group = b.parallel(x[x.length - 1] / size);
    const channel = b.add(size, 'normalized');
    const layout: Layout = [...rows, [group, channel]];
    return b.rule([layout, [[channel]], layout], [layout]);
  },
  backward(op) {
    const size = Math.max(op.inputShape(1)?.[0] ?? 1, 1);
    const rule = normBackward(op, RMS_NORM_FLOP + 5, [1], inputElements(op) / size, 1);
    if (rule === null) return null;
    const grads = needsGrad(op, 2) ? [...rule.grads, { input: 2, flop: 6 * inputElements(op) }] : rule.grads;
    return { ...rule, grads, savesInputs: present(op, [...rule.savesInputs, 2]) };
  },
};

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: {
    SkipLayerNormalization: skipNorm(LAYER_NORM_FLOP, 2, [2, 3], 4),
    SkipSimplifiedLayerNormalization: skipNorm(RMS_NORM_FLOP, 1, [2], 3),
    SimplifiedLayerNormalization: simplifiedLayerNormalization,
    EmbedLayerNormalization: embedLayerNormalization,
    GroupNorm: groupNorm(false),
    SkipGroupNorm: groupNorm(true),
    BiasAdd: biasAdd,
    BiasSplitGelu: biasSplitGelu,
    GatedRMSNorm: gatedRmsNorm,
  },
};
