/**
 * Pools of the default domain. FLOP: one per element that enters a window; a max pool keeps its winners' positions for
 * the backward pass (4 bytes an output element), an average pool nothing.
 */
import { DType } from '../model/dtype.js';
import { inputElements, needsGrad, outputElements } from './defaults.js';
import { add, mul, sub } from './dim.js';
import { ranked } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { channelsBack, channelsFirst } from './conv.js';
import { kernelElements, windowAttributes, windowOutputs } from './window.js';
import { present } from './product_rule.js';
import type {
  BackwardRule,
  Dim,
  FactorRule,
  InferContext,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
} from './types.js';

/** Bytes to remember which element of a window won. */
const INDEX_BYTES = 4;

/** @throws PartitionError when kernel_shape is missing or does not fit the input's rank */
export function poolShape(ctx: InferContext, channelsLast = false): Shape | null {
  const stored = ranked(ctx, 0, 2);
  const kernel = ctx.attrs.ints('kernel_shape');
  if (kernel === null || kernel.length === 0) ctx.fail('attribute kernel_shape is required');
  if (stored === null) return null;
  const x = channelsFirst(stored, channelsLast);
  if (kernel.length !== x.length - 2)
    ctx.fail(
      `attribute kernel_shape: expected ${String(x.length - 2)} values, found ${String(kernel.length)}`,
    );
  const out = windowOutputs(ctx, x.slice(2), kernel, windowAttributes(ctx, kernel.length));
  return channelsBack([x[0], x[1], ...out], channelsLast);
}

/** Batch and channels parallel, spatial axes whole. */
export function poolFactors(op: OpInstance, linear: boolean, channelsLast = false): FactorRule {
  const b = new FactorBuilder(op);
  const x = channelsFirst(op.inputShape(0) ?? [1, 1], channelsLast);
  const n = b.parallel(x[0]);
  const c = b.parallel(x[1] ?? 1);
  const layout = (shape: readonly number[] | null): Layout =>
    channelsBack(
      [[n], [c], ...b.each(channelsFirst(shape ?? [], channelsLast).slice(2), 'whole').map((f) => [f])],
      channelsLast,
    );
  const inputs: Layout[] = [];
  for (let i = 0; i < op.inputCount; i++)
    if (i === 0 || sameRank(op, i)) inputs[i] = layout(op.inputShape(i));
  const outputs: Layout[] = [];
  for (let i = 0; i < op.outputCount; i++) outputs.push(layout(op.outputShape(i)));
  return b.rule(inputs, outputs, linear);
}

function sameRank(op: OpInstance, i: number): boolean {
  return op.inputShape(i)?.length === op.inputShape(0)?.length;
}

function onlyInputGrad(op: OpInstance, flop: number, rest: Omit<BackwardRule, 'grads'>): BackwardRule | null {
  return needsGrad(op, 0) ? { grads: [{ input: 0, flop }], ...rest } : null;
}

const NOTHING = { savesInputs: [], savesOutputs: [] };

const averagePool: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.dtype(0), poolShape(ctx));
  },
  work: (op) => ({ flop: outputElements(op) * kernelElements(op), kernel: 'reduce' }),
  factors: (op) => poolFactors(op, true),
  backward: (op) => onlyInputGrad(op, outputElements(op) * kernelElements(op), NOTHING),
};

const maxPool: OpRule = {
  infer(ctx) {
    const shape = poolShape(ctx);
    ctx.setTensor(0, ctx.dtype(0), shape);
    if (ctx.hasOutput(1)) ctx.setTensor(1, DType.INT64, shape);
  },
  work: (op) => ({ flop: outputElements(op) * kernelElements(op), kernel: 'reduce' }),
  factors: (op) => poolFactors(op, false),
  backward(op) {
    const indices = op.outputCount > 1 && op.outputShape(1) !== null;
    return onlyInputGrad(op, outputElements(op), {
      savesInputs: [],
      savesOutputs: indices ? [1] : [],
      ...(indices ? {} : { extraSavedBytes: INDEX_BYTES * outputElements(op) }),
    });
  },
};

/** (sum |x|^p)^(1/p): the gradient reads input and output. */
const lpPool: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.dtype(0), poolShape(ctx));
  },
  work: (op) => ({ flop: 2 * outputElements(op) * kernelElements(op), kernel: 'reduce' }),
  factors: (op) => poolFactors(op, false),
  backward: (op) =>
    onlyInputGrad(op, 3 * outputElements(op) * kernelElements(op), { savesInputs: [0], savesOutputs: [0] }),
};

/** Global pools reduce every spatial axis to 1. A sum over a split spatial axis is a partial sum: `contraction`. */
function globalPool(kind: 'average' | 'max' | 'lp'): OpRule {
  return {
    infer(ctx) {
      const x = ranked(ctx, 0, 2);
      ctx.setTensor(0, ctx.dtype(0), x === null ? null : globalShape(x, false));
    },
    work: (op) => ({ flop: (kind === 'lp' ? 2 : 1) * inputElements(op), kernel: 'reduce' }),
    factors: (op) => globalPoolFactors(op, kind === 'average' ? 'contraction' : 'whole'),
    backward(op) {
      if (kind === 'average') return onlyInputGrad(op, inputElements(op), NOTHING);
      if (kind === 'max')
        return onlyInputGrad(op, outputElements(op), {
          ...NOTHING,
          extraSavedBytes: INDEX_BYTES * outputElements(op),
        });
      return onlyInputGrad(op, 3 * inputElements(op), { savesInputs: [0], savesOutputs: [0] });
    },
  };
}

