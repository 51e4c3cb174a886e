/**
 * Small floating-point formats as ONNX stores them: sign, exponent, mantissa from the top bit down.
 * Sources: IEEE 754 binary16; bfloat16; OCP OFP8 and MX v1.0 (E4M3FN, E5M2, E2M1, E2M3, E3M2, E8M0);
 * Noune et al. 2022 for the FNUZ variants (one NaN at the code of negative zero, bias one higher).
 */
import { DType } from './dtype.js';

interface Format {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** ieee: all-ones exponent is infinity or NaN. fn: only all ones is NaN. fnuz: NaN is -0. none: all are numbers. */
  readonly specials: 'ieee' | 'fn' | 'fnuz' | 'none';
}

const FORMATS: ReadonlyMap<DType, Format> = new Map<DType, Format>([
  [DType.FLOAT16, { exponentBits: 5, mantissaBits: 10, bias: 15, specials: 'ieee' }],
  [DType.BFLOAT16, { exponentBits: 8, mantissaBits: 7, bias: 127, specials: 'ieee' }],
  [DType.FLOAT8E4M3FN, { exponentBits: 4, mantissaBits: 3, bias: 7, specials: 'fn' }],
  [DType.FLOAT8E4M3FNUZ, { exponentBits: 4, mantissaBits: 3, bias: 8, specials: 'fnuz' }],
  [DType.FLOAT8E5M2, { exponentBits: 5, mantissaBits: 2, bias: 15, specials: 'ieee' }],
  [DType.FLOAT8E5M2FNUZ, { exponentBits: 5, mantissaBits: 2, bias: 16, specials: 'fnuz' }],
  [DType.FLOAT6E2M3, { exponentBits: 2, mantissaBits: 3, bias: 1, specials: 'none' }],
  [DType.FLOAT6E3M2, { exponentBits: 3, mantissaBits: 2, bias: 3, specials: 'none' }],
  [DType.FLOAT4E2M1, { exponentBits: 2, mantissaBits: 1, bias: 1, specials: 'none' }],
]);

/** Whether `minifloat` decodes the type. */
export function isMinifloat(dtype: DType): boolean {
  return dtype === DType.FLOAT8E8M0 || FORMATS.has(dtype);
}

/** The value of a code of a type for which `isMinifloat` holds. */
export function minifloat(dtype: DType, code: number): number {
  if (dtype === DType.FLOAT8E8M0) return code === 255 ? NaN : 2 ** (code - 127);
  const { exponentBits, mantissaBits, bias, specials } = FORMATS.get(dtype)!;
  const mantissa = code & ((1 << mantissaBits) - 1);
  const exponent = (code >> mantissaBits) & ((1 << exponentBits) - 1);
  const isNegative = code >> (mantissaBits + exponentBits) !== 0;
  const allOnes = (1 << exponentBits) - 1;
  if (specials === 'ieee' && exponent === allOnes)
    return mantissa !== 0 ? NaN : isNegative ? -Infinity : Infinity;
  if (specials === 'fn' && exponent === allOnes && mantissa === (1 << mantissaBits) - 1) return NaN;
  if (specials === 'fnuz' && isNegative && exponent === 0 && mantissa === 0) return NaN;
  const fraction = mantissa / 2 ** mantissaBits;
  const size = exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  return isNegative ? -size : size;
}
