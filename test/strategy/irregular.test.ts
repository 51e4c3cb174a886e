import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { analyzeModel, openModel } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import type { ShardKey } from '../../src/cost/types.js';
import { shardCost } from '../../src/shard/index.js';
import type { ShardProblem } from '../../src/shard/index.js';
import { StrategyBook } from '../../src/strategy/index.js';
import type { BookOptions } from '../../src/strategy/index.js';
import { modelSharding } from '../../src/strategy/solve.js';
import { solveProblem } from '../../src/strategy/solveProblem.js';
import { Random } from '../../src/util/random.js';
import { buildIrregular } from '../../src/zoo/index.js';
import { buildUnet } from '../support/unet.js';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

const CORPUS = path('../shared/data/onnx/corpus');
const DETECTOR = `${CORPUS}/microsoft__onnxruntime-extensions/test/data/ppp_vision/FastestDet.onnx`;
const SSD = `${CORPUS}/onnxruntime__onnxruntime-qnn/onnxruntime/test/testdata/multi_stream_models/simplified_ssd.onnx`;

const keyOf = (tp: number): ShardKey => ({
  ...{ tp, cp: 1, ep: 1, etp: tp, microbatch: 1, deviceGroup: 0, contextExchange: 'ring' },
});

function bookOf({ graph, segmentation }: AnalyzedModel, more: Partial<BookOptions> = {}): StrategyBook {
  const options: BookOptions = { phase: 'train', precision: 'bf16', stack: loadStack(), ...more };
  return new StrategyBook(graph, segmentation, loadCluster('h100-sxm', 64), options);
}

/** The problem with some nodes' choices taken; the others are free. */
function pinned(shard: ShardProblem, choiceOf: ReadonlyMap<number, number>): ShardProblem {
  const nodeCost = shard.nodeCost.slice();
  for (const [node, choice] of choiceOf)
    for (let at = shard.choiceStart[node]; at < shard.choiceStart[node + 1]; at++)
      if (at !== shard.choiceStart[node] + choice) nodeCost[at] = Infinity;
  return { ...shard, nodeCost };
}

/** Holds the joint solution of a model against every sharding that a rule fixes, and against the plain judge. */
function expectBest(model: AnalyzedModel, tp: number): void {
  const book = bookOf(model);
  const problem = book.sharder(keyOf(tp)).problem(false, true);
  const { shard, strategies, blockNodes } = modelSharding(problem);
  const solution = solveProblem(shard)!;
  const best = shardCost(shard, solution.choice);
  const written = strategies(solution.choice);
  const { classSize, classCount } = model.segmentation;
  const told = written.reduce((sec, { costSec }, c) => sec + classSize[c] * costSec, 0);
  expect(told).to.be.closeTo(best, 1e-7 * best);

  // Every block by one rule (whole, the first way that splits it, the last ...), all layouts as suits them best.
  const rules: ((options: number) => number)[] = [
    () => 0,
    (options) => Math.min(1, options - 1),
    (options) => Math.min(2, options - 1),
    (options) => options - 1,
    (options) => options >> 1,
  ];
  const random = new Random(7);
  for (let i = 0; i < 8; i++) rules.push((options) => random.int(options));
  let priced = 0;
  for (const rule of rules) {
    const fixed = new Map(
      blockNodes.flat().map((n) => [n, rule(shard.choiceStart[n + 1] - shard.choiceStart[n])] as const),
    );
    const found = solveProblem(pinned(shard, fixed));
    if (found === null) continue;
    for (const [node, choice] of fixed) expect(found.choice[node]).to.equal(choice);
    expect(best).to.be.at.most(shardCost(shard, found.choice) * (1 + 1e-9));
    priced++;
  }
  expect(priced).to.be.above(5);

  // No single node can do better, says the judge.
  const choice = Int32Array.from(solution.choice);
  for (let n = 0; n < shard.nodeCount; n++) {
    const own = choice[n];
    for (let other = 0; other < shard.choiceStart[n + 1] - shard.choiceStart[n]; other++) {
      choice[n] = other;
      expect(shardCost(shard, choice)).to.be.at.least(best * (1 - 1e-9));
    }
    choice[n] = own;
  }

  // Launchers' layouts between layers are among those that it chose from.
  const secOf = (options: Partial<BookOptions>): number =>
    bookOf(model, options)
      .strategies(keyOf(tp))
      .reduce((sec, { costSec }, c) => sec + classSize[c] * costSec, 0);
  expect(best).to.be.at.most(secOf({ sequenceParallel: false }) * (1 + 1e-9));
  expect(best).to.be.at.most(secOf({ passing: 'sequence', sequenceParallel: false }) * (1 + 1e-9));
  expect(written).to.have.length(classCount);
}

describe('the sharding of an irregular graph as a whole', () => {
  it('is no worse than any fixed one, and costs what the judge says: U-Net', () => {
    const model = analyzeModel(buildUnet(64, 64), 'unet', {});
    // Hardly anything repeats, and what the levels hand across joins layers that do not follow each other.
    const { classCount, segmentCount } = model.segmentation;
    expect(classCount).to.be.above(0.7 * segmentCount);
    for (const tp of [2, 8]) expectBest(model, tp);
  });

  it('is no worse than any fixed one, and costs what the judge says: towers of random cells', () => {
    const options = { seed: 5, cells: 4, nodes: 5, hidden: 512, tokens: 256, towers: 2 };
    for (const tp of [2, 4]) expectBest(analyzeModel(buildIrregular(options), 'towers', {}), tp);
  });

  for (const [name, file] of [
    ['a detector with a feature pyramid', DETECTOR],
    ['a single-shot detector', SSD],
  ] as const)
    it(`is no worse than any fixed one, and costs what the judge says: ${name}`, function () {
      if (!existsSync(file)) {
        console.log(`      skipped: ${file.split('/').at(-1)} is not on this machine`);
        this.skip();
      }
      expectBest(openModel(file, {}), 4);
    });
});
