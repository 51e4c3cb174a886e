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

  it('stand in order, the usual one among them: each next one is leaner, and of all but the usual one slower', () => {
    let several = 0;
    for (const tp of [2, 8, 16, 32, 64]) {
      const { points, usual } = bookOf(experts).shardings(keyOf(tp));
      for (let i = 1; i < points.length; i++) {
        expect(points[i].keptBytes).to.be.below(points[i - 1].keptBytes);
        if (i !== usual && i !== usual + 1) expect(points[i].timeSec).to.be.above(points[i - 1].timeSec);
      }
      for (let i = 0; i < usual; i++) expect(points[i].timeSec).to.be.below(points[usual].timeSec);
      if (points.length > 1) several++;
    }
    expect(several).to.be.above(2);
  });

  it('are one where nothing is split, and where nothing is kept', () => {
    expect(bookOf(experts).leannesses(keyOf(1))).to.deep.equal([0]);
    expect(bookOf(experts, { phase: 'inference' }).leannesses(keyOf(8))).to.deep.equal([0]);
  });

  it('reach the cost tables: a leaner one saves fewer activations in more time, and 0 is the usual one', () => {
    const book = bookOf(experts);
    const { classSize } = experts.segmentation;
    expect(book.leannesses(keyOf(8))).to.include.members([0, 1]);
    const usual = book.costs(keyOf(8));
    const lean = book.costs({ ...keyOf(8), leanness: 1 });
    expect(book.costs({ ...keyOf(8), leanness: 0 })).to.equal(usual);
    expect(sum(lean.savedBytes[0], classSize)).to.be.below(0.98 * sum(usual.savedBytes[0], classSize));
    const secOf = (leanness: number): number =>
      book.strategies({ ...keyOf(8), leanness }).reduce((sec, s, c) => sec + s.costSec * classSize[c], 0);
    const { points, usual: at } = book.shardings(keyOf(8));
    expect(secOf(1)).to.be.closeTo(points[at + 1].timeSec, 1e-12);
  });

  it('are taken over where the same plan is priced with other figures', () => {
    const book = bookOf(experts);
    const other = book.repriced(book.cluster, { ...book.options.stack, tpExposed: 1 });
    expect(other.leannesses(keyOf(8))).to.deep.equal(book.leannesses(keyOf(8)));
    expect(other.strategies({ ...keyOf(8), leanness: 1 })).to.equal(
      book.strategies({ ...keyOf(8), leanness: 1 }),
    );
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
