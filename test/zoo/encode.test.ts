import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { bfloat16Bits, encodeFloats, encodeInt64, float16Bits, LOWEST } from '../../src/zoo/encode.js';

describe('constants of the zoo', () => {
  it('encode half precision as IEEE 754 does', () => {
    // Reference bits from the standard's tables.
    expect([0, 1, -2, 0.5, 65504, 2 ** -14, 2 ** -24, 1 / 3].map(float16Bits)).to.deep.equal([
      0, 0x3c00, 0xc000, 0x3800, 0x7bff, 0x0400, 0x0001, 0x3555,
    ]);
    expect([Infinity, -Infinity, 1e6, NaN, -0].map(float16Bits)).to.deep.equal([
      0x7c00, 0xfc00, 0x7c00, 0x7e00, 0x8000,
    ]);
  });

  it('round half precision to the even neighbour, into the next exponent where needed', () => {
    expect(float16Bits(2049)).to.equal(float16Bits(2048));
    expect(float16Bits(2051)).to.equal(float16Bits(2052));
    expect(float16Bits(2047.9)).to.equal(float16Bits(2048));
    expect(float16Bits(2 ** -25)).to.equal(0);
  });

  it('encode bfloat16 as the rounded upper half of a float32', () => {
    expect([1, -2, 3.140625, 1 / 3, 0].map(bfloat16Bits)).to.deep.equal([0x3f80, 0xc000, 0x4049, 0x3eab, 0]);
    expect(bfloat16Bits(NaN)).to.equal(0x7fc0);
  });

  it('know the lowest finite number of each type', () => {
    expect([...encodeFloats([LOWEST[DType.FLOAT]], DType.FLOAT)]).to.deep.equal([0xff, 0xff, 0x7f, 0xff]);
    expect(float16Bits(LOWEST[DType.FLOAT16])).to.equal(0xfbff);
    expect(bfloat16Bits(LOWEST[DType.BFLOAT16])).to.equal(0xff7f);
  });

  it('encode int64 little-endian to its ends', () => {
    expect([...encodeInt64([-1n, 2n ** 63n - 1n])]).to.deep.equal([...Array<number>(15).fill(255), 127]);
  });
});
