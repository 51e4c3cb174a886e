/** The small parts of splitting: sharded dimensions and factors, collectives on arrays, half precision, numpy's files. */
import { expect } from 'chai';
import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gatherOf, sumOf } from '../../src/emit/split/execute.js';
import { fromHalf, toHalf } from '../../src/emit/split/half.js';
import { givenInputs } from '../../src/emit/split/givenInputs.js';
import { cutOf, shardingOf } from '../../src/emit/split/sharding.js';
import { weightBytes } from '../../src/emit/split/weights.js';
import type { FactorRule } from '../../src/ops/types.js';
import { PartitionError } from '../../src/util/errors.js';

const floats = (data: number[], dims: number[]) => ({ type: 'float32', data: Float32Array.from(data), dims });

describe('sharded dimensions and factors', () => {
  // A reshape [batch, 3*4*16] -> [batch, 3, 4, 16].
  const rule: FactorRule = {
    factors: [7, 3, 4, 16].map((size) => ({ size, kind: 'parallel' })),
    inputs: [[[0], [1, 2, 3]]],
    outputs: [[[0], [1], [2], [3]]],
  };

  it('a fused dimension in three blocks is the heads cut', () => {
    const cut = cutOf(rule, rule.inputs[0], { axis: 1, blocks: 3 }, 2)!;
    expect(cut).to.deep.equal({ factor: 2, inner: 1 });
    expect(shardingOf(rule, rule.outputs[0], cut)).to.deep.equal({ axis: 2, blocks: 1 });
  });

  it('the same dimension in one block would cut inside a factor that does not divide', () => {
    expect(cutOf(rule, rule.inputs[0], { axis: 1, blocks: 1 }, 2)).to.equal(null);
    expect(cutOf(rule, rule.inputs[0], { axis: 1, blocks: 1 }, 3)).to.deep.equal({ factor: 1, inner: 1 });
  });

  it('a cut leaves and comes back the same', () => {
    const sizes = fc.constantFrom(1, 2, 3, 4, 6, 8);
    fc.assert(
      fc.property(
        sizes,
        sizes,
        sizes,
        fc.constantFrom(1, 2, 3, 4),
        fc.constantFrom(2, 4),
        (a, b, c, inner, tp) => {
          const flat: FactorRule = {
            factors: [a, b, c].map((size) => ({ size, kind: 'parallel' })),
            inputs: [[[0, 1, 2]]],
            outputs: [[[0], [1], [2]]],
          };
          for (let factor = 0; factor < 3; factor++) {
            if (flat.factors[factor].size % (inner * tp) !== 0) continue;
            const there = shardingOf(flat, flat.inputs[0], { factor, inner })!;
            expect(cutOf(flat, flat.inputs[0], there, tp)).to.deep.equal({ factor, inner });
          }
        },
      ),
    );
  });
});

describe('collectives in process', () => {
  it('a sum adds element by element, in halves too', () => {
    expect([...sumOf([floats([1, 2], [2]), floats([10, 20], [2])]).data]).to.deep.equal([11, 22]);
    const half = (value: number) => ({ type: 'float16', data: Uint16Array.of(toHalf(value)), dims: [1] });
    expect(fromHalf(Number(sumOf([half(1.5), half(-0.25)]).data[0]))).to.equal(1.25);
    const wide = (value: bigint) => ({ type: 'int64', data: BigInt64Array.of(value), dims: [1] });
    expect(sumOf([wide(2n ** 53n), wide(1n)]).data[0]).to.equal(2n ** 53n + 1n);
  });

  it('shards of any weight join to the weight again', () => {
    const small = fc.integer({ min: 1, max: 3 });
    fc.assert(
      fc.property(
        small,
        small,
        small,
        small,
        fc.constantFrom(2, 4),
        fc.constantFrom(0, 1, 2),
        (a, b, c, blocks, tp, axis) => {
          const dims = [a, b, c].map((d, k) => (k === axis ? d * blocks * tp : d));
          const values = Float32Array.from({ length: dims.reduce((x, y) => x * y, 1) }, (_, i) => i);
          const tensor = {
            ...{ name: 'w', dims, dataType: 1, stringData: [], externalData: [], metadataProps: [] },
            rawData: { kind: 'bytes' as const, bytes: new Uint8Array(values.buffer) },
          };
          const parts = Array.from({ length: tp }, (_, rank) => {
            const source = { kind: 'tensor' as const, tensor, sharding: { axis, blocks } };
            const shard = weightBytes(source, rank, tp, 'model.onnx')!;
            const bytes = new Uint8Array(shard.sizeBytes);
            let at = 0;
            shard.visit((chunk) => {
              bytes.set(chunk, at);
              at += chunk.length;
            });
            expect(at).to.equal(shard.sizeBytes);
            return { type: 'float32', data: new Float32Array(bytes.buffer), dims: shard.dims };
          });
          const whole = gatherOf(parts, axis, dims[axis] / blocks / tp);
          expect(whole.dims).to.deep.equal(dims);
          expect([...whole.data]).to.deep.equal([...values]);
        },
      ),
    );
  });
});

describe('half precision', () => {
  it('every finite pattern is its own value rounded', () => {
    for (let pattern = 0; pattern < 65536; pattern++) {
      const value = fromHalf(pattern);
      if (Number.isNaN(value)) expect(fromHalf(toHalf(value))).to.be.NaN;
      else expect(toHalf(value), `pattern ${pattern}`).to.equal(pattern);
    }
  });

  it('a value between two patterns goes to the nearer one, halfway to the even one', () => {
    expect(fromHalf(toHalf(2049))).to.equal(2048);
    expect(fromHalf(toHalf(2051))).to.equal(2052);
    expect(fromHalf(toHalf(65519))).to.equal(65504);
    expect(fromHalf(toHalf(65520))).to.equal(Infinity);
    expect(fromHalf(toHalf(1e-9))).to.equal(0);
  });
});

describe('inputs that are given', () => {
  const folder = mkdtempSync(join(tmpdir(), 'inputs-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const refused = (name: string, content: string | Uint8Array, pattern: RegExp): void => {
    writeFileSync(join(folder, name), content);
    expect(() => givenInputs(join(folder, name))).to.throw(PartitionError, pattern);
  };

  it('JSON is read with its shapes', () => {
    const inputs = [{ name: 'x', dtype: 'int64', shape: [1, 2], data: [3, 4] }];
    writeFileSync(join(folder, 'x.json'), JSON.stringify({ inputs }));
    const { x } = givenInputs(join(folder, 'x.json'));
    expect(x).to.deep.equal({ type: 'int64', data: BigInt64Array.of(3n, 4n), dims: [1, 2] });
  });

  it('what is no such file is refused with its field', () => {
    refused('a.json', '[1, 2', /expected inputs in JSON/);
    refused('b.json', '{"x": 1}', /a list under "inputs"/);
    refused(
      'c.json',
      '{"inputs": [{"name": "x", "dtype": "int65", "shape": [], "data": [1]}]}',
      /inputs\[0\]\.dtype/,
    );
    refused(
      'd.json',
      '{"inputs": [{"name": "x", "dtype": "int64", "shape": [3], "data": [1]}]}',
      /expected 3 elements/,
    );
    refused(
      'e.json',
      '{"inputs": [{"name": "x", "dtype": "int64", "shape": [1], "data": [1.5]}]}',
      /a whole number/,
    );
    refused('f.npz', 'no archive', /expected a \.npz archive/);
    refused('g.npz', Buffer.concat([Buffer.from('PK\x05\x06', 'latin1'), Buffer.alloc(18, 1)]), /damaged/);
  });
});
