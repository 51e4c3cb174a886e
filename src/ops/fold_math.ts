/**
 * Arithmetic on known elements as the operators define it: integers exactly and possibly symbolic, floats as numbers (a
 * symbol inside a float tensor is an integer cast to float). `null` when the result cannot be told.
 */
import * as dim from './dim.js';
import type { Dim } from './types.js';
import type { DType } from '../model/dtype.js';
import { isInteger } from './value.js';

const integral = (d: Dim): boolean => typeof d !== 'number' || Number.isInteger(d);

export function add(x: Dim, y: Dim): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') return x + y;
  return integral(x) && integral(y) ? dim.add(x, y) : null;
}

export function sub(x: Dim, y: Dim): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') return x - y;
  return integral(x) && integral(y) ? dim.sub(x, y) : null;
}

export function mul(x: Dim, y: Dim): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') return x * y;
  if (!integral(x)) return reciprocalMul(y, x as number);
  if (!integral(y)) return reciprocalMul(x, y as number);
  return dim.mul(x, y);
}

/** `x * 0.5` is `x / 2` where 2 divides x. */
function reciprocalMul(x: Dim, y: number): Dim | null {
  const divisor = 1 / y;
  return Number.isInteger(divisor) ? dim.divideExact(x, divisor) : null;
}

/** Integer division truncates towards zero. */
export function div(x: Dim, y: Dim, dtype: DType): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') {
    if (!isInteger(dtype)) return x / y;
    return y === 0 ? null : Math.trunc(x / y);
  }
  if (y === 0 || !integral(x) || !integral(y)) return null;
  const exact = dim.divideExact(x, y);
  if (exact !== null || !isInteger(dtype)) return exact;
  return dim.isNonNegative(x) && dim.isNonNegative(y) ? dim.floorDiv(x, y) : null;
}

/** ONNX Mod: the sign of the divisor, or of the dividend with `fmod`. */
export function mod(x: Dim, y: Dim, fmod: boolean): Dim | null {
  if (y === 0) return null;
  if (typeof x === 'number' && typeof y === 'number') return fmod ? x % y : x - y * Math.floor(x / y);
  return integral(x) && integral(y) && dim.isNonNegative(x) && dim.isNonNegative(y) ? dim.mod(x, y) : null;
}

export function pow(x: Dim, y: Dim): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') return Math.pow(x, y);
  if (typeof y !== 'number' || !Number.isInteger(y) || y < 0 || y > 8) return null;
  let p: Dim = 1;
  for (let i = 0; i < y; i++) p = dim.mul(p, x);
  return p;
}

export function min(x: Dim, y: Dim): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') return Math.min(x, y);
  return integral(x) && integral(y) ? dim.min(x, y) : null;
}

export function max(x: Dim, y: Dim): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') return Math.max(x, y);
  return integral(x) && integral(y) ? dim.max(x, y) : null;
}

/** 1, 0, or `null` when it depends on the symbols. */
export function equal(x: Dim, y: Dim): Dim | null {
  if (x === y) return 1;
  return dim.canBeEqual(x, y) ? null : 0;
}

export function less(x: Dim, y: Dim): Dim | null {
  if (typeof x === 'number' && typeof y === 'number') return x < y ? 1 : 0;
  if (!integral(x) || !integral(y)) return null;
  if (dim.lowerBound(dim.sub(y, x)) >= 1) return 1;
  return dim.lowerBound(dim.sub(x, y)) >= 0 ? 0 : null;
}

export function not(x: Dim | null): Dim | null {
  return typeof x === 'number' ? (x === 0 ? 1 : 0) : null;
}

/** A function of plain numbers only. */
export function onNumbers(f: (x: number) => number): (x: Dim) => Dim | null {
  return (x) => (typeof x === 'number' ? f(x) : null);
}

/** A rounding function: leaves symbols, which are integers, as they are. */
export function rounding(f: (x: number) => number): (x: Dim) => Dim {
  return (x) => (typeof x === 'number' ? f(x) : x);
}

/** Half to even, as ONNX Round. */
export function roundHalfEven(x: number): number {
  const r = Math.round(x);
  return Math.abs(x - Math.trunc(x)) === 0.5 && r % 2 !== 0 ? r - 1 : r;
}
