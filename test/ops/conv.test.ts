import { expect } from 'chai';
import { ceilDiv, symbol } from '../../src/ops/dim.js';
import type { SymbolicDim } from '../../src/ops/types.js';
import { family as conv } from '../../src/ops/conv.js';
import { family as pool } from '../../src/ops/pool.js';
import {
  described,
  failure,
  gradFlop,
  layoutText,
  savedBytes,
  shapes,
  type Case,
} from '../support/op_harness.js';

const weight = (...dims: number[]) => ({ dims, parameter: true });

describe('convolutions', () => {
  const cases: [string, Case, (number | string)[]][] = [
    [
      'Conv',
      {
        inputs: [
          ['n', 3, 224, 224],
          [64, 3, 7, 7],
        ],
        attrs: { strides: [2, 2], pads: [3, 3, 3, 3] },
      },
      ['n', 64, 112, 112],
    ],
    [
      'Conv',
      {
        inputs: [
          [1, 4, 9],
          [8, 4, 3],
        ],
        attrs: { dilations: [2] },
      },
      [1, 8, 5],
    ],
    [
      'Conv',
      {
        inputs: [
          [1, 4, 'h', 8],
          [8, 4, 3, 3],
        ],
        attrs: { auto_pad: 'SAME_UPPER', strides: [2, 2] },
      },
      [1, 8, (ceilDiv(symbol('h'), 2) as SymbolicDim).text, 4],
    ],
    [
      'Conv',
      {
        inputs: [
          [1, 4, 'h'],
          [4, 1, 3],
        ],
        attrs: { group: 4, pads: [1, 1] },
      },
      [1, 4, 'h'],
    ],
    [
      'Conv',
      {
        inputs: [
          [2, 4, 5, 5, 5],
          [6, 4, 2, 2, 2],
        ],
      },
      [2, 6, 4, 4, 4],
    ],
    [
      'ConvTranspose',
      {
        inputs: [
          [1, 8, 7, 7],
          [8, 4, 4, 4],
        ],
        attrs: { strides: [2, 2], pads: [1, 1, 1, 1] },
      },
      [1, 4, 14, 14],
    ],
    [
      'ConvTranspose',
      {
        inputs: [
          [1, 8, 'h'],
          [8, 2, 3],
        ],
        attrs: { group: 2, strides: [2], output_padding: [1] },
      },
      [1, 4, '2*h + 2'],
    ],
    [
      'ConvTranspose',
      {
        inputs: [
          [1, 8, 7],
          [8, 2, 3],
        ],
        attrs: { strides: [3], output_shape: [22] },
      },
      [1, 2, 22],
    ],
    [
      'DeformConv',
      {
        inputs: [
          [1, 4, 6, 6],
          [5, 4, 3, 3],
          [1, 18, 4, 4],
        ],
      },
      [1, 5, 4, 4],
    ],
    [
      'Col2Im',
      { inputs: [['n', 12, 9], { dims: [2], value: [4, 4] }, { dims: [2], value: [2, 2] }] },
      ['n', 3, 4, 4],
    ],
  ];
  for (const [op, c, expected] of cases)
    it(`${op} ${JSON.stringify(c.inputs)} ${JSON.stringify(c.attrs ?? {})} gives ${JSON.stringify(expected)}`, () => {
      expect(shapes(conv, op, c)[0]).to.deep.equal(expected);
    });

  it('contradictions name what was expected and found', () => {
    expect(
      failure(conv, 'Conv', {
        inputs: [
          [1, 3, 8, 8],
          [4, 5, 3, 3],
        ],
      }),
    ).to.match(/input channels: expected 5, found 3/);
    expect(
      failure(conv, 'Conv', {
        inputs: [
          [1, 4, 8, 8],
          [5, 2, 3, 3],
        ],
        attrs: { group: 2 },
      }),
    ).to.match(/5 is not divisible by 2/);
    expect(
      failure(conv, 'Conv', {
        inputs: [
          [1, 3, 2, 2],
          [4, 3, 3, 3],
        ],
      }),
    ).to.match(/larger than the padded input/);
    expect(
      failure(conv, 'Conv', {
        inputs: [
          [1, 3, 8],
          [4, 3, 3],
        ],
        attrs: { strides: [0] },
      }),
    ).to.match(/strides/);
  });

  it('a convolution has 2*out*C/group*kernel FLOP; channels split, space does not', () => {
    const { work, factors, backward } = described(conv, 'Conv', {
      inputs: [[2, 8, 10, 10], weight(16, 4, 3, 3), weight(16)],
      attrs: { group: 2 },
    });
    expect(work!.flop).to.equal(2 * 2 * 16 * 8 * 8 * 4 * 9);
    expect(layoutText(factors, factors!.inputs[0])).to.match(/^2p0 2p1\*4c3 10w\d 10w\d$/);
    expect(layoutText(factors, factors!.inputs[1])).to.match(/^2p1\*8p2 4c3 3w\d 3w\d$/);
    expect(layoutText(factors, factors!.inputs[2])).to.equal('2p1*8p2');
    expect(gradFlop(backward)).to.equal(2 * work!.flop + 2 * 16 * 8 * 8);
    expect(backward!.savesInputs).to.deep.equal([0, 1]);
  });

  it('a transposed convolution multiplies every input element by its weights', () => {
    const { work } = described(conv, 'ConvTranspose', {
      inputs: [[1, 8, 7, 7], weight(8, 4, 4, 4)],
      attrs: { strides: [2, 2] },
    });
    expect(work!.flop).to.equal(2 * 8 * 49 * 4 * 16);
  });
});

