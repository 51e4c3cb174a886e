/** Operators that move elements without computing: transposes, copies, re-tilings. */
import { isFloat } from '../model/dtype.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { broadcastIndex, broadcastShapes } from './broadcast.js';
import { shapeFromValue } from './constant.js';
import { needsGrad, outputElements } from './defaults.js';
import * as dim from './dim.js';
import type {
  BackwardRule,
  Dim,
  Factor,
  InferContext,
  KnownValue,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
} from './types.js';
import { numbersOf, smallDims, stridesOf, countOf } from './value.js';

/** The gradient moves as many elements and needs nothing saved. */
export function moveBackward(op: OpInstance): BackwardRule | null {
  if (!needsGrad(op, 0) || !isFloat(op.outputDtype(0))) return null;
  return { grads: [{ input: 0, flop: 0 }], savesInputs: [], savesOutputs: [] };
}

/** The gradient of a stretched tensor is summed back: one addition per output element. */
function sumBackward(op: OpInstance): BackwardRule | null {
  const rule = moveBackward(op);
  return rule === null ? null : { ...rule, grads: [{ input: 0, flop: outputElements(op) }] };
}

function permutation(ctx: InferContext, rank: number): readonly number[] {
  const perm = ctx.attrs.ints('perm');
  if (perm === null || perm.length === 0) return Array.from({ length: rank }, (_, i) => rank - 1 - i);
  const seen = new Set(perm);
  if (perm.length !== rank || seen.size !== rank || perm.some((p) => !(p >= 0 && p < rank))) {
    ctx.fail(`perm [${perm.join(', ')}] is no permutation of ${String(rank)} axes`);
  }
  return perm;
}

const transpose: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    if (shape === null) {
      const rank = ctx.attrs.ints('perm')?.length;
      return ctx.setTensor(
        0,
        ctx.dtype(0),
        rank === undefined ? null : Array.from({ length: rank }, () => ctx.freshDim()),
      );
    }
    const perm = permutation(ctx, shape.length);
    const out = new Array<Dim>(perm.length);
    for (let i = 0; i < perm.length; i++) out[i] = shape[perm[i]];
    const value = ctx.value(0);
    ctx.setTensor(0, ctx.dtype(0), out, value === null ? null : transposedValue(value, perm));
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const perm = op.attrs.ints('perm');
    const at = perm === null || perm.length === 0 ? shape.map((_, i) => shape.length - 1 - i) : perm;
    return {
      factors: shape.map((size) => ({ size, kind: 'parallel' })),
      inputs: [shape.map((_, k) => [k])],
      outputs: [at.map((k) => [k])],
      linear: true,
    };
  },
  backward: moveBackward,
};

function transposedValue(value: KnownValue, perm: readonly number[]): KnownValue {
  const strides = stridesOf(value.dims);
  const dims = perm.map((p) => value.dims[p]);
  const outStrides = stridesOf(dims);
  const elements = value.elements.map((_, i) => {
    let rest = i;
    let from = 0;
    for (let k = 0; k < dims.length; k++) {
      const c = Math.floor(rest / outStrides[k]);
      rest -= c * outStrides[k];
      from += c * strides[perm[k]];
    }
    return value.elements[from];
  });
  return { dtype: value.dtype, dims, elements };
}

/** Broadcast to a given shape, in both directions. */
const expand: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    const target = shapeFromValue(ctx, 1);
    const out = shape === null || target === null ? null : broadcastShapes(ctx, shape, target);
    const value = ctx.value(0);
    const dims = value === null ? null : smallDims(out);
    ctx.setTensor(0, ctx.dtype(0), out, value === null || dims === null ? null : stretchedValue(value, dims));
  },
  work: (op) => ({
    flop: 0,
    kernel: 'move',
    touchedElements: countOf(op.inputShape(0) ?? []) + outputElements(op),
  }),
  factors(op) {
    const out = op.outputShape(0) ?? [];
    const shape = op.inputShape(0) ?? [];
    const lead = out.length - shape.length;
    const factors: Factor[] = out.map((size) => ({ size, kind: 'parallel' }));
    return {
      factors,
      inputs: [
        shape.map((d, k) => (d === 1 && out[k + lead] !== 1 ? [] : [k + lead])),
        wholeInput(op, 1, factors),
      ],
      outputs: [out.map((_, k) => [k])],
      linear: true,
    };
  },
  backward: sumBackward,
};

