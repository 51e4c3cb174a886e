import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { symbol } from '../../src/ops/dim.js';
import { family as joins } from '../../src/ops/concat_split.js';
import { family } from '../../src/ops/movement.js';
import { family as slices } from '../../src/ops/slice_pad.js';
import type { Dim } from '../../src/ops/types.js';
import { described, failure, infer, layoutText, shapes, type Case } from '../support/op_harness.js';

const ints = (...value: Dim[]) => ({ dims: [value.length], dtype: DType.INT64, value });
const s = symbol('s');

const layouts = (f: typeof family, op: string, c: Case): string => {
  const { factors } = described(f, op, c);
  const side = (list: readonly (readonly (readonly number[])[] | null)[]) =>
    list
      .filter((l) => l !== null)
      .map((l) => layoutText(factors, l))
      .join(', ');
  return `${side(factors!.inputs)} -> ${side(factors!.outputs)}`;
};

describe('Transpose', () => {
  it('permutes dimensions, values and factors', () => {
    expect(shapes(family, 'Transpose', { inputs: [['b', 3, 5]], attrs: { perm: [2, 0, 1] } })).to.deep.equal([
      [5, 'b', 3],
    ]);
    expect(shapes(family, 'Transpose', { inputs: [['b', 3]] })).to.deep.equal([[3, 'b']]);
    const v = { dims: [2, 3], dtype: DType.INT64, value: [1, 2, 3, 4, 5, 6] };
    expect(infer(family, 'Transpose', { inputs: [v] }).values[0]!.elements).to.deep.equal([1, 4, 2, 5, 3, 6]);
    expect(layouts(family, 'Transpose', { inputs: [[2, 3, 5]], attrs: { perm: [2, 0, 1] } })).to.equal(
      '2p0 3p1 5p2 -> 5p2 2p0 3p1',
    );
  });

  it('rejects what is no permutation', () => {
    for (const perm of [[0, 0], [0], [0, 2], [-1, 0]]) {
      expect(failure(family, 'Transpose', { inputs: [[2, 3]], attrs: { perm } })).to.contain(
        'no permutation',
      );
    }
  });
});

describe('Expand and Tile', () => {
  it('stretch dimensions of 1 and add new ones; stretched ones have no factor in the input', () => {
    expect(shapes(family, 'Expand', { inputs: [['b', 1, 4], ints(2, 1, 8, 1)] })).to.deep.equal([
      [2, 'b', 8, 4],
    ]);
    expect(layouts(family, 'Expand', { inputs: [[3, 1], ints(2, 3, 4)] })).to.equal(
      '3p1 , 3w3 -> 2p0 3p1 4p2',
    );
    expect(failure(family, 'Expand', { inputs: [[3], ints(4)] })).to.contain('broadcast');
  });

  it('repeat whole dimensions: an output dimension is [repeat, dimension]', () => {
    expect(shapes(family, 'Tile', { inputs: [['b', 3], ints(2, s)] })).to.deep.equal([['2*b', '3*s']]);
    expect(layouts(family, 'Tile', { inputs: [[2, 3], ints(1, 4)] })).to.equal('2p0 3p1, 2w3 -> 2p0 4p2*3p1');
    const v = { dims: [2], dtype: DType.INT64, value: [7, 8] };
    expect(infer(family, 'Tile', { inputs: [v, ints(2)] }).values[0]!.elements).to.deep.equal([7, 8, 7, 8]);
    expect(failure(family, 'Tile', { inputs: [[2, 3], ints(2)] })).to.contain('1 repeats');
  });
});

describe('moving between channels and space', () => {
  it('keeps the blocks as factors', () => {
    const c = { inputs: [[2, 12, 5, 7]], attrs: { blocksize: 2 } };
    expect(shapes(family, 'DepthToSpace', c)).to.deep.equal([[2, 3, 10, 14]]);
    expect(layouts(family, 'DepthToSpace', c)).to.equal('2p0 2p3*2p5*3p1 5p2 7p4 -> 2p0 3p1 5p2*2p3 7p4*2p5');
    const back = { inputs: [[2, 3, 10, 14]], attrs: { blocksize: 2 } };
    expect(shapes(family, 'SpaceToDepth', back)).to.deep.equal([[2, 12, 5, 7]]);
    expect(failure(family, 'SpaceToDepth', { inputs: [[2, 3, 9, 14]], attrs: { blocksize: 2 } })).to.contain(
      'no multiple',
    );
  });
});

