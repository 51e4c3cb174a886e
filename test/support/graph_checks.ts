/** Properties that every analysed graph has. */
import { expect } from 'chai';
import type { Block, Graph, Segmentation } from '../../src/graph/index.js';
import type { ModelProto } from '../../src/model/types.js';
import { Random } from '../../src/util/random.js';

/** Product of a dimension's factors = the dimension, on every tensor of the border. */
export function expectConsistentFactors(g: Graph, block: Block): void {
  const sides = [
    { tensors: block.inputs, layouts: block.factors.inputs },
    { tensors: block.outputs, layouts: block.factors.outputs },
  ];
  for (const { tensors, layouts } of sides) {
    tensors.forEach((t, i) => {
      const layout = layouts[i];
      if (layout === null) return;
      expect(layout.length, g.tensorName[t]).to.equal(g.shapeStart[t + 1] - g.shapeStart[t]);
      layout.forEach((ids, d) => {
        const product = ids.reduce((p, f) => p * block.factors.factors[f].size, 1);
        const size = g.shapeDim[g.shapeStart[t] + d];
        expect(product, `${g.tensorName[t]} dimension ${String(d)} of ${block.kind}`).to.equal(size);
      });
    });
  }
  expect(block.factorAxis.length).to.equal(block.factors.factors.length);
}

/** Blocks partition the nodes, follow each other topologically (hence are convex), and segments partition the blocks. */
export function expectSound(g: Graph, s: Segmentation): void {
  const blockOf = new Int32Array(g.nodeCount).fill(-1);
  s.blocks.forEach((block, b) => {
    for (const n of block.nodes) {
      expect(blockOf[n], `node ${g.nodeName[n]} is in one block`).to.equal(-1);
      blockOf[n] = b;
    }
  });
  expect(blockOf.includes(-1), 'every node is in a block').to.equal(false);
  for (let n = 0; n < g.nodeCount; n++) {
    for (let i = g.inputStart[n]; i < g.inputStart[n + 1]; i++) {
      const t = g.inputTensor[i];
      const p = t < 0 ? -1 : g.producer[t];
      if (p < 0) continue;
      expect(p, 'nodes are in topological order').to.be.lessThan(n);
      expect(blockOf[p], 'blocks are in topological order').to.be.at.most(blockOf[n]);
    }
  }
  for (const block of s.blocks) expectConsistentFactors(g, block);
  expect(s.blockStart[0]).to.equal(0);
  expect(s.blockStart[s.segmentCount]).to.equal(s.blocks.length);
  expect(s.classSize.reduce((a, b) => a + b, 0)).to.equal(s.segmentCount);
  for (let k = 0; k < s.segmentCount; k++) expect(s.blockStart[k + 1]).to.be.greaterThan(s.blockStart[k]);
}

/** The same computation under other names and with its nodes in another (still valid or not) order. */
export function disguise(model: ModelProto, seed: number): ModelProto {
  const graph = model.graph!;
  const random = new Random(seed);
  const names = new Map<string, string>();
  const rename = (name: string): string => {
    if (name === '') return '';
    let other = names.get(name);
    if (other === undefined) names.set(name, (other = `n${String(random.uint32())}_${String(names.size)}`));
    return other;
  };
  const renamed = graph.node.map((node) => ({
    ...node,
    name: '',
    input: node.input.map(rename),
    output: node.output.map(rename),
  }));
  return {
    ...model,
    graph: {
      ...graph,
      node: random.shuffle(renamed),
      input: graph.input.map((x) => ({ ...x, name: rename(x.name ?? '') })),
      output: graph.output.map((x) => ({ ...x, name: rename(x.name ?? '') })),
      initializer: random.shuffle(graph.initializer.map((x) => ({ ...x, name: rename(x.name ?? '') }))),
      valueInfo: [],
    },
  };
}

/** What planning sees of a segmentation, without names. */
export function structureOf(g: Graph, s: Segmentation): unknown {
  return {
    classes: [...s.segmentClass],
    layers: s.layers,
    cuts: [...s.cutElements],
    starts: [...s.blockStart],
    blocks: s.blocks.map((b) => [
      b.kind,
      b.flop,
      b.touchedElements,
      b.saved.length,
      b.causal,
      b.factors.factors,
      [...b.factorAxis],
    ]),
    ops: s.blocks.map((b) => Array.from(b.nodes, (n) => g.nodeOp[n])),
  };
}

export const sum = (values: Iterable<number>): number => {
  let total = 0;
  for (const v of values) total += v;
  return total;
};
