import { expect } from 'chai';
import fc from 'fast-check';
import { DType } from '../../src/model/dtype.js';
import { symbol } from '../../src/ops/dim.js';
import { refineShapes } from '../../src/ops/refine.js';
import { family } from '../../src/ops/reshape.js';
import { family as shapeFamily } from '../../src/ops/shape_ops.js';
import type { Dim } from '../../src/ops/types.js';
import { described, failure, infer, layoutText, shapes } from '../support/op_harness.js';

const to = (...value: Dim[]) => ({ dims: [value.length], dtype: DType.INT64, value });

describe('Reshape', () => {
  it('computes -1 by dividing volumes, symbols included', () => {
    expect(shapes(family, 'Reshape', { inputs: [['b', 's', 768], to(0, 0, 12, 64)] })).to.deep.equal([
      ['b', 's', 12, 64],
    ]);
    expect(shapes(family, 'Reshape', { inputs: [['b', 's', 768], to(-1, 768)] })).to.deep.equal([
      ['b*s', 768],
    ]);
    expect(
      shapes(family, 'Reshape', { inputs: [['b', 's', 768], to(symbol('b'), -1, 12, 64)] }),
    ).to.deep.equal([['b', 's', 12, 64]]);
    expect(shapes(family, 'Reshape', { inputs: [['b', 's'], to(4, -1)] })).to.deep.equal([
      [4, 'floor((b*s)/(4))'],
    ]);
  });

  it('copies a dimension for 0, unless zeros are allowed', () => {
    expect(shapes(family, 'Reshape', { inputs: [[0, 4], to(0, -1)] })).to.deep.equal([[0, 0]]);
    expect(shapes(family, 'Reshape', { inputs: [[0, 4], to(4, 0)], attrs: { allowzero: 1 } })).to.deep.equal([
      [4, 0],
    ]);
  });

  it('knows the rank from the length of an unknown target', () => {
    const c = { inputs: [[2, 3], { dims: [3], dtype: DType.INT64 }] } as const;
    expect(shapes(family, 'Reshape', c)[0]).to.have.length(3);
    expect(shapes(family, 'Reshape', { inputs: [{ dims: null }, to(2, -1)] })[0]![0]).to.equal(2);
  });

  it('takes the target as an attribute before opset 5', () => {
    expect(shapes(family, 'Reshape', { inputs: [[6]], attrs: { shape: [2, -1] }, version: 1 })).to.deep.equal(
      [[2, 3]],
    );
  });

  it('rejects two -1, volumes that differ and dimensions that are not there', () => {
    expect(failure(family, 'Reshape', { inputs: [[4], to(-1, -1)] })).to.contain('two -1');
    expect(failure(family, 'Reshape', { inputs: [[2, 3], to(4)] })).to.contain('6 elements');
    expect(failure(family, 'Reshape', { inputs: [[7], to(2, -1)] })).to.contain('no multiple');
    expect(failure(family, 'Reshape', { inputs: [[4], to(4, 0)] })).to.contain('rank-1');
    expect(failure(family, 'Reshape', { inputs: [[4], to(-2)] })).to.contain('-2');
  });

  it('costs nothing and keeps nothing', () => {
    const d = described(family, 'Reshape', { inputs: [[2, 6], to(12)] });
    expect(d.work).to.deep.equal({ flop: 0, kernel: 'view' });
    expect(d.backward).to.deep.include({ savesInputs: [], savesOutputs: [] });
  });
});

