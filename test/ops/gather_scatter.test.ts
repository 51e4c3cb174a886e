import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { symbol } from '../../src/ops/dim.js';
import { family } from '../../src/ops/gather_scatter.js';
import type { Dim } from '../../src/ops/types.js';
import { described, failure, infer, layoutText, shapes } from '../support/op_harness.js';

const ids = (...dims: (number | string)[]) => ({ dims, dtype: DType.INT64 });
const known = (dims: number[], ...value: Dim[]) => ({ dims, dtype: DType.INT64, value });
const table = (...dims: number[]) => ({ dims, parameter: true });

describe('Gather', () => {
  it('puts the indices in place of the axis', () => {
    expect(shapes(family, 'Gather', { inputs: [[50257, 768], ids('b', 's')] })).to.deep.equal([
      ['b', 's', 768],
    ]);
    expect(shapes(family, 'Gather', { inputs: [[3, 'n', 5], ids()], attrs: { axis: 1 } })).to.deep.equal([
      [3, 5],
    ]);
    expect(failure(family, 'Gather', { inputs: [[3], ids(2)], attrs: { axis: 1 } })).to.contain('axis 1');
  });

  it('reads known vectors, which is how shape arithmetic starts', () => {
    const s = symbol('s');
    expect(
      infer(family, 'Gather', { inputs: [known([3], 2, s, 4), known([], -2)] }).values[0]!.elements,
    ).to.deep.equal([s]);
    expect(failure(family, 'Gather', { inputs: [known([2], 2, 3), known([], 2)] })).to.contain('index 2');
  });

  it('from a table by data is a lookup: rows may be split; indices are parallel', () => {
    const d = described(family, 'Gather', { inputs: [table(100, 16), ids(2, 8)] });
    expect(layoutText(d.factors, d.factors!.inputs[0])).to.equal('100l0 16p1');
    expect(layoutText(d.factors, d.factors!.outputs[0])).to.equal('2p2 8p3 16p1');
    expect(d.backward).to.deep.equal({
      grads: [{ input: 0, flop: 256 }],
      savesInputs: [1],
      savesOutputs: [],
    });
    expect(d.work).to.deep.equal({ flop: 0, kernel: 'gather', touchedElements: 2 * 256 + 16 });
  });

  it('of constant rows of an activation is no lookup and keeps nothing', () => {
    const d = described(family, 'Gather', { inputs: [[3, 16], known([], 0)] });
    expect(d.factors!.factors[0].kind).to.equal('whole');
    expect(d.backward!.savesInputs).to.deep.equal([]);
  });
});

describe('GatherND and GatherElements', () => {
  it('index leading axes: expert weights picked per token', () => {
    expect(shapes(family, 'GatherND', { inputs: [[8, 'n', 5], ids('b', 4, 1)] })).to.deep.equal([
      ['b', 4, 'n', 5],
    ]);
    expect(
      shapes(family, 'GatherND', { inputs: [[2, 3, 5], ids(2, 4, 1)], attrs: { batch_dims: 1 } }),
    ).to.deep.equal([[2, 4, 5]]);
    const d = described(family, 'GatherND', { inputs: [table(8, 16, 5), ids(4, 1)] });
    expect(layoutText(d.factors, d.factors!.inputs[0])).to.equal('8l0 16p1 5p2');
    expect(failure(family, 'GatherND', { inputs: [[8], ids(4, 2)] })).to.contain('2 axes');
  });

  it('align all axes but one', () => {
    const d = described(family, 'GatherElements', { inputs: [[4, 9], ids(4, 3)], attrs: { axis: 1 } });
    expect(layoutText(d.factors, d.factors!.inputs[0])).to.equal('4p0 9l2');
    expect(layoutText(d.factors, d.factors!.outputs[0])).to.equal('4p0 3p1');
    expect(failure(family, 'GatherElements', { inputs: [[4, 9], ids(4)] })).to.contain('rank');
  });
});

describe('scatters', () => {
  it('have the shape of their data; indexed axes are whole, the rest parallel', () => {
    const d = described(family, 'ScatterND', { inputs: [[10, 16], ids(4, 1), [4, 16]] });
    expect(layoutText(d.factors, d.factors!.outputs[0])).to.equal('10w0 16p1');
    expect(layoutText(d.factors, d.factors!.inputs[2])).to.equal('4w2 16p1');
    expect(d.backward!.savesInputs).to.deep.equal([1]);
    expect(d.backward!.grads.map((g) => g.input)).to.deep.equal([0, 2]);
  });

  it('patch known vectors', () => {
    const c = { inputs: [known([3], 1, 2, 3), known([1, 1], -1), known([1], 9)] };
    expect(infer(family, 'ScatterND', c).values[0]!.elements).to.deep.equal([1, 2, 9]);
  });

  it('write one step into a cache without touching the rest', () => {
    const d = described(family, 'TensorScatter', { inputs: [[2, 4, 64, 16], [2, 4, 1, 16], ids(2)] });
    expect(layoutText(d.factors, d.factors!.outputs[0])).to.equal('2p0 4p1 64w2 16p3');
    expect(d.work!.touchedElements).to.equal(2 * 2 * 4 * 16);
  });
});

describe('sizes that depend on the data', () => {
  it('are fresh dimensions, unless the data is known', () => {
    expect(shapes(family, 'NonZero', { inputs: [['b', 3]] })).to.deep.equal([[2, 'unk__0']]);
    expect(infer(family, 'NonZero', { inputs: [known([4], 0, 1, 0, 1)] }).values[0]!.elements).to.deep.equal([
      1, 3,
    ]);
    expect(shapes(family, 'Compress', { inputs: [['b', 3], ids(3)], attrs: { axis: 1 } })).to.deep.equal([
      ['b', 'unk__0'],
    ]);
    expect(shapes(family, 'Unique', { inputs: [[2, 3]], outputs: 4 })).to.deep.equal([
      ['unk__0'],
      ['unk__0'],
      [6],
      ['unk__0'],
    ]);
  });
});
