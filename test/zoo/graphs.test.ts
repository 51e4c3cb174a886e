import { expect } from 'chai';
import { DType, dtypeBytes } from '../../src/model/dtype.js';
import { decodeModel } from '../../src/model/read.js';
import type { GraphProto } from '../../src/model/types.js';
import { encodeModel } from '../../src/model/write.js';
import { buildZoo, completeConfig, zooConfig, zooNames, type ArchSketch } from '../../src/zoo/index.js';

/** Throws the first thing that makes the graph unsound as a graph. */
function checkGraph(graph: GraphProto): void {
  const produced = new Set<string>(graph.input.map((input) => input.name!));
  for (const tensor of graph.initializer) {
    if (produced.has(tensor.name!)) throw new Error(`${tensor.name} is defined twice`);
    produced.add(tensor.name!);
  }
  const nodeNames = new Set<string>();
  const used = new Set<string>(graph.output.map((output) => output.name!));
  for (const node of graph.node) {
    if (nodeNames.has(node.name!)) throw new Error(`two nodes are called ${node.name}`);
    nodeNames.add(node.name!);
    for (const input of node.input) {
      if (!produced.has(input)) throw new Error(`${node.name} reads ${input} before it is produced`);
      used.add(input);
    }
    for (const output of node.output) {
      if (produced.has(output)) throw new Error(`${output} is produced twice`);
      produced.add(output);
    }
  }
  for (const output of graph.output) {
    if (!produced.has(output.name!)) throw new Error(`output ${output.name} is never produced`);
  }
  for (const node of graph.node) {
    if (!node.output.some((output) => used.has(output))) throw new Error(`${node.name} is dead`);
  }
  const unread = graph.initializer.find((tensor) => !used.has(tensor.name!));
  if (unread !== undefined) throw new Error(`${unread.name} is never read`);
}

/** End of the external data when every weight follows the one before it without a gap. */
function externalEnd(graph: GraphProto, location: string): number {
  let end = 0;
  for (const tensor of graph.initializer) {
    if (tensor.externalData.length === 0) continue;
    const entry = Object.fromEntries(tensor.externalData.map(({ key, value }) => [key!, value!]));
    expect(entry['location']).to.equal(location);
    expect(Number(entry['offset'])).to.equal(end);
    const count = tensor.dims.reduce<number>((a, b) => a * Number(b), 1);
    expect(Number(entry['length'])).to.equal(dtypeBytes(tensor.dataType!, count));
    end += Number(entry['length']);
  }
  return end;
}

