/** Known tensor values: building, reading and converting them. Never more than MAX_KNOWN_ELEMENTS elements. */
import { DType, isFloat } from '../model/dtype.js';
import { MAX_KNOWN_ELEMENTS, type Dim, type KnownValue, type Shape } from './types.js';

/** A rank-0 value. */
export function scalarValue(dtype: DType, element: Dim): KnownValue {
  return { dtype, dims: [], elements: [element] };
}

/** A rank-1 value. */
export function vectorValue(dtype: DType, elements: readonly Dim[]): KnownValue {
  return { dtype, dims: [elements.length], elements };
}

/** Element count of a concrete shape; may exceed 2^53 (inexact then). */
export function countOf(dims: readonly number[]): number {
  let n = 1;
  for (let i = 0; i < dims.length; i++) n *= dims[i];
  return n;
}

/** The concrete form of a shape small enough to be known element by element, else `null`. */
export function smallDims(shape: Shape | null): number[] | null {
  if (shape === null) return null;
  let n = 1;
  for (let i = 0; i < shape.length; i++) {
    const d = shape[i];
    if (typeof d !== 'number') return null;
    n *= d;
  }
  return n <= MAX_KNOWN_ELEMENTS ? (shape as number[]).slice() : null;
}

/** A value of `element` everywhere, or `null` when the shape is unknown or too large. */
export function filledValue(dtype: DType, shape: Shape | null, element: Dim): KnownValue | null {
  const dims = smallDims(shape);
  if (dims === null) return null;
  return { dtype, dims, elements: new Array<Dim>(countOf(dims)).fill(element) };
}

/** The elements when all are plain numbers, else `null`. */
export function numbersOf(value: KnownValue | null): readonly number[] | null {
  if (value === null) return null;
  const e = value.elements;
  for (let i = 0; i < e.length; i++) if (typeof e[i] !== 'number') return null;
  return e as readonly number[];
}

/** The only element, when the value has exactly one; else `null`. */
export function onlyElement(value: KnownValue | null): Dim | null {
  return value !== null && value.elements.length === 1 ? value.elements[0] : null;
}

/** The only element when it is a plain number; else `null`. */
export function onlyNumber(value: KnownValue | null): number | null {
  const e = onlyElement(value);
  return typeof e === 'number' ? e : null;
}

export function isInteger(dtype: DType): boolean {
  return (
    (dtype >= DType.UINT8 && dtype <= DType.INT64) ||
    dtype === DType.UINT32 ||
    dtype === DType.UINT64 ||
    dtype === DType.UINT4 ||
    dtype === DType.INT4 ||
    dtype === DType.UINT2 ||
    dtype === DType.INT2
  );
}

/** Types whose values inference follows: integers, booleans and floats (exponents, scales). */
export function isFollowed(dtype: DType): boolean {
  return isInteger(dtype) || isFloat(dtype) || dtype === DType.BOOL;
}

/** Row-major strides of concrete dimensions. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  let s = 1;
  for (let i = dims.length - 1; i >= 0; i--) {
    strides[i] = s;
    s *= dims[i];
  }
  return strides;
}
