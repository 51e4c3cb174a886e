import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { attendedPairs, type AttentionSizes } from '../../src/ops/attention_core.js';
import { family as standard } from '../../src/ops/attention.js';
import { family as preview } from '../../src/ops/attention_preview.js';
import { family as ort } from '../../src/ops/microsoft_attention.js';
import {
  described,
  failure,
  gradFlop,
  layoutText,
  savedBytes,
  shapes,
  type Input,
} from '../support/op_harness.js';

const weight = (...dims: number[]) => ({ dims, parameter: true });
const int32 = (dims: number[], value?: number[]): Input => ({
  dims,
  dtype: DType.INT32,
  ...(value ? { value } : {}),
});

describe('attention pairs', () => {
  const base: AttentionSizes = {
    batch: 1,
    heads: 1,
    kvHeads: 1,
    queryLength: 8,
    kvLength: 8,
    pastLength: 0,
    headDim: 4,
    valueDim: 4,
    causal: true,
    window: Number.POSITIVE_INFINITY,
  };
  it('are half a square when causal, all with the past, and bounded by a window', () => {
    expect(attendedPairs({ ...base, causal: false })).to.equal(64);
    expect(attendedPairs(base)).to.equal(32);
    expect(attendedPairs({ ...base, queryLength: 1, kvLength: 1, pastLength: 100 })).to.equal(100.5);
    expect(attendedPairs({ ...base, window: 2 })).to.equal(16);
    expect(attendedPairs({ ...base, queryLength: 4 })).to.equal(8);
  });
});

describe('Attention of the default domain', () => {
  it('takes heads packed in the last axis or in an axis of their own', () => {
    const attrs = { q_num_heads: 8, kv_num_heads: 2 };
    const c = {
      inputs: [
        ['b', 's', 64],
        ['b', 't', 16],
        ['b', 't', 32],
      ],
      attrs,
      version: 23,
    };
    expect(shapes(standard, 'Attention', c)).to.deep.equal([['b', 's', 128]]);
    const four = {
      inputs: [
        ['b', 8, 's', 16],
        ['b', 2, 't', 16],
        ['b', 2, 't', 4],
      ],
      outputs: 4,
    };
    expect(shapes(standard, 'Attention', four)).to.deep.equal([
      ['b', 8, 's', 4],
      ['b', 2, 't', 16],
      ['b', 2, 't', 4],
      ['b', 8, 's', 't'],
    ]);
  });

  it('adds the past to the present', () => {
    const c = {
      inputs: [
        ['b', 8, 1, 16],
        ['b', 8, 1, 16],
        ['b', 8, 1, 16],
        '?' as const,
        ['b', 8, 'p', 16],
        ['b', 8, 'p', 16],
      ],
      outputs: 3,
    };
    expect(shapes(standard, 'Attention', c)[1]).to.deep.equal(['b', 8, 'p + 1', 16]);
  });

  it('contradicting heads are refused', () => {
    const c = {
      inputs: [
        [1, 7, 4, 16],
        [1, 2, 4, 16],
        [1, 2, 4, 16],
      ],
    };
    expect(failure(standard, 'Attention', c)).to.match(/7 query heads are not a multiple of 2/);
  });

  it('splits batch, heads by key/value head and group, and queries; keys carry softmax statistics', () => {
    const c = {
      inputs: [
        [2, 5, 64],
        [2, 7, 16],
        [2, 7, 16],
      ],
      attrs: { q_num_heads: 8, kv_num_heads: 2, is_causal: 0 },
    };
    const { op, work, factors, backward } = described(standard, 'Attention', c);
    expect(work).to.deep.equal({ flop: 2 * 2 * 8 * 5 * 7 * 16, kernel: 'attention' });
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 5p3 2p1*4p2*8w5');
    expect(layoutText(factors, factors!.inputs[1])).to.equal('2p0 7n4 2p1*8w5');
    expect(layoutText(factors, factors!.outputs[0])).to.equal('2p0 5p3 2p1*4p2*8w6');
    expect(gradFlop(backward)).to.equal(2 * work!.flop);
    expect(savedBytes(op, backward)).to.equal(4 * (640 + 2 * 224 + 640) + 4 * 2 * 8 * 5);
  });
});

