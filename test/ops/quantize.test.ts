import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { family as ort } from '../../src/ops/microsoft_quant.js';
import { family as quantize } from '../../src/ops/quantize.js';
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

const u8 = (...dims: number[]): Input => ({ dims, dtype: DType.UINT8, parameter: true });
const i8 = (...dims: number[]): Input => ({ dims, dtype: DType.INT8 });

describe('quantisation', () => {
  it('takes its type from the zero point, the attribute, or uint8', () => {
    const type = (c: Parameters<typeof infer>[2]): unknown => infer(quantize, 'QuantizeLinear', c).types[0];
    expect(type({ inputs: [['n', 4], []] })).to.deep.include({ dtype: DType.UINT8 });
    expect(type({ inputs: [['n', 4], [], i8()] })).to.deep.include({ dtype: DType.INT8 });
    const attrs = { output_dtype: DType.FLOAT8E4M3FN };
    expect(type({ inputs: [['n', 4], []], attrs })).to.deep.include({ dtype: DType.FLOAT8E4M3FN });
    const half = { inputs: [i8(2, 4), { dims: [], dtype: DType.FLOAT16 }] };
    expect(infer(quantize, 'DequantizeLinear', half).types[0]).to.deep.include({ dtype: DType.FLOAT16 });
    expect(shapes(quantize, 'DynamicQuantizeLinear', { inputs: [['n', 4]], outputs: 3 })).to.deep.equal([
      ['n', 4],
      [],
      [],
    ]);
  });

  it('splits per-axis scales with their axis and blocked ones by whole blocks', () => {
    const axis = described(quantize, 'DequantizeLinear', {
      inputs: [i8(6, 8), [8], i8(8)],
      attrs: { axis: 1 },
    });
    expect(layoutText(axis.factors, axis.factors!.inputs[1])).to.equal('8p1');
    const blocked = described(quantize, 'DequantizeLinear', {
      inputs: [i8(6, 8), [6, 2], i8(6, 2)],
      attrs: { axis: 1, block_size: 4 },
    });
    expect(layoutText(blocked.factors, blocked.factors!.inputs[0])).to.equal('6p0 2p1*4w2');
    expect(layoutText(blocked.factors, blocked.factors!.inputs[1])).to.equal('6p0 2p1');
  });

  it('passes gradients straight through floats and refuses scales that do not fit', () => {
    const { backward } = described(quantize, 'QuantizeLinear', { inputs: [[4, 4], []] });
    expect(backward).to.deep.equal({ grads: [{ input: 0, flop: 16 }], savesInputs: [], savesOutputs: [] });
    expect(failure(quantize, 'DequantizeLinear', { inputs: [i8(6, 8), [5]], attrs: { axis: 1 } })).to.match(
      /expected 8 values along axis 1, found 5/,
    );
  });
});

