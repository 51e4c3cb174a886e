import { expect } from 'chai';
import { graph, model, node, value, weight } from '../support/onnx.js';
import { expectConsistentFactors } from '../support/graph_checks.js';
import { analyze, type Block, type Graph } from '../../src/graph/index.js';
import type { GraphProto } from '../../src/model/types.js';

function blocksOf(g: GraphProto): { graph: Graph; blocks: readonly Block[] } {
  const { graph: result, segmentation } = analyze(model(g), { phase: 'inference' });
  return { graph: result, blocks: segmentation.blocks };
}

const kindsBySize = (block: Block): Record<string, string> =>
  Object.fromEntries(block.factors.factors.map((f) => [String(f.size), f.kind]));

describe('graph/compose', () => {
  it('sees the hidden dimension of a norm written out as statistics, not as a sum', () => {
    const { blocks } = blocksOf(
      graph(
        [
          node('Mul', 'x x', 'sq'),
          node('ReduceMean', 'sq', 'mean', { axes: [-1], keepdims: 1 }),
          node('Sqrt', 'mean', 'root'),
          node('Div', 'x root', 'unit'),
          node('Mul', 'unit g', 'y'),
        ],
        [value('x', ['batch', 7, 32])],
        [value('y', ['batch', 7, 32])],
        { initializer: [weight('g', [32])] },
      ),
    );
    expect(blocks).to.have.length(1);
    expect(kindsBySize(blocks[0])).to.deep.equal({ '1': 'parallel', '7': 'parallel', '32': 'normalized' });
  });

  it('leaves a sum that nothing uses up as a contraction', () => {
    const { blocks } = blocksOf(
      graph(
        [node('Relu', 'x', 'r'), node('ReduceSum', 'r', 'y', { axes: [-1], keepdims: 0 })],
        [value('x', ['batch', 7, 32])],
        [value('y', ['batch', 7])],
      ),
    );
    expect(kindsBySize(blocks[0])['32']).to.equal('contraction');
  });

  it('divides a projection into the heads that a later reshape sees', () => {
    const shape = {
      ...weight('s', [4]),
      dataType: 7,
      int64Data: { kind: 'bytes' as const, bytes: Uint8Array.from([1, 7, 4, 8]) },
    };
    const { blocks } = blocksOf(
      graph(
        [
          node('MatMul', 'x w', 'p'),
          node('Reshape', 'p s', 'h'),
          node('Relu', 'h', 'y'),
          node('Neg', 'h', 'z'),
        ],
        [value('x', ['batch', 7, 16])],
        [value('y', null), value('z', null)],
        { initializer: [weight('w', [16, 32]), shape] },
      ),
    );
    const gemm = blocks.find((b) => b.kind === 'gemm')!;
    const sizes = gemm.factors.factors.map((f) => `${String(f.size)}${f.kind[0]}`).sort();
    expect(sizes).to.deep.equal(['16c', '1p', '4p', '7p', '8p']);
    // The weight's columns are indexed by both parts.
    expect(gemm.factors.inputs[1]![1]).to.have.length(2);
  });

  it('keeps every dimension equal to the product of its factors', () => {
    const { graph: g, blocks } = blocksOf(
      graph(
        [
          node('Transpose', 'x', 't', { perm: [0, 2, 1] }),
          node('MatMul', 't w', 'm'),
          node('Softmax', 'm', 'y', { axis: 1 }),
        ],
        [value('x', ['batch', 6, 10])],
        [value('y', null)],
        { initializer: [weight('w', [6, 4])] },
      ),
    );
    for (const block of blocks) expectConsistentFactors(g, block);
  });
});