describe('FlexAttention of the preview domain', () => {
  it('is an attention over an axis of heads', () => {
    const { op, work, factors } = described(preview, 'FlexAttention', {
      inputs: [
        [2, 8, 5, 16],
        [2, 2, 7, 16],
        [2, 2, 7, 4],
      ],
    });
    expect(op.outputShape(0)).to.deep.equal([2, 8, 5, 4]);
    expect(work!.flop).to.equal(2 * 2 * 8 * 5 * 7 * 20);
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 2p1*4p2 5p3 16w5');
  });
});

describe('rotary embeddings', () => {
  it('split batch, heads and positions and keep the head dimension whole', () => {
    const c = {
      inputs: [
        [2, 4, 6, 8],
        [2, 6, 4],
        [2, 6, 4],
      ],
      version: 23,
    };
    const { factors, work } = described(standard, 'RotaryEmbedding', c);
    expect(work!.flop).to.equal(3 * 2 * 4 * 6 * 8);
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 4p1 6p2 8w3');
    expect(layoutText(factors, factors!.inputs[1])).to.match(/^2p0 6p2 4w\d$/);
  });

  it('of ORT find flat heads by the width of the cosine table', () => {
    const c = { inputs: [[2, 6, 32], { dims: [2, 6], dtype: DType.INT64 }, [64, 4], [64, 4]] };
    const { factors } = described(ort, 'RotaryEmbedding', c);
    expect(layoutText(factors, factors!.inputs[0])).to.equal('2p0 6p2 4p1*8w3');
  });
});

describe('linear attention', () => {
  it('carries a state per head and counts its products', () => {
    const c = {
      inputs: [[2, 10, 32], [2, 10, 16], [2, 10, 24], '?' as const, [2, 10, 2], [2, 10, 2]],
      attrs: { q_num_heads: 4, kv_num_heads: 2, update_rule: 'gated_delta' },
      outputs: 2,
      version: 27,
    };
    expect(shapes(standard, 'LinearAttention', c)).to.deep.equal([
      [2, 10, 48],
      [2, 2, 8, 12],
    ]);
    const { work, factors } = described(standard, 'LinearAttention', c);
    expect(work!.flop).to.equal(2 * 2 * 10 * 8 * 12 * (2 * 2 + 4));
    expect(layoutText(factors, factors!.inputs[4])).to.match(/^2p0 10w\d 2p1\*1p\d$/);
  });
});