describe('ORT quantised operators', () => {
  it('MatMulNBits contracts whole blocks of K and splits the columns', () => {
    const c = {
      inputs: [[2, 3, 128], u8(64, 4, 16), { dims: [64, 4], parameter: true }],
      attrs: { K: 128, N: 64, bits: 4, block_size: 32 },
    };
    const { op, work, factors, backward } = described(ort, 'MatMulNBits', c);
    expect(op.outputShape(0)).to.deep.equal([2, 3, 64]);
    expect(work).to.deep.equal({ flop: 2 * 6 * 128 * 64, kernel: 'gemm' });
    expect(layoutText(factors, factors!.inputs[0])).to.match(/^2p0 3p1 4c3\*32w\d$/);
    expect(layoutText(factors, factors!.inputs[1])).to.match(/^64p2 4c3 16w\d$/);
    expect(layoutText(factors, factors!.inputs[2])).to.equal('64p2 4c3');
    // The weight is frozen: the activation's gradient alone, and no activation kept for it.
    expect(gradFlop(backward)).to.equal(work!.flop);
    expect(savedBytes(op, backward)).to.equal(0);
    expect(
      failure(ort, 'MatMulNBits', { inputs: [[2, 100], u8(64, 4, 16), [64, 4]], attrs: { K: 128, N: 64 } }),
    ).to.match(/expected 128, found 100/);
  });

  it('flat scales of MatMulNBits are columns by blocks', () => {
    const { factors } = described(ort, 'MatMulNBits', {
      inputs: [[1, 128], u8(64, 4, 16), [256], u8(128)],
      attrs: { K: 128, N: 64, bits: 4, block_size: 32 },
    });
    expect(layoutText(factors, factors!.inputs[2])).to.equal('64p1*4c2');
  });

  it('elementwise, pooling, reducing and joining forms have the shapes of the plain ones', () => {
    const q = [[], i8()] as const;
    expect(shapes(ort, 'QLinearAdd', { inputs: [i8(2, 1, 4), ...q, i8(3, 1), ...q, ...q] })[0]).to.deep.equal(
      [2, 3, 4],
    );
    expect(shapes(ort, 'QLinearSigmoid', { inputs: [i8(2, 3), ...q, ...q] })[0]).to.deep.equal([2, 3]);
    const pool = {
      inputs: [i8(1, 8, 8, 3), ...q, ...q],
      attrs: { kernel_shape: [2, 2], strides: [2, 2], channels_last: 1 },
    };
    expect(shapes(ort, 'QLinearAveragePool', pool)[0]).to.deep.equal([1, 4, 4, 3]);
    expect(
      layoutText(
        described(ort, 'QLinearAveragePool', pool).factors,
        described(ort, 'QLinearAveragePool', pool).factors!.inputs[0],
      ),
    ).to.match(/^1p0 8w\d 8w\d 3p1$/);
    const globalPool = { inputs: [i8(1, 3, 8, 8), ...q, ...q] };
    expect(shapes(ort, 'QLinearGlobalAveragePool', globalPool)[0]).to.deep.equal([1, 3, 1, 1]);
    expect(
      shapes(ort, 'QLinearConcat', { inputs: [...q, i8(2, 3), ...q, i8(2, 5), ...q], attrs: { axis: 1 } })[0],
    ).to.deep.equal([2, 8]);
    expect(
      shapes(ort, 'QLinearReduceMean', {
        inputs: [i8(2, 3, 4), ...q, ...q],
        attrs: { axes: [1], keepdims: 0 },
      })[0],
    ).to.deep.equal([2, 4]);
    const where = { inputs: [{ dims: [2, 1], dtype: DType.BOOL }, i8(1, 3), ...q, i8(2, 3), ...q, ...q] };
    expect(shapes(ort, 'QLinearWhere', where)[0]).to.deep.equal([2, 3]);
    const conv = { inputs: [i8(1, 8, 8, 3), ...q, i8(16, 3, 3, 3), ...q, ...q], attrs: { channels_last: 1 } };
    expect(shapes(ort, 'QLinearConv', conv)[0]).to.deep.equal([1, 6, 6, 16]);
  });

  it('products of integers become floats, and table rows are looked up', () => {
    const toFloat = { inputs: [i8(2, 4), i8(4, 6), [], [6]] };
    expect(infer(ort, 'MatMulIntegerToFloat', toFloat).types[0]).to.deep.include({ dtype: DType.FLOAT });
    expect(described(ort, 'MatMulIntegerToFloat', toFloat).backward).to.equal(null);
    const dynamic = described(ort, 'DynamicQuantizeMatMul', { inputs: [[2, 4], i8(4, 6), [6]] });
    expect(layoutText(dynamic.factors, dynamic.factors!.inputs[2])).to.equal('6p2');
    expect(
      shapes(ort, 'QGemm', { inputs: [i8(2, 4), [], i8(), i8(6, 4), [], i8()], attrs: { transB: 1 } })[0],
    ).to.deep.equal([2, 6]);
    expect(
      shapes(ort, 'MatMulBnb4', { inputs: [['b', 64], u8(1024), [32]], attrs: { K: 64, N: 32 } })[0],
    ).to.deep.equal(['b', 32]);
    const fp = { inputs: [['b', 64], u8(1024), { dims: [2], dtype: DType.INT64, value: [64, 32] }] };
    expect(shapes(ort, 'MatMulFpQ4', fp)[0]).to.deep.equal(['b', 32]);
    const gather = {
      inputs: [u8(100, 16), { dims: [2, 3], dtype: DType.INT64 }, [100, 1]],
      attrs: { bits: 4, block_size: 32 },
    };
    expect(shapes(ort, 'GatherBlockQuantized', gather)[0]).to.deep.equal([2, 3, 32]);
    expect(described(ort, 'GatherBlockQuantized', gather).factors!.factors[0].kind).to.equal('lookup');
  });
});
