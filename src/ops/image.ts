/** Resampling of images and boxes: Resize, Upsample, GridSample, AffineGrid, NonMaxSuppression, ImageDecoder, Crop. */
import { DType } from '../model/dtype.js';
import { normalizeAxis } from './axis.js';
import { inputElements, needsGrad, outputElements } from './defaults.js';
import { floorDiv, mul } from './dim.js';
import { ranked, sameAsInput, unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { numbersOf } from './value.js';
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
  Work,
} from './types.js';

/** floor(d * scale); of a symbol only where the scale is a ratio of small integers. */
function scaled(ctx: InferContext, d: Dim, scale: number): Dim {
  if (scale === 1) return d;
  if (typeof d === 'number') return Math.floor(d * scale);
  for (let q = 1; q <= 64; q++) {
    const p = scale * q;
    if (Math.abs(p - Math.round(p)) < 1e-6 && Math.round(p) > 0) return floorDiv(mul(d, Math.round(p)), q);
  }
  return ctx.freshDim();
}

/** Inputs of Resize: opset 10 has (X, scales), from 11 on (X, roi, scales, sizes). */
function resizeInputs(version: number): { roi: number; scales: number; sizes: number } {
  return version < 11 ? { roi: -1, scales: 1, sizes: -1 } : { roi: 1, scales: 2, sizes: 3 };
}

