/**
 * Convolutions of the default domain. FLOP = 2 * output elements * (input channels / group) * kernel elements, a
 * multiply-add counted as two; padding is counted as if it were data. The gradients of input and weight each repeat
 * that work.
 */
import { DType } from '../model/dtype.js';
import { needsGrad, outputElements } from './defaults.js';
import { add, mul, sub } from './dim.js';
import { divided, firstDtype, ranked, unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { oneActivation, present } from './product_rule.js';
import { countOf } from './value.js';
import { windowAttributes, windowOutputs } from './window.js';
import type {
  BackwardRule,
  Dim,
  FactorRule,
  InferContext,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
  Work,
} from './types.js';

/** Where a convolution keeps its operands; channels last for the NHWC forms. */
export interface ConvForm {
  readonly input: number;
  readonly weight: number;
  readonly bias: number;
  /** Activations are [N, spatial..., C] (ORT's Nhwc forms); weights are [M, C/group, kernel...] either way. */
  readonly channelsLast: boolean;
}

export const CONV: ConvForm = { input: 0, weight: 1, bias: 2, channelsLast: false };

/** [N, C, spatial...] of a shape that may have its channels last. */
export function channelsFirst<T>(shape: readonly T[], last: boolean): T[] {
  return last && shape.length > 2
    ? [shape[0], shape[shape.length - 1], ...shape.slice(1, -1)]
    : shape.slice();
}

/** Inverse of `channelsFirst`. */
export function channelsBack<T>(shape: readonly T[], last: boolean): T[] {
  return last && shape.length > 2 ? [shape[0], ...shape.slice(2), shape[1]] : shape.slice();
}

/** Kernel sizes: the attribute, which must agree with the weight [M, C/group, kernel...]. */
function kernelShape(ctx: InferContext, weight: Shape | null, rank: number): Shape | null {
  const given = ctx.attrs.ints('kernel_shape');
  if (given === null || given.length === 0) return weight === null ? null : weight.slice(2);
  if (given.length !== rank)
    ctx.fail(`attribute kernel_shape: expected ${String(rank)} values, found ${String(given.length)}`);
  return weight === null
    ? given
    : given.map((k, i) => unify(ctx, k, weight[i + 2], `kernel axis ${String(i)}`));
}

/**
 * NHWC kernels are documented with [M, C/group, kernel...] weights, and written with [M, kernel..., C/group] by some
 * tools: told apart by which axis fits the input's channels.
 */
function weightLast<T extends Dim>(w: readonly T[], channels: T, group: number, form: ConvForm): boolean {
  if (!form.channelsLast || w.length < 3) return false;
  return mul(w[1], group) !== channels && mul(w[w.length - 1], group) === channels;
}

/** [M, C/group, kernel...] of a concrete operator's weight. */
function weightOf(op: OpInstance, form: ConvForm): { shape: readonly number[]; last: boolean } {
  const w = op.inputShape(form.weight) ?? [1, 1];
  const x = channelsFirst(op.inputShape(form.input) ?? [1, 1], form.channelsLast);
  const last = weightLast(w, x[1], op.attrs.int('group', 1), form);
  return { shape: channelsFirst(w, last), last };
}

/** Shape of a convolution's output. @throws PartitionError when channels, groups or ranks contradict */
export function convShape(ctx: InferContext, form = CONV): Shape | null {
  const stored = ranked(ctx, form.input, 2);
  const weight = ranked(ctx, form.weight, 2);
  if (stored === null) return null;
  const x = channelsFirst(stored, form.channelsLast);
  const rank = x.length - 2;
  const group = ctx.attrs.int('group', 1);
  const w = weight === null ? null : channelsFirst(weight, weightLast(weight, x[1], group, form));
  if (w !== null && w.length !== x.length)
    ctx.fail(`weight: expected rank ${String(x.length)} as the input has, found rank ${String(w.length)}`);
  if (group <= 0) ctx.fail(`attribute group: expected a positive integer, found ${String(group)}`);
  if (w !== null) {
    unify(ctx, mul(w[1], group), x[1], 'input channels');
    divided(ctx, w[0], group, 'output channels over groups');
  }
  const kernel = kernelShape(ctx, w, rank);
  if (kernel === null)
    return channelsBack([x[0], ctx.freshDim(), ...x.slice(2).map(() => ctx.freshDim())], form.channelsLast);
  const out = windowOutputs(ctx, x.slice(2), kernel, windowAttributes(ctx, rank));
  return channelsBack([x[0], w === null ? ctx.freshDim() : w[0], ...out], form.channelsLast);
}

export function convWork(op: OpInstance, form = CONV): Work {
  const w = weightOf(op, form).shape;
  return { flop: 2 * outputElements(op) * countOf(w.slice(1)), kernel: 'conv' };
}

/** N, groups and output channels parallel, input channels contracted, spatial axes whole (halos are not modelled). */
export function convFactors(op: OpInstance, form = CONV, vectors: readonly number[] = []): FactorRule {
  const b = new FactorBuilder(op);
  const x = channelsFirst(op.inputShape(form.input) ?? [1, 1], form.channelsLast);
  const { shape: w, last } = weightOf(op, form);
  const group = op.attrs.int('group', 1);
  const n = b.parallel(x[0]);
  const g = group > 1 ? [b.parallel(group)] : [];
  const out = b.parallel(w[0] / group);
  const inner = b.add(w[1], 'contraction');
  const y = channelsFirst(op.outputShape(0) ?? [], form.channelsLast);
  const layoutX: Layout = [[n], [...g, inner], ...b.each(x.slice(2), 'whole').map((f) => [f])];
  const layoutW: Layout = [[...g, out], [inner], ...b.each(w.slice(2), 'whole').map((f) => [f])];
  const layoutY: Layout = [[n], [...g, out], ...b.each(y.slice(2), 'whole').map((f) => [f])];
  const inputs: Layout[] = [];
  inputs[form.input] = channelsBack(layoutX, form.channelsLast);
  inputs[form.weight] = channelsBack(layoutW, last);
  const hasBias = form.bias >= 0 && op.inputShape(form.bias) !== null;
  if (form.bias >= 0) inputs[form.bias] = [[...g, out]];
  for (const i of vectors) inputs[i] = [[...g, out]];
  return b.rule(
    inputs,
    [channelsBack(layoutY, form.channelsLast)],
    !hasBias && oneActivation(op, form.input, form.weight),
  );
}

export function convBackward(op: OpInstance, flop: number, form = CONV): BackwardRule | null {
  const grads: { input: number; flop: number }[] = [];
  const savesInputs: number[] = [];
  if (needsGrad(op, form.input)) {
    grads.push({ input: form.input, flop });
    savesInputs.push(form.weight);
  }
  if (needsGrad(op, form.weight)) {
    grads.push({ input: form.weight, flop });
    savesInputs.push(form.input);
  }
  if (form.bias >= 0 && needsGrad(op, form.bias)) grads.push({ input: form.bias, flop: outputElements(op) });
  return grads.length === 0 ? null : { grads, savesInputs: present(op, savesInputs), savesOutputs: [] };
}

const conv: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 0, 1), convShape(ctx));
  },
  work: (op) => convWork(op),
  factors: (op) => convFactors(op),
  backward: (op) => convBackward(op, convWork(op).flop),
};

