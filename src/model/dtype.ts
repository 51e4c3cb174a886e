/** ONNX element types (TensorProto.DataType up to IR 14) and their storage sizes. */
export enum DType {
  UNDEFINED = 0,
  FLOAT = 1,
  UINT8 = 2,
  INT8 = 3,
  UINT16 = 4,
  INT16 = 5,
  INT32 = 6,
  INT64 = 7,
  STRING = 8,
  BOOL = 9,
  FLOAT16 = 10,
  DOUBLE = 11,
  UINT32 = 12,
  UINT64 = 13,
  COMPLEX64 = 14,
  COMPLEX128 = 15,
  BFLOAT16 = 16,
  FLOAT8E4M3FN = 17,
  FLOAT8E4M3FNUZ = 18,
  FLOAT8E5M2 = 19,
  FLOAT8E5M2FNUZ = 20,
  UINT4 = 21,
  INT4 = 22,
  FLOAT4E2M1 = 23,
  FLOAT8E8M0 = 24,
  UINT2 = 25,
  INT2 = 26,
  FLOAT6E2M3 = 27,
  FLOAT6E3M2 = 28,
}

const BITS: readonly number[] = [
  0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2, 6, 6,
];

/** Bits of one element; 0 for strings, undefined and types from the future. */
export function dtypeBits(dtype: DType): number {
  return BITS[dtype] ?? 0;
}

/** Storage of `count` elements in bytes; sub-byte types are packed and rounded up to a byte. */
export function dtypeBytes(dtype: DType, count: number): number {
  return Math.ceil((count * dtypeBits(dtype)) / 8);
}

/** `FLOAT16` and so on; `TYPE_99` for a type from the future. */
export function dtypeName(dtype: DType): string {
  return DType[dtype] ?? `TYPE_${String(dtype)}`;
}

/** Real floating-point types: the ones that carry gradients and that a training precision replaces. */
export function isFloat(dtype: DType): boolean {
  return (
    dtype === DType.FLOAT ||
    dtype === DType.FLOAT16 ||
    dtype === DType.DOUBLE ||
    dtype === DType.BFLOAT16 ||
    (dtype >= DType.FLOAT8E4M3FN && dtype <= DType.FLOAT8E5M2FNUZ) ||
    dtype === DType.FLOAT4E2M1 ||
    dtype === DType.FLOAT8E8M0 ||
    dtype === DType.FLOAT6E2M3 ||
    dtype === DType.FLOAT6E3M2
  );
}