function inferResize(ctx: InferContext): void {
  const x = ctx.shape(0);
  const at = resizeInputs(ctx.version);
  const dtype = ctx.dtype(0);
  if (x === null) {
    ctx.setTensor(0, dtype, null);
    return;
  }
  const axes = (ctx.attrs.ints('axes') ?? x.map((_, k) => k)).map((a) => normalizeAxis(ctx, a, x.length));
  const shape: Dim[] = x.slice();
  const sizes = at.sizes >= 0 && ctx.hasInput(at.sizes) ? (ctx.value(at.sizes)?.elements ?? null) : null;
  const scales = ctx.hasInput(at.scales) ? numbersOf(ctx.value(at.scales)) : null;
  if (sizes !== null && sizes.length > 0) {
    if (sizes.length !== axes.length)
      ctx.fail(`sizes: expected ${String(axes.length)} values, found ${String(sizes.length)}`);
    const ratio = keptRatio(
      ctx,
      axes.map((a) => x[a]),
      sizes,
    );
    axes.forEach((a, i) => {
      if (ratio === null) shape[a] = sizes[i];
      else shape[a] = typeof x[a] === 'number' && ratio > 0 ? Math.round(x[a] * ratio) : ctx.freshDim();
    });
  } else if (scales !== null && scales.length > 0) {
    if (scales.length !== axes.length)
      ctx.fail(`scales: expected ${String(axes.length)} values, found ${String(scales.length)}`);
    const crop = ctx.attrs.string('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize';
    const roi = crop && at.roi >= 0 ? numbersOf(ctx.value(at.roi)) : null;
    axes.forEach((a, i) => {
      if (!(scales[i] > 0)) ctx.fail(`scales: expected positive values, found ${String(scales[i])}`);
      const part = roi?.length === 2 * axes.length ? roi[axes.length + i] - roi[i] : 1;
      shape[a] =
        crop && roi === null && ctx.hasInput(at.roi) ? ctx.freshDim() : scaled(ctx, x[a], scales[i] * part);
    });
  } else for (const a of axes) shape[a] = ctx.freshDim();
  ctx.setTensor(0, dtype, shape);
}

/** keep_aspect_ratio_policy (opset 18): one ratio for all axes; `null` to stretch, 0 when it cannot be told. */
function keptRatio(ctx: InferContext, from: Shape, to: Shape): number | null {
  const policy = ctx.attrs.string('keep_aspect_ratio_policy', 'stretch');
  if (policy === 'stretch') return null;
  const ratios: number[] = [];
  for (let k = 0; k < from.length; k++) {
    const [a, b] = [from[k], to[k]];
    if (typeof a !== 'number' || typeof b !== 'number' || a === 0) return 0;
    ratios.push(b / a);
  }
  return policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
}

/** FLOP per output element of the interpolation. */
function interpolationFlop(mode: string): number {
  return mode === 'cubic' || mode === 'bicubic' ? 40 : mode === 'linear' || mode === 'bilinear' ? 8 : 1;
}

function resizeWork(op: OpInstance): Work {
  return { flop: interpolationFlop(op.attrs.string('mode', 'nearest')) * outputElements(op), kernel: 'move' };
}

/** Axes whose size stays are parallel; resampled ones whole. */
function resampleFactors(op: OpInstance): FactorRule {
  const b = new FactorBuilder(op);
  const x = op.inputShape(0) ?? [];
  const y = op.outputShape(0) ?? [];
  const shared = x.map((size, k) => (size === y[k] ? b.parallel(size) : -1));
  const layout = (shape: readonly number[]): Layout =>
    shape.map((size, k) => [shared[k] >= 0 ? shared[k] : b.whole(size)]);
  return b.rule([layout(x)], [layout(y)], true);
}

function resampleBackward(op: OpInstance): BackwardRule | null {
  if (!needsGrad(op, 0)) return null;
  return { grads: [{ input: 0, flop: resizeWork(op).flop }], savesInputs: [], savesOutputs: [] };
}

const resize: OpRule = {
  infer: inferResize,
  work: resizeWork,
  factors: resampleFactors,
  backward: resampleBackward,
};

/** Until opset 8 scales are an attribute, in 9 an input. */
const upsample: OpRule = {
  infer(ctx) {
    const x = ctx.shape(0);
    const scales = ctx.attrs.floats('scales') ?? numbersOf(ctx.value(1)) ?? legacyScales(ctx);
    if (x === null || scales === null) {
      ctx.setTensor(0, ctx.dtype(0), x === null ? null : x.map(() => ctx.freshDim()));
      return;
    }
    if (scales.length !== x.length)
      ctx.fail(`scales: expected ${String(x.length)} values, found ${String(scales.length)}`);
    ctx.setTensor(
      0,
      ctx.dtype(0),
      x.map((d, k) => scaled(ctx, d, scales[k])),
    );
  },
  work: resizeWork,
  factors: resampleFactors,
  backward: resampleBackward,
};

/** Opset 1: height_scale and width_scale of an NCHW image. */
function legacyScales(ctx: InferContext): number[] | null {
  if (!ctx.attrs.has('height_scale')) return null;
  return [1, 1, ctx.attrs.float('height_scale', 1), ctx.attrs.float('width_scale', 1)];
}

/** X [N, C, in...], grid [N, out..., rank] -> [N, C, out...]. */
export const gridSample: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 3);
    const grid = ranked(ctx, 1, 3);
    if (x !== null && grid !== null) {
      if (grid.length !== x.length)
        ctx.fail(`grid: expected rank ${String(x.length)}, found rank ${String(grid.length)}`);
      unify(ctx, x[0], grid[0], 'batch of input and grid');
      unify(ctx, x.length - 2, grid[grid.length - 1], 'coordinates of the grid');
      ctx.setTensor(0, ctx.dtype(0), [x[0], x[1], ...grid.slice(1, -1)]);
    } else ctx.setTensor(0, ctx.dtype(0), null);
  },
  work: (op) => ({
    flop: interpolationFlop(op.attrs.string('mode', 'linear')) * outputElements(op),
    kernel: 'gather',
  }),
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [1, 1];
    const grid = op.inputShape(1) ?? [1];
    const [n, c] = [b.parallel(x[0]), b.parallel(x[1])];
    const out = b.each(grid.slice(1, -1), 'parallel').map((f) => [f]);
    const spatial = b.each(x.slice(2), 'whole').map((f) => [f]);
    return b.rule(
      [
        [[n], [c], ...spatial],
        [[n], ...out, [b.whole(grid[grid.length - 1])]],
      ],
      [[[n], [c], ...out]],
    );
  },
  backward(op) {
    const flop = 2 * interpolationFlop(op.attrs.string('mode', 'linear')) * outputElements(op);
    const grads = [0, 1].filter((i) => needsGrad(op, i)).map((input) => ({ input, flop }));
    return grads.length === 0 ? null : { grads, savesInputs: present(op, [0, 1]), savesOutputs: [] };
  },
};