const convInteger: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, DType.INT32, convShape(ctx, { ...CONV, bias: -1 }));
  },
  work: (op) => convWork(op),
  factors: (op) => convFactors(op, { ...CONV, bias: -1 }, [3]),
  backward: () => null,
};

/** x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B. */
export function qLinearConv(channelsLast: (attrs: OpInstance['attrs']) => boolean): OpRule {
  const form = (attrs: OpInstance['attrs']): ConvForm => ({
    input: 0,
    weight: 3,
    bias: 8,
    channelsLast: channelsLast(attrs),
  });
  return {
    infer(ctx) {
      ctx.setTensor(0, firstDtype(ctx, 7, 0), convShape(ctx, form(ctx.attrs)));
    },
    work: (op) => convWork(op, form(op.attrs)),
    factors: (op) => convFactors(op, form(op.attrs), [4, 5]),
    backward: () => null,
  };
}

/** Weight [C, M/group, kernel...]; output = stride*(in-1) + output_padding + dilation*(kernel-1) + 1 - pads. */
function convTransposeShape(ctx: InferContext): Shape | null {
  const x = ranked(ctx, 0, 2);
  const w = ranked(ctx, 1, 2);
  if (x === null || w === null) return null;
  const rank = x.length - 2;
  if (w.length !== x.length)
    ctx.fail(`weight: expected rank ${String(x.length)} as the input has, found rank ${String(w.length)}`);
  unify(ctx, w[0], x[1], 'input channels');
  const kernel = kernelShape(ctx, w, rank)!;
  const a = windowAttributes(ctx, rank);
  const explicit = ctx.attrs.ints('output_shape');
  const outputPadding = ctx.attrs.ints('output_padding') ?? new Array<number>(rank).fill(0);
  const shape: Dim[] = [x[0], mul(w[1], ctx.attrs.int('group', 1))];
  for (let k = 0; k < rank; k++) {
    if (explicit !== null && explicit.length > 0) {
      // Some exporters state batch and channels too.
      shape.push(explicit[explicit.length - rank + k]);
      continue;
    }
    if (a.autoPad.startsWith('SAME')) {
      shape.push(mul(x[k + 2], a.strides[k]));
      continue;
    }
    const reach = add(mul(sub(kernel[k], 1), a.dilations[k]), 1);
    const full = add(mul(sub(x[k + 2], 1), a.strides[k]), add(reach, outputPadding[k] ?? 0));
    shape.push(sub(full, a.padsBegin[k] + a.padsEnd[k]));
  }
  return shape;
}

