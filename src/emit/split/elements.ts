/** Element types as ONNX Runtime names them, and the arrays it takes for each. */
import { DType } from '../../model/index.js';

/** Elements of a tensor; float16 as 16-bit patterns, booleans as bytes. */
export type Elements =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export interface ElementType {
  /** The runtime's word. */
  readonly name: string;
  readonly dtype: DType;
  /** numpy's word. */
  readonly numpy: string;
  readonly Array: new (source: number & ArrayBuffer) => Elements;
}

const types: readonly (readonly [string, DType, string, unknown])[] = [
  ['float32', DType.FLOAT, '<f4', Float32Array],
  ['float64', DType.DOUBLE, '<f8', Float64Array],
  ['float16', DType.FLOAT16, '<f2', Uint16Array],
  ['int8', DType.INT8, '|i1', Int8Array],
  ['uint8', DType.UINT8, '|u1', Uint8Array],
  ['int16', DType.INT16, '<i2', Int16Array],
  ['uint16', DType.UINT16, '<u2', Uint16Array],
  ['int32', DType.INT32, '<i4', Int32Array],
  ['uint32', DType.UINT32, '<u4', Uint32Array],
  ['int64', DType.INT64, '<i8', BigInt64Array],
  ['uint64', DType.UINT64, '<u8', BigUint64Array],
  ['bool', DType.BOOL, '|b1', Uint8Array],
];

export const ELEMENT_TYPES: readonly ElementType[] = types.map(([name, dtype, numpy, array]) => ({
  name,
  dtype,
  numpy,
  Array: array as ElementType['Array'],
}));

/** An array of `count` zeros, or over the bytes of a buffer. */
export function elementsOf(type: ElementType, source: number | ArrayBuffer): Elements {
  return new type.Array(source as number & ArrayBuffer);
}

/** The runtime's name of an ONNX type; `null` where it takes no arrays of it. */
export function runtimeType(dtype: DType): ElementType | null {
  return ELEMENT_TYPES.find((type) => type.dtype === dtype) ?? null;
}

/** Whether the elements are bigints. */
export function isWide(elements: Elements): elements is BigInt64Array | BigUint64Array {
  return elements instanceof BigInt64Array || elements instanceof BigUint64Array;
}
