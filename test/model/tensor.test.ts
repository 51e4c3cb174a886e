import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkModel,
  DType,
  readInts,
  readNumbers,
  tensorBytes,
  tensorElementCount,
} from '../../src/model/index.js';
import type { TensorProto } from '../../src/model/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { bytes, graph, model, tensor } from './support.js';

/** Varints of signed 64-bit values, as int32_data and int64_data hold them. */
function packed(...values: (number | bigint)[]): { kind: 'bytes'; bytes: Uint8Array } {
  const out: number[] = [];
  for (const value of values) {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
    out.push(Number(rest));
  }
  return bytes(...out);
}

function raw(array: ArrayBufferView): { kind: 'bytes'; bytes: Uint8Array } {
  return { kind: 'bytes', bytes: new Uint8Array(array.buffer, array.byteOffset, array.byteLength) };
}

const numbers = (t: TensorProto): number[] | null => {
  const found = readNumbers(t, 100);
  return found === null ? null : [...found];
};

const accepts = (t: TensorProto): void => {
  checkModel({ ...model({}), graph: graph({ initializer: [t] }) }, 'test');
};

describe('elements of small tensors', () => {
  const rawCases: [DType, ArrayBufferView, number[]][] = [
    [DType.FLOAT, Float32Array.of(1.5, -2), [1.5, -2]],
    [DType.DOUBLE, Float64Array.of(0.1, -2), [0.1, -2]],
    [DType.INT64, BigInt64Array.of(-3n, 5n), [-3, 5]],
    [DType.UINT64, BigUint64Array.of(3n, 5n), [3, 5]],
    [DType.INT32, Int32Array.of(-3, 5), [-3, 5]],
    [DType.UINT32, Uint32Array.of(4294967295, 5), [4294967295, 5]],
    [DType.INT16, Int16Array.of(-3, 5), [-3, 5]],
    [DType.UINT16, Uint16Array.of(65535, 5), [65535, 5]],
    [DType.INT8, Int8Array.of(-3, 5), [-3, 5]],
    [DType.UINT8, Uint8Array.of(255, 5), [255, 5]],
    [DType.BOOL, Uint8Array.of(1, 0), [1, 0]],
    [DType.FLOAT16, Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00), [1, -2, 2 ** -24, Infinity]],
    [DType.BFLOAT16, Uint16Array.of(0x3f80, 0xc000, 0xff80), [1, -2, -Infinity]],
    [DType.FLOAT8E4M3FN, Uint8Array.of(0x38, 0x7e, 0x01, 0xff), [1, 448, 2 ** -9, NaN]],
    [DType.FLOAT8E4M3FNUZ, Uint8Array.of(0x40, 0x7f, 0x80), [1, 240, NaN]],
    [DType.FLOAT8E5M2, Uint8Array.of(0x3c, 0x7b, 0x7c, 0xfe), [1, 57344, Infinity, NaN]],
    [DType.FLOAT8E5M2FNUZ, Uint8Array.of(0x40, 0x7f, 0x80), [1, 57344, NaN]],
    [DType.FLOAT8E8M0, Uint8Array.of(127, 128, 0, 255), [1, 2, 2 ** -127, NaN]],
    [DType.UINT4, Uint8Array.of(0xf1, 0x02), [1, 15, 2]],
    [DType.INT4, Uint8Array.of(0xf1, 0x08), [1, -1, -8]],
    [DType.FLOAT4E2M1, Uint8Array.of(0x72, 0x09), [1, 6, -0.5]],
    [DType.UINT2, Uint8Array.of(0b11100100, 0b10), [0, 1, 2, 3, 2]],
    [DType.INT2, Uint8Array.of(0b11100100, 0b10), [0, 1, -2, -1, -2]],
    // Six-bit codes 8, 31, 63 as one stream from the low bit up: 1, 7.5, -7.5.
    [DType.FLOAT6E2M3, Uint8Array.of(8 | (3 << 6), 7 | (15 << 4), 3), [1, 7.5, -7.5]],
    [DType.FLOAT6E3M2, Uint8Array.of(12 | (3 << 6), 7 | (15 << 4), 3), [1, 28, -28]],
  ];
  for (const [dtype, data, expected] of rawCases) {
    it(`${DType[dtype]} is read from raw_data, and its size is known`, () => {
      const t = tensor('t', dtype, [expected.length], { rawData: raw(data) });
      expect(numbers(t)).to.deep.equal(expected);
      expect(tensorBytes(t)).to.equal(data.byteLength);
      accepts(t);
    });
  }

  const typedCases: [DType, Partial<TensorProto>, number[]][] = [
    [DType.FLOAT, { floatData: raw(Float32Array.of(1.5, -2)) }, [1.5, -2]],
    [DType.DOUBLE, { doubleData: raw(Float64Array.of(0.1)) }, [0.1]],
    [DType.INT64, { int64Data: packed(-3, 300) }, [-3, 300]],
    [DType.INT32, { int32Data: packed(-3, 300) }, [-3, 300]],
    [DType.INT16, { int32Data: packed(-3, 300) }, [-3, 300]],
    [DType.INT8, { int32Data: packed(-3, 100) }, [-3, 100]],
    [DType.UINT8, { int32Data: packed(255) }, [255]],
    [DType.UINT16, { int32Data: packed(65535) }, [65535]],
    [DType.BOOL, { int32Data: packed(0, 1) }, [0, 1]],
    [DType.FLOAT16, { int32Data: packed(0x3c00, 0xc000) }, [1, -2]],
    [DType.BFLOAT16, { int32Data: packed(0x3f80) }, [1]],
    [DType.FLOAT8E4M3FN, { int32Data: packed(0x38) }, [1]],
    [DType.UINT32, { uint64Data: packed(4294967295) }, [4294967295]],
    [DType.UINT64, { uint64Data: packed(7) }, [7]],
    [DType.INT4, { int32Data: packed(0xf1, 0x08) }, [1, -1, -8]],
    [DType.UINT2, { int32Data: packed(0b11100100) }, [0, 1, 2, 3]],
  ];
  for (const [dtype, data, expected] of typedCases) {
    it(`${DType[dtype]} is read from ${Object.keys(data)[0]}`, () => {
      const t = tensor('t', dtype, [expected.length], data);
      expect(numbers(t)).to.deep.equal(expected);
      accepts(t);
    });
  }

  it('integers beyond 2^53 are exact', () => {
    const signed = tensor('t', DType.INT64, [2], {
      rawData: raw(BigInt64Array.of(2n ** 53n + 1n, -(2n ** 63n))),
    });
    expect(readInts(signed, 2)).to.deep.equal([2n ** 53n + 1n, -(2n ** 63n)]);
    const unsigned = tensor('t', DType.UINT64, [1], { uint64Data: packed(2n ** 64n - 1n) });
    expect(readInts(unsigned, 1)).to.deep.equal([2n ** 64n - 1n]);
  });

  it('gives null for what is too large, textual, complex, absent or not an integer', () => {
    expect(numbers(tensor('t', DType.FLOAT, [101], { rawData: raw(new Float32Array(101)) }))).to.equal(null);
    expect(numbers(tensor('t', DType.STRING, [1], { stringData: [Uint8Array.of(65)] }))).to.equal(null);
    expect(numbers(tensor('t', DType.COMPLEX64, [1], { rawData: raw(new Float32Array(2)) }))).to.equal(null);
    expect(numbers(tensor('t', DType.FLOAT, [2]))).to.equal(null);
    expect(numbers(tensor('t', 99, [2], { rawData: bytes(1, 2) }))).to.equal(null);
    expect(readInts(tensor('t', DType.FLOAT, [1], { rawData: raw(Float32Array.of(1)) }), 1)).to.equal(null);
  });

  it('a scalar has one element, an empty tensor none', () => {
    expect(numbers(tensor('t', DType.FLOAT, [], { rawData: raw(Float32Array.of(3)) }))).to.deep.equal([3]);
    expect(numbers(tensor('t', DType.FLOAT, [4, 0]))).to.deep.equal([]);
  });

  it('sizes need no data and are exact beyond 32 bits', () => {
    const t = tensor('t', DType.FLOAT, [1 << 20, 1 << 20]);
    expect(tensorElementCount(t)).to.equal(2 ** 40);
    expect(tensorBytes(t)).to.equal(2 ** 42);
    expect(tensorBytes(tensor('t', DType.INT4, [5]))).to.equal(3);
    expect(tensorBytes(tensor('t', DType.FLOAT6E2M3, [5]))).to.equal(4);
    expect(() => tensorElementCount(tensor('t', DType.FLOAT, [2 ** 40, 2 ** 40]))).to.throw(
      PartitionError,
      /impossible/,
    );
    expect(() => tensorBytes(tensor('t', DType.FLOAT, [-1]))).to.throw(PartitionError, /impossible/);
  });

  it('small external data can be read when asked for, from beside the model only', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tensor-'));
    try {
      const path = join(folder, 'm.onnx');
      writeFileSync(path, '');
      writeFileSync(join(folder, 'w.bin'), raw(Float32Array.of(9, 1.5, 2.5)).bytes);
      const entry = (key: string, text: string): { key: string; value: string } => ({ key, value: text });
      const externalData = [entry('location', 'w.bin'), entry('offset', '4'), entry('length', '8')];
      const t = tensor('t', DType.FLOAT, [2], { dataLocation: 1, externalData });
      expect(readNumbers(t, 10, path)).to.deep.equal(Float64Array.of(1.5, 2.5));
      expect(readNumbers(t, 10)).to.equal(null);
      expect(
        readNumbers(
          tensor('t', DType.FLOAT, [9], { dataLocation: 1, externalData: externalData.slice(0, 1) }),
          10,
          path,
        ),
      ).to.equal(null);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
