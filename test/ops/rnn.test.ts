import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { family as image } from '../../src/ops/image.js';
import { family as loss } from '../../src/ops/loss.js';
import { family as random } from '../../src/ops/random.js';
import { family as rnn } from '../../src/ops/rnn.js';
import { family as signal } from '../../src/ops/signal.js';
import {
  described,
  failure,
  infer,
  layoutText,
  ruleOf,
  savedBytes,
  shapes,
  type Case,
  type Input,
} from '../support/op_harness.js';

const weight = (...dims: number[]) => ({ dims, parameter: true });
const int64 = (dims: (number | string)[], value?: number[]): Input => ({
  dims,
  dtype: DType.INT64,
  ...(value ? { value } : {}),
});

describe('recurrent networks', () => {
  it('give the whole sequence and the last states', () => {
    const c: Case = {
      inputs: [
        ['s', 'b', 5],
        [2, 12, 5],
        [2, 12, 3],
      ],
      attrs: { hidden_size: 3, direction: 'bidirectional' },
      outputs: 3,
    };
    expect(shapes(rnn, 'LSTM', c)).to.deep.equal([
      ['s', 2, 'b', 3],
      [2, 'b', 3],
      [2, 'b', 3],
    ]);
    const first: Case = {
      inputs: [
        ['b', 's', 5],
        [1, 9, 5],
        [1, 9, 3],
      ],
      attrs: { layout: 1 },
      outputs: 2,
    };
    expect(shapes(rnn, 'GRU', first)).to.deep.equal([
      ['b', 's', 1, 3],
      ['b', 1, 3],
    ]);
    expect(
      failure(rnn, 'LSTM', {
        inputs: [
          [4, 2, 5],
          [1, 9, 5],
          [1, 12, 3],
        ],
      }),
    ).to.match(/expected 12 gate rows, found 9/);
    expect(
      failure(rnn, 'RNN', {
        inputs: [
          [4, 2, 5],
          [1, 3, 6],
          [1, 3, 3],
        ],
      }),
    ).to.match(/input size: expected 6, found 5/);
  });

  it('split batch and directions only, and save the gates of every step', () => {
    const { op, work, factors, backward } = described(rnn, 'LSTM', {
      inputs: [[4, 2, 5], weight(1, 12, 5), weight(1, 12, 3), weight(1, 24)],
      outputs: 3,
    });
    expect(work!.flop).to.equal(4 * 2 * 12 * (2 * 8 + 10));
    expect(layoutText(factors, factors!.inputs[0])).to.match(/^4w0 2p1 5w\d$/);
    expect(layoutText(factors, factors!.inputs[3])).to.match(/^1p2 2w\d\*4w\d\*3w\d$/);
    // Input, hidden states, and beside them four gates and the cell state of every step.
    expect(savedBytes(op, backward)).to.equal(4 * (40 + 24 + 4 * 24 + 24));
  });
});

describe('losses', () => {
  it('reduce to a scalar unless told not to, and keep log-probabilities', () => {
    const inputs = [['n', 10, 's'], int64(['n', 's'])];
    expect(shapes(loss, 'SoftmaxCrossEntropyLoss', { inputs, outputs: 2 })).to.deep.equal([
      [],
      ['n', 10, 's'],
    ]);
    expect(
      shapes(loss, 'NegativeLogLikelihoodLoss', { inputs, attrs: { reduction: 'none' } })[0],
    ).to.deep.equal(['n', 's']);
    expect(failure(loss, 'SoftmaxCrossEntropyLoss', { inputs: [[4, 10], int64([5])] })).to.match(
      /expected 4, found 5/,
    );
  });

  it('add up over positions, normalise over classes, and save log-probabilities where they are an output', () => {
    const inputs = [[4, 10, 6], int64([4, 6])];
    const { factors } = described(loss, 'SoftmaxCrossEntropyLoss', { inputs });
    expect(layoutText(factors, factors!.inputs[0])).to.equal('4c0 10n1 6c2');
    expect(layoutText(factors, factors!.inputs[1])).to.equal('4c0 6c2');
    const none = described(loss, 'SoftmaxCrossEntropyLoss', { inputs, attrs: { reduction: 'none' } });
    expect(layoutText(none.factors, none.factors!.outputs[0])).to.equal('4p0 6p2');
    expect(none.backward!.savesInputs).to.deep.equal([0, 1]);
    const two = described(loss, 'SoftmaxCrossEntropyLoss', { inputs, outputs: 2 });
    expect(two.backward).to.deep.include({ savesInputs: [1], savesOutputs: [1] });
  });
});

describe('random numbers', () => {
  it('have the shape and type that is asked for and no gradient', () => {
    expect(
      infer(random, 'RandomNormal', { inputs: [], attrs: { shape: [2, 3], dtype: 10 } }).types[0],
    ).to.deep.equal({
      kind: 'tensor',
      dtype: DType.FLOAT16,
      shape: [2, 3],
    });
    expect(shapes(random, 'RandomUniformLike', { inputs: [['b', 4]] })[0]).to.deep.equal(['b', 4]);
    expect(shapes(random, 'Multinomial', { inputs: [['b', 9]], attrs: { sample_size: 5 } })[0]).to.deep.equal(
      ['b', 5],
    );
    for (const op of ['RandomNormal', 'Bernoulli', 'Multinomial'])
      expect(ruleOf(random, op).nondeterministic).to.equal(true);
    expect(described(random, 'Bernoulli', { inputs: [[2, 3]] }).backward).to.equal(null);
    expect(failure(random, 'RandomNormal', { inputs: [] })).to.match(/shape is required/);
  });
});