describe('ORT attention', () => {
  it('MultiHeadAttention takes separate, packed and cached operands', () => {
    const attrs = { num_heads: 4 };
    expect(
      shapes(ort, 'MultiHeadAttention', {
        inputs: [
          ['b', 's', 32],
          ['b', 't', 32],
          ['b', 't', 64],
        ],
        attrs,
      })[0],
    ).to.deep.equal(['b', 's', 64]);
    expect(shapes(ort, 'MultiHeadAttention', { inputs: [['b', 's', 4, 3, 8]], attrs })[0]).to.deep.equal([
      'b',
      's',
      32,
    ]);
    expect(
      shapes(ort, 'MultiHeadAttention', {
        inputs: [
          ['b', 's', 32],
          ['b', 4, 't', 8],
          ['b', 4, 't', 8],
        ],
        attrs,
      })[0],
    ).to.deep.equal(['b', 's', 32]);
    const past = {
      inputs: [
        ['b', 1, 32],
        ['b', 1, 32],
        ['b', 1, 32],
        '?' as const,
        '?' as const,
        '?' as const,
        ['b', 4, 'p', 8],
        ['b', 4, 'p', 8],
      ],
      attrs,
      outputs: 3,
    };
    expect(shapes(ort, 'MultiHeadAttention', past)[2]).to.deep.equal(['b', 4, 'p + 1', 8]);
    expect(
      failure(ort, 'MultiHeadAttention', {
        inputs: [
          [1, 2, 30],
          [1, 2, 30],
          [1, 2, 30],
        ],
        attrs,
      }),
    ).to.match(/30 columns/);
  });

  const gqa = (columns: number, packed: boolean, total: number) => ({
    inputs: [
      [2, 6, columns],
      ...(packed
        ? (['?', '?'] as const)
        : [
            [2, 6, 16],
            [2, 6, 16],
          ]),
      [2, 2, 4, 8],
      [2, 2, 4, 8],
      int32([2]),
      int32([], [total]),
    ],
    attrs: { num_heads: 4, kv_num_heads: 2 },
    outputs: 3,
  });

  it('GroupQueryAttention grows its cache to the total length', () => {
    expect(shapes(ort, 'GroupQueryAttention', gqa(32, false, 10))).to.deep.equal([
      [2, 6, 32],
      [2, 2, 10, 8],
      [2, 2, 10, 8],
    ]);
    expect(shapes(ort, 'GroupQueryAttention', gqa(64, true, 10))[0]).to.deep.equal([2, 6, 32]);
  });

  it('GroupQueryAttention is causal and splits packed columns by key/value head', () => {
    const { work, factors } = described(ort, 'GroupQueryAttention', gqa(64, true, 10));
    expect(work!.flop).to.equal(2 * 2 * 4 * (6 * 4 + 18) * 16);
    expect(layoutText(factors, factors!.inputs[0])).to.match(/^2p0 6w\d 4w\d\*2p1\*8w\d$/);
    expect(layoutText(factors, factors!.outputs[0])).to.match(/^2p0 6w\d 2p1\*2p2\*8w\d$/);
  });

  it('GroupQueryAttention in a shared buffer does not count this step twice', () => {
    const c = gqa(32, false, 4);
    const shared = { ...c, inputs: [[2, 4, 32], [2, 4, 16], [2, 4, 16], ...c.inputs.slice(3)] };
    expect(described(ort, 'GroupQueryAttention', shared).work!.flop).to.equal(2 * 2 * 4 * 8 * 16);
  });

  it('Attention projects its input: heads split the weight columns, the output and the cache', () => {
    const c = {
      inputs: [[2, 6, 16], weight(16, 48), weight(48), '?' as const, [2, 2, 4, 3, 4]],
      attrs: { num_heads: 4, unidirectional: 1 },
      outputs: 2,
    };
    expect(shapes(ort, 'Attention', c)).to.deep.equal([
      [2, 6, 16],
      [2, 2, 4, 9, 4],
    ]);
    const { op, work, factors, backward } = described(ort, 'Attention', c);
    const projection = 2 * 12 * 16 * 48;
    const attention = 2 * 2 * 4 * (6 * 3 + 18) * 8;
    expect(work!.flop).to.equal(projection + attention);
    expect(layoutText(factors, factors!.inputs[1])).to.match(/^16w\d 3w\d\*4p3\*4w\d$/);
    expect(layoutText(factors, factors!.outputs[0])).to.match(/^2p0 6w\d 4p3\*4w\d$/);
    expect(gradFlop(backward)).to.equal(2 * projection + 2 * attention + 12 * 48);
    // Input and output, the cache it reads, the projected columns, and the log-sum-exp.
    expect(savedBytes(op, backward)).to.equal(4 * (192 + 192 + 192 + 12 * 48) + 4 * 2 * 4 * 6);
    expect(
      failure(ort, 'Attention', {
        inputs: [
          [2, 6, 16],
          [20, 48],
        ],
        attrs: { num_heads: 4 },
      }),
    ).to.match(/expected 20, found 16/);
  });

  it('quantised, packed, paged and relative forms have their shapes', () => {
    const i8 = (...dims: number[]): Input => ({ dims, dtype: DType.INT8 });
    const q = { inputs: [i8(2, 6, 16), i8(16, 48), [48], [], []], attrs: { num_heads: 4 } };
    expect(shapes(ort, 'QAttention', q)[0]).to.deep.equal([2, 6, 16]);
    const packed = { inputs: [[9, 16], [16, 48], [48], int32([2, 6]), int32([3])], attrs: { num_heads: 4 } };
    expect(shapes(ort, 'PackedAttention', packed)[0]).to.deep.equal([9, 16]);
    const heads = {
      inputs: [[9, 16], [9, 16], [9, 32], '?' as const, int32([2, 6]), int32([3])],
      attrs: { num_heads: 4 },
    };
    expect(shapes(ort, 'PackedMultiHeadAttention', heads)[0]).to.deep.equal([9, 32]);
    const paged = {
      inputs: [
        ['t', 32],
        ['t', 16],
        ['t', 16],
        ['n', 16, 2, 8],
        ['n', 16, 2, 8],
      ],
      attrs: { num_heads: 4, kv_num_heads: 2 },
      outputs: 3,
    };
    expect(shapes(ort, 'PagedAttention', paged)).to.deep.equal([
      ['t', 32],
      ['n', 16, 2, 8],
      ['n', 16, 2, 8],
    ]);
    const bias = { inputs: [[32, 4], int32([], [5]), int32([], [7])] };
    expect(shapes(ort, 'RelativePositionBias', bias)[0]).to.deep.equal([1, 4, 5, 7]);
    expect(described(ort, 'RelativePositionBias', bias).factors!.factors[1].kind).to.equal('lookup');
  });
});