function convTransposeFlop(op: OpInstance): number {
  const x = op.inputShape(0) ?? [1, 1];
  const w = op.inputShape(1) ?? [1, 1];
  // Every input element meets every weight of its channel once.
  return 2 * countOf(x) * countOf(w.slice(1));
}

const convTranspose: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 0, 1), convTransposeShape(ctx));
  },
  work: (op) => ({ flop: convTransposeFlop(op), kernel: 'conv' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [1, 1];
    const w = op.inputShape(1) ?? [1, 1];
    const y = op.outputShape(0) ?? [1, 1];
    const group = op.attrs.int('group', 1);
    const n = b.parallel(x[0]);
    const g = group > 1 ? [b.parallel(group)] : [];
    const inner = b.add(x[1] / group, 'contraction');
    const out = b.parallel(w[1]);
    const spatial = (shape: readonly number[]): number[][] => b.each(shape.slice(2), 'whole').map((f) => [f]);
    return b.rule(
      [[[n], [...g, inner], ...spatial(x)], [[...g, inner], [out], ...spatial(w)], [[...g, out]]],
      [[[n], [...g, out], ...spatial(y)]],
      op.inputShape(2) === null && oneActivation(op, 0, 1),
    );
  },
  backward: (op) => convBackward(op, convTransposeFlop(op)),
};

/**
 * X, W, offset [N, offset_group*kernel*2, out...], B, mask. Each sampled element costs a bilinear interpolation
 * (about 8 FLOP in two dimensions) on top of the convolution.
 */
function deformFlop(op: OpInstance): number {
  const w = op.inputShape(1) ?? [1, 1];
  const x = op.inputShape(0) ?? [1, 1];
  const y = op.outputShape(0) ?? [1, 1];
  const samples = y[0] * x[1] * countOf(y.slice(2)) * countOf(w.slice(2));
  return convWork(op).flop + 8 * samples;
}

const deformConv: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 0, 1), convShape(ctx, { ...CONV, bias: 3 }));
  },
  work: (op) => ({ flop: deformFlop(op), kernel: 'conv' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [1, 1];
    const w = op.inputShape(1) ?? [1, 1];
    const y = op.outputShape(0) ?? [1, 1];
    const n = b.parallel(x[0]);
    // Groups couple channels with offsets, so input channels stay whole.
    const out = op.attrs.int('group', 1) === 1 ? b.parallel(w[0]) : b.whole(w[0]);
    const rest = (shape: readonly number[]): number[][] => b.each(shape.slice(1), 'whole').map((f) => [f]);
    const own = (i: number): Layout => [[n], ...rest(op.inputShape(i) ?? [1])];
    return b.rule(
      [[[n], ...rest(x)], [[out], ...rest(w)], own(2), [[out]], own(4)],
      [[[n], [out], ...b.each(y.slice(2), 'whole').map((f) => [f])]],
    );
  },
  backward(op) {
    const flop = deformFlop(op);
    const grads = [0, 1, 2, 3, 4].filter((i) => needsGrad(op, i)).map((input) => ({ input, flop }));
    if (grads.length === 0) return null;
    return {
      grads,
      savesInputs: [0, 1, 2, 4].filter((i) => i < op.inputCount && op.inputShape(i) !== null),
      savesOutputs: [],
    };
  },
};

