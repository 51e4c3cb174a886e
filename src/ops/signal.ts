/** Signal processing: DFT (17, 20), STFT, windows, MelWeightMatrix. An FFT of n points is counted as 5*n*log2(n) FLOP. */
import { DType } from '../model/dtype.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { needsGrad, outputElements } from './defaults.js';
import { add, floorDiv, sub } from './dim.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { ranked } from './expect.js';
import { countOf, onlyElement, onlyNumber } from './value.js';
import type { Dim, InferContext, OpFamily, OpInstance, OpRule } from './types.js';

/** Cooley-Tukey, radix 2. */
export function fftFlop(points: number, transforms: number): number {
  return 5 * points * Math.log2(Math.max(points, 2)) * transforms;
}

/** The axis: an attribute until opset 19 (default 1), an input from 20 on (default -2). */
function dftAxis(
  ctx: { readonly version: number; readonly attrs: InferContext['attrs'] },
  given: number | null,
): number {
  return ctx.version < 20 ? ctx.attrs.int('axis', 1) : (given ?? -2);
}

/** input [..., n, ..., 1 or 2], dft_length, axis. */
const dft: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 2);
    if (x === null) {
      ctx.setTensor(0, ctx.dtype(0), null);
      return;
    }
    const shape: Dim[] = x.slice();
    const unknownAxis = ctx.version >= 20 && ctx.hasInput(2) && onlyNumber(ctx.value(2)) === null;
    const onesided = ctx.attrs.int('onesided', 0) !== 0;
    const inverse = ctx.attrs.int('inverse', 0) !== 0;
    if (unknownAxis) for (let k = 0; k < shape.length - 1; k++) shape[k] = ctx.freshDim();
    else {
      const axis = normalizeAxis(ctx, dftAxis(ctx, onlyNumber(ctx.value(2))), x.length);
      if (axis === x.length - 1)
        ctx.fail('axis: expected a signal axis, found the axis of real and imaginary parts');
      const length = ctx.hasInput(1) ? (onlyElement(ctx.value(1)) ?? ctx.freshDim()) : x[axis];
      shape[axis] = onesided && !inverse ? add(floorDiv(length, 2), 1) : length;
    }
    // A one-sided inverse gives real signals.
    shape[shape.length - 1] = onesided && inverse ? 1 : 2;
    ctx.setTensor(0, ctx.dtype(0), shape);
  },
  work: (op) => ({ flop: dftFlop(op), kernel: 'other' }),
  factors(op) {
    const x = op.inputShape(0) ?? [1, 1];
    const y = op.outputShape(0) ?? [1, 1];
    const axis = wrapAxis(dftAxis(op, onlyNumber(op.inputValue(2))), x.length);
    const b = new FactorBuilder(op);
    const shared = x.map((size, k) => (k === axis || k === x.length - 1 ? -1 : b.parallel(size)));
    const layout = (shape: readonly number[]): Layout =>
      shape.map((size, k) => [shared[k] >= 0 ? shared[k] : b.whole(size)]);
    return b.rule([layout(x)], [layout(y)], true);
  },
  backward: (op) =>
    needsGrad(op, 0) ? { grads: [{ input: 0, flop: dftFlop(op) }], savesInputs: [], savesOutputs: [] } : null,
};

function dftFlop(op: OpInstance): number {
  const x = op.inputShape(0) ?? [1, 1];
  const axis = wrapAxis(dftAxis(op, onlyNumber(op.inputValue(2))), x.length);
  const n = Math.max(x[axis] ?? 1, op.outputShape(0)?.[axis] ?? 1);
  return fftFlop(n, countOf(x) / Math.max((x[axis] ?? 1) * x[x.length - 1], 1));
}

/** signal [B, n] or [B, n, 1 or 2], frame_step, window, frame_length -> [B, frames, bins, 2]. */
const stft: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 2, 3);
    const step = onlyNumber(ctx.value(1));
    const length = onlyElement(ctx.value(3)) ?? ctx.shape(2)?.[0] ?? null;
    const onesided = ctx.attrs.int('onesided', 1) !== 0;
    let frames: Dim = ctx.freshDim();
    if (step !== null && step <= 0) ctx.fail(`frame_step: expected a positive number, found ${String(step)}`);
    if (x !== null && step !== null && length !== null) frames = add(floorDiv(sub(x[1], length), step), 1);
    const bins = length === null ? ctx.freshDim() : onesided ? add(floorDiv(length, 2), 1) : length;
    ctx.setTensor(0, ctx.dtype(0), [x?.[0] ?? ctx.freshDim(), frames, bins, 2]);
  },
  work(op) {
    const y = op.outputShape(0) ?? [1, 1, 1, 2];
    const onesided = op.attrs.int('onesided', 1) !== 0;
    return { flop: fftFlop(onesided ? 2 * (y[2] - 1) : y[2], y[0] * y[1]), kernel: 'other' };
  },
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [1, 1];
    const y = op.outputShape(0) ?? [1, 1, 1, 2];
    const batch = b.parallel(x[0]);
    // Frames overlap, so the signal stays whole.
    return b.rule(
      [[[batch], ...b.each(x.slice(1), 'whole').map((f) => [f])]],
      [[[batch], ...b.each(y.slice(1), 'whole').map((f) => [f])]],
    );
  },
};

/** Length as a scalar input -> a vector. */
const window: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, ctx.attrs.int('output_datatype', DType.FLOAT), [
      onlyElement(ctx.value(0)) ?? ctx.freshDim(),
    ]);
  },
  work: (op) => ({ flop: 5 * outputElements(op), kernel: 'elementwise' }),
  factors(op) {
    const b = new FactorBuilder(op);
    return b.rule([], [(op.outputShape(0) ?? []).map((size) => [b.parallel(size)])]);
  },
  backward: () => null,
};

/** num_mel_bins, dft_length, ... -> [floor(dft_length/2) + 1, num_mel_bins]. */
const melWeightMatrix: OpRule = {
  infer(ctx) {
    const bins = onlyElement(ctx.value(0)) ?? ctx.freshDim();
    const length = onlyElement(ctx.value(1));
    const rows = length === null ? ctx.freshDim() : add(floorDiv(length, 2), 1);
    ctx.setTensor(0, ctx.attrs.int('output_datatype', DType.FLOAT), [rows, bins]);
  },
  work: (op) => ({ flop: 4 * outputElements(op), kernel: 'elementwise' }),
  backward: () => null,
};

export const family: OpFamily = {
  domain: '',
  rules: {
    DFT: dft,
    STFT: stft,
    HannWindow: window,
    HammingWindow: window,
    BlackmanWindow: window,
    MelWeightMatrix: melWeightMatrix,
  },
};
