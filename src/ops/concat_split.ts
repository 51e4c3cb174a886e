/**
 * Joining and cutting along an axis. The axis may not be split as a whole, but where the parts are equal it decomposes
 * into [parts, part] and each part may be: a fused query-key-value or gate-up projection shards inside each of its parts.
 */
import { isFloat } from '../model/dtype.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { gradInputs } from './defaults.js';
import * as dim from './dim.js';
import { moveBackward, wholeInput } from './movement.js';
import type {
  Dim,
  Factor,
  FactorRule,
  InferContext,
  KnownValue,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
} from './types.js';
import { MAX_KNOWN_ELEMENTS } from './types.js';
import { isInteger, numbersOf } from './value.js';

/** Before opset 4 Concat's axis had a default of 1. */
function concatAxis(ctx: InferContext, rank: number): number {
  const axis = ctx.attrs.optionalInt('axis') ?? (ctx.version < 4 ? 1 : ctx.fail('Concat without its axis'));
  return normalizeAxis(ctx, axis, rank);
}

/** Shape of tensors joined along `axis`. @throws PartitionError when they do not fit */
export function concatShapes(
  ctx: InferContext,
  shapes: readonly (Shape | null)[],
  axis: number,
): Shape | null {
  const first = shapes.find((s) => s !== null);
  if (first === null || first === undefined) return null;
  const out = [...first];
  let along: Dim = 0;
  for (const s of shapes) {
    if (s === null) {
      along = ctx.freshDim();
      out[axis] = along;
      continue;
    }
    if (s.length !== out.length)
      ctx.fail(`Concat of rank ${String(out.length)} and rank ${String(s.length)}`);
    for (let k = 0; k < out.length; k++) {
      if (k === axis) continue;
      const [a, b] = [out[k], s[k]];
      if (a === b) continue;
      if (typeof a === 'number' && typeof b === 'number') {
        ctx.fail(`Concat along axis ${String(axis)} of ${dim.shapeText(first)} and ${dim.shapeText(s)}`);
      }
      if (typeof b === 'number') out[k] = b;
    }
    along = dim.add(along, s[axis]);
  }
  out[axis] = shapes.some((s) => s === null) ? ctx.freshDim() : along;
  return out;
}

const concat: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const shapes: (Shape | null)[] = [];
    for (let i = 0; i < ctx.inputCount; i++) {
      const shape = ctx.shape(i);
      // Old exporters join scalars to shape vectors; every runtime that takes it reads them as vectors of one.
      if (shape?.length === 0) ctx.warn('a scalar is joined as a vector of one element');
      shapes.push(shape?.length === 0 ? [1] : shape);
    }
    const rank = shapes.find((s) => s !== null)?.length;
    if (rank === undefined) return ctx.setTensor(0, dtype, null);
    const axis = concatAxis(ctx, rank);
    const shape = concatShapes(ctx, shapes, axis);
    ctx.setTensor(0, dtype, shape, rank === 1 ? concatValues(ctx, shape) : null);
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  factors: concatFactors,
  backward(op) {
    const grads = gradInputs(op);
    if (grads.length === 0 || !isFloat(op.outputDtype(0))) return null;
    return { grads: grads.map((input) => ({ input, flop: 0 })), savesInputs: [], savesOutputs: [] };
  },
};

/** 1-D values joined; unknown elements of integer vectors become fresh symbols, so that the rest stays known. */
function concatValues(ctx: InferContext, shape: Shape | null): KnownValue | null {
  const total = shape?.[0];
  if (typeof total !== 'number' || total > MAX_KNOWN_ELEMENTS) return null;
  let anyKnown = false;
  for (let i = 0; i < ctx.inputCount; i++) if (ctx.value(i) !== null) anyKnown = true;
  const dtype = ctx.dtype(0);
  if (!anyKnown || (!isInteger(dtype) && allKnown(ctx) === false)) return null;
  const elements: Dim[] = [];
  for (let i = 0; i < ctx.inputCount; i++) {
    const v = ctx.value(i);
    if (v !== null) for (const e of v.elements) elements.push(e);
    else for (let k = (ctx.shape(i)?.[0] ?? 1) as number; k > 0; k--) elements.push(ctx.freshDim());
  }
  return { dtype, dims: [total], elements };
}

function allKnown(ctx: InferContext): boolean {
  for (let i = 0; i < ctx.inputCount; i++) if (ctx.value(i) === null) return false;
  return true;
}

