/** Half-precision patterns and numbers. */
import { DType } from '../../model/index.js';
import { minifloat } from '../../model/minifloat.js';

/** IEEE 754 binary16 pattern to its value. */
export function fromHalf(pattern: number): number {
  return minifloat(DType.FLOAT16, pattern);
}

const scratch = new DataView(new ArrayBuffer(4));

/** Nearest binary16 pattern, ties to even; infinite where the value is too large. */
export function toHalf(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  const mantissa = bits & 0x7fffff;
  if (exponent >= 31) return sign | (Number.isNaN(value) ? 0x7e00 : 0x7c00);
  if (exponent <= 0) {
    if (exponent < -10) return sign;
    return sign | roundShift(mantissa | 0x800000, 14 - exponent);
  }
  // A mantissa that rounds up to 2^10 carries into the exponent, as it should.
  return sign | ((exponent << 10) + roundShift(mantissa, 13));
}

function roundShift(value: number, bits: number): number {
  const half = 2 ** (bits - 1);
  const rest = value & (2 ** bits - 1);
  const whole = value >>> bits;
  return rest > half || (rest === half && (whole & 1) === 1) ? whole + 1 : whole;
}
