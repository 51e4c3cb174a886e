import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { symbol } from '../../src/ops/dim.js';
import { family, tensorValue } from '../../src/ops/constant.js';
import { MAX_KNOWN_ELEMENTS, type Dim } from '../../src/ops/types.js';
import { described, failure, infer, layoutText, shapes } from '../support/op_harness.js';
import { int64s, weight } from '../support/onnx.js';

const scalar = (value: Dim) => ({ dims: [], dtype: DType.INT64, value: [value] });
const ints = (...value: Dim[]) => ({ dims: [value.length], dtype: DType.INT64, value });
const s = symbol('s');

describe('Constant', () => {
  const of = (attrs: Parameters<typeof infer>[2]['attrs']) =>
    infer(family, 'Constant', { inputs: [], ...(attrs && { attrs }) });

  it('has one of several spellings', () => {
    expect(of({ value_ints: [3, 4] }).values[0]).to.deep.equal({
      dtype: DType.INT64,
      dims: [2],
      elements: [3, 4],
    });
    expect(of({ value_int: 7 }).values[0]!.dims).to.deep.equal([]);
    expect(of({ value_float: { float: 0.5 } }).values[0]).to.deep.include({
      dtype: DType.FLOAT,
      elements: [0.5],
    });
    expect(of({ value_string: 'x' }).types[0]).to.deep.include({ dtype: DType.STRING });
    expect(failure(family, 'Constant', { inputs: [] })).to.contain('without a value');
  });

  it('is read when it is small, and left alone when it is a weight', () => {
    expect(tensorValue(int64s('t', [1, 2, 3]))!.elements).to.deep.equal([1, 2, 3]);
    const long = Array.from({ length: MAX_KNOWN_ELEMENTS + 1 }, (_, i) => i);
    expect(tensorValue(int64s('t', long))).to.equal(null);
    expect(tensorValue(weight('w', [768]))).to.equal(null);
  });
});

describe('tensors made from sizes', () => {
  it('ConstantOfShape takes its shape from the input and fills small ones', () => {
    expect(shapes(family, 'ConstantOfShape', { inputs: [ints(s, 3)] })).to.deep.equal([['s', 3]]);
    expect(infer(family, 'ConstantOfShape', { inputs: [ints(3)] }).values[0]!.elements).to.deep.equal([
      0, 0, 0,
    ]);
    expect(infer(family, 'ConstantOfShape', { inputs: [ints(2 ** 30, 2 ** 30)] }).values[0]).to.equal(null);
    expect(failure(family, 'ConstantOfShape', { inputs: [ints(-1)] })).to.contain('negative');
    expect(
      shapes(family, 'ConstantOfShape', { inputs: [{ dims: [2], dtype: DType.INT64 }] })[0],
    ).to.have.length(2);
  });

  it('Range counts its steps, symbols included', () => {
    const count = (a: Dim, b: Dim, d: Dim) =>
      shapes(family, 'Range', { inputs: [scalar(a), scalar(b), scalar(d)] })[0]![0];
    expect(count(0, 10, 3)).to.equal(4);
    expect(count(5, 0, -2)).to.equal(3);
    expect(count(5, 0, 1)).to.equal(0);
    expect(count(0, s, 1)).to.equal('s');
    expect(count(0, 2 ** 50, 1)).to.equal(2 ** 50);
    expect(
      infer(family, 'Range', { inputs: [scalar(1), scalar(7), scalar(2)] }).values[0]!.elements,
    ).to.deep.equal([1, 3, 5]);
    expect(failure(family, 'Range', { inputs: [scalar(0), scalar(4), scalar(0)] })).to.contain('never ends');
  });

  it('OneHot inserts the depth and turns known indices into rows', () => {
    const indices = { dims: ['b', 's'], dtype: DType.INT64 };
    const values = { dims: [2], dtype: DType.FLOAT, value: [0, 1] };
    expect(shapes(family, 'OneHot', { inputs: [indices, scalar(5), values] })).to.deep.equal([['b', 's', 5]]);
    expect(
      shapes(family, 'OneHot', { inputs: [indices, scalar(5), values], attrs: { axis: 0 } }),
    ).to.deep.equal([[5, 'b', 's']]);
    const v = infer(family, 'OneHot', { inputs: [ints(1, -1), scalar(3), values] }).values[0]!;
    expect(v.elements).to.deep.equal([0, 1, 0, 0, 0, 1]);
    const d = described(family, 'OneHot', { inputs: [{ dims: [4], dtype: DType.INT64 }, scalar(5), values] });
    expect(layoutText(d.factors, d.factors!.outputs[0])).to.equal('4p0 5p1');
  });
});
