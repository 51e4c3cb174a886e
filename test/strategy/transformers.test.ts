/** Told nothing of transformers: what the solver finds on graphs of them, committed, built and exported. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { analyzeModel, openModel } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import type { ShardKey } from '../../src/cost/types.js';
import { expertFactor } from '../../src/strategy/options.js';
import { StrategyBook } from '../../src/strategy/index.js';
import type { LayerStrategy, SequenceParallel } from '../../src/strategy/index.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';

const GRAPHS = fileURLToPath(new URL('../../graphs/', import.meta.url));
const EXPORTS = fileURLToPath(new URL('../../../shared/data/onnx/models/', import.meta.url));

const keyOf = (tp: number, more: Partial<ShardKey> = {}): ShardKey => ({
  ...{ tp, cp: 1, ep: 1, etp: tp, microbatch: 1, deviceGroup: 0, contextExchange: 'ring' },
  ...more,
});

function bookOf({ graph, segmentation }: AnalyzedModel, sequenceParallel?: SequenceParallel): StrategyBook {
  return new StrategyBook(graph, segmentation, loadCluster('h100-sxm', 64), {
    phase: 'train',
    precision: 'bf16',
    stack: loadStack(),
    sequenceParallel,
  });
}

/** Strategy of the class with most segments. */
function layerOf(book: StrategyBook, key: ShardKey): LayerStrategy {
  const sizes = Array.from(book.segmentation.classSize);
  return book.strategies(key)[sizes.indexOf(Math.max(...sizes))];
}

/** Forward collectives on tensors as large as the residual stream, by kind. */
function forwardKinds({ layer, collectives }: LayerStrategy): Record<string, number> {
  const stream = Math.max(
    ...layer.tensors.map((t) => (t.leaves && t.perSample && t.carriesGradient ? t.elements : 0)),
  );
  const kinds: Record<string, number> = {};
  for (const { pass, kind, tensor } of collectives)
    if (pass === 'forward' && layer.tensors[tensor].elements >= stream) kinds[kind] = (kinds[kind] ?? 0) + 1;
  return kinds;
}

/** Labels of blocks of a kind, without the degree. */
function labelsOf({ layer, options }: LayerStrategy, kinds: readonly string[]): string[] {
  return layer.blocks.flatMap((block, b) =>
    kinds.includes(block.source.kind) ? [options[b].label.replace(/\/\d+/g, '')] : [],
  );
}

/** Weights that are looked up by token: split along the table's rows, or whole, or along the columns. */
function embeddingLabels(book: StrategyBook, key: ShardKey): string[] {
  return book
    .strategies(key)
    .flatMap(({ layer, options }) =>
      layer.blocks.flatMap((block, b) =>
        block.source.kind === 'lookup' && block.inputs.some((t) => layer.tensors[t].elements > 1e5)
          ? [options[b].label]
          : [],
      ),
    );
}

function expectMegatron(model: AnalyzedModel, tp: number, largeSequence: boolean): void {
  const whole = layerOf(bookOf(model, false), keyOf(tp));
  expect(forwardKinds(whole), 'whole between layers').to.deep.equal({ allReduce: 2 });
  const split = layerOf(bookOf(model, true), keyOf(tp));
  const kinds = forwardKinds(split);
  expect((kinds.reduceScatter ?? 0) + (kinds.allReduce ?? 0), 'along the sequence').to.equal(2);
  // A reduction in halves may be cheaper as one, and sliced: on short sequences calls cost more than bytes.
  if (largeSequence) expect(kinds).to.deep.equal({ reduceScatter: 2, allGather: 2 });
  for (const strategy of [whole, split]) {
    expect(labelsOf(strategy, ['attention'])).to.deep.equal(['heads']);
    const labels = labelsOf(strategy, ['gemm']).map((l) => (l.startsWith('column') ? 'column' : l));
    // Products from queries to output, then those of the feed-forward half: what ends a half is split by rows.
    expect(labels.filter((l) => l === 'row')).to.have.length(2);
    expect(labels.at(-1)).to.equal('row');
    expect(new Set(labels)).to.deep.equal(new Set(['column', 'row']));
  }
}

