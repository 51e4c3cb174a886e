/**
 * Normalisations of the default domain. FLOP per element: mean, centring, square, sum, scale and shift of a layer norm
 * are about 8, an RMS norm's 5. The backward pass reads the input and the row statistics (4 bytes each); the gradients of
 * scale and bias are sums over the rows.
 */
import type { DType } from '../model/dtype.js';
import { inputElements, needsGrad, outputElements } from './defaults.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { dimText, firstDtype, positive, ranked, unify } from './expect.js';
import { FactorBuilder, alignedFactors, type Layout } from './factor_builder.js';
import { present } from './product_rule.js';
import { countOf } from './value.js';
import type { BackwardRule, FactorRule, InferContext, OpFamily, OpInstance, OpRule, Shape } from './types.js';

export const LAYER_NORM_FLOP = 8;
export const RMS_NORM_FLOP = 5;
/** One float32 statistic of a row. */
const STAT_BYTES = 4;

/**
 * Gradients of a normalisation with optional scale and bias inputs.
 * @param flopPerElement forward; the input's gradient costs about half as much again
 * @param rows rows that carry `statistics` float32 numbers each, saved unless they are outputs already
 */
export function normBackward(
  op: OpInstance,
  flopPerElement: number,
  parameters: readonly number[],
  rows: number,
  statistics: number,
  savedOutputs: readonly number[] = [],
): BackwardRule | null {
  const elements = inputElements(op);
  const grads: { input: number; flop: number }[] = [];
  if (needsGrad(op, 0)) grads.push({ input: 0, flop: 1.5 * flopPerElement * elements });
  for (const i of parameters) if (needsGrad(op, i)) grads.push({ input: i, flop: 2 * elements });
  if (grads.length === 0) return null;
  const savesInputs = present(op, [0, ...parameters]);
  const base = { grads, savesInputs, savesOutputs: savedOutputs };
  return savedOutputs.length > 0 ? base : { ...base, extraSavedBytes: STAT_BYTES * statistics * rows };
}

/** Shape of row statistics: the normalised axes reduced to 1. */
export function statisticsShape(x: Shape | null, axis: number): Shape | null {
  return x === null ? null : x.map((d, k) => (k < axis ? d : 1));
}

/**
 * LayerNormalization (17), RMSNormalization (23) and ORT's SimplifiedLayerNormalization: axes from `axis` on are
 * normalised. Optional outputs: statistics of the rows in the stash type.
 */
function rowNorm(flopPerElement: number, statistics: number): OpRule {
  const axisOf = (op: OpInstance): number => {
    const rank = op.inputShape(0)?.length ?? 0;
    return Math.max(wrapAxis(op.attrs.int('axis', -1), rank), 0);
  };
  return {
    infer(ctx) {
      const x = ctx.shape(0);
      const dtype = ctx.dtype(0);
      // RMSNormalization and SimplifiedLayerNormalization may scale in another type than they read.
      ctx.setTensor(0, statistics === 1 ? firstDtype(ctx, 1, 0) : dtype, x);
      if (x !== null && x.length === 0) ctx.fail('input 0: expected rank >= 1, found a scalar');
      const axis = x === null ? 0 : normalizeAxis(ctx, ctx.attrs.int('axis', -1), x.length);
      if (x !== null) checkScale(ctx, x, axis);
      const stash = ctx.attrs.int('stash_type', 1) as DType;
      for (let i = 1; i < ctx.outputCount; i++)
        if (ctx.hasOutput(i)) ctx.setTensor(i, stash, statisticsShape(x, axis));
    },
    work: (op) => ({ flop: flopPerElement * inputElements(op), kernel: 'norm' }),
    factors: (op) => rowNormFactors(op, axisOf(op)),
    backward(op) {
      const rows = countOf((op.inputShape(0) ?? []).slice(0, axisOf(op)));
      const outputs: number[] = [];
      for (let i = 1; i < op.outputCount; i++) if (op.outputShape(i) !== null) outputs.push(i);
      return normBackward(
        op,
        flopPerElement,
        [1, 2],
        rows,
        statistics,
        outputs.length === statistics ? outputs : [],
      );
    },
  };
}

/** The scale and the bias must broadcast to the normalised axes. */
function checkScale(ctx: InferContext, x: Shape, axis: number): void {
  for (let i = 1; i < Math.min(ctx.inputCount, 3); i++) {
    const scale = ctx.shape(i);
    if (scale === null) continue;
    for (let k = 0; k < scale.length; k++) {
      const at = k - scale.length + x.length;
      if (scale[k] === 1 || at < axis) continue;
      unify(ctx, x[at], scale[k], i === 1 ? 'scale' : 'bias');
    }
  }
}

