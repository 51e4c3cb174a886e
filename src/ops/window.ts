/**
 * Sliding windows: what convolutions and pools share. Output size along one axis (ONNX Conv and MaxPool):
 * `floor((in + pads - dilation*(kernel-1) - 1) / stride) + 1`, `ceil` with ceil_mode, `ceil(in / stride)` with SAME.
 */
import { add, ceilDiv, floorDiv, mul, sub } from './dim.js';
import { dimText } from './expect.js';
import type { Dim, InferContext, OpInstance, Shape } from './types.js';

export interface WindowAttributes {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBegin: readonly number[];
  readonly padsEnd: readonly number[];
  readonly autoPad: string;
  readonly ceilMode: boolean;
}

/** @param rank number of spatial axes. @throws PartitionError on lists of another length or non-positive steps */
export function windowAttributes(ctx: InferContext, rank: number): WindowAttributes {
  const list = (name: string, length: number, fallback: number): readonly number[] => {
    const given = ctx.attrs.ints(name);
    if (given === null || given.length === 0) return new Array<number>(length).fill(fallback);
    if (given.length !== length)
      ctx.fail(`attribute ${name}: expected ${String(length)} values, found ${String(given.length)}`);
    return given;
  };
  const strides = list('strides', rank, 1);
  const dilations = list('dilations', rank, 1);
  for (const s of strides)
    if (s <= 0) ctx.fail(`attribute strides: expected positive values, found ${String(s)}`);
  for (const d of dilations)
    if (d <= 0) ctx.fail(`attribute dilations: expected positive values, found ${String(d)}`);
  const autoPad = ctx.attrs.string('auto_pad', 'NOTSET');
  if (!['', 'NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'].includes(autoPad))
    ctx.fail(`attribute auto_pad: expected NOTSET, VALID, SAME_UPPER or SAME_LOWER, found ${autoPad}`);
  const pads = autoPad === 'VALID' ? new Array<number>(2 * rank).fill(0) : list('pads', 2 * rank, 0);
  return {
    strides,
    dilations,
    padsBegin: pads.slice(0, rank),
    padsEnd: pads.slice(rank),
    autoPad,
    ceilMode: ctx.attrs.int('ceil_mode', 0) !== 0,
  };
}

/** Output size along spatial axis k. @throws PartitionError when the window is larger than the padded input */
export function windowOutput(
  ctx: InferContext,
  input: Dim,
  kernel: Dim,
  w: WindowAttributes,
  k: number,
): Dim {
  const stride = w.strides[k];
  if (w.autoPad.startsWith('SAME')) return ceilDiv(input, stride);
  const reach = add(mul(sub(kernel, 1), w.dilations[k]), 1);
  const room = sub(add(input, w.padsBegin[k] + w.padsEnd[k]), reach);
  if (typeof room === 'number' && room < 0)
    ctx.fail(
      `window of ${dimText(reach)} is larger than the padded input of ${dimText(add(room, reach))} on spatial axis ${String(k)}`,
    );
  if (!w.ceilMode) return add(floorDiv(room, stride), 1);
  const steps = ceilDiv(room, stride);
  // A last window that would start in the padding behind the input is dropped (ONNX opset 10 on, PyTorch).
  if (typeof steps === 'number' && typeof input === 'number' && steps * stride >= input + w.padsBegin[k])
    return steps;
  return add(steps, 1);
}

/** Spatial output sizes of `input` [N, C, spatial...] under a window. */
export function windowOutputs(ctx: InferContext, spatial: Shape, kernel: Shape, w: WindowAttributes): Dim[] {
  return spatial.map((d, k) => windowOutput(ctx, d, kernel[k], w, k));
}

/** Elements of the kernel window of a concrete operator that states `kernel_shape`. */
export function kernelElements(op: OpInstance): number {
  let n = 1;
  for (const k of op.attrs.ints('kernel_shape') ?? []) n *= k;
  return n;
}
