import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { symbol, add, mul } from '../../src/ops/dim.js';
import { family } from '../../src/ops/elementwise.js';
import { described, failure, infer, layoutText, shapes } from '../support/op_harness.js';

const known = (...value: (number | ReturnType<typeof symbol>)[]) => ({
  dims: [value.length],
  dtype: DType.INT64,
  value,
});
const param = (...dims: number[]) => ({ dims, parameter: true });

describe('elementwise arithmetic', () => {
  it('broadcasts both ways, symbols included', () => {
    expect(
      shapes(family, 'Add', {
        inputs: [
          ['b', 1, 's', 4],
          [8, 1, 4],
        ],
      }),
    ).to.deep.equal([['b', 8, 's', 4]]);
    expect(
      shapes(family, 'Add', {
        inputs: [
          ['b', 3],
          [5, 'b', 1],
        ],
      }),
    ).to.deep.equal([[5, 'b', 3]]);
    expect(shapes(family, 'Sub', { inputs: [['b'], [7]] })).to.deep.equal([[7]]);
    expect(shapes(family, 'Max', { inputs: [[2, 1], [3], ['n', 1, 1]] })).to.deep.equal([['n', 2, 3]]);
    expect(shapes(family, 'Mul', { inputs: [{ dims: null }, [3]] })).to.deep.equal([null]);
  });

  it('names both shapes when they do not fit', () => {
    expect(failure(family, 'Add', { inputs: [[2, 3], [4]] })).to.equal(
      'shapes [2, 3] and [4] cannot be broadcast together',
    );
  });

  it('stretches the second operand to the first in files older than opset 7', () => {
    const c = {
      inputs: [
        [2, 3, 4, 5],
        [3, 4],
      ],
      attrs: { broadcast: 1, axis: 1 },
      version: 6,
    } as const;
    expect(shapes(family, 'Add', c)).to.deep.equal([[2, 3, 4, 5]]);
    const d = described(family, 'Add', c);
    expect(layoutText(d.factors, d.factors!.inputs[1])).to.equal('3p1 4p2');
  });

  it('computes with known integers, symbols among them', () => {
    const s = symbol('s');
    expect(infer(family, 'Mul', { inputs: [known(s, 2), known(3, 4)] }).values[0]!.elements).to.deep.equal([
      mul(s, 3),
      8,
    ]);
    expect(infer(family, 'Add', { inputs: [known(s, 2), known(1)] }).values[0]!.elements).to.deep.equal([
      add(s, 1),
      3,
    ]);
    expect(infer(family, 'Div', { inputs: [known(-7, 7), known(2)] }).values[0]!.elements).to.deep.equal([
      -3, 3,
    ]);
    expect(infer(family, 'Div', { inputs: [known(7), known(0)] }).values[0]).to.equal(null);
    expect(infer(family, 'Mod', { inputs: [known(-7), known(3)] }).values[0]!.elements).to.deep.equal([2]);
    expect(
      infer(family, 'Mod', { inputs: [known(-7), known(3)], attrs: { fmod: 1 } }).values[0]!.elements,
    ).to.deep.equal([-1]);
    expect(
      infer(family, 'Max', { inputs: [known(1), known(5), known(3)] }).values[0]!.elements,
    ).to.deep.equal([5]);
    expect(infer(family, 'Neg', { inputs: [known(s)] }).values[0]!.elements).to.deep.equal([mul(s, -1)]);
  });

  it('leaves numbers beyond 2^53 alone instead of rounding them', () => {
    expect(infer(family, 'Mul', { inputs: [known(2 ** 40), known(2 ** 40)] }).values[0]).to.equal(null);
  });

  it('rounds floats as the element type does', () => {
    const half = { dims: [1], dtype: DType.FLOAT, value: [0.1] };
    expect(infer(family, 'Add', { inputs: [half, half] }).values[0]!.elements).to.deep.equal([
      Math.fround(0.2),
    ]);
    const r = { dims: [4], dtype: DType.FLOAT, value: [0.5, 1.5, 2.5, -0.5] };
    expect(infer(family, 'Round', { inputs: [r] }).values[0]!.elements.map(Number)).to.deep.equal([
      0, 2, 2, -0,
    ]);
  });
});

describe('what elementwise gradients keep', () => {
  const big = [4, 8] as const;
  const saved = (op: string, ...inputs: Parameters<typeof described>[2]['inputs'][number][]) => {
    const b = described(family, op, { inputs }).backward;
    return b === null ? null : [b.savesInputs, b.savesOutputs];
  };

  it('is nothing for sums', () => {
    expect(saved('Add', big, big)).to.deep.equal([[], []]);
    expect(saved('Sum', big, big, big)).to.deep.equal([[], []]);
    expect(saved('Neg', big)).to.deep.equal([[], []]);
  });

  it('is the other factor of a product, and only when that gradient is wanted', () => {
    expect(saved('Mul', big, big)).to.deep.equal([[0, 1], []]);
    const constant = { dims: [], value: [0.125] };
    expect(saved('Mul', big, constant)).to.deep.equal([[1], []]);
    expect(saved('Div', big, constant)).to.deep.equal([[1], []]);
    expect(saved('Div', big, big)).to.deep.equal([[0, 1], []]);
  });

  it('is the output where the derivative is a function of it, else the input', () => {
    for (const op of ['Relu', 'Tanh', 'Sigmoid', 'Exp', 'Sqrt', 'Reciprocal'])
      expect(saved(op, big), op).to.deep.equal([[], [0]]);
    for (const op of ['Gelu', 'Erf', 'Log', 'Softplus', 'Mish'])
      expect(saved(op, big), op).to.deep.equal([[0], []]);
    expect(saved('Pow', big, { dims: [], value: [2] })).to.deep.equal([[0], []]);
  });

  it('does not exist for integers, comparisons of rounding, and constants', () => {
    expect(saved('Add', { dims: [2], dtype: DType.INT64 }, { dims: [2], dtype: DType.INT64 })).to.equal(null);
    expect(saved('Floor', big)).to.equal(null);
  });
});

describe('factors of elementwise operators', () => {
  it('are one parallel factor an output dimension; stretched dimensions have none', () => {
    const d = described(family, 'Add', { inputs: [[4, 8, 16], param(16)] });
    expect(d.factors!.factors.every((f) => f.kind === 'parallel')).to.equal(true);
    expect(layoutText(d.factors, d.factors!.inputs[1])).to.equal('16p2');
    const stretched = described(family, 'Mul', {
      inputs: [
        [4, 1, 16],
        [8, 1],
      ],
    });
    expect(stretched.factors!.inputs).to.deep.equal([
      [[0], [], [2]],
      [[1], []],
    ]);
  });

  it('let partial sums through what is linear in the activations only', () => {
    expect(described(family, 'Add', { inputs: [[4], [4]] }).factors!.linear).to.equal(true);
    expect(described(family, 'Mul', { inputs: [[4], param(4)] }).factors!.linear).to.equal(true);
    expect(described(family, 'Mul', { inputs: [[4], [4]] }).factors!.linear).to.not.equal(true);
    expect(described(family, 'Gelu', { inputs: [[4]] }).factors!.linear).to.not.equal(true);
  });

  it('take the channel of a slope before opset 7 as the second dimension', () => {
    const d = described(family, 'PRelu', { inputs: [[2, 3, 5], param(3)], version: 6 });
    expect(d.factors!.inputs[1]).to.deep.equal([[1]]);
  });
});