describe('Concat', () => {
  it('adds up the axis and keeps what either input knows of the others', () => {
    expect(
      shapes(joins, 'Concat', {
        inputs: [
          ['b', 'p', 8],
          ['b', 's', 8],
        ],
        attrs: { axis: -2 },
      }),
    ).to.deep.equal([['b', 'p + s', 8]]);
    expect(
      shapes(joins, 'Concat', {
        inputs: [
          ['b', 2],
          [4, 3],
        ],
        attrs: { axis: 1 },
      }),
    ).to.deep.equal([[4, 5]]);
    expect(
      failure(joins, 'Concat', {
        inputs: [
          [2, 3],
          [4, 3],
        ],
        attrs: { axis: 1 },
      }),
    ).to.contain('[2, 3] and [4, 3]');
    expect(failure(joins, 'Concat', { inputs: [[2], [2]], attrs: { axis: 99 } })).to.contain('axis 99');
  });

  it('joins known shape vectors and names what is not known', () => {
    const c = { inputs: [ints(s, 2), { dims: [1], dtype: DType.INT64 }], attrs: { axis: 0 } };
    const { elements } = infer(joins, 'Concat', c).values[0]!;
    expect(elements.slice(0, 2)).to.deep.equal([s, 2]);
    expect((elements[2] as { text: string }).text).to.match(/^unk__/);
  });

  it('shards inside equal parts, and not across unequal ones', () => {
    expect(
      layouts(joins, 'Concat', {
        inputs: [
          [4, 6],
          [4, 6],
        ],
        attrs: { axis: 1 },
      }),
    ).to.equal('4p0 6p2, 4p0 6p2 -> 4p0 2w1*6p2');
    expect(
      layouts(joins, 'Concat', {
        inputs: [
          [4, 3],
          [4, 5],
        ],
        attrs: { axis: 1 },
      }),
    ).to.equal('4p0 3w2, 4p0 5w3 -> 4p0 8w1');
  });
});

describe('Split', () => {
  it('cuts into given sizes or equal parts', () => {
    const given = { inputs: [['b', 10], ints(4, 6)], attrs: { axis: 1 }, outputs: 2 };
    expect(shapes(joins, 'Split', given)).to.deep.equal([
      ['b', 4],
      ['b', 6],
    ]);
    expect(
      shapes(joins, 'Split', { inputs: [['b', 12]], attrs: { axis: -1, num_outputs: 3 }, outputs: 3 })[2],
    ).to.deep.equal(['b', 4]);
    expect(shapes(joins, 'Split', { inputs: [[10]], attrs: { num_outputs: 3 }, outputs: 3 })).to.deep.equal([
      [4],
      [4],
      [2],
    ]);
    expect(
      shapes(joins, 'Split', { inputs: [['n']], attrs: { split: [2, 3] }, version: 11, outputs: 2 }),
    ).to.deep.equal([[2], [3]]);
    expect(failure(joins, 'Split', { ...given, inputs: [['b', 11], ints(4, 6)] })).to.contain('add up to 10');
  });

  it('of a fused projection shards inside each part', () => {
    const qkv = { inputs: [[4, 36]], attrs: { axis: 1, num_outputs: 3 }, outputs: 3 };
    expect(layouts(joins, 'Split', qkv)).to.equal('4p0 3w1*12p2 -> 4p0 12p2, 4p0 12p2, 4p0 12p2');
    const grouped = { inputs: [[4, 48], ints(32, 8, 8)], attrs: { axis: 1 }, outputs: 3 };
    expect(layouts(joins, 'Split', grouped)).to.equal('4p0 6w1*8p2, 3w4 -> 4p0 4w3*8p2, 4p0 8p2, 4p0 8p2');
  });
});

