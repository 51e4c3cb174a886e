import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { add, symbol } from '../../src/ops/dim.js';
import { family as cast } from '../../src/ops/cast.js';
import { family } from '../../src/ops/logic.js';
import type { Dim } from '../../src/ops/types.js';
import { described, infer, shapes } from '../support/op_harness.js';

const known = (...value: Dim[]) => ({ dims: [value.length], dtype: DType.INT64, value });
const bool = (...value: number[]) => ({ dims: [value.length], dtype: DType.BOOL, value });
const s = symbol('s');

describe('comparisons', () => {
  const verdict = (op: string, x: Dim, y: Dim) =>
    infer(family, op, { inputs: [known(x), known(y)] }).values[0]?.elements[0] ?? null;

  it('are decided where the symbols cannot change them', () => {
    expect(verdict('Equal', s, -1)).to.equal(0);
    expect(verdict('Equal', s, s)).to.equal(1);
    expect(verdict('Equal', s, 4)).to.equal(null);
    expect(verdict('Less', s, add(s, 1))).to.equal(1);
    expect(verdict('GreaterOrEqual', s, 0)).to.equal(1);
    expect(verdict('LessOrEqual', add(s, 2), 1)).to.equal(0);
    expect(verdict('Greater', 3, 2)).to.equal(1);
  });

  it('return BOOL and pass no gradient', () => {
    const t = infer(family, 'Less', { inputs: [['b', 1], [3]] }).types[0];
    expect(t).to.deep.include({ kind: 'tensor', dtype: DType.BOOL });
    expect(described(family, 'Less', { inputs: [[2], [2]] }).backward).to.equal(null);
  });
});

describe('Where', () => {
  it('picks known elements, as exporters do to replace -1 by a dimension', () => {
    const r = infer(family, 'Where', { inputs: [bool(0, 1, 0), known(1, 1, 1), known(s, 2, 3)] });
    expect(r.values[0]!.elements).to.deep.equal([s, 1, 3]);
  });

  it('broadcasts all three and takes its type from the branches', () => {
    const c = { inputs: [{ dims: ['b', 1, 's', 's'], dtype: DType.BOOL }, [4, 1, 1], []] } as const;
    expect(shapes(family, 'Where', c)).to.deep.equal([['b', 4, 's', 's']]);
  });

  it('keeps only its condition for the gradient', () => {
    const b = described(family, 'Where', { inputs: [{ dims: [4], dtype: DType.BOOL }, [4], [4]] }).backward!;
    expect(b.savesInputs).to.deep.equal([0]);
    expect(b.grads.map((g) => g.input)).to.deep.equal([1, 2]);
  });
});

describe('Cast', () => {
  const to = (dtype: DType, ...value: Dim[]) =>
    infer(cast, 'Cast', {
      inputs: [{ dims: [value.length], dtype: DType.FLOAT, value }],
      attrs: { to: dtype },
    }).values[0];

  it('truncates to integers, makes truth values, keeps symbols', () => {
    expect(to(DType.INT64, 2.9, -2.9, s)!.elements).to.deep.equal([2, -2, s]);
    expect(to(DType.BOOL, 0, 3)!.elements).to.deep.equal([0, 1]);
    expect(to(DType.BOOL, s)).to.equal(null);
    expect(to(DType.INT64, NaN)).to.equal(null);
  });

  it('reads the type names of opset 1 and follows the second input in CastLike', () => {
    const t = infer(cast, 'Cast', { inputs: [['n']], attrs: { to: 'INT32' }, version: 5 }).types[0];
    expect(t).to.deep.include({ dtype: DType.INT32 });
    const d = described(cast, 'CastLike', { inputs: [[4, 2], { dims: [3], dtype: DType.FLOAT16 }] });
    expect(d.op.outputDtype(0)).to.equal(DType.FLOAT16);
    expect(d.factors!.linear).to.equal(true);
  });

  it('rereads bits with another width along the last dimension', () => {
    const c = { inputs: [{ dims: ['n', 8], dtype: DType.FLOAT }], attrs: { to: DType.INT8 } } as const;
    expect(shapes(cast, 'BitCast', c)).to.deep.equal([['n', 32]]);
  });
});
