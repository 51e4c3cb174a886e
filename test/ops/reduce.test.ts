import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { symbol, mul } from '../../src/ops/dim.js';
import { family } from '../../src/ops/reduce.js';
import { described, failure, infer, layoutText, shapes } from '../support/op_harness.js';

const ints = (...value: number[]) => ({ dims: [value.length], dtype: DType.INT64, value });

describe('reductions', () => {
  it('keep reduced axes as 1 unless told not to', () => {
    expect(
      shapes(family, 'ReduceMean', { inputs: [['b', 's', 8]], attrs: { axes: [-1] }, version: 13 }),
    ).to.deep.equal([['b', 's', 1]]);
    expect(
      shapes(family, 'ReduceMean', { inputs: [['b', 's', 8], ints(2)], attrs: { keepdims: 0 } }),
    ).to.deep.equal([['b', 's']]);
    expect(shapes(family, 'ReduceSum', { inputs: [['b', 3]] })).to.deep.equal([[1, 1]]);
    expect(
      shapes(family, 'ReduceSum', { inputs: [['b', 3], ints()], attrs: { noop_with_empty_axes: 1 } }),
    ).to.deep.equal([['b', 3]]);
    expect(
      shapes(family, 'ReduceMax', { inputs: [['b', 3], { dims: [1], dtype: DType.INT64 }] })[0],
    ).to.have.length(2);
    expect(failure(family, 'ReduceSum', { inputs: [[2, 3], ints(2)] })).to.contain('axis 2');
  });

  it('multiply known shapes', () => {
    const s = symbol('s');
    const v = { dims: [3], dtype: DType.INT64, value: [2, s, 3] };
    expect(
      infer(family, 'ReduceProd', { inputs: [v], attrs: { keepdims: 0 } }).values[0]!.elements,
    ).to.deep.equal([mul(s, 6)]);
  });

  it('split their axis into partial sums where the reduction is a sum', () => {
    const kind = (op: string) =>
      described(family, op, { inputs: [[4, 8], ints(1)] }).factors!.factors[1].kind;
    expect(kind('ReduceSum')).to.equal('contraction');
    expect(kind('ReduceMean')).to.equal('contraction');
    expect(kind('ReduceMax')).to.equal('whole');
    const d = described(family, 'ReduceSum', { inputs: [[4, 8], ints(1)] });
    expect(layoutText(d.factors, d.factors!.outputs[0])).to.equal('4p0 ');
    expect(d.factors!.linear).to.equal(true);
    expect(d.work).to.deep.equal({ flop: 32, kernel: 'reduce' });
  });

  it('save nothing for sums, input and output for extremes', () => {
    const saved = (op: string) => {
      const b = described(family, op, { inputs: [[4, 8]] }).backward!;
      return [b.savesInputs, b.savesOutputs];
    };
    expect(saved('ReduceMean')).to.deep.equal([[], []]);
    expect(saved('ReduceMax')).to.deep.equal([[0], [0]]);
    expect(saved('ReduceSumSquare')).to.deep.equal([[0], []]);
  });
});

describe('choosing along an axis', () => {
  it('ArgMax gives INT64 and no gradient', () => {
    const c = { inputs: [['b', 9]], attrs: { axis: -1, keepdims: 0 } } as const;
    expect(infer(family, 'ArgMax', c).types[0]).to.deep.include({ dtype: DType.INT64 });
    expect(shapes(family, 'ArgMax', c)).to.deep.equal([['b']]);
    expect(described(family, 'ArgMax', { inputs: [[2, 9]], attrs: { axis: -1 } }).backward).to.equal(null);
  });

  it('TopK takes k as an input or an attribute and keeps the indices', () => {
    expect(shapes(family, 'TopK', { inputs: [['b', 8], ints(2)], outputs: 2 })).to.deep.equal([
      ['b', 2],
      ['b', 2],
    ]);
    expect(
      shapes(family, 'TopK', { inputs: [['b', 8]], attrs: { k: 3 }, version: 1, outputs: 2 })[1],
    ).to.deep.equal(['b', 3]);
    const d = described(family, 'TopK', { inputs: [[4, 8], ints(2)], outputs: 2 });
    expect(d.backward).to.deep.equal({ grads: [{ input: 0, flop: 8 }], savesInputs: [], savesOutputs: [1] });
    expect(failure(family, 'TopK', { inputs: [[4], ints(5)], outputs: 2 })).to.contain('5 of 4');
  });

  it('CumSum is whole along its axis and sums known vectors', () => {
    const d = described(family, 'CumSum', { inputs: [[4, 8], { dims: [], dtype: DType.INT64, value: [1] }] });
    expect(layoutText(d.factors, d.factors!.outputs[0])).to.equal('4p0 8w1');
    const v = infer(family, 'CumSum', {
      inputs: [ints(1, 2, 3), { dims: [], dtype: DType.INT64, value: [0] }],
    });
    expect(v.values[0]!.elements).to.deep.equal([1, 3, 6]);
  });
});
