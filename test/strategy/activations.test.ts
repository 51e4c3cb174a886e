import { expect } from 'chai';
import { analyzeModel } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import type { StackProfile } from '../../src/cost/stack.js';
import type { ClassCosts, ShardKey } from '../../src/cost/types.js';
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../../src/cost/types.js';
import { StrategyBook } from '../../src/strategy/index.js';
import type { SequenceParallel } from '../../src/strategy/index.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';

const LAYERS = 3;
const UNFUSED: StackProfile = { ...loadStack(), attention: 'unfused', selectiveRecompute: 'attention' };

const keyOf = (tp: number, microbatch: number): ShardKey => ({
  tp,
  cp: 1,
  ep: 1,
  etp: tp,
  microbatch,
  deviceGroup: 0,
  contextExchange: 'ring',
});

function trained(name: string, seq: number, dropout: number): AnalyzedModel {
  return analyzeModel(buildZoo(zooConfig(name), { layers: LAYERS, seq, dropout }), 'zoo', { seq });
}

/** Costs of the layer's class, and the class. */
function layerCosts(
  model: AnalyzedModel,
  stack: StackProfile,
  key: ShardKey,
  sequenceParallel: SequenceParallel,
): { costs: ClassCosts; layer: number } {
  const options = { phase: 'train', precision: 'bf16', stack, sequenceParallel } as const;
  const book = new StrategyBook(model.graph, model.segmentation, loadCluster('a100-80gb', 64), options);
  const layer = Array.from(model.segmentation.classSize).indexOf(LAYERS);
  expect(layer).to.be.at.least(0);
  return { costs: book.costs(key), layer };
}

// Korthikanti et al. 2022, Table 3: heads, hidden, microbatch; sequence 2048, tensor parallel 8.
const PUBLISHED = [
  { name: 'megatron-22b', heads: 64, hidden: 6144, microbatch: 4 },
  { name: 'gpt3-175b', heads: 96, hidden: 12288, microbatch: 1 },
  { name: 'megatron-530b', heads: 128, hidden: 20480, microbatch: 1 },
  { name: 'megatron-1t', heads: 160, hidden: 25600, microbatch: 1 },
] as const;

describe('activations of a layer', () => {
  for (const { name, heads: a, hidden: h, microbatch: b } of PUBLISHED) {
    it(`of ${name} are the published bytes with tensor, with sequence parallelism and with attention recomputed`, () => {
      const s = 2048;
      const t = 8;
      const model = trained(name, s, 0.1);
      const scores = (5 * a * s) / (h * t);
      const plain = layerCosts(model, UNFUSED, keyOf(t, b), false);
      const perUnit = (found: typeof plain, policy: number): number =>
        found.costs.savedBytes[policy][found.layer] / (s * b * h);
      expect(perUnit(plain, RECOMPUTE_NONE) / (10 + 24 / t + scores)).to.be.within(0.99, 1.01);
      expect(perUnit(plain, RECOMPUTE_SELECTIVE) / (10 + 24 / t)).to.be.within(0.99, 1.01);
      expect(perUnit(plain, RECOMPUTE_FULL)).to.be.closeTo(2, 0.02);
      const split = layerCosts(model, UNFUSED, keyOf(t, b), true);
      expect(perUnit(split, RECOMPUTE_NONE) / (34 / t + scores)).to.be.within(0.99, 1.01);
      expect(perUnit(split, RECOMPUTE_SELECTIVE) / (34 / t)).to.be.within(0.99, 1.01);
      expect(perUnit(split, RECOMPUTE_FULL)).to.be.closeTo(2 / t, 0.02 / t);
    });
  }
});