/** [N, C*block, L] columns summed into [N, C, image...]. */
const col2Im: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 3, 3);
    const image = ctx.value(1)?.elements ?? null;
    const block = ctx.value(2)?.elements ?? null;
    const imageRank = image?.length ?? dimNumber(ctx.shape(1)?.[0]) ?? dimNumber(ctx.shape(2)?.[0]);
    if (imageRank === null) {
      ctx.setTensor(0, ctx.dtype(0), null);
      return;
    }
    let channels: Dim = ctx.freshDim();
    if (x !== null && block !== null) {
      let size = 1;
      for (const d of block) size *= typeof d === 'number' ? d : Number.NaN;
      if (!Number.isNaN(size)) channels = divided(ctx, x[1], size, 'channels over block') ?? channels;
    }
    const spatial = image ?? Array.from({ length: imageRank }, () => ctx.freshDim());
    ctx.setTensor(0, ctx.dtype(0), [x === null ? ctx.freshDim() : x[0], channels, ...spatial]);
  },
  work: (op) => ({ flop: countOf(op.inputShape(0) ?? []), kernel: 'move' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [1, 1, 1];
    const y = op.outputShape(0) ?? [1, 1];
    const n = b.parallel(x[0]);
    const c = b.parallel(y[1]);
    const block = b.whole(x[1] / y[1]);
    return b.rule([[[n], [c, block]]], [[[n], [c], ...b.each(y.slice(2), 'whole').map((f) => [f])]], true);
  },
  backward: (op) =>
    needsGrad(op, 0) ? { grads: [{ input: 0, flop: 0 }], savesInputs: [], savesOutputs: [] } : null,
};

function dimNumber(d: Dim | undefined): number | null {
  return typeof d === 'number' ? d : null;
}

/**
 * Causal depthwise convolution with a carried state (ONNX 27, com.microsoft): input [B, C, L], weight [C, 1, k], bias,
 * past_state [B, C, (k-1)*dilation]; outputs the convolution and the new state.
 */
export const causalConvWithState: OpRule = {
  infer(ctx) {
    const stored = ranked(ctx, 0, 3);
    const w = ranked(ctx, 1, 2);
    const last = ctx.attrs.int('channels_last', 0) !== 0;
    ctx.setTensor(0, ctx.dtype(0), stored);
    if (!ctx.hasOutput(1)) return;
    const past = ctx.shape(3);
    if (past !== null || stored === null || w === null) {
      ctx.setTensor(1, firstDtype(ctx, 3, 0), past);
      return;
    }
    const x = channelsFirst(stored, last);
    unify(ctx, w[0], x[1], 'channels');
    const window = ctx.attrs.int('state_window', 0);
    const state = [x[0], x[1], ...x.slice(2, -1), mul(sub(w[w.length - 1], 1), ctx.attrs.int('dilation', 1))];
    ctx.setTensor(1, ctx.dtype(0), window > 0 ? [window, ...state] : state);
  },
  work(op) {
    const w = op.inputShape(1) ?? [1, 1];
    return { flop: 2 * outputElements(op) * countOf(w.slice(1)), kernel: 'elementwise' };
  },
  factors(op) {
    const b = new FactorBuilder(op);
    const last = op.attrs.int('channels_last', 0) !== 0;
    const x = channelsFirst(op.inputShape(0) ?? [1, 1, 1], last);
    const n = b.parallel(x[0]);
    const c = b.parallel(x[1]);
    const layout = channelsBack([[n], [c], ...b.each(x.slice(2), 'whole').map((f) => [f])], last);
    const withState = (shape: readonly number[] | null): Layout => {
      const tail = b.each((shape ?? []).slice(2), 'whole').map((f) => [f]);
      return [[n], [c], ...tail];
    };
    return b.rule(
      [
        layout,
        [[c], ...b.each((op.inputShape(1) ?? [1]).slice(1), 'whole').map((f) => [f])],
        [[c]],
        withState(op.inputShape(3)),
      ],
      [layout, withState(op.outputShape(1))],
    );
  },
  backward: (op) => convBackward(op, 2 * outputElements(op) * countOf((op.inputShape(1) ?? [1, 1]).slice(1))),
};

export const family: OpFamily = {
  domain: '',
  rules: {
    Conv: conv,
    ConvTranspose: convTranspose,
    ConvInteger: convInteger,
    QLinearConv: qLinearConv(() => false),
    DeformConv: deformConv,
    Col2Im: col2Im,
    CausalConvWithState: causalConvWithState,
  },
};