describe('transformers, of which the solver is told nothing', () => {
  it('are split by columns and rows, GPT-2 exported with attention written out, at tp 4', () => {
    expectMegatron(openModel(join(GRAPHS, 'gpt2-small.onnx'), { seq: 1024 }), 4, false);
  });

  it('are split by columns and rows, GPT-2 of the zoo, at tp 4', () => {
    expectMegatron(analyzeModel(buildZoo(zooConfig('gpt2')), 'zoo', { seq: 1024 }), 4, false);
  });

  it('are split by columns and rows, Llama-3 8B of the zoo, at tp 8', () => {
    expectMegatron(analyzeModel(buildZoo(zooConfig('llama-3-8b')), 'zoo', { seq: 8192 }), 8, true);
  });

  it('are split by columns and rows inside experts too, Mixtral of the zoo, at tp 8', () => {
    const model = analyzeModel(buildZoo(zooConfig('mixtral-8x7b')), 'zoo', { seq: 4096 });
    const layer = layerOf(bookOf(model, false), keyOf(8));
    expect(labelsOf(layer, ['attention'])).to.deep.equal(['heads']);
    expect(labelsOf(layer, ['groupedGemm'])).to.satisfy(
      (labels: string[]) => labels.at(-1) === 'row' && labels.slice(0, -1).every((l) => l === 'column'),
    );
    expect(forwardKinds(layer)).to.deep.equal({ allReduce: 2 });
  });

  it('have vocabulary-parallel embeddings and logits where the table is large', () => {
    const model = analyzeModel(buildZoo(zooConfig('llama-3-8b')), 'zoo', { seq: 8192 });
    const book = bookOf(model, false);
    expect(embeddingLabels(book, keyOf(8))).to.deep.equal(['table/8']);
    // Into a sequence that is split, exchanging columns moves an eighth of what summing rows does.
    expect(embeddingLabels(bookOf(model, true), keyOf(8))).to.deep.equal(['feature/8']);
    const head = book.strategies(keyOf(8)).find(({ layer }) => layer.blocks.some((b) => b.isLoss))!;
    const logits = head.layer.blocks.findIndex((b) => b.source.kind === 'gemm');
    expect(head.options[logits].label).to.equal('column/8');
  });

  it('hold experts on ranks of their own where that pays: cheaper than splitting each over as many ranks', () => {
    const model = analyzeModel(buildZoo(zooConfig('mixtral-8x7b')), 'zoo', { seq: 4096 });
    const book = bookOf(model);
    const layer = layerOf(book, keyOf(8));
    expect(layer.layer.blocks.some((b) => expertFactor(b) >= 0)).to.equal(true);
    const c = layer.layer.classId;
    const secOf = (key: ShardKey): number => {
      const costs = book.costs(key);
      return (
        costs.forwardSec[c] +
        costs.backwardInputSec[c] +
        costs.backwardWeightSec[c] +
        costs.tpForwardSec[c] +
        costs.tpBackwardSec[c] +
        costs.epForwardSec[c] +
        costs.epBackwardSec[c]
      );
    };
    // Eight ranks hold the eight experts either way.
    expect(secOf(keyOf(8, { ep: 8, etp: 1 }))).to.be.below(secOf(keyOf(8)));
  });

  for (const [name, file, seq, tp] of [
    ['GPT-2', 'hf-gpt2-small.ts.onnx', 1024, 4],
    ['GPT-2 by the newer exporter', 'hf-gpt2-small.dynamo.onnx', 1024, 4],
    ['Llama-2 7B', 'hf-llama2-7b.dynamo.onnx', 4096, 8],
    ['Mixtral 8x7B', 'hf-mixtral-8x7b.dynamo.onnx', 4096, 8],
  ] as const)
    it(`are split so in the full export of ${name}, where it is at hand`, function () {
      const path = join(EXPORTS, file);
      if (!existsSync(path)) {
        console.log(`      no export of ${name} in ../shared: skipped`);
        this.skip();
      }
      this.timeout(60_000);
      const book = bookOf(openModel(path, { seq }), false);
      const whole = layerOf(book, keyOf(tp));
      expect(forwardKinds(whole)).to.deep.equal({ allReduce: 2 });
      expect(labelsOf(whole, ['attention'])).to.deep.equal(['heads']);
      expect(embeddingLabels(book, keyOf(tp))).to.include(`table/${tp}`);
    });
});
