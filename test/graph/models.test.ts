/** The whole analysis on graphs of real exporters. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { disguise, expectSound, structureOf, sum } from '../support/graph_checks.js';
import { analyze, parameterCount, TensorRole, AXIS_BATCH } from '../../src/graph/index.js';
import { readModel } from '../../src/model/read.js';

interface Case {
  readonly file: string;
  readonly layers: number;
  readonly attention: number;
  readonly causal: number;
  readonly parameters: number;
  /** 2 x (elements of weights that enter a product) per token or sample; checked within 1 % plus attention. */
  readonly seq?: number;
  readonly bind?: Readonly<Record<string, number>>;
}

const HERE = 'graphs/';
const SHARED = '../shared/data/onnx/models/';

const CASES: readonly Case[] = [
  { file: `${HERE}gpt2-small.onnx`, seq: 64, layers: 12, attention: 12, causal: 12, parameters: 163037184 },
  { file: `${HERE}bert-large.onnx`, seq: 64, layers: 24, attention: 24, causal: 0, parameters: 334092288 },
  { file: `${HERE}t5-base.onnx`, seq: 64, layers: 24, attention: 36, causal: 12, parameters: 247577856 },
  { file: `${HERE}vit-b16.onnx`, layers: 12, attention: 12, causal: 0, parameters: 85800194 },
  { file: `${HERE}gpt2-tiny.dynamo.onnx`, seq: 32, layers: 4, attention: 4, causal: 4, parameters: 220544 },
  { file: `${HERE}gpt2-tiny.ts.onnx`, seq: 32, layers: 4, attention: 4, causal: 4, parameters: 236928 },
  { file: `${HERE}llama-tiny.dynamo.onnx`, seq: 32, layers: 4, attention: 4, causal: 4, parameters: 214592 },
  { file: `${HERE}llama-tiny.ts.onnx`, seq: 32, layers: 4, attention: 4, causal: 4, parameters: 214592 },
  { file: `${HERE}mixtral-tiny.ts.onnx`, seq: 32, layers: 2, attention: 2, causal: 2, parameters: 205632 },
  { file: `${HERE}bert-tiny.ts.onnx`, seq: 32, layers: 4, attention: 4, causal: 0, parameters: 220672 },
  {
    file: `${SHARED}hf-gpt2-small.dynamo.onnx`,
    seq: 64,
    layers: 12,
    attention: 12,
    causal: 12,
    parameters: 124439808,
  },
  {
    file: `${SHARED}hf-gpt2-xl.dynamo.onnx`,
    seq: 64,
    layers: 48,
    attention: 48,
    causal: 48,
    parameters: 1557611200,
  },
  {
    file: `${SHARED}hf-llama2-7b.dynamo.onnx`,
    seq: 256,
    layers: 32,
    attention: 32,
    causal: 32,
    parameters: 6738415616,
  },
  {
    file: `${SHARED}hf-llama3.2-1b.ts.onnx`,
    seq: 64,
    layers: 16,
    attention: 16,
    causal: 16,
    parameters: 1498482688,
  },
  {
    file: `${SHARED}hf-mixtral-8x7b.dynamo.onnx`,
    seq: 64,
    layers: 32,
    attention: 32,
    causal: 32,
    parameters: 46702792704,
  },
  {
    file: `${SHARED}deb-nanogpt-gpt2-small.1x1024.ts113.onnx`,
    layers: 12,
    attention: 12,
    causal: 12,
    parameters: 163000320,
  },
  {
    file: `${SHARED}deb-mixtral-style-moe-8x-4l.ts113.onnx`,
    layers: 4,
    attention: 4,
    causal: 4,
    parameters: 352879616,
  },
  {
    file: `${SHARED}hf-llama3.2-1b.past.dynamo.onnx`,
    seq: 64,
    bind: { past: 64, total: 128 },
    layers: 16,
    attention: 16,
    causal: 16,
    parameters: 1235814400,
  },
  {
    file: `${SHARED}hf-qwen3-8b.past.bf16.dynamo.onnx`,
    seq: 64,
    bind: { past: 64, total: 128 },
    layers: 36,
    attention: 36,
    causal: 36,
    parameters: 8190735360,
  },
];

function load(c: Case) {
  return readModel(c.file);
}

