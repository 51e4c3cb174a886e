import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { family as activation } from '../../src/ops/microsoft_activation.js';
import { family as fused } from '../../src/ops/microsoft_fused.js';
import { family as misc } from '../../src/ops/microsoft_misc.js';
import { family as norm } from '../../src/ops/microsoft_norm.js';
import { family as training } from '../../src/ops/microsoft_training.js';
import { family as moe } from '../../src/ops/moe.js';
import {
  described,
  failure,
  gradFlop,
  infer,
  layoutText,
  savedBytes,
  shapes,
  type Input,
} from '../support/op_harness.js';

const weight = (...dims: number[]) => ({ dims, parameter: true });
const int64 = (dims: (number | string)[], value?: number[]): Input => ({
  dims,
  dtype: DType.INT64,
  ...(value ? { value } : {}),
});

describe('ORT normalisations', () => {
  it('with a skip give the norm, its statistics and the sum', () => {
    const c = { inputs: [['b', 's', 8], ['b', 's', 8], [8]], outputs: 4 };
    expect(shapes(norm, 'SkipSimplifiedLayerNormalization', c)).to.deep.equal([
      ['b', 's', 8],
      ['b', 's', 1],
      ['b', 's', 1],
      ['b', 's', 8],
    ]);
    expect(failure(norm, 'SkipLayerNormalization', { inputs: [[2, 3, 8], [2, 3, 8], [7]] })).to.match(
      /expected 8, found 7/,
    );
  });

  it('with a skip save the sum once, whether it is an output or not', () => {
    const inputs = [[2, 3, 8], [2, 3, 8], weight(8), weight(8)];
    const hidden = described(norm, 'SkipLayerNormalization', { inputs });
    expect(savedBytes(hidden.op, hidden.backward)).to.equal(48 * 4 + 8 * 6);
    const shown = described(norm, 'SkipLayerNormalization', { inputs, outputs: 4 });
    expect(savedBytes(shown.op, shown.backward)).to.equal(48 * 4 + 8 * 6);
    expect(layoutText(shown.factors, shown.factors!.inputs[1])).to.equal('2p0 3p1 8n2');
  });

  it('of embeddings look up rows and normalise the hidden axis', () => {
    const ids: Input = { dims: [2, 6], dtype: DType.INT32 };
    const c = {
      inputs: [ids, ids, weight(100, 8), weight(64, 8), weight(2, 8), weight(8), weight(8)],
      outputs: 3,
    };
    expect(shapes(norm, 'EmbedLayerNormalization', c)).to.deep.equal([[2, 6, 8], [2], [2, 6, 8]]);
    const { factors } = described(norm, 'EmbedLayerNormalization', c);
    expect(layoutText(factors, factors!.inputs[2])).to.match(/^100l\d 8n2$/);
    expect(layoutText(factors, factors!.outputs[0])).to.equal('2p0 6p1 8n2');
  });

  it('by groups have their channels last', () => {
    const { factors } = described(norm, 'GroupNorm', {
      inputs: [[2, 4, 4, 8], weight(8), weight(8)],
      attrs: { groups: 2, activation: 1 },
    });
    expect(layoutText(factors, factors!.inputs[0])).to.match(/^2p0 4n\d 4n\d 2p1\*4n2$/);
    expect(shapes(norm, 'BiasSplitGelu', { inputs: [['b', 's', 16], [16]] })[0]).to.deep.equal(['b', 's', 8]);
    const split = described(norm, 'BiasSplitGelu', { inputs: [[2, 3, 16], [16]] });
    expect(layoutText(split.factors, split.factors!.inputs[0])).to.match(/^2p0 3p1 2w\d\*8p2$/);
  });
});

describe('ORT activations', () => {
  it('add a bias that splits with the columns and is saved with the input', () => {
    const { op, work, factors, backward } = described(activation, 'FastGelu', {
      inputs: [[2, 8], weight(8)],
    });
    expect(work!.flop).to.equal(16 * 9);
    expect(layoutText(factors, factors!.inputs[1])).to.equal('8p1');
    expect(savedBytes(op, backward)).to.equal(64);
    expect(shapes(activation, 'QuickGelu', { inputs: [['b', 4]] })[0]).to.deep.equal(['b', 4]);
  });

  it('drop with a mask of one byte or one bit an element', () => {
    const bytes = described(activation, 'BiasDropout', { inputs: [[4, 64], weight(64)] });
    expect(savedBytes(bytes.op, bytes.backward)).to.equal(256);
    const bits = described(activation, 'BitmaskDropout', { inputs: [[4, 64]], outputs: 2 });
    expect(bits.op.outputShape(1)).to.deep.equal([8]);
    expect(savedBytes(bits.op, bits.backward)).to.equal(32);
  });

  it('BiasSoftmax normalises from its axis on', () => {
    const { factors, backward } = described(activation, 'BiasSoftmax', {
      inputs: [
        [2, 3, 4],
        [2, 1, 4],
      ],
      attrs: { axis: 2, is_inner_broadcast: 1 },
    });
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 3p1 4n2');
    expect(backward!.savesOutputs).to.deep.equal([0]);
  });
});

