import { expect } from 'chai';
import type { FeatureGraph } from '../../src/agent/graphEmbedding.js';
import {
  blockGraph,
  embeddingOf,
  EMBEDDING_FEATURES,
  GraphEmbedding,
  MAX_NODES,
} from '../../src/agent/graphEmbedding.js';
import { analyze } from '../../src/graph/index.js';
import type { Segmentation } from '../../src/graph/types.js';
import { readModel } from '../../src/model/index.js';
import { Random } from '../../src/util/random.js';

/** A chain of nodes with one random feature and some skips. */
function chain(nodeCount: number, random: Random): FeatureGraph {
  const from: number[] = [];
  const to: number[] = [];
  for (let v = 1; v < nodeCount; v++) {
    from.push(v - 1);
    to.push(v);
    if (v > 3 && random.next() < 0.3) {
      from.push(v - 3);
      to.push(v);
    }
  }
  return {
    nodeCount,
    featureCount: 2,
    features: Float32Array.from({ length: 2 * nodeCount }, () => random.normal()),
    edgeFrom: Int32Array.from(from),
    edgeTo: Int32Array.from(to),
  };
}

function segmentationOf(file: string): Segmentation {
  const where = `graphs/${file}`;
  return analyze(readModel(where), { where, seq: 64 }).segmentation;
}

function nodeOf(embedding: GraphEmbedding, node: number): number[] {
  const out = new Float32Array(EMBEDDING_FEATURES);
  embedding.writeNode(node, out, 0);
  return [...out];
}

describe('agent/graphEmbedding', () => {
  it('gives the same numbers each time, all within +-1', () => {
    const graph = chain(40, new Random(1));
    const a = GraphEmbedding.of(graph);
    expect(a.pooled).to.deep.equal(GraphEmbedding.of(graph).pooled);
    for (let v = 0; v < 40; v++) for (const x of nodeOf(a, v)) expect(Math.abs(x)).to.be.at.most(1);
  });

  it('sees what is two edges away and nothing further', () => {
    const graph = chain(30, new Random(2));
    const plain = {
      ...graph,
      edgeFrom: Int32Array.from({ length: 29 }, (_, v) => v),
      edgeTo: Int32Array.from({ length: 29 }, (_, v) => v + 1),
    };
    const features = plain.features.slice();
    features[2 * 10] += 3;
    const [a, b] = [GraphEmbedding.of(plain), GraphEmbedding.of({ ...plain, features })];
    for (let v = 0; v < 30; v++) {
      const same = nodeOf(a, v).every((x, i) => x === nodeOf(b, v)[i]);
      expect(same, `node ${v}`).to.equal(Math.abs(v - 10) > 2);
    }
  });

  it('does not depend on how edges are listed', () => {
    const graph = chain(25, new Random(3));
    const reversed = { ...graph, edgeFrom: graph.edgeFrom.toReversed(), edgeTo: graph.edgeTo.toReversed() };
    const [a, b] = [GraphEmbedding.of(graph).pooled, GraphEmbedding.of(reversed).pooled];
    a.forEach((x, i) => expect(x).to.be.closeTo(b[i], 1e-6));
  });

  it('tells architectures apart, and sizes of one architecture less so', () => {
    const pooled = (file: string): Float32Array => embeddingOf(segmentationOf(file)).pooled;
    const distance = (a: Float32Array, b: Float32Array): number => Math.hypot(...a.map((x, i) => x - b[i]));
    const [gpt, llama, t5, resnet] = ['gpt2-tiny.ts', 'llama-tiny.ts', 't5-tiny.ts', 'resnet50'].map((name) =>
      pooled(`${name}.onnx`),
    );
    expect(Math.min(distance(gpt, llama), distance(gpt, t5))).to.be.above(0.02);
    expect(distance(gpt, resnet)).to.be.above(distance(gpt, llama));
    const segmentation = segmentationOf('gpt2-tiny.ts.onnx');
    expect(embeddingOf(segmentation)).to.equal(embeddingOf(segmentation));
    expect(embeddingOf(segmentation).pooled).to.deep.equal(gpt);
    expect(blockGraph(segmentation).nodeCount).to.equal(segmentation.blocks.length);
  });

  it('contracts long graphs, in a moment', () => {
    const graph = chain(8 * MAX_NODES, new Random(4));
    const started = performance.now();
    const embedding = GraphEmbedding.of(graph);
    expect(performance.now() - started).to.be.below(2000);
    expect(nodeOf(embedding, 0)).to.deep.equal(nodeOf(embedding, 7));
    expect(nodeOf(embedding, 0)).to.not.deep.equal(nodeOf(embedding, 8));
  });
});
