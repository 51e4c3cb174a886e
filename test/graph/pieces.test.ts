import { expect } from 'chai';
import { layPieces, mergePieces, refineRule, regroupRule } from '../../src/graph/pieces.js';
import { AXIS_BATCH, AXIS_NONE, AXIS_SEQUENCE } from '../../src/graph/types.js';
import type { FactorRule } from '../../src/ops/types.js';

const B1 = { size: 1, axis: AXIS_BATCH };
const S = (size: number) => ({ size, axis: AXIS_SEQUENCE });
const N = (size: number) => ({ size, axis: AXIS_NONE });

describe('graph/pieces', () => {
  it('lays pieces over factors, dividing what spans several', () => {
    expect(layPieces([128], [B1, S(128)])).to.deep.equal([[B1, S(128)]]);
    expect(layPieces([4, 32], [S(128)])).to.deep.equal([[S(4)], [N(32)]]);
    expect(layPieces([1, 128], [B1, S(128)])).to.deep.equal([[B1], [S(128)]]);
    expect(layPieces([6], [N(4)])).to.equal(null);
    expect(layPieces([12], [N(12), B1])).to.deep.equal([[N(12), B1]]);
  });

  it('merges two views of one factor into their common refinement', () => {
    expect(mergePieces([N(12)], [S(3), N(4)])).to.deep.equal([S(3), N(4)]);
    expect(mergePieces([B1, N(8)], [B1, S(8)])).to.deep.equal([B1, S(8)]);
    expect(mergePieces([N(4), N(6)], [N(6), N(4)])).to.equal(null);
  });

  it('carries batch and sequence through a flattened dimension', () => {
    // [1*16 tokens, 8] x [8, 4] -> [16, 4]
    const rule: FactorRule = {
      factors: [
        { size: 16, kind: 'parallel' },
        { size: 4, kind: 'parallel' },
        { size: 8, kind: 'contraction' },
      ],
      inputs: [
        [[0], [2]],
        [[2], [1]],
      ],
      outputs: [[[0], [1]]],
    };
    const refined = refineRule(rule, [[[B1, S(16)], [N(8)]], null]);
    expect(refined.rule.factors.map((f) => f.size)).to.deep.equal([1, 16, 4, 8]);
    expect([...refined.axis]).to.deep.equal([AXIS_BATCH, AXIS_SEQUENCE, AXIS_NONE, AXIS_NONE]);
    expect(refined.rule.inputs[0]).to.deep.equal([[0, 1], [3]]);
    expect(refined.outputs[0]).to.deep.equal([[B1, S(16)], [N(4)]]);
  });

  it('does not give the batch to an input that is broadcast over it', () => {
    const rule: FactorRule = {
      factors: [
        { size: 1, kind: 'parallel' },
        { size: 5, kind: 'parallel' },
      ],
      inputs: [
        [[0], [1]],
        [[0], [1]],
      ],
      outputs: [[[0], [1]]],
    };
    const refined = refineRule(rule, [[[B1], [S(5)]], null]);
    expect(refined.rule.inputs).to.deep.equal([
      [[0], [1]],
      [[], [1]],
    ]);
  });

  const regrouped = (from: number[], to: number[], pieces: Parameters<typeof regroupRule>[2]) => {
    const r = regroupRule(from, to, pieces);
    return r.output.map((dim) =>
      dim
        .map((f) =>
          r.axis[f] === AXIS_BATCH ? 'B' : r.axis[f] === AXIS_SEQUENCE ? 'S' : String(r.factors[f].size),
        )
        .join('*'),
    );
  };

  it('keeps a batch of one in its place when dimensions are regrouped', () => {
    expect(regrouped([1, 128, 768], [128, 768], [[B1], [S(128)], [N(768)]])).to.deep.equal(['B*S', '768']);
    expect(regrouped([128, 768], [1, 128, 12, 64], [[B1, S(128)], [N(768)]])).to.deep.equal([
      'B',
      'S',
      '12',
      '64',
    ]);
    expect(regrouped([1, 32, 128, 64], [32, 128, 64], [[B1], [N(32)], [S(128)], [N(64)]])).to.deep.equal([
      'B*32',
      'S',
      '64',
    ]);
    expect(regrouped([32, 64, 128], [1, 32, 64, 128], [[B1, N(32)], [N(64)], [S(128)]])).to.deep.equal([
      'B',
      '32',
      '64',
      'S',
    ]);
    expect(regrouped([1, 4, 6], [1, 6, 4], [[B1], [N(4)], [N(6)]])[0]).to.equal('B');
  });

  it('makes whole what does not nest', () => {
    const r = regroupRule([4, 6], [6, 4], null);
    expect(r.factors.every((f) => f.kind === 'whole')).to.equal(true);
    expect(r.input.map((d) => d.length)).to.deep.equal([1, 1]);
  });
});
