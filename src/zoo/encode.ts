/** Bytes of small constants in the element types a graph is written in, little-endian as ONNX raw data. */
import { DType } from '../model/dtype.js';

/** Element types the zoo writes weights in. */
export type WeightDType = DType.FLOAT | DType.FLOAT16 | DType.BFLOAT16;

/** The most negative finite number: what exporters write where attention is masked. */
export const LOWEST: Readonly<Record<WeightDType, number>> = {
  [DType.FLOAT]: -3.4028234663852886e38,
  [DType.FLOAT16]: -65504,
  [DType.BFLOAT16]: -3.3895313892515355e38,
};

export function encodeInt64(values: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setBigInt64(i * 8, value, true));
  return bytes;
}

export function encodeFloats(values: readonly number[], dtype: WeightDType): Uint8Array {
  const sizeBytes = dtype === DType.FLOAT ? 4 : 2;
  const bytes = new Uint8Array(values.length * sizeBytes);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    if (dtype === DType.FLOAT) view.setFloat32(i * 4, value, true);
    else view.setUint16(i * 2, dtype === DType.FLOAT16 ? float16Bits(value) : bfloat16Bits(value), true);
  });
  return bytes;
}

/** IEEE half precision, rounded to nearest even. */
export function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  // Subnormals have the fixed step 2^-24; a carry out of the fraction lands in the exponent by itself.
  if (size < 2 ** -14) return sign | roundHalfEven(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | (((exponent + 15) << 10) + roundHalfEven((size / 2 ** exponent - 1) * 1024));
}

/** The upper half of a float32, rounded to nearest even. */
export function bfloat16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}
