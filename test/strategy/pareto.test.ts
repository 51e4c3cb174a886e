import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { analyzeModel, openModel } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import type { ShardKey } from '../../src/cost/types.js';
import { StrategyBook } from '../../src/strategy/index.js';
import type { BookOptions } from '../../src/strategy/index.js';
import { buildIrregular, buildZoo, zooConfig } from '../../src/zoo/index.js';

const keyOf = (tp: number): ShardKey => ({
  ...{ tp, cp: 1, ep: 1, etp: tp, microbatch: 1, deviceGroup: 0, contextExchange: 'ring' },
});

function bookOf({ graph, segmentation }: AnalyzedModel, more: Partial<BookOptions> = {}): StrategyBook {
  const options: BookOptions = { phase: 'train', precision: 'bf16', stack: loadStack(), ...more };
  return new StrategyBook(graph, segmentation, loadCluster('h100-sxm', 64), options);
}

const sum = (column: Float64Array, sizes: Int32Array): number =>
  column.reduce((total, value, k) => total + value * sizes[k], 0);

describe('shardings that trade time for memory', () => {
  const experts = analyzeModel(buildZoo(zooConfig('qwen3-30b-a3b')), 'zoo', { seq: 4096 });

  it('are a Pareto set: the fastest first, each next one slower and leaner', () => {
    const front = bookOf(experts).pareto(keyOf(8));
    expect(front.length).to.be.above(1);
    for (let i = 1; i < front.length; i++) {
      expect(front[i].timeSec).to.be.above(front[i - 1].timeSec);
      expect(front[i].keptBytes).to.be.below(front[i - 1].keptBytes);
    }
  });

  it('are one where nothing is split', () => {
    expect(bookOf(experts).pareto(keyOf(1))).to.have.length(1);
  });

  it('reach the cost tables: a model told to be leaner saves fewer activations in at most that much more time', () => {
    const usual = bookOf(experts);
    const lean = bookOf(experts, { leaner: 0.25 });
    const { classSize } = experts.segmentation;
    const [u, l] = [usual.costs(keyOf(8)), lean.costs(keyOf(8))];
    expect(sum(l.savedBytes[0], classSize)).to.be.below(0.95 * sum(u.savedBytes[0], classSize));
    const secOf = (book: StrategyBook): number =>
      book.strategies(keyOf(8)).reduce((sec, s, c) => sec + s.costSec * classSize[c], 0);
    expect(secOf(lean)).to.be.within(secOf(usual), 1.25 * secOf(usual));
  });
});

describe('shardings of graphs of any kind', () => {
  it('split channels from layer to layer of a convolutional network: faster than whole images between layers', () => {
    const file = fileURLToPath(new URL('../../graphs/resnet50.onnx', import.meta.url));
    const model = openModel(file, {});
    const secOf = (book: StrategyBook): number =>
      book.strategies(keyOf(4)).reduce((sec, s, c) => sec + s.costSec * model.segmentation.classSize[c], 0);
    const whole = bookOf(model, { passing: 'sequence' });
    const free = bookOf(model);
    expect(secOf(free)).to.be.below(0.97 * secOf(whole));
    expect(free.strategies(keyOf(4)).filter((s) => s.boundary === 'feature').length).to.be.above(0);
  });

  it('leave every tensor that passes on in the layout in which the next layer takes it', () => {
    const model = analyzeModel(
      buildIrregular({ seed: 3, cells: 6, nodes: 6, hidden: 512, tokens: 256 }),
      'drawn',
      {},
    );
    const { segmentation } = model;
    const strategies = bookOf(model).strategies(keyOf(4));
    const leaving = new Map<number, string>();
    let compared = 0;
    for (let s = 0; s < segmentation.segmentCount; s++) {
      const { layer, betweenSpecs } = strategies[segmentation.segmentClass[s]];
      const first = segmentation.blockStart[s];
      layer.blocks.forEach((block, b) => {
        const source = segmentation.blocks[first + b];
        block.outputs.forEach((t, slot) => {
          if (layer.tensors[t].leaves) leaving.set(source.outputs[slot], betweenSpecs[t].key);
        });
        block.inputs.forEach((t, slot) => {
          const made = leaving.get(source.inputs[slot]);
          if (layer.tensors[t].producer >= 0 || made === undefined) return;
          expect(betweenSpecs[t].key).to.equal(made);
          compared++;
        });
      });
    }
    expect(compared).to.be.above(0);
  });
});