describe('ORT experts', () => {
  const inputs = [[6, 8], [6, 4], weight(4, 32, 8), '?' as const, weight(4, 8, 16)];
  const attrs = { k: 2, activation_type: 'swiglu', swiglu_fusion: 2 };
  it('look experts up, contract the inner axis, and count k experts a token', () => {
    const { work, factors, backward } = described(moe, 'MoE', { inputs, attrs });
    expect(work).to.deep.equal({ flop: 2 * 6 * 2 * (8 * 32 + 16 * 8), kernel: 'gemm' });
    expect(layoutText(factors, factors!.inputs[2])).to.match(/^4l1 2w\d\*16c2 8w\d$/);
    expect(layoutText(factors, factors!.inputs[4])).to.match(/^4l1 8p\d 16c2$/);
    expect(layoutText(factors, factors!.inputs[1])).to.equal('6p0 4l1');
    expect(gradFlop(backward)).to.equal(2 * work!.flop + 2 * 6 * 2 * 8);
    expect(
      failure(moe, 'MoE', { inputs: [[6, 8], [6, 5], weight(4, 32, 8), '?', weight(4, 8, 16)], attrs }),
    ).to.match(/experts: expected 4, found 5/);
  });

  it('with packed weights contract what a byte holds together', () => {
    const u8 = (...dims: number[]): Input => ({ dims, dtype: DType.UINT8, parameter: true });
    const c = {
      inputs: [[2, 3, 8], [6, 4], u8(4, 16, 4), [4, 16], '?' as const, u8(4, 8, 8), [4, 8]],
      attrs: { k: 1, expert_weight_bits: 4 },
    };
    const { op, factors } = described(moe, 'QMoE', c);
    expect(op.outputShape(0)).to.deep.equal([2, 3, 8]);
    expect(layoutText(factors, factors!.inputs[5])).to.match(/^4l2 8p\d 8c3$/);
    expect(layoutText(factors, factors!.inputs[2])).to.match(/^4l2 8c3\*2w\d 4w\d$/);
    expect(layoutText(factors, factors!.inputs[1])).to.equal('2p0*3p1 4l2');
  });
});

describe('ORT fused products and the rest', () => {
  it('FusedMatMul transposes operands and their batches', () => {
    expect(
      shapes(fused, 'FusedMatMul', {
        inputs: [
          ['b', 4, 's'],
          ['b', 4, 't'],
        ],
        attrs: { transA: 1 },
      })[0],
    ).to.deep.equal(['b', 's', 't']);
    const batch = {
      inputs: [
        [3, 2, 4],
        [2, 4, 5],
      ],
      attrs: { transBatchA: 1 },
    };
    expect(shapes(fused, 'FusedMatMul', batch)[0]).to.deep.equal([2, 3, 5]);
    const { factors, work } = described(fused, 'FusedMatMul', batch);
    expect(work!.flop).to.equal(2 * 2 * 3 * 5 * 4);
    expect(layoutText(factors, factors!.inputs[0])).to.equal('3p2 2p0 4c1');
  });

  it('fused activations save the output and are not linear', () => {
    const { factors, backward, work } = described(fused, 'FusedGemm', { inputs: [[2, 4], weight(4, 6)] });
    expect(factors!.linear).to.equal(undefined);
    expect(backward!.savesOutputs).to.deep.equal([0]);
    expect(work!.flop).to.equal(2 * 2 * 4 * 6 + 12);
  });

  it('NHWC convolutions take weights with channels first or last', () => {
    expect(
      shapes(fused, 'NhwcConv', {
        inputs: [
          ['n', 8, 8, 3],
          [16, 3, 3, 3],
        ],
      })[0],
    ).to.deep.equal(['n', 6, 6, 16]);
    expect(
      shapes(fused, 'NhwcConv', {
        inputs: [
          ['n', 8, 8, 'c'],
          ['m', 3, 3, 'c'],
        ],
      })[0],
    ).to.deep.equal(['n', 6, 6, 'm']);
    const { factors } = described(fused, 'NhwcConv', { inputs: [[2, 8, 8, 4], weight(16, 3, 3, 4)] });
    expect(layoutText(factors, factors!.inputs[1])).to.match(/^16p1 3w\d 3w\d 4c2$/);
  });

  it('shapes of the smaller ones', () => {
    expect(
      shapes(misc, 'ExpandDims', { inputs: [['a', 'b'], { dims: [], dtype: DType.INT32, value: [-1] }] })[0],
    ).to.deep.equal(['a', 'b', 1]);
    expect(
      shapes(fused, 'CDist', {
        inputs: [
          ['m', 4],
          ['k', 4],
        ],
      })[0],
    ).to.deep.equal(['m', 'k']);
    expect(shapes(misc, 'Rfft', { inputs: [['b', 16]], attrs: { signal_ndim: 1 } })[0]).to.deep.equal([
      'b',
      9,
      2,
    ]);
    expect(shapes(misc, 'Irfft', { inputs: [['b', 9, 2]], attrs: { signal_ndim: 1 } })[0]).to.deep.equal([
      'b',
      16,
    ]);
    expect(
      shapes(misc, 'UnfoldTensor', { inputs: [[2, 10]], attrs: { dim: 1, size: 4, step: 2 } })[0],
    ).to.deep.equal([2, 4, 4]);
    expect(
      shapes(misc, 'RestorePadding', {
        inputs: [
          ['t', 8],
          ['b', 's'],
        ],
      })[0],
    ).to.deep.equal(['b', 's', 8]);
    const scalar = (v: number): Input => ({ dims: [1], dtype: DType.INT32, value: [v] });
    const beam = { inputs: [['b', 's'], scalar(20), scalar(1), scalar(4), scalar(2)], outputs: 2 };
    expect(shapes(misc, 'BeamSearch', beam)).to.deep.equal([
      ['b', 2, 20],
      ['b', 2],
    ]);
    expect(shapes(misc, 'GreedySearch', { inputs: [['b', 's'], scalar(20)] })[0]).to.deep.equal(['b', 20]);
    const embedding = described(misc, 'TorchEmbedding', { inputs: [weight(100, 8), int64([2, 3])] });
    expect(layoutText(embedding.factors, embedding.factors!.inputs[0])).to.match(/^100l\d 8p\d$/);
  });
});

