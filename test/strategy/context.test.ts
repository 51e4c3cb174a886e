import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { analyzeModel, openModel } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import type { ClassCosts, ShardKey } from '../../src/cost/types.js';
import { contextFault } from '../../src/parallel/index.js';
import { StrategyBook } from '../../src/strategy/index.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';

const SEQ = 2048;

function zoo(name: string): AnalyzedModel {
  return analyzeModel(buildZoo(zooConfig(name), { seq: SEQ, layers: 4 }), name, { seq: SEQ });
}

function bookOf({ graph, segmentation }: AnalyzedModel): StrategyBook {
  const cluster = loadCluster('h100-sxm', 64);
  return new StrategyBook(graph, segmentation, cluster, {
    phase: graph.phase,
    precision: 'bf16',
    stack: loadStack(),
    sequenceParallel: undefined,
  });
}

const keyOf = (more: Partial<ShardKey>): ShardKey => ({
  ...{ tp: 1, cp: 1, ep: 1, etp: 1, microbatch: 1, deviceGroup: 0, contextExchange: 'ring' },
  ...more,
});

/** Of the layer that repeats: the class with most segments. */
function layer(
  model: AnalyzedModel,
  costs: ClassCosts,
  column: 'networkBytes' | 'cpForwardSec' | 'cpBackwardSec',
): number {
  const { classSize } = model.segmentation;
  return costs[column][classSize.indexOf(Math.max(...classSize))];
}

describe('context parallelism', () => {
  const gpt = zoo('megatron-22b');
  const llama = zoo('llama3-8b');

  it('finds the heads that an all-to-all may deal out', () => {
    expect(bookOf(gpt).contextHeads).to.equal(64);
    expect(bookOf(llama).contextHeads).to.equal(32);
    const graph = (name: string): string => fileURLToPath(new URL(`../../graphs/${name}`, import.meta.url));
    expect(bookOf(openModel(graph('t5-base.onnx'), { seq: 512 })).contextHeads).to.equal(12);
    expect(bookOf(openModel(graph('resnet50.onnx'))).contextHeads).to.equal(1);
  });

  it('sends queries, keys, values and output once a pass: four all-to-alls of a rank’s share of the tokens', () => {
    const book = bookOf(gpt);
    const hidden = 6144;
    for (const [tp, cp] of [
      [1, 2],
      [4, 2],
      [8, 8],
    ] as const) {
      const alone = book.costs(keyOf({ tp, cp: 1 }));
      const costs = book.costs(keyOf({ tp, cp, contextExchange: 'all-to-all' }));
      const bytes = 4 * ((2 * SEQ * hidden) / (tp * cp)) * (1 - 1 / cp);
      // Forward and backward; tensor-parallel traffic shrinks with the tokens of a rank.
      const moved = layer(gpt, costs, 'networkBytes') - layer(gpt, alone, 'networkBytes') / cp;
      expect(moved, `tp ${tp}, cp ${cp}`).to.be.closeTo(2 * bytes, 1e-6 * bytes);
      expect(layer(gpt, costs, 'cpBackwardSec')).to.equal(layer(gpt, costs, 'cpForwardSec'));
    }
  });

  it('sends fewer key-value heads than ranks to several ranks each', () => {
    const book = bookOf(llama);
    const moved = (cp: number): number => {
      const alone = book.costs(keyOf({}));
      const costs = book.costs(keyOf({ cp, contextExchange: 'all-to-all' }));
      return layer(llama, costs, 'networkBytes') - layer(llama, alone, 'networkBytes') / cp;
    };
    // 32 query and 8 key-value heads of 128: with 8 ranks as they are, with 32 each key-value head four times.
    const once = (cp: number, heads: number): number => 2 * ((2 * SEQ * heads * 128) / cp) * (1 - 1 / cp);
    expect(moved(8)).to.be.closeTo(once(8, 2 * 32 + 2 * 8), 1);
    expect(moved(32)).to.be.closeTo(once(32, 2 * 32 + 2 * 32), 1);
  });

  it('moves less by all-to-all than by a ring where every head has keys of its own, and needs no second gather', () => {
    const book = bookOf(gpt);
    const ring = book.costs(keyOf({ cp: 8 }));
    const exchanged = book.costs(keyOf({ cp: 8, contextExchange: 'all-to-all' }));
    expect(layer(gpt, exchanged, 'networkBytes')).to.be.below(layer(gpt, ring, 'networkBytes'));
    expect(layer(gpt, exchanged, 'cpForwardSec')).to.be.below(layer(gpt, ring, 'cpForwardSec'));
    expect([...exchanged.forwardSec]).to.deep.equal([...ring.forwardSec]);
  });

  it('says why heads cannot be exchanged', () => {
    expect(contextFault('ring', 8, 4, 1)).to.equal(null);
    expect(contextFault('all-to-all', 8, 4, 64)).to.equal(null);
    expect(contextFault('all-to-all', 8, 16, 64)).to.match(/divisible by tp \* cp = 128, found 64/);
    expect(contextFault('all-to-all', 8, 1, 64)).to.match(/needs cp > 1/);
    expect(contextFault('star' as 'ring', 1, 2, 64)).to.match(/star is not one of ring, all-to-all/);
  });
});