function stretchedValue(value: KnownValue, dims: readonly number[]): KnownValue {
  const index = broadcastIndex(value.dims, dims);
  if (index === null) return { ...value, dims };
  return { dtype: value.dtype, dims, elements: Array.from(index, (i) => value.elements[i]) };
}

/** An input that holds sizes or flags. */
export function wholeInput(op: OpInstance, i: number, factors: Factor[]): number[][] | null {
  if (i >= op.inputCount) return null;
  return op.inputShape(i)?.map((size) => [factors.push({ size, kind: 'whole' }) - 1]) ?? null;
}

/** Repeats whole dimensions: output dimension = [repeat, dimension]. Opset 1 took a count and an axis. */
const tile: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    if (shape === null) return ctx.setTensor(0, ctx.dtype(0), null);
    if (ctx.version < 6 && ctx.hasInput(2))
      return ctx.setTensor(
        0,
        ctx.dtype(0),
        shape.map(() => ctx.freshDim()),
      );
    const repeats = ctx.value(1)?.elements;
    if (repeats === undefined)
      return ctx.setTensor(
        0,
        ctx.dtype(0),
        shape.map(() => ctx.freshDim()),
      );
    if (repeats.length !== shape.length) {
      ctx.fail(`Tile of a rank-${String(shape.length)} tensor with ${String(repeats.length)} repeats`);
    }
    const out = shape.map((d, i) => dim.mul(d, repeats[i]));
    ctx.setTensor(0, ctx.dtype(0), out, tiledValue(ctx.value(0), smallDims(out)));
  },
  work: (op) => ({
    flop: 0,
    kernel: 'move',
    touchedElements: countOf(op.inputShape(0) ?? []) + outputElements(op),
  }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const out = op.outputShape(0) ?? [];
    const factors: Factor[] = shape.map((size) => ({ size, kind: 'parallel' }));
    const outputs = out.map((size, k) =>
      size === shape[k] || shape[k] === 0
        ? [k]
        : [factors.push({ size: size / shape[k], kind: 'parallel' }) - 1, k],
    );
    const inputs: (number[][] | null)[] = [shape.map((_, k) => [k])];
    for (let i = 1; i < op.inputCount; i++) inputs.push(wholeInput(op, i, factors));
    return { factors, inputs, outputs: [outputs], linear: true };
  },
  backward: sumBackward,
};

function tiledValue(value: KnownValue | null, dims: readonly number[] | null): KnownValue | null {
  if (value === null || dims === null || value.elements.length === 0) return null;
  const strides = stridesOf(value.dims);
  const outStrides = stridesOf(dims);
  const elements: Dim[] = [];
  for (let i = 0, n = countOf(dims); i < n; i++) {
    let rest = i;
    let from = 0;
    for (let k = 0; k < dims.length; k++) {
      const c = Math.floor(rest / outStrides[k]);
      rest -= c * outStrides[k];
      from += (c % value.dims[k]) * strides[k];
    }
    elements.push(value.elements[from]);
  }
  return { dtype: value.dtype, dims, elements };
}