describe('images', () => {
  const x = ['n', 3, 8, 10];
  const floats = (value: number[]): Input => ({ dims: [value.length], value });
  it('are resized by scales, by sizes, along some axes, or keeping their ratio', () => {
    const resize = (inputs: Case['inputs'], attrs = {}, version = 18) =>
      shapes(image, 'Resize', { inputs, attrs, version })[0];
    expect(resize([x, '?', floats([1, 1, 2, 0.5])])).to.deep.equal(['n', 3, 16, 5]);
    expect(resize([x, '?', '?', int64([4], [1, 3, 4, 4])])).to.deep.equal([1, 3, 4, 4]);
    expect(resize([x, '?', '?', int64([2], [4, 20])], { axes: [2, 3] })).to.deep.equal(['n', 3, 4, 20]);
    expect(
      resize([x, '?', '?', int64([2], [4, 20])], { axes: [2, 3], keep_aspect_ratio_policy: 'not_larger' }),
    ).to.deep.equal(['n', 3, 4, 5]);
    expect(resize([x, floats([1, 1, 2, 2])], {}, 10)).to.deep.equal(['n', 3, 16, 20]);
    expect(
      shapes(image, 'Resize', { inputs: [['n', 3, 'h', 8], '?', floats([1, 1, 1.5, 1])] })[0]![2],
    ).to.match(/floor\(.*h.*2/);
    expect(
      shapes(image, 'Upsample', { inputs: [x], attrs: { scales: [1, 1, 2.5, 2] }, version: 7 })[0],
    ).to.deep.equal(['n', 3, 20, 20]);
    expect(failure(image, 'Resize', { inputs: [x, '?', floats([2, 2])] })).to.match(
      /expected 4 values, found 2/,
    );
  });

  it('split along axes that keep their size', () => {
    const c: Case = { inputs: [[2, 3, 8, 8], '?', floats([1, 1, 2, 2])] };
    const { factors } = described(image, 'Resize', c);
    expect(layoutText(factors, factors!.outputs[0])).to.match(/^2p0 3p1 16w\d 16w\d$/);
  });

  it('are sampled on grids, boxes are selected', () => {
    expect(
      shapes(image, 'GridSample', {
        inputs: [
          ['n', 3, 8, 8],
          ['n', 4, 5, 2],
        ],
      })[0],
    ).to.deep.equal(['n', 3, 4, 5]);
    expect(shapes(image, 'AffineGrid', { inputs: [['n', 2, 3], int64([4], [2, 3, 4, 5])] })[0]).to.deep.equal(
      [2, 4, 5, 2],
    );
    expect(
      shapes(image, 'NonMaxSuppression', {
        inputs: [
          [1, 'b', 4],
          [1, 80, 'b'],
        ],
      })[0]![1],
    ).to.equal(3);
    expect(
      failure(image, 'GridSample', {
        inputs: [
          [1, 3, 8, 8],
          [2, 4, 5, 2],
        ],
      }),
    ).to.match(/batch/);
  });
});

describe('signals', () => {
  const scalar = (value: number): Input => int64([], [value]);
  it('have one-sided spectra of half the length and one', () => {
    expect(
      shapes(signal, 'DFT', { inputs: [['b', 16, 1]], attrs: { onesided: 1 }, version: 17 })[0],
    ).to.deep.equal(['b', 9, 2]);
    expect(
      shapes(signal, 'DFT', { inputs: [['b', 16, 2], scalar(32), scalar(1)], version: 20 })[0],
    ).to.deep.equal(['b', 32, 2]);
    expect(shapes(signal, 'STFT', { inputs: [['b', 128, 1], scalar(32), '?', scalar(64)] })[0]).to.deep.equal(
      ['b', 3, 33, 2],
    );
    expect(shapes(signal, 'HannWindow', { inputs: [scalar(10)] })[0]).to.deep.equal([10]);
    expect(
      shapes(signal, 'MelWeightMatrix', { inputs: [scalar(8), scalar(16), scalar(100), [], []] })[0],
    ).to.deep.equal([9, 8]);
    expect(failure(signal, 'DFT', { inputs: [[2, 16, 2], '?', scalar(-1)], version: 20 })).to.match(
      /real and imaginary/,
    );
  });

  it('cost 5 n log2 n per transform and keep the signal axis whole', () => {
    const { work, factors } = described(signal, 'DFT', { inputs: [[3, 16, 2]], version: 17 });
    expect(work!.flop).to.equal(5 * 16 * 4 * 3);
    expect(layoutText(factors, factors!.inputs[0])).to.match(/^3p0 16w\d 2w\d$/);
  });
});
