import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { family as norm } from '../../src/ops/norm.js';
import { family as softmax } from '../../src/ops/softmax.js';
import { family as dropout } from '../../src/ops/dropout.js';
import { described, failure, infer, layoutText, savedBytes, shapes } from '../support/op_harness.js';

const weight = (...dims: number[]) => ({ dims, parameter: true });

describe('normalisations', () => {
  it('a layer norm keeps the shape and its statistics have one element a row', () => {
    const c = { inputs: [['b', 's', 8], [8], [8]], outputs: 3 };
    expect(shapes(norm, 'LayerNormalization', c)).to.deep.equal([
      ['b', 's', 8],
      ['b', 's', 1],
      ['b', 's', 1],
    ]);
    expect(
      shapes(norm, 'RMSNormalization', {
        inputs: [
          ['b', 6, 8],
          [6, 8],
        ],
        attrs: { axis: 1 },
      })[0],
    ).to.deep.equal(['b', 6, 8]);
    expect(failure(norm, 'LayerNormalization', { inputs: [[2, 8], [7]] })).to.match(
      /scale: expected 8, found 7/,
    );
    expect(failure(norm, 'LayerNormalization', { inputs: [[2, 8], [8]], attrs: { axis: 2 } })).to.match(
      /axis 2/,
    );
  });

  it('a layer norm splits rows, normalises the hidden axis, and saves its input and two numbers a row', () => {
    const { op, work, factors, backward } = described(norm, 'LayerNormalization', {
      inputs: [[2, 3, 8], weight(8), weight(8)],
    });
    expect(work).to.deep.equal({ flop: 8 * 48, kernel: 'norm' });
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 3p1 8n2');
    expect(layoutText(factors, factors!.inputs[1])).to.equal('8n2');
    expect(savedBytes(op, backward)).to.equal(48 * 4 + 2 * 4 * 6);
    expect(backward!.grads.map((g) => g.input)).to.deep.equal([0, 1, 2]);
  });

  it('an RMS norm saves one number a row, or its statistics output where it has one', () => {
    const one = described(norm, 'SimplifiedLayerNormalization', { inputs: [[4, 8], weight(8)] });
    expect(savedBytes(one.op, one.backward)).to.equal(32 * 4 + 4 * 4);
    const two = described(norm, 'SimplifiedLayerNormalization', { inputs: [[4, 8], weight(8)], outputs: 2 });
    expect(two.backward!.savesOutputs).to.deep.equal([1]);
    expect(savedBytes(two.op, two.backward)).to.equal(32 * 4 + 4 * 4);
  });

  it('a batch norm keeps running statistics per channel and refuses another channel count', () => {
    const c = { inputs: [['n', 4, 7, 7], [4], [4], [4], [4]], outputs: 3, attrs: { training_mode: 1 } };
    expect(shapes(norm, 'BatchNormalization', c)).to.deep.equal([['n', 4, 7, 7], [4], [4]]);
    expect(failure(norm, 'BatchNormalization', { inputs: [[1, 4, 7], [5], [4], [4], [4]] })).to.match(
      /channels: expected 4, found 5/,
    );
    const { factors } = described(norm, 'BatchNormalization', {
      inputs: [[2, 4, 7], weight(4), weight(4), [4], [4]],
    });
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 4p1 7n2');
    expect(layoutText(factors, factors!.inputs[1])).to.equal('4p1');
  });

  it('a group norm splits groups and normalises the channels of one', () => {
    const attrs = { num_groups: 2 };
    const perChannel = described(norm, 'GroupNormalization', {
      inputs: [[3, 8, 5], weight(8), weight(8)],
      attrs,
      version: 21,
    });
    expect(layoutText(perChannel.factors, perChannel.factors!.inputs[0])).to.equal('3p0 2p1*4n2 5n3');
    expect(layoutText(perChannel.factors, perChannel.factors!.inputs[1])).to.equal('2p1*4n2');
    const perGroup = described(norm, 'GroupNormalization', {
      inputs: [[3, 8, 5], weight(2), weight(2)],
      attrs,
      version: 18,
    });
    expect(layoutText(perGroup.factors, perGroup.factors!.inputs[1])).to.equal('2p1');
    expect(failure(norm, 'GroupNormalization', { inputs: [[3, 9, 5], [9], [9]], attrs })).to.match(
      /9 is not divisible/,
    );
  });

  it('instance, Lp, local response and mean-variance normalisation keep the shape', () => {
    expect(shapes(norm, 'InstanceNormalization', { inputs: [['n', 4, 'h'], [4], [4]] })[0]).to.deep.equal([
      'n',
      4,
      'h',
    ]);
    expect(described(norm, 'LpNormalization', { inputs: [[4, 8]] }).factors!.factors[1].kind).to.equal(
      'normalized',
    );
    expect(
      described(norm, 'LRN', { inputs: [[1, 4, 8]], attrs: { size: 3 } }).factors!.factors[1].kind,
    ).to.equal('whole');
    const mvn = described(norm, 'MeanVarianceNormalization', { inputs: [[2, 3, 4, 4]] });
    expect(layoutText(mvn.factors, mvn.factors!.inputs[0])).to.equal('2n0 3p1 4n2 4n3');
  });
});

describe('softmax', () => {
  it('until opset 12 all axes from 1 on are normalised together, later the last alone', () => {
    const old = described(softmax, 'Softmax', { inputs: [[2, 3, 4]], version: 11 });
    expect(layoutText(old.factors, old.factors!.inputs[0])).to.equal('2p0 3n1 4n2');
    const now = described(softmax, 'Softmax', { inputs: [[2, 3, 4]], version: 13 });
    expect(layoutText(now.factors, now.factors!.inputs[0])).to.equal('2p0 3p1 4n2');
    expect(now.work).to.deep.equal({ flop: 5 * 24, kernel: 'norm' });
  });

  it('saves its output only', () => {
    const { backward } = described(softmax, 'LogSoftmax', { inputs: [[2, 4]] });
    expect(backward).to.deep.equal({ grads: [{ input: 0, flop: 32 }], savesInputs: [], savesOutputs: [0] });
    expect(described(softmax, 'Hardmax', { inputs: [[2, 4]] }).backward).to.equal(null);
  });

  it('an axis out of range is refused', () => {
    expect(failure(softmax, 'Softmax', { inputs: [[2, 4]], attrs: { axis: 99 } })).to.match(/axis 99/);
  });
});

describe('dropout', () => {
  it('keeps a mask of one byte an element', () => {
    const without = described(dropout, 'Dropout', { inputs: [[4, 8]], version: 13 });
    expect(savedBytes(without.op, without.backward)).to.equal(32);
    const withMask = described(dropout, 'Dropout', { inputs: [[4, 8]], version: 13, outputs: 2 });
    expect(withMask.backward!.savesOutputs).to.deep.equal([1]);
    expect(savedBytes(withMask.op, withMask.backward)).to.equal(32);
    expect(infer(dropout, 'Dropout', { inputs: [['b', 8]], outputs: 2 }).types[1]).to.deep.include({
      dtype: DType.BOOL,
    });
  });

  it('with ratio 0 is a copy that costs and saves nothing', () => {
    const { work, backward, op } = described(dropout, 'Dropout', {
      inputs: [[4, 8], { dims: [], value: [0] }],
      version: 13,
    });
    expect(work).to.deep.equal({ flop: 0, kernel: 'view' });
    expect(savedBytes(op, backward)).to.equal(0);
  });
});