describe('Slice', () => {
  const length = (size: number | string, start: Dim, end: Dim, step = 1) =>
    shapes(slices, 'Slice', { inputs: [[size], ints(start), ints(end), ints(0), ints(step)] })[0]![0];
  const MAX = 2 ** 63;

  it('counts elements as Python does', () => {
    for (const [size, start, end, step] of [
      [10, 2, 8, 1],
      [10, -3, MAX, 1],
      [10, 0, -1, 2],
      [10, 8, 2, 1],
      [10, -1, -MAX, -1],
      [10, 7, 1, -3],
      [5, 0, 99, 2],
      [10, -20, 3, 1],
    ]) {
      const indices = Array.from({ length: size }, (_, i) => i);
      const clamp = (x: number, low: number, high: number) =>
        Math.min(high, Math.max(low, x < 0 ? x + size : x));
      const [from, to] =
        step > 0
          ? [clamp(start, 0, size), clamp(end, 0, size)]
          : [clamp(start, 0, size - 1), clamp(end, -1, size - 1)];
      const expected = indices.filter((i) =>
        step > 0
          ? i >= from && i < to && (i - from) % step === 0
          : i <= from && i > to && (from - i) % -step === 0,
      );
      expect(length(size, start, end, step), `${String(start)}:${String(end)}:${String(step)}`).to.equal(
        expected.length,
      );
    }
  });

  it('keeps symbols: to the end, from the end, up to a dimension', () => {
    expect(length('s', 0, MAX)).to.equal('s');
    expect(length('s', 1, MAX)).to.equal('s - 1');
    expect(length('s', 0, -1)).to.equal('s - 1');
    expect(length('s', -1, MAX)).to.equal(1);
    expect(length(1024, 0, s)).to.equal('min(1024, s)');
    expect(length('s', 0, s)).to.equal('s');
  });

  it('takes attributes before opset 10 and slices known vectors', () => {
    expect(
      shapes(slices, 'Slice', {
        inputs: [['b', 9]],
        attrs: { starts: [1], ends: [4], axes: [1] },
        version: 9,
      }),
    ).to.deep.equal([['b', 3]]);
    const v = infer(slices, 'Slice', { inputs: [ints(1, s, 3, 4), ints(-1), ints(-9), ints(0), ints(-2)] })
      .values[0]!;
    expect(v.elements).to.deep.equal([4, s]);
  });

  it('leaves the other axes free; one of equal chunks shards inside the chunk', () => {
    const half = { inputs: [[4, 8], ints(4), ints(MAX), ints(1)] };
    expect(layouts(slices, 'Slice', half)).to.equal('4p0 2w1*4p2, 1w3, 1w4, 1w5 -> 4p0 4p2');
    const odd = { inputs: [[4, 8], ints(1), ints(MAX), ints(1)] };
    expect(layouts(slices, 'Slice', odd)).to.equal('4p0 8w1, 1w3, 1w4, 1w5 -> 4p0 7w2');
  });

  it('rejects a step of 0 and an axis that is not there', () => {
    expect(failure(slices, 'Slice', { inputs: [[4], ints(0), ints(4), ints(0), ints(0)] })).to.contain(
      'step of 0',
    );
    expect(failure(slices, 'Slice', { inputs: [[4], ints(0), ints(4), ints(3)] })).to.contain('axis 3');
  });
});

describe('Pad', () => {
  it('adds amounts to every axis or to named ones', () => {
    expect(shapes(slices, 'Pad', { inputs: [['b', 4], ints(0, 1, 0, 2)] })).to.deep.equal([['b', 7]]);
    expect(shapes(slices, 'Pad', { inputs: [['b', 4], ints(1, 2), [], ints(-1)] })).to.deep.equal([['b', 7]]);
    expect(
      shapes(slices, 'Pad', { inputs: [[3, 4]], attrs: { pads: [0, 1, 0, 2] }, version: 2 }),
    ).to.deep.equal([[3, 7]]);
    expect(failure(slices, 'Pad', { inputs: [[3, 4], ints(1, 1)] })).to.contain('2 amounts');
  });
});