/** Rows parallel, normalised axes `normalized`; scale and bias follow the normalised axes, statistics the rows. */
export function rowNormFactors(op: OpInstance, axis: number): FactorRule {
  return alignedFactors(op, (k) => (k < axis ? 'parallel' : 'normalized'));
}

/** Batch statistics: one mean and variance a channel. */
const batchNormalization: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 1);
    const channels = x === null ? null : x.length > 1 ? x[1] : 1;
    let c = channels;
    for (let i = 1; i < 5; i++) {
      const s = ctx.shape(i);
      // Opset 1..8 with spatial=0 has a statistic per feature: left unchecked.
      if (s?.length === 1 && c !== null && ctx.attrs.int('spatial', 1) === 1)
        c = unify(ctx, c, s[0], 'channels');
    }
    ctx.setTensor(0, ctx.dtype(0), x);
    const statistic = ctx.shape(3) ?? (c === null ? null : [c]);
    for (let i = 1; i < ctx.outputCount; i++)
      if (ctx.hasOutput(i)) ctx.setTensor(i, firstDtype(ctx, i <= 2 ? i + 2 : 3, 0), statistic);
  },
  work: (op) => ({ flop: 4 * outputElements(op), kernel: 'norm' }),
  factors: (op) => channelFactors(op, 'parallel', 'normalized'),
  backward: (op) => normBackward(op, 4, [1, 2], op.inputShape(0)?.[1] ?? 1, 2),
};

/**
 * X [N, C, spatial...] with per-channel vectors. Statistics of a batch norm are per replica, as data parallelism has
 * them, so N is parallel.
 */
function channelFactors(
  op: OpInstance,
  channel: 'parallel' | 'normalized',
  spatial: 'parallel' | 'normalized' | 'whole',
): FactorRule {
  const b = new FactorBuilder(op);
  const x = op.inputShape(0) ?? [];
  const ids = x.map((size, k) => b.add(size, k === 0 ? 'parallel' : k === 1 ? channel : spatial));
  const layout = ids.map((f) => [f]);
  const vector: Layout = x.length > 1 ? [[ids[1]]] : [[]];
  const inputs: Layout[] = [layout];
  for (let i = 1; i < op.inputCount; i++) inputs.push(vector);
  const outputs: Layout[] = [layout];
  for (let i = 1; i < op.outputCount; i++) outputs.push(vector);
  return b.rule(inputs, outputs);
}

const instanceNormalization: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 3);
    for (const i of [1, 2]) {
      const s = ranked(ctx, i, 1, 1);
      if (x !== null && s !== null) unify(ctx, x[1], s[0], i === 1 ? 'scale' : 'bias');
    }
    ctx.setTensor(0, ctx.dtype(0), x);
  },
  work: (op) => ({ flop: LAYER_NORM_FLOP * outputElements(op), kernel: 'norm' }),
  factors: (op) => channelFactors(op, 'parallel', 'normalized'),
  backward: (op) =>
    normBackward(op, LAYER_NORM_FLOP, [1, 2], countOf((op.inputShape(0) ?? []).slice(0, 2)), 2),
};

/** Scale and bias are per group (opset 18) or per channel (opset 21). */
const groupNormalization: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 2);
    const groups = positive(ctx, 'num_groups');
    if (x !== null) {
      const c = x[1];
      if (typeof c === 'number' && c % groups !== 0)
        ctx.fail(`channels: ${dimText(c)} is not divisible by num_groups ${String(groups)}`);
    }
    ctx.setTensor(0, ctx.dtype(0), x);
  },
  work: (op) => ({ flop: LAYER_NORM_FLOP * outputElements(op), kernel: 'norm' }),
  factors: (op) => groupNormFactors(op, op.attrs.int('num_groups', 1), (s) => s, [1, 2]),
  backward: (op) =>
    normBackward(
      op,
      LAYER_NORM_FLOP,
      [1, 2],
      (op.inputShape(0)?.[0] ?? 1) * op.attrs.int('num_groups', 1),
      2,
    ),
};

/**
 * Groups parallel, channels of a group and spatial axes `normalized`.
 * @param order brings a layout [N, C, spatial...] to the stored order
 * @param vectors inputs over channels or groups
 */
