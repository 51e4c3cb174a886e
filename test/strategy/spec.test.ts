import { expect } from 'chai';
import { reshardKind } from '../../src/strategy/reshard.js';
import { REPLICATED, makeSpec, specOf } from '../../src/strategy/spec.js';

describe('the layout of a tensor', () => {
  it('is replicated when nothing is split', () => {
    expect(specOf([[0], [1]], [4, 6], [1, 1])).to.equal(REPLICATED);
  });

  it('is the same whether columns or the heads in them are split', () => {
    const columns = specOf([[0], [1]], [8, 4096], [1, 8]);
    const heads = specOf([[0], [1, 2]], [8, 32, 128], [1, 8, 1]);
    expect(heads.key).to.equal(columns.key);
  });

  it('notes the blocks of a fused dimension that is split inside each', () => {
    const fused = specOf([[0, 1, 2]], [3, 12, 64], [1, 4, 1]);
    expect(fused.splits).to.deep.equal([{ dim: 0, prefix: 3, shards: 4 }]);
    expect(fused.key).to.not.equal(specOf([[0, 1]], [36, 64], [4, 1]).key);
  });

  it('joins a factor that is used up with the next one', () => {
    const both = specOf([[0, 1]], [8, 4], [8, 2]);
    expect(both.splits).to.deep.equal([{ dim: 0, prefix: 1, shards: 16 }]);
  });

  it('keeps a gap between splits that do not touch', () => {
    const apart = specOf([[0, 1, 2]], [4, 3, 2], [2, 1, 2]);
    expect(apart.splits).to.deep.equal([
      { dim: 0, prefix: 1, shards: 2 },
      { dim: 0, prefix: 12, shards: 2 },
    ]);
  });
});

describe('changing a layout', () => {
  const rows = makeSpec([{ dim: 0, prefix: 1, shards: 4 }]);
  const columns = makeSpec([{ dim: 1, prefix: 1, shards: 4 }]);
  const half = makeSpec([{ dim: 0, prefix: 1, shards: 2 }]);

  it('takes the collective that its table says', () => {
    expect(reshardKind(rows, false, rows)).to.equal('none');
    expect(reshardKind(REPLICATED, false, rows)).to.equal('slice');
    expect(reshardKind(rows, false, REPLICATED)).to.equal('allGather');
    expect(reshardKind(rows, false, columns)).to.equal('allToAll');
    expect(reshardKind(REPLICATED, true, REPLICATED)).to.equal('allReduce');
    expect(reshardKind(REPLICATED, true, rows)).to.equal('reduceScatter');
  });

  it('gathers to a coarser and slices to a finer split of the same dimension', () => {
    expect(reshardKind(rows, false, half)).to.equal('allGather');
    expect(reshardKind(half, false, rows)).to.equal('slice');
  });
});
