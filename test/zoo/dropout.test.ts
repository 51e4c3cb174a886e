import { expect } from 'chai';
import { analyze } from '../../src/graph/index.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';
import { PartitionError } from '../../src/util/errors.js';

const SIZES = { layers: 2, hidden: 64, heads: 4, vocab: 128, maxPositions: 32, seq: 16, batch: 2 } as const;

describe('training forms with dropout', () => {
  for (const [name, perLayer, around] of [
    ['gpt2', 3, 1],
    ['bert-large', 3, 1],
  ] as const) {
    it(`of ${name} drop out of embeddings, attention weights and both halves of a layer`, () => {
      const model = buildZoo(zooConfig(name), { ...SIZES, dropout: 0.1 });
      const drops = model.graph!.node.filter((n) => n.opType === 'Dropout');
      expect(drops.length).to.equal(2 * perLayer + around);
      for (const drop of drops) expect(drop.input.length).to.equal(3);
    });
  }

  it('of T5 drop out of every sublayer, the inner feed-forward and the ends of both stacks', () => {
    const { layers, hidden, heads, vocab, seq, batch } = SIZES;
    const model = buildZoo(zooConfig('t5-base'), { layers, hidden, heads, vocab, seq, batch, dropout: 0.1 });
    const drops = model.graph!.node.filter((n) => n.opType === 'Dropout');
    // Encoder: weights, out, inner, out. Decoder: twice weights and out, then inner and out. Embeddings and ends of each.
    expect(drops.length).to.equal(2 * 4 + 2 * 6 + 4);
  });

  it('keep a mask of one byte an element, and inside a fused attention nothing of it', () => {
    const at = (dropout: number): ReturnType<typeof analyze> =>
      analyze(buildZoo(zooConfig('gpt2'), { ...SIZES, dropout }), { where: 'zoo', phase: 'train' });
    const plain = at(0);
    const dropped = at(0.1);
    const rows = 2 * 16;
    const extra = (found: typeof plain, kind: string): number =>
      found.segmentation.blocks.reduce((sum, b) => sum + (b.kind === kind ? b.extraSavedBytes : 0), 0);
    expect(extra(dropped, 'pointwise') - extra(plain, 'pointwise')).to.equal((2 * 2 + 1) * rows * 64);
    expect(extra(dropped, 'attention')).to.equal(extra(plain, 'attention'));
    expect(dropped.segmentation.blocks.length).to.be.at.most(plain.segmentation.blocks.length + 1);
  });

  it('keep scores, mask and what was dropped where attention is not fused: 5 bytes a score in 16 bits', () => {
    const scores = 2 * 4 * 16 * 16;
    const attentions = (dropout: number): (readonly [number, number])[] => {
      const model = buildZoo(zooConfig('gpt2'), { ...SIZES, dropout });
      const { segmentation } = analyze(model, { where: 'zoo', phase: 'train' });
      return segmentation.blocks.flatMap((b) =>
        b.unfused ? [[b.unfused.elements, b.unfused.bytes] as const] : [],
      );
    };
    for (const found of attentions(0)) expect(found).to.deep.equal([scores, 0]);
    expect(attentions(0.1).length).to.equal(2);
    for (const found of attentions(0.1)) expect(found).to.deep.equal([2 * scores, scores]);
  });

  it('exist for the families that have them, at a probability', () => {
    expect(() => buildZoo(zooConfig('llama-3-8b'), { dropout: 0.1 })).to.throw(
      PartitionError,
      'without dropout',
    );
    expect(() => buildZoo(zooConfig('gpt2'), { dropout: 1 })).to.throw(PartitionError, 'probability below 1');
  });
});
