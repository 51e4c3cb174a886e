import { expect } from 'chai';
import { family } from '../../src/ops/matmul.js';
import { DType } from '../../src/model/dtype.js';
import { described, failure, gradFlop, infer, layoutText, shapes, type Case } from '../support/op_harness.js';

const weight = (...dims: number[]) => ({ dims, parameter: true });

describe('matrix products', () => {
  const cases: [string, Case, (readonly (number | string)[])[]][] = [
    [
      'MatMul',
      {
        inputs: [
          ['b', 's', 4],
          [4, 5],
        ],
      },
      [['b', 's', 5]],
    ],
    [
      'MatMul',
      {
        inputs: [
          ['b', 1, 's', 4],
          [3, 4, 's'],
        ],
      },
      [['b', 3, 's', 's']],
    ],
    ['MatMul', { inputs: [[4], [4, 5]] }, [[5]]],
    ['MatMul', { inputs: [[2, 3, 4], [4]] }, [[2, 3]]],
    ['MatMul', { inputs: [[4], [4]] }, [[]]],
    ['Gemm', { inputs: [[3, 2], [5, 3], [5]], attrs: { transA: 1, transB: 1 } }, [[2, 5]]],
    [
      'Einsum',
      {
        inputs: [
          ['b', 'i', 4],
          ['b', 4, 'k'],
        ],
        attrs: { equation: 'bij,bjk->bik' },
      },
      [['b', 'i', 'k']],
    ],
    [
      'Einsum',
      {
        inputs: [
          [7, 2, 3],
          [3, 5],
        ],
        attrs: { equation: '...ij, ...jk' },
      },
      [[7, 2, 5]],
    ],
    ['Einsum', { inputs: [[3, 3]], attrs: { equation: 'ii->i' } }, [[3]]],
    ['Det', { inputs: [['n', 4, 4]] }, [['n']]],
  ];
  for (const [op, c, expected] of cases) {
    it(`${op} of ${JSON.stringify(c.inputs)} has shape ${JSON.stringify(expected)}`, () => {
      expect(shapes(family, op, c)).to.deep.equal(expected);
    });
  }

  it('a contraction that does not fit is refused with both sizes', () => {
    expect(
      failure(family, 'MatMul', {
        inputs: [
          [2, 3],
          [4, 5],
        ],
      }),
    ).to.match(/expected 3, found 4/);
    expect(failure(family, 'Gemm', { inputs: [[2, 3], [3, 5], [4]] })).to.match(/broadcast/);
    expect(
      failure(family, 'Gemm', {
        inputs: [
          [2, 3, 4],
          [4, 5],
        ],
      }),
    ).to.match(/expected rank 2/);
    expect(failure(family, 'Einsum', { inputs: [[2, 3]], attrs: { equation: 'ijk->i' } })).to.match(/rank 2/);
  });

  it('integer products are int32 and quantised ones have the zero point type', () => {
    const i8 = (...dims: number[]) => ({ dims, dtype: DType.INT8 });
    const t = infer(family, 'MatMulInteger', { inputs: [i8(2, 3), i8(3, 4)] }).types[0];
    expect(t).to.deep.equal({ kind: 'tensor', dtype: DType.INT32, shape: [2, 4] });
    const u8 = { dims: [], dtype: DType.UINT8 };
    const q = { inputs: [i8(2, 3), [], i8(), i8(3, 4), [], i8(), [], u8] };
    expect(infer(family, 'QLinearMatMul', q).types[0]).to.deep.include({ dtype: DType.UINT8 });
  });

  it('a linear layer has 2MNK FLOP, row and column splits, and saves its input for the weight gradient', () => {
    const c = { inputs: [[2, 8, 16], weight(16, 32)] };
    const { work, factors, backward } = described(family, 'MatMul', c);
    expect(work).to.deep.equal({ flop: 2 * 2 * 8 * 16 * 32, kernel: 'gemm' });
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 8p2 16c1');
    expect(layoutText(factors, factors!.inputs[1])).to.equal('16c1 32p3');
    expect(layoutText(factors, factors!.outputs[0])).to.equal('2p0 8p2 32p3');
    expect(factors!.linear).to.equal(true);
    expect(gradFlop(backward)).to.equal(2 * work!.flop);
    expect(backward!.savesInputs).to.deep.equal([0, 1]);
  });

  it('a batched product of two activations is not linear and stretched batch dimensions are not split', () => {
    const { factors } = described(family, 'MatMul', {
      inputs: [
        [2, 4, 8, 16],
        [1, 4, 16, 8],
      ],
    });
    expect(factors!.linear).to.equal(undefined);
    expect(layoutText(factors, factors!.inputs[1])).to.equal(' 4p1 16c2 8p4');
  });

  it('a transposed Gemm maps the weight columns to rows and splits the bias with the columns', () => {
    const { factors, work, backward } = described(family, 'Gemm', {
      inputs: [[6, 4], weight(8, 4), weight(8)],
      attrs: { transB: 1 },
    });
    expect(work!.flop).to.equal(2 * 6 * 4 * 8);
    expect(layoutText(factors, factors!.inputs[1])).to.equal('8p2 4c0');
    expect(layoutText(factors, factors!.inputs[2])).to.equal('8p2');
    expect(backward!.grads.map((g) => g.flop)).to.deep.equal([384, 384, 48]);
  });

  it('an einsum contracts the indices that the output lacks', () => {
    const { factors, work } = described(family, 'Einsum', {
      inputs: [[2, 3, 4], weight(4, 5, 6)],
      attrs: { equation: 'bsh,hnd->bsnd' },
    });
    expect(work).to.deep.equal({ flop: 2 * 2 * 3 * 4 * 5 * 6, kernel: 'gemm' });
    expect(layoutText(factors, factors!.inputs[1])).to.equal('4c2 5p3 6p4');
    expect(factors!.linear).to.equal(true);
  });
});