describe('zoo graphs', () => {
  for (const name of zooNames()) {
    it(`of ${name} are sorted, uniquely named, without dead ends, weights laid end to end`, () => {
      const config = zooConfig(name);
      const graph = buildZoo(config).graph!;
      checkGraph(graph);
      expect(externalEnd(graph, `${config.name}.onnx.data`)).to.be.greaterThan(0);
    });
  }

  it('are sound in half precision, with statistics kept in float32', () => {
    for (const name of [
      'gpt2',
      'llama3.2-1b',
      'qwen3-30b-a3b',
      'deepseek-v3',
      'bert-base',
      't5-base',
      'vit-b16',
    ]) {
      for (const dtype of [DType.FLOAT16, DType.BFLOAT16]) {
        const graph = buildZoo(zooConfig(name), { dtype, layers: 4 }).graph!;
        checkGraph(graph);
        externalEnd(graph, `${name === 'gpt2' ? 'gpt2-small' : name}.onnx.data`);
        const external = graph.initializer.filter((tensor) => tensor.externalData.length > 0);
        const wide = external.filter((tensor) => tensor.dataType !== dtype).map((tensor) => tensor.dims);
        // Only the router's balancing bias stays in float32.
        expect(wide).to.deep.equal(name === 'deepseek-v3' ? [[256]] : []);
        expect(graph.output[0].type!.tensorType!.elemType).to.equal(dtype);
      }
    }
  });

  it('are sound in the variants that no named model takes', () => {
    const base = { layers: 2, hidden: 64, heads: 4, vocab: 100 };
    const mla = { qLoraRank: 0, kvLoraRank: 16, nopeHeadDim: 16, ropeHeadDim: 8, valueHeadDim: 12 };
    const sketches: ArchSketch[] = [
      { ...base, name: 'untied', family: 'gpt', tiedEmbeddings: false },
      { ...base, name: 'biased', family: 'llama', attentionBias: true, ffnBias: true, slidingWindow: 8 },
      {
        ...base,
        name: 'gated',
        family: 't5',
        gatedFfn: true,
        tiedEmbeddings: false,
        seqToSeq: { decoderLayers: 3 },
      },
      { ...base, name: 'direct', family: 'deepseek', mla, moe: { experts: 8, topk: 2, router: 'sigmoid' } },
      { ...base, name: 'words', family: 'bert', bert: { head: 'mlm' } },
      {
        ...base,
        name: 'unscaled',
        family: 'moe',
        moe: { experts: 4, topk: 1, normaliseTopk: false, denseLayers: 1 },
      },
    ];
    for (const sketch of sketches) {
      const graph = buildZoo(completeConfig(sketch)).graph!;
      checkGraph(graph);
      externalEnd(graph, `${sketch.name}.onnx.data`);
    }
  });

  it('hold a tied table once and use it for lookup and for the logits', () => {
    for (const name of ['gpt2', 'llama3.2-1b', 't5-base', 'bert-base-pretraining']) {
      const { node, initializer } = buildZoo(zooConfig(name)).graph!;
      const { vocab } = zooConfig(name);
      const tables = initializer.filter((tensor) => tensor.dims[0] === vocab && tensor.dims.length === 2);
      expect(tables).to.have.length(1);
      const readers = node.filter((n) => n.input.includes(tables[0].name!)).map((n) => n.opType);
      expect([...new Set(readers)]).to.have.members(['Gather', 'Transpose']);
    }
  });

  it('keep batch and sequence symbolic unless they are given', () => {
    const dims = (options: object): unknown[] =>
      buildZoo(zooConfig('llama2-7b'), { layers: 1, ...options }).graph!.input.map((input) =>
        input.type!.tensorType!.shape!.dim.map((d) => d.dimParam ?? d.dimValue),
      );
    expect(dims({})).to.deep.equal([
      ['batch', 'seq'],
      ['batch', 'seq'],
    ]);
    expect(dims({ batch: 2, seq: 8192 })).to.deep.equal([
      [2, 8192],
      [2, 8192],
    ]);
    expect(dims({ attentionMask: false })).to.deep.equal([['batch', 'seq']]);
    const t5 = buildZoo(zooConfig('t5-base'), { seq: 512, decoderSeq: 114 }).graph!;
    const target = t5.input.find((input) => input.name === 'decoder_input_ids')!;
    expect(target.type!.tensorType!.shape!.dim[1].dimValue).to.equal(114);
  });

  it('survive writing and reading', () => {
    for (const name of ['llama3.2-1b', 'mixtral-8x7b', 'vit-b16']) {
      const model = buildZoo(zooConfig(name), { layers: 2 });
      const back = decodeModel(encodeModel(model));
      expect(back.graph!.node).to.deep.equal(model.graph!.node);
      expect(back.graph!.input).to.deep.equal(model.graph!.input);
      expect(
        back.graph!.initializer.map(({ name: n, dims, dataType, externalData }) => [
          n,
          dims,
          dataType,
          externalData,
        ]),
      ).to.deep.equal(
        model.graph!.initializer.map(({ name: n, dims, dataType, externalData }) => [
          n,
          dims,
          dataType,
          externalData,
        ]),
      );
    }
  });

  it('of 126 layers and of 256 experts are built in under 300 ms', () => {
    for (const name of ['llama3-405b', 'deepseek-v3']) {
      buildZoo(zooConfig(name));
      const start = performance.now();
      buildZoo(zooConfig(name));
      expect(performance.now() - start).to.be.below(300);
    }
  });

  it('are the same twice', () => {
    const config = zooConfig('deepseek-v3');
    expect(encodeModel(buildZoo(config, { layers: 5 }))).to.deep.equal(
      encodeModel(buildZoo(config, { layers: 5 })),
    );
  });

  it('give every expert-parallel tensor its expert axis first', () => {
    const { node, initializer } = buildZoo(zooConfig('deepseek-v3'), { layers: 4 }).graph!;
    const dims = new Map(initializer.map((tensor) => [tensor.name!, tensor.dims]));
    const gathered = node
      .filter((n) => n.opType === 'GatherND' && dims.has(n.input[0]))
      .map((n) => dims.get(n.input[0]));
    expect(gathered).to.deep.equal([
      [256, 4096, 7168],
      [256, 7168, 2048],
    ]);
  });
});