describe('ORT training graphs', () => {
  it('gradients have the shapes of what they are gradients of, and none themselves', () => {
    const layer = { inputs: [['b', 8], ['b', 8], [8], ['b', 1], ['b', 1]], outputs: 3 };
    expect(shapes(training, 'LayerNormalizationGrad', layer)).to.deep.equal([['b', 8], [8], [8]]);
    const conv = {
      inputs: [
        [2, 4, 6, 6],
        [2, 3, 8, 8],
        [4, 3, 3, 3],
      ],
      outputs: 3,
    };
    expect(shapes(training, 'ConvGrad', conv)).to.deep.equal([[2, 3, 8, 8], [4, 3, 3, 3], [4]]);
    expect(
      shapes(training, 'GatherGrad', { inputs: [int64([2], [100, 8]), int64([2, 3]), [2, 3, 8]] })[0],
    ).to.deep.equal([100, 8]);
    expect(
      shapes(training, 'SoftmaxCrossEntropyLossGrad', { inputs: [[], ['n', 10], int64(['n'])] })[0],
    ).to.deep.equal(['n', 10]);
    expect(
      described(training, 'ReluGrad', {
        inputs: [
          [2, 3],
          [2, 3],
        ],
      }).backward,
    ).to.equal(null);
    expect(
      described(training, 'SoftmaxGrad_13', {
        inputs: [
          [2, 3],
          [2, 3],
        ],
      }).factors!.factors[1].kind,
    ).to.equal('normalized');
    const rows = described(training, 'LayerNormalizationGrad', {
      inputs: [[4, 8], [4, 8], [8], [4, 1], [4, 1]],
      outputs: 3,
    });
    expect(layoutText(rows.factors, rows.factors!.inputs[0])).to.equal('4c0 8n1');
  });

  it('accumulators, optimizers and signals', () => {
    const flag = infer(training, 'InPlaceAccumulatorV2', {
      inputs: [[4, 5], [4, 5], { dims: [1], dtype: DType.BOOL }],
      outputs: 2,
    });
    expect(flag.types[0]).to.deep.equal({ kind: 'tensor', dtype: DType.BOOL, shape: [1] });
    expect(flag.types[1]).to.deep.include({ shape: [4, 5] });
    const adam = { inputs: [[], int64([]), [4, 5], [4, 5], [4, 5], [4, 5]], outputs: 4 };
    expect(shapes(training, 'AdamOptimizer', adam)).to.deep.equal([[], [4, 5], [4, 5], [4, 5]]);
    expect(
      shapes(training, 'ConcatTraining', {
        inputs: [
          [2, 3],
          [4, 3],
        ],
        attrs: { axis: 0 },
        outputs: 2,
      }),
    ).to.deep.equal([[6, 3], [2]]);
    const send = infer(training, 'Send', { inputs: [{ dims: [], dtype: DType.BOOL }, int64([]), [3]] });
    expect(send.types[0]).to.deep.include({ dtype: DType.BOOL });
  });
});