describe('graph on models of real exporters', function () {
  this.timeout(60_000);
  for (const c of CASES) {
    const name = c.file.slice(c.file.lastIndexOf('/') + 1);
    it(`finds ${String(c.layers)} layers and ${String(c.attention)} attentions in ${name}`, function () {
      if (!existsSync(c.file)) {
        console.log(`      skipped: ${c.file} is not here`);
        this.skip();
      }
      const { graph, segmentation } = analyze(load(c), {
        ...(c.seq === undefined ? {} : { seq: c.seq }),
        bind: c.bind ?? {},
      });
      expectSound(graph, segmentation);
      expect(parameterCount(graph)).to.equal(c.parameters);
      expect(segmentation.layers).to.equal(c.layers);
      const attention = segmentation.blocks.filter((b) => b.kind === 'attention');
      expect(attention.length).to.equal(c.attention);
      expect(attention.filter((b) => b.causal).length).to.equal(c.causal);
      // All work of products scales with the batch.
      for (const b of segmentation.blocks) {
        if (b.flop < 1e-3 * sum(graph.nodeFlop)) continue;
        expect([...b.factorAxis], `${b.kind} block has a batch factor`).to.include(AXIS_BATCH);
      }
    });
  }

  it('counts two FLOP per matmul weight and token, and half of the attention square', () => {
    const { graph, segmentation } = analyze(readModel('graphs/gpt2-small.onnx'), { seq: 128 });
    const weights = 12 * (768 * 2304 + 768 * 768 + 2 * 768 * 3072) + 768 * 50257;
    const expected = 2 * weights * 128 + 12 * (0.5 * 4 * 128 * 128 * 768);
    expect(sum(segmentation.blocks.map((b) => b.flop)) / expected).to.be.closeTo(1, 0.01);
    // Each product has two gradients of its own size, except that nothing flows back into the token ids.
    expect(sum(graph.nodeGradWeightFlop) / expected).to.be.closeTo(1, 0.05);
    expect(sum(graph.nodeGradInputFlop) / expected).to.be.closeTo(1, 0.05);
  });

  it('cuts layers at the residual stream: one hidden vector per token', () => {
    const { segmentation } = analyze(readModel('graphs/gpt2-small.onnx'), { seq: 128 });
    for (let s = 1; s < segmentation.segmentCount; s++)
      expect(segmentation.cutElements[s]).to.equal(128 * 768);
  });

  it('does not depend on names or on the order of nodes', () => {
    for (const file of [
      'graphs/gpt2-tiny.dynamo.onnx',
      'graphs/llama-tiny.ts.onnx',
      'graphs/t5-tiny.ts.onnx',
      'graphs/resnet50.onnx',
    ]) {
      const model = readModel(file);
      const plain = analyze(model, { seq: 32 });
      const other = analyze(disguise(model, 42), { seq: 32 });
      expect(structureOf(other.graph, other.segmentation), file).to.deep.equal(
        structureOf(plain.graph, plain.segmentation),
      );
    }
  });

  it('scales a layer linearly with the sequence except for the attention', () => {
    const flopAt = (seq: number): number =>
      sum(
        analyze(readModel('graphs/llama-tiny.ts.onnx'), { seq })
          .segmentation.blocks.filter((b) => b.kind === 'gemm')
          .map((b) => b.flop),
      );
    expect(flopAt(64) / flopAt(32)).to.be.closeTo(2, 0.01);
  });

  it('keeps what fused kernels keep: a norm its input, attention q, k, v and its output, a residual addition nothing', () => {
    const { graph, segmentation } = analyze(readModel('graphs/llama-tiny.dynamo.onnx'), { seq: 32 });
    const s = segmentation;
    const layer = s.classSegment[s.segmentClass[1]];
    const blocks = s.blocks.slice(s.blockStart[layer], s.blockStart[layer + 1]);
    const norm = blocks[0];
    expect([...norm.saved]).to.deep.equal([norm.inputs[0]]);
    const attention = blocks.find((b) => b.kind === 'attention')!;
    expect(attention.saved.length).to.equal(4);
    expect(attention.extraSavedBytes).to.be.greaterThan(0);
    const residual = blocks[blocks.length - 1];
    expect([...residual.saved]).to.deep.equal([]);
    for (const b of blocks)
      for (const t of b.saved)
        expect(graph.tensorRole[t]).to.be.oneOf([TensorRole.ACTIVATION, TensorRole.INPUT]);
  });

  it('cuts a convolution network into segments of bounded work', () => {
    const { graph, segmentation } = analyze(readModel('graphs/resnet50.onnx'), {});
    expectSound(graph, segmentation);
    expect(segmentation.segmentCount).to.be.within(8, 64);
    expect(parameterCount(graph)).to.equal(25530472);
  });
});