/** theta [N, 2, 3] or [N, 3, 4], size [N, C, H, W] or [N, C, D, H, W] -> [N, H, W, 2] or [N, D, H, W, 3]. */
const affineGrid: OpRule = {
  infer(ctx) {
    const theta = ranked(ctx, 0, 3, 3);
    const size = ctx.value(1)?.elements ?? null;
    const rank = size === null ? (typeof theta?.[1] === 'number' ? theta[1] : null) : size.length - 2;
    if (rank === null) {
      ctx.setTensor(0, ctx.dtype(0), null);
      return;
    }
    const spatial = size === null ? Array.from({ length: rank }, () => ctx.freshDim()) : size.slice(2);
    ctx.setTensor(0, ctx.dtype(0), [size?.[0] ?? theta?.[0] ?? ctx.freshDim(), ...spatial, rank]);
  },
  work: (op) => ({ flop: 2 * (op.inputShape(0)?.[2] ?? 3) * outputElements(op), kernel: 'elementwise' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const y = op.outputShape(0) ?? [1];
    const n = b.parallel(y[0]);
    const spatial = b.each(y.slice(1, -1), 'parallel').map((f) => [f]);
    const coordinate = b.whole(y[y.length - 1]);
    return b.rule(
      [[[n], [coordinate], [b.whole(op.inputShape(0)?.[2] ?? 1)]]],
      [[[n], ...spatial, [coordinate]]],
    );
  },
  backward: (op) =>
    needsGrad(op, 0)
      ? { grads: [{ input: 0, flop: 2 * outputElements(op) }], savesInputs: [], savesOutputs: [] }
      : null,
};

/** boxes [N, boxes, 4], scores [N, classes, boxes] -> [selected, 3]; how many is data. */
const nonMaxSuppression: OpRule = {
  infer(ctx) {
    const boxes = ranked(ctx, 0, 3, 3);
    const scores = ranked(ctx, 1, 3, 3);
    if (boxes !== null && scores !== null) unify(ctx, boxes[1], scores[2], 'number of boxes');
    ctx.setTensor(0, DType.INT64, [ctx.freshDim(), 3]);
  },
  // Overlap of every pair of boxes, about 10 FLOP each, bounded by those that are kept.
  work: (op) => ({ flop: 10 * inputElements(op, 1) * Math.max(outputElements(op) / 3, 1), kernel: 'other' }),
  backward: () => null,
};

/** Compressed bytes -> [H, W, channels]; sizes are data. */
const imageDecoder: OpRule = {
  infer(ctx) {
    const channels = ctx.attrs.string('pixel_format', 'RGB') === 'Grayscale' ? 1 : 3;
    ctx.setTensor(0, DType.UINT8, [ctx.freshDim(), ctx.freshDim(), channels]);
  },
  work: (op) => ({ flop: 10 * outputElements(op), kernel: 'other' }),
  backward: () => null,
};

/** Experimental of opset 1: border left, top, right, bottom, or a size. */
const crop: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 4, 4);
    const border = ctx.attrs.ints('border') ?? [0, 0, 0, 0];
    const scale = ctx.attrs.ints('scale');
    if (x === null) {
      sameAsInput(ctx);
      return;
    }
    const cut = (d: Dim, by: number): Dim => (typeof d === 'number' ? d - by : by === 0 ? d : ctx.freshDim());
    const size =
      scale?.length === 2 ? scale : [cut(x[2], border[1] + border[3]), cut(x[3], border[0] + border[2])];
    ctx.setTensor(0, ctx.dtype(0), [x[0], x[1], ...size]);
  },
  work: (op) => ({ flop: 0, kernel: 'move', touchedElements: 2 * outputElements(op) }),
  factors: resampleFactors,
  backward: (op) =>
    needsGrad(op, 0) ? { grads: [{ input: 0, flop: 0 }], savesInputs: [], savesOutputs: [] } : null,
};

/** x*scale + bias per channel (experimental, opset 1). */
const imageScaler: OpRule = {
  infer: (ctx) => {
    sameAsInput(ctx);
  },
  work: (op) => ({ flop: 2 * outputElements(op), kernel: 'elementwise' }),
  factors: resampleFactors,
};

/** ORT: X [N, C, H, W], rois [R, 4], batch_indices [R], crop_size [2] -> [R, C, height, width]. */
export const cropAndResize: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 4, 4);
    const size = ctx.value(3)?.elements ?? [ctx.freshDim(), ctx.freshDim()];
    ctx.setTensor(0, ctx.dtype(0), [ctx.shape(1)?.[0] ?? ctx.freshDim(), x?.[1] ?? ctx.freshDim(), ...size]);
  },
  work: (op) => ({ flop: 8 * outputElements(op), kernel: 'gather' }),
  backward: () => null,
};

export const family: OpFamily = {
  domain: '',
  rules: {
    Resize: resize,
    Upsample: upsample,
    GridSample: gridSample,
    AffineGrid: affineGrid,
    NonMaxSuppression: nonMaxSuppression,
    ImageDecoder: imageDecoder,
    Crop: crop,
    ImageScaler: imageScaler,
  },
};