/**
 * Equal parts: output axis [parts whole, part parallel], each input [part]. Otherwise each piece is its own whole factor.
 */
function concatFactors(op: OpInstance): FactorRule {
  const out = op.outputShape(0) ?? [];
  const axis = wrapAxis(op.attrs.int('axis', op.version < 4 ? 1 : 0), out.length);
  const sizes: number[] = [];
  for (let i = 0; i < op.inputCount; i++) sizes.push(op.inputShape(i)?.[axis] ?? 0);
  const factors: Factor[] = out.map((size, k) => ({ size, kind: k === axis ? 'whole' : 'parallel' }));
  const pieces = partFactors(sizes, factors, axis);
  const inputs = sizes.map((_, i) => {
    const shape = op.inputShape(i);
    return shape === null ? null : shape.map((_size, k) => (k === axis ? pieces.parts[i] : [k]));
  });
  return { factors, inputs, outputs: [out.map((_, k) => (k === axis ? pieces.all : [k]))], linear: true };
}

/**
 * Factors of a joined axis and of its pieces; `factors[axis]` is replaced by the number of parts when the pieces share
 * a common part, e.g. sizes [4096, 1024, 1024]: all = [6 whole, 1024], parts = [[4 whole, 1024], [1024], [1024]].
 */
function partFactors(
  sizes: readonly number[],
  factors: Factor[],
  axis: number,
): { all: number[]; parts: number[][] } {
  let part = 0;
  for (const s of sizes) part = gcd(part, s);
  const total = sizes.reduce((a, b) => a + b, 0);
  if (part <= 1 || sizes.length < 2) {
    return { all: [axis], parts: sizes.map((size) => [factors.push({ size, kind: 'whole' }) - 1]) };
  }
  factors[axis] = { size: total / part, kind: 'whole' };
  const shared = factors.push({ size: part, kind: 'parallel' }) - 1;
  const parts = sizes.map((size) =>
    size === part ? [shared] : [factors.push({ size: size / part, kind: 'whole' }) - 1, shared],
  );
  return { all: [axis, shared], parts };
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/** Sizes of the pieces: given, or the axis over the number of outputs (the last one smaller when it does not divide). */
function splitSizes(ctx: InferContext, size: Dim): readonly Dim[] | null {
  const count = ctx.outputCount;
  const given = ctx.hasInput(1) ? (ctx.value(1)?.elements ?? null) : ctx.attrs.ints('split');
  if (ctx.hasInput(1) && given === null) return null;
  if (given !== null && given.length > 0) {
    if (given.length !== count)
      ctx.fail(`Split into ${String(given.length)} sizes but ${String(count)} outputs`);
    const sum = given.reduce<Dim>((a, b) => dim.add(a, b), 0);
    if (typeof sum === 'number' && typeof size === 'number' && sum !== size) {
      ctx.fail(
        `Split sizes [${given.map((d) => (typeof d === 'number' ? String(d) : d.text)).join(', ')}] add up to ${String(sum)}, the axis has ${String(size)}`,
      );
    }
    return given;
  }
  const parts = ctx.attrs.int('num_outputs', count);
  if (typeof size === 'number' && size % parts !== 0 && ctx.version < 18) {
    ctx.fail(`axis of ${String(size)} split into ${String(parts)} equal parts`);
  }
  const each = dim.ceilDiv(size, parts);
  const exact = dim.divideExact(size, parts);
  const last = exact ?? dim.sub(size, dim.mul(each, parts - 1));
  return Array.from({ length: count }, (_, i) => (i === parts - 1 ? last : (exact ?? each)));
}

const split: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const shape = ctx.shape(0);
    if (shape === null) {
      for (let i = 0; i < ctx.outputCount; i++) ctx.setTensor(i, dtype, null);
      return;
    }
    const axis = normalizeAxis(ctx, ctx.attrs.int('axis', 0), shape.length);
    const sizes = splitSizes(ctx, shape[axis]);
    const value = shape.length === 1 ? ctx.value(0) : null;
    let at = 0;
    for (let i = 0; i < ctx.outputCount; i++) {
      const size = sizes?.[i] ?? ctx.freshDim();
      const out = [...shape];
      out[axis] = size;
      const known = value !== null && typeof size === 'number' && sizes !== null && Number.isFinite(at);
      const piece = known ? { dtype, dims: [size], elements: value.elements.slice(at, at + size) } : null;
      ctx.setTensor(i, dtype, out, piece);
      at += typeof size === 'number' ? size : NaN;
    }
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  factors(op) {
    const shape = op.inputShape(0) ?? [];
    const axis = wrapAxis(op.attrs.int('axis', 0), shape.length);
    const sizes: number[] = [];
    for (let i = 0; i < op.outputCount; i++) sizes.push(op.outputShape(i)?.[axis] ?? 0);
    const factors: Factor[] = shape.map((size, k) => ({ size, kind: k === axis ? 'whole' : 'parallel' }));
    // An omitted output hides a piece: then the pieces do not tile the axis.
    const tiled = sizes.reduce((a, b) => a + b, 0) === shape[axis];
    if (!tiled) return wholeSplit(op, shape, axis);
    const pieces = partFactors(sizes, factors, axis);
    const inputs: (number[][] | null)[] = [shape.map((_, k) => (k === axis ? pieces.all : [k]))];
    if (op.inputCount > 1) inputs.push(wholeInput(op, 1, factors));
    const outputs = sizes.map((_, i) =>
      op.outputShape(i) === null ? null : shape.map((_size, k) => (k === axis ? pieces.parts[i] : [k])),
    );
    return { factors, inputs, outputs, linear: true };
  },
  backward: moveBackward,
};