export function globalShape(x: Shape, channelsLast: boolean): Shape {
  const first = channelsFirst(x, channelsLast);
  return channelsBack([first[0], first[1], ...first.slice(2).map(() => 1)], channelsLast);
}

export function globalPoolFactors(
  op: OpInstance,
  spatial: 'contraction' | 'whole',
  channelsLast = false,
): FactorRule {
  const b = new FactorBuilder(op);
  const x = channelsFirst(op.inputShape(0) ?? [1, 1], channelsLast);
  const n = b.parallel(x[0]);
  const c = b.parallel(x[1]);
  const axes = b.each(x.slice(2), spatial).map((f) => [f]);
  const ones = axes.map(() => []);
  return b.rule(
    [channelsBack([[n], [c], ...axes], channelsLast)],
    [channelsBack([[n], [c], ...ones], channelsLast)],
    spatial === 'contraction',
  );
}

/** X, I (indices), output_shape: the inverse of a max pool. */
const maxUnpool: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 3);
    const given = ctx.value(2)?.elements;
    if (given !== undefined) {
      ctx.setTensor(0, ctx.dtype(0), given);
      return;
    }
    const kernel = ctx.attrs.ints('kernel_shape');
    if (x === null || kernel?.length !== x.length - 2) {
      ctx.setTensor(0, ctx.dtype(0), null);
      return;
    }
    if (ctx.hasInput(2)) {
      ctx.setTensor(
        0,
        ctx.dtype(0),
        x.map(() => ctx.freshDim()),
      );
      return;
    }
    const w = windowAttributes(ctx, kernel.length);
    const spatial = kernel.map((k, i): Dim =>
      sub(add(mul(sub(x[i + 2], 1), w.strides[i]), k), w.padsBegin[i] + w.padsEnd[i]),
    );
    ctx.setTensor(0, ctx.dtype(0), [x[0], x[1], ...spatial]);
  },
  work: (op) => ({ flop: inputElements(op), kernel: 'gather' }),
  factors: (op) => poolFactors(op, true),
  backward: (op) => onlyInputGrad(op, inputElements(op), { savesInputs: present(op, [1]), savesOutputs: [] }),
};

/** X, rois [R, 5] -> [R, C, pooled...]. The batch of X is read by index. */
const maxRoiPool: OpRule = {
  infer(ctx: InferContext) {
    const pooled = ctx.attrs.ints('pooled_shape');
    if (pooled?.length !== 2) ctx.fail('attribute pooled_shape: expected 2 values');
    const x = ranked(ctx, 0, 4, 4);
    const rois = ranked(ctx, 1, 2, 2);
    ctx.setTensor(0, ctx.dtype(0), x === null || rois === null ? null : [rois[0], x[1], ...pooled]);
  },
  work: (op) => ({ flop: outputElements(op), kernel: 'gather' }),
  factors: roiFactors,
  backward: (op) =>
    onlyInputGrad(op, outputElements(op), { ...NOTHING, extraSavedBytes: INDEX_BYTES * outputElements(op) }),
};

/** X, rois [R, 4], batch_indices [R] -> [R, C, output_height, output_width]; bilinear: about 8 FLOP a sample. */
const roiAlign: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 4, 4);
    const rois = ranked(ctx, 1, 2, 2);
    const size = [ctx.attrs.int('output_height', 1), ctx.attrs.int('output_width', 1)];
    ctx.setTensor(0, ctx.dtype(0), [
      rois === null ? (ctx.shape(2)?.[0] ?? ctx.freshDim()) : rois[0],
      x === null ? ctx.freshDim() : x[1],
      ...size,
    ]);
  },
  work: (op) => ({ flop: roiAlignFlop(op), kernel: 'gather' }),
  factors: roiFactors,
  backward: (op) =>
    onlyInputGrad(op, roiAlignFlop(op), { savesInputs: present(op, [1, 2]), savesOutputs: [] }),
};

function roiAlignFlop(op: OpInstance): number {
  // sampling_ratio 0 means adaptive; two samples an axis is what detection models use.
  const ratio = Math.max(op.attrs.int('sampling_ratio', 0), 0) || 2;
  return 8 * ratio * ratio * outputElements(op);
}

function roiFactors(op: OpInstance): FactorRule {
  const b = new FactorBuilder(op);
  const x = op.inputShape(0) ?? [1, 1, 1, 1];
  const y = op.outputShape(0) ?? [1, 1, 1, 1];
  const batch = b.whole(x[0]);
  const c = b.parallel(x[1]);
  const roi = b.parallel(y[0]);
  const rest = (shape: readonly number[]): number[][] => b.each(shape.slice(2), 'whole').map((f) => [f]);
  return b.rule(
    [[[batch], [c], ...rest(x)], [[roi], [b.whole(op.inputShape(1)?.[1] ?? 1)]], [[roi]]],
    [[[roi], [c], ...rest(y)]],
  );
}

export const family: OpFamily = {
  domain: '',
  rules: {
    AveragePool: averagePool,
    MaxPool: maxPool,
    LpPool: lpPool,
    GlobalAveragePool: globalPool('average'),
    GlobalMaxPool: globalPool('max'),
    GlobalLpPool: globalPool('lp'),
    MaxUnpool: maxUnpool,
    MaxRoiPool: maxRoiPool,
    RoiAlign: roiAlign,
  },
};