export function groupNormFactors(
  op: OpInstance,
  groups: number,
  order: (layout: number[][]) => number[][],
  vectors: readonly number[],
  channelAxis = 1,
): FactorRule {
  const b = new FactorBuilder(op);
  const x = op.inputShape(0) ?? [1, 1];
  const n = b.parallel(x[0]);
  const g = b.parallel(groups);
  const c = b.add(x[channelAxis] / groups, 'normalized');
  const spatial = x.filter((_, k) => k !== 0 && k !== channelAxis).map((size) => [b.add(size, 'normalized')]);
  const layout = order([[n], [g, c], ...spatial]);
  const inputs: Layout[] = [layout];
  for (let i = 1; i < op.inputCount; i++) {
    const shape = op.inputShape(i);
    inputs[i] = vectors.includes(i)
      ? shape?.[0] === groups && groups !== x[channelAxis]
        ? [[g]]
        : [[g, c]]
      : layout;
  }
  const outputs: Layout[] = [];
  for (let i = 0; i < op.outputCount; i++) outputs.push(layout);
  return b.rule(inputs, outputs);
}

/** x / |x|_p along an axis. */
const lpNormalization: OpRule = {
  infer(ctx) {
    const x = ctx.shape(0);
    if (x !== null) normalizeAxis(ctx, ctx.attrs.int('axis', -1), x.length);
    ctx.setTensor(0, ctx.dtype(0), x);
  },
  work: (op) => ({ flop: 3 * outputElements(op), kernel: 'norm' }),
  factors(op) {
    const axis = wrapAxis(op.attrs.int('axis', -1), op.inputShape(0)?.length ?? 0);
    return alignedFactors(op, (k) => (k === axis ? 'normalized' : 'parallel'));
  },
  backward(op) {
    const x = op.inputShape(0) ?? [1];
    const axis = wrapAxis(op.attrs.int('axis', -1), x.length);
    return normBackward(op, 3, [], countOf(x) / Math.max(x[axis], 1), 1);
  },
};

/** Local response normalisation across `size` channels. */
const lrn: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.dtype(0), ranked(ctx, 0, 2));
  },
  work: (op) => ({ flop: (op.attrs.int('size', 1) + 4) * outputElements(op), kernel: 'norm' }),
  factors: (op) => alignedFactors(op, (k) => (k === 1 ? 'whole' : 'parallel')),
  backward(op) {
    if (!needsGrad(op, 0)) return null;
    const flop = 2 * (op.attrs.int('size', 1) + 4) * outputElements(op);
    return { grads: [{ input: 0, flop }], savesInputs: [0], savesOutputs: [0] };
  },
};

/** (x - mean) / std over `axes` (default all but channels). */
const meanVarianceNormalization: OpRule = {
  infer(ctx) {
    const x = ctx.shape(0);
    if (x !== null) for (const a of ctx.attrs.ints('axes') ?? []) normalizeAxis(ctx, a, x.length);
    ctx.setTensor(0, ctx.dtype(0), x);
  },
  work: (op) => ({ flop: 6 * outputElements(op), kernel: 'norm' }),
  factors(op) {
    const axes = reducedAxes(op);
    return alignedFactors(op, (k) => (axes.includes(k) ? 'normalized' : 'parallel'));
  },
  backward(op) {
    const axes = reducedAxes(op);
    const rows = countOf((op.inputShape(0) ?? []).filter((_, k) => !axes.includes(k)));
    return normBackward(op, 6, [], rows, 2);
  },
};

function reducedAxes(op: OpInstance): number[] {
  const rank = op.inputShape(0)?.length ?? 0;
  const across = op.attrs.int('across_channels', 0) !== 0;
  const axes = op.attrs.ints('axes') ?? (across ? [0, 1, 2, 3] : [0, 2, 3]);
  return axes.map((a) => wrapAxis(a, rank));
}

/** ORT registers it in the default domain. */
export const simplifiedLayerNormalization = rowNorm(RMS_NORM_FLOP, 1);

export const family: OpFamily = {
  domain: '',
  rules: {
    BatchNormalization: batchNormalization,
    LayerNormalization: rowNorm(LAYER_NORM_FLOP, 2),
    RMSNormalization: rowNorm(RMS_NORM_FLOP, 1),
    SimplifiedLayerNormalization: simplifiedLayerNormalization,
    GroupNormalization: groupNormalization,
    InstanceNormalization: instanceNormalization,
    LpNormalization: lpNormalization,
    LRN: lrn,
    MeanVarianceNormalization: meanVarianceNormalization,
  },
};