function wholeSplit(op: OpInstance, shape: readonly number[], axis: number): FactorRule {
  const factors: Factor[] = shape.map((size, k) => ({ size, kind: k === axis ? 'whole' : 'parallel' }));
  const outputs: (number[][] | null)[] = [];
  for (let i = 0; i < op.outputCount; i++) {
    const out = op.outputShape(i);
    outputs.push(out?.map((size, k) => [k === axis ? factors.push({ size, kind: 'whole' }) - 1 : k]) ?? null);
  }
  const inputs: (number[][] | null)[] = [shape.map((_, k) => [k])];
  if (op.inputCount > 1) inputs.push(wholeInput(op, 1, factors));
  return { factors, inputs, outputs, linear: true };
}

/** A sequence of the pieces; a scalar split says how long each is, none means one each. */
const splitToSequence: OpRule = {
  infer(ctx) {
    const dtype = ctx.dtype(0);
    const shape = ctx.shape(0);
    if (shape === null)
      return ctx.setOutput(0, { kind: 'sequence', elem: { kind: 'tensor', dtype, shape: null } });
    const axis = normalizeAxis(ctx, ctx.attrs.int('axis', 0), shape.length);
    const out: Dim[] = [...shape];
    const given = ctx.hasInput(1) ? numbersOf(ctx.value(1)) : null;
    if (ctx.hasInput(1))
      out[axis] =
        given !== null && new Set(given).size === 1 ? evenPiece(ctx, shape[axis], given) : ctx.freshDim();
    else if (ctx.attrs.int('keepdims', 1) === 1) out[axis] = 1;
    else out.splice(axis, 1);
    ctx.setOutput(0, { kind: 'sequence', elem: { kind: 'tensor', dtype, shape: out } });
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  backward: () => null,
};

/** One size for all pieces, unless a scalar leaves a shorter last one. */
function evenPiece(ctx: InferContext, size: Dim, given: readonly number[]): Dim {
  const each = given[0];
  return given.length > 1 || dim.divideExact(size, each) !== null ? each : ctx.freshDim();
}

const concatFromSequence: OpRule = {
  infer(ctx) {
    const type = ctx.type(0);
    const elem = type?.kind === 'sequence' ? type.elem : null;
    if (elem?.kind !== 'tensor') return ctx.setTensor(0, ctx.dtype(0), null);
    if (elem.shape === null) return ctx.setTensor(0, elem.dtype, null);
    const stacked = ctx.attrs.int('new_axis', 0) === 1;
    const rank = elem.shape.length + (stacked ? 1 : 0);
    const axis = normalizeAxis(ctx, ctx.attrs.int('axis', 0), rank);
    const out: Dim[] = [...elem.shape];
    out.splice(axis, stacked ? 0 : 1, ctx.freshDim());
    ctx.setTensor(0, elem.dtype, out);
  },
  work: () => ({ flop: 0, kernel: 'move' }),
  backward: () => null,
};

export const family: OpFamily = {
  domain: '',
  rules: {
    Concat: concat,
    Split: split,
    SplitToSequence: splitToSequence,
    ConcatFromSequence: concatFromSequence,
  },
};
