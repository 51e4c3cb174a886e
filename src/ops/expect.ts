/** What shape rules expect of their inputs, checked where numbers are known and unified where symbols meet. */
import { DType } from '../model/dtype.js';
import { canBeEqual, divideExact, shapeText } from './dim.js';
import type { Dim, InferContext, Shape } from './types.js';

/**
 * Two dimensions that the operator requires to be equal: a number wins over a symbol, the first over the second.
 * @param what names the dimension in the message
 * @throws PartitionError when they cannot be equal
 */
export function unify(ctx: InferContext, a: Dim, b: Dim, what: string): Dim {
  if (a === b) return a;
  if (typeof a === 'number' && typeof b === 'number') {
    ctx.fail(`${what}: expected ${String(a)}, found ${String(b)}`);
  }
  if (!canBeEqual(a, b)) ctx.fail(`${what}: expected ${dimText(a)}, found ${dimText(b)}`);
  return typeof b === 'number' ? b : a;
}

/** Shape of input i, which is required and has `low` to `high` dimensions. @throws PartitionError otherwise */
export function ranked(
  ctx: InferContext,
  i: number,
  low: number,
  high = Number.POSITIVE_INFINITY,
): Shape | null {
  if (!ctx.hasInput(i)) ctx.fail(`input ${String(i)} is required`);
  const shape = ctx.shape(i);
  if (shape === null) return null;
  if (shape.length < low || shape.length > high) {
    const expected =
      low === high
        ? `rank ${String(low)}`
        : high === Number.POSITIVE_INFINITY
          ? `rank >= ${String(low)}`
          : `rank ${String(low)} to ${String(high)}`;
    ctx.fail(`input ${String(i)}: expected ${expected}, found shape ${shapeText(shape)}`);
  }
  return shape;
}

/** A positive integer attribute that the operator requires. @throws PartitionError when it is missing or not positive */
export function positive(ctx: InferContext, name: string): number {
  const value = ctx.attrs.optionalInt(name);
  if (value === null) ctx.fail(`attribute ${name} is required`);
  if (value <= 0) ctx.fail(`attribute ${name}: expected a positive integer, found ${String(value)}`);
  return value;
}

/** `a / b` of a packed dimension; `null` when that is not known. @throws PartitionError when numbers do not divide */
export function divided(ctx: InferContext, a: Dim, b: number, what: string): Dim | null {
  if (typeof a !== 'number') return divideExact(a, b);
  if (a % b !== 0) ctx.fail(`${what}: ${String(a)} is not divisible by ${String(b)}`);
  return a / b;
}

/** Output o has the type and shape of input i. */
export function sameAsInput(ctx: InferContext, i = 0, o = 0): void {
  ctx.setTensor(o, ctx.dtype(i), ctx.shape(i));
}

/** First of the inputs' element types that is known. */
export function firstDtype(ctx: InferContext, ...inputs: readonly number[]): DType {
  for (const i of inputs) {
    const dtype = ctx.hasInput(i) ? ctx.dtype(i) : DType.UNDEFINED;
    if (dtype !== DType.UNDEFINED) return dtype;
  }
  return DType.UNDEFINED;
}

export function dimText(d: Dim): string {
  return typeof d === 'number' ? String(d) : d.text;
}