/** [n, c, h, w] with blocks of b x b: channels to space or back. Only n may be split, and the block-free parts. */
const spaceBlock = (toSpace: boolean): OpRule => ({
  infer(ctx) {
    const shape = ctx.shape(0);
    const b = ctx.attrs.int('blocksize', 0);
    if (b < 1) ctx.fail(`blocksize ${String(b)}`);
    if (shape === null) return ctx.setTensor(0, ctx.dtype(0), null);
    if (shape.length !== 4) ctx.fail(`expected a rank-4 tensor, found ${dim.shapeText(shape)}`);
    const [n, c, h, w] = shape;
    const out: Shape = toSpace
      ? [n, divided(ctx, c, b * b), dim.mul(h, b), dim.mul(w, b)]
      : [n, dim.mul(c, b * b), divided(ctx, h, b), divided(ctx, w, b)];
    ctx.setTensor(0, ctx.dtype(0), out);
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  factors(op) {
    const [n, c, h, w] = toSpace ? (op.outputShape(0) ?? []) : (op.inputShape(0) ?? []);
    const b = op.attrs.int('blocksize', 1);
    // Spatial side: c | h/b, b | w/b, b. Channel side: depth-column-row order has [b, b, c], column-row-depth [c, b, b].
    const factors: Factor[] = [
      { size: n, kind: 'parallel' },
      { size: c, kind: 'parallel' },
      { size: h / b, kind: 'parallel' },
      { size: b, kind: 'parallel' },
      { size: w / b, kind: 'parallel' },
      { size: b, kind: 'parallel' },
    ];
    const channels = toSpace && op.attrs.string('mode', 'DCR') === 'CRD' ? [1, 3, 5] : [3, 5, 1];
    const space = [[0], [1], [2, 3], [4, 5]];
    const depth = [[0], channels, [2], [4]];
    return toSpace
      ? { factors, inputs: [depth], outputs: [space], linear: true }
      : { factors, inputs: [space], outputs: [depth], linear: true };
  },
  backward: moveBackward,
});

function divided(ctx: InferContext, d: Dim, by: number): Dim {
  if (typeof d === 'number' && d % by !== 0)
    ctx.fail(`dimension ${String(d)} is no multiple of ${String(by)}`);
  return dim.floorDiv(d, by);
}

/** Output like input 0, `whole` along some axes. */
const sameShapeMove = (wholeAxes: (op: OpInstance, rank: number) => number[]): OpRule => ({
  infer: (ctx) => ctx.setTensor(0, ctx.dtype(0), ctx.shape(0)),
  work: () => ({ flop: 0, kernel: 'move' }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const whole = wholeAxes(op, shape.length);
    const factors: Factor[] = shape.map((size, k) => ({
      size,
      kind: whole.includes(k) ? 'whole' : 'parallel',
    }));
    const dims = shape.map((_, k) => [k]);
    const inputs: (number[][] | null)[] = [dims];
    for (let i = 1; i < op.inputCount; i++) inputs.push(wholeInput(op, i, factors));
    return { factors, inputs, outputs: [dims], linear: true };
  },
  backward(op) {
    const rule = moveBackward(op);
    if (rule === null || op.inputCount < 2 || numbersOf(op.inputValue(1)) !== null) return rule;
    return { ...rule, savesInputs: [1] };
  },
});

const reverseSequence = sameShapeMove((op, rank) => [wrapAxis(op.attrs.int('time_axis', 0), rank)]);

/** Upper or lower triangle: whole along the last two axes, for what is kept depends on both. */
const trilu: OpRule = {
  ...sameShapeMove((_, rank) => [rank - 2, rank - 1]),
  infer(ctx) {
    const shape = ctx.shape(0);
    if (shape !== null && shape.length < 2) ctx.fail(`expected a matrix, found ${dim.shapeText(shape)}`);
    ctx.setTensor(0, ctx.dtype(0), shape);
  },
};

/** Crops or pads axes to given sizes, centred. */
const centerCropPad: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    const target = shapeFromValue(ctx, 1);
    if (shape === null) return ctx.setTensor(0, ctx.dtype(0), null);
    const axes =
      ctx.attrs.ints('axes')?.map((a) => normalizeAxis(ctx, a, shape.length)) ?? shape.map((_, k) => k);
    const out = shape.map((d, k) => (axes.includes(k) ? (target?.[axes.indexOf(k)] ?? ctx.freshDim()) : d));
    ctx.setTensor(0, ctx.dtype(0), out);
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  backward: moveBackward,
};

export const family: OpFamily = {
  domain: '',
  rules: {
    Transpose: transpose,
    Expand: expand,
    Tile: tile,
    DepthToSpace: spaceBlock(true),
    SpaceToDepth: spaceBlock(false),
    ReverseSequence: reverseSequence,
    Trilu: trilu,
    CenterCropPad: centerCropPad,
  },
};