describe('pools', () => {
  const cases: [string, Case, (number | string)[]][] = [
    [
      'MaxPool',
      { inputs: [['n', 64, 112, 112]], attrs: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } },
      ['n', 64, 56, 56],
    ],
    [
      'MaxPool',
      { inputs: [[1, 2, 4, 4]], attrs: { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 } },
      [1, 2, 2, 2],
    ],
    // The last window would start in the padding: dropped.
    ['MaxPool', { inputs: [[1, 1, 2]], attrs: { kernel_shape: [1], strides: [2], ceil_mode: 1 } }, [1, 1, 1]],
    ['AveragePool', { inputs: [[1, 2, 5]], attrs: { kernel_shape: [2], dilations: [2] } }, [1, 2, 3]],
    ['GlobalAveragePool', { inputs: [['n', 8, 'h', 7]] }, ['n', 8, 1, 1]],
    [
      'MaxUnpool',
      {
        inputs: [
          [1, 1, 2, 2],
          [1, 1, 2, 2],
        ],
        attrs: { kernel_shape: [2, 2], strides: [2, 2] },
      },
      [1, 1, 4, 4],
    ],
    [
      'RoiAlign',
      { inputs: [[1, 8, 50, 50], ['r', 4], ['r']], attrs: { output_height: 7, output_width: 5 } },
      ['r', 8, 7, 5],
    ],
    [
      'MaxRoiPool',
      {
        inputs: [
          [1, 8, 50, 50],
          ['r', 5],
        ],
        attrs: { pooled_shape: [7, 5] },
      },
      ['r', 8, 7, 5],
    ],
  ];
  for (const [op, c, expected] of cases)
    it(`${op} ${JSON.stringify(c.inputs)} ${JSON.stringify(c.attrs ?? {})} gives ${JSON.stringify(expected)}`, () => {
      expect(shapes(pool, op, c)[0]).to.deep.equal(expected);
    });

  it('a max pool remembers 4 bytes an output element, an average pool nothing', () => {
    const c = { inputs: [[2, 3, 8, 8]], attrs: { kernel_shape: [2, 2], strides: [2, 2] } };
    const max = described(pool, 'MaxPool', c);
    expect(savedBytes(max.op, max.backward)).to.equal(4 * 2 * 3 * 16);
    const average = described(pool, 'AveragePool', c);
    expect(savedBytes(average.op, average.backward)).to.equal(0);
    expect(average.factors!.linear).to.equal(true);
  });

  it('a global average over a split axis leaves partial sums', () => {
    const { factors } = described(pool, 'GlobalAveragePool', { inputs: [[2, 3, 8, 8]] });
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 3p1 8c2 8c3');
  });

  it('a kernel of the wrong rank is refused', () => {
    expect(failure(pool, 'MaxPool', { inputs: [[1, 2, 4, 4]], attrs: { kernel_shape: [3] } })).to.match(
      /expected 2 values, found 1/,
    );
    expect(failure(pool, 'MaxPool', { inputs: [[1, 2, 4, 4]] })).to.match(/required/);
  });
});