describe('factors across a reshape', () => {
  const text = (from: number[], target: number[], inferred = -1): string => {
    const r = refineShapes(from, target, inferred);
    const rule = { factors: r.factors, inputs: [], outputs: [] };
    return `${layoutText(rule, r.from)} -> ${layoutText(rule, r.to)}`;
  };

  it('split heads out of the hidden dimension and merge batch with sequence', () => {
    expect(text([2, 16, 768], [2, 16, 12, 64])).to.equal('2p0 16p1 12p2*64p3 -> 2p0 16p1 12p2 64p3');
    expect(text([2, 16, 768], [32, 768])).to.equal('2p0 16p1 768p2 -> 2p0*16p1 768p2');
    expect(text([2, 16, 768], [32, 12, 64])).to.equal('2p0 16p1 12p2*64p3 -> 2p0*16p1 12p2 64p3');
    expect(text([8, 6], [4, 12])).to.equal('4p0*2p1 6p2 -> 4p0 2p1*6p2');
  });

  it('may not split where boundaries do not nest', () => {
    expect(text([5, 6, 4], [5, 4, 6])).to.equal('5p0 6w1 4w2 -> 5p0 4w3 6w4');
  });

  it('keep a batch axis of size 1 recognisable', () => {
    expect(text([1, 16, 64], [1, 16, 4, 16])).to.equal('1p0 16p1 4p2*16p3 -> 1p0 16p1 4p2 16p3');
    expect(text([1, 16, 64], [16, 64])).to.equal('1p0 16p1 64p2 -> 1p0*16p1 64p2');
    // Sequence first: a larger batch would end up in the dimension that is computed.
    expect(text([16, 1, 64], [16, 64], 0)).to.equal('16p0 1p1 64p2 -> 16p0*1p1 64p2');
  });

  it('always multiply to the dimensions they index', () => {
    const dims = fc.array(fc.constantFrom(1, 2, 3, 4, 6, 12), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        dims,
        fc.array(fc.nat(4), { maxLength: 3 }),
        fc.array(fc.nat(5), { maxLength: 2 }),
        (from, merges, ones) => {
          // Any target of equal volume: merge neighbours, then insert ones.
          const target: number[] = [...from];
          for (const m of merges) if (m + 1 < target.length) target.splice(m, 2, target[m] * target[m + 1]);
          for (const o of ones) target.splice(Math.min(o, target.length), 0, 1);
          for (const inferred of [-1, 0]) {
            const r = refineShapes(from, target, inferred);
            const volume = (ids: number[]) => ids.reduce((p, id) => p * r.factors[id].size, 1);
            expect(r.from.map(volume)).to.deep.equal(from);
            expect(r.to.map(volume)).to.deep.equal(target);
            // Merging never needs a dimension that may not be split.
            expect(r.factors.every((f) => f.kind === 'parallel')).to.equal(true);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('other views', () => {
  it('Flatten folds on both sides of its axis', () => {
    expect(shapes(family, 'Flatten', { inputs: [['b', 3, 4]] })).to.deep.equal([['b', 12]]);
    expect(shapes(family, 'Flatten', { inputs: [['b', 3, 4]], attrs: { axis: 3 } })).to.deep.equal([
      ['12*b', 1],
    ]);
    expect(shapes(family, 'Flatten', { inputs: [['b', 3]], attrs: { axis: 0 } })).to.deep.equal([[1, '3*b']]);
  });

  it('Squeeze and Unsqueeze take axes as attribute or input', () => {
    expect(
      shapes(family, 'Squeeze', { inputs: [[1, 'b', 1]], attrs: { axes: [0, -1] }, version: 11 }),
    ).to.deep.equal([['b']]);
    expect(shapes(family, 'Squeeze', { inputs: [[1, 3, 1]] })).to.deep.equal([[3]]);
    expect(shapes(family, 'Unsqueeze', { inputs: [['b'], to(0, -1)] })).to.deep.equal([[1, 'b', 1]]);
    expect(failure(family, 'Squeeze', { inputs: [[2, 3], to(0)] })).to.contain('not 1');
    expect(failure(family, 'Unsqueeze', { inputs: [['b'], to(5)] })).to.contain('outside');
  });

  it('map dimensions of size 1 by position, not by order', () => {
    const layouts = (op: string, c: Parameters<typeof described>[2]) => {
      const { factors } = described(family, op, c);
      return `${layoutText(factors, factors!.inputs[0])} -> ${layoutText(factors, factors!.outputs[0])}`;
    };
    expect(layouts('Unsqueeze', { inputs: [[1, 16], to(0)] })).to.equal('1p0 16p1 ->  1p0 16p1');
    expect(layouts('Squeeze', { inputs: [[1, 1, 16], to(0)] })).to.equal('1p0 1p1 16p2 -> 1p1 16p2');
    expect(layouts('Squeeze', { inputs: [[1, 16, 1]] })).to.equal('1p0 16p1 1p2 -> 16p1');
    expect(layouts('Flatten', { inputs: [[2, 1, 4]], attrs: { axis: 2 } })).to.equal(
      '2p0 1p1 4p2 -> 2p0*1p1 4p2',
    );
  });

  it('Shape is the shape, cut as opset 15 allows; Size its volume', () => {
    expect(infer(shapeFamily, 'Shape', { inputs: [['b', 3, 4]] }).values[0]!.elements).to.deep.equal([
      symbol('b'),
      3,
      4,
    ]);
    const cut = infer(shapeFamily, 'Shape', { inputs: [['b', 3, 4]], attrs: { start: -2, end: 9 } });
    expect(cut.values[0]!.elements).to.deep.equal([3, 4]);
    expect(infer(shapeFamily, 'Size', { inputs: [[2, 3]] }).values[0]!.elements).to.deep.equal([6]);
  });
});
