import { expect } from 'chai';
import { graph, int64s, model, node, value, weight } from '../support/onnx.js';
import { expectSound } from '../support/graph_checks.js';
import { analyze, type Block, type Graph } from '../../src/graph/index.js';
import type { NodeProto, TensorProto } from '../../src/model/types.js';

const INT64 = 7;
const BOOL = 9;

/** Attention on 4 heads of 8 over 6 tokens, with a mask added to the scores. */
function attention(maskNodes: NodeProto[], more: TensorProto[] = []): ReturnType<typeof graph> {
  return graph(
    [
      ...['q', 'k', 'v'].flatMap((n) => [
        node('MatMul', `x w${n}`, `${n}0`),
        node('Reshape', `${n}0 heads`, `${n}1`),
        node('Transpose', `${n}1`, `${n}2`, { perm: [0, 2, 1, 3] }),
      ]),
      node('Transpose', 'k2', 'kt', { perm: [0, 1, 3, 2] }),
      node('MatMul', 'q2 kt', 's'),
      node('Mul', 's scale', 'scaled'),
      ...maskNodes,
      node('Add', 'scaled mask', 'masked'),
      node('Softmax', 'masked', 'p', { axis: -1 }),
      node('MatMul', 'p v2', 'o'),
      node('Transpose', 'o', 'ot', { perm: [0, 2, 1, 3] }),
      node('Reshape', 'ot merged', 'om'),
      node('MatMul', 'om wo', 'y'),
    ],
    [value('x', ['N', 6, 32]), value('pad', ['N', 6])],
    [value('y', null)],
    {
      initializer: [
        ...['wq', 'wk', 'wv', 'wo'].map((n) => weight(n, [32, 32])),
        weight('scale', []),
        int64s('heads', [0, 6, 4, 8]),
        int64s('merged', [0, 6, 32]),
        ...more,
      ],
    },
  );
}

const range = [node('Range', 'zero six one', 'pos')];
const columns = [...range, node('Unsqueeze', 'pos ax1', 'row'), node('Unsqueeze', 'pos ax0', 'col')];
const positions = [
  int64s('zero', [0], []),
  int64s('six', [6], []),
  int64s('one', [1], []),
  int64s('ax0', [0]),
  int64s('ax1', [1]),
];
const floats = [weight('low', []), weight('high', [])];

function attentionBlock(g: ReturnType<typeof graph>): { graph: Graph; block: Block } {
  const { graph: built, segmentation } = analyze(model(g));
  expectSound(built, segmentation);
  const blocks = segmentation.blocks.filter((b) => b.kind === 'attention');
  expect(blocks.length).to.equal(1);
  return { graph: built, block: blocks[0] };
}

const FULL = 4 * 6 * 6 * 32;

describe('graph/fuse', () => {
  it('makes one kernel of an attention written out, reading q, k, v and writing its output', () => {
    const { graph: g, block } = attentionBlock(
      attention([node('Mul', 'big bias', 'mask')], [weight('big', [6, 6]), weight('bias', [6, 6])]),
    );
    expect(block.causal).to.equal(false);
    // Two products and a little for scale, mask and softmax.
    expect(block.flop).to.be.within(FULL, 1.25 * FULL);
    const saved = [...block.saved].map((t) => g.tensorElements[t]);
    expect(saved.filter((n) => n === 6 * 32).length).to.equal(4);
    // Log-sum-exp: 4 bytes for each of 6 rows and 4 heads.
    expect(block.extraSavedBytes).to.equal(4 * 6 * 4);
    const kinds = block.factors.factors.map((f) => `${String(f.size)}${f.kind[0]}`).sort();
    // Batch, 4 heads, 6 queries, 6 keys (normalized), 8 per head for values; 8 contracted for scores must stay whole.
    expect(kinds).to.deep.equal(['1p', '4p', '6n', '6p', '8p', '8w']);
  });

  const masks: { name: string; causal: boolean; nodes: NodeProto[]; more: TensorProto[] }[] = [
    {
      name: 'a comparison of key with query positions',
      causal: true,
      nodes: [...columns, node('LessOrEqual', 'col row', 'allow'), node('Where', 'allow low high', 'mask')],
      more: [...positions, ...floats],
    },
    {
      name: 'a comparison written the other way round',
      causal: true,
      nodes: [...columns, node('Less', 'row col', 'block'), node('Where', 'block high low', 'mask')],
      more: [...positions, ...floats],
    },
    {
      name: 'Trilu of a constant, negated',
      causal: true,
      nodes: [node('Trilu', 'ones', 'upper', { upper: 1 }), node('Mul', 'upper high', 'mask')],
      more: [weight('ones', [6, 6]), weight('high', [])],
    },
    {
      name: 'a padding mask only',
      causal: false,
      nodes: [node('Unsqueeze', 'pad ax', 'mask')],
      more: [int64s('ax', [1, 2])],
    },
    {
      name: 'a causal mask that is opened again by an or',
      causal: false,
      nodes: [
        ...columns,
        node('LessOrEqual', 'col row', 'allow'),
        node('Cast', 'pad', 'seen', { to: BOOL }),
        node('Unsqueeze', 'seen ax', 'seen4'),
        node('Or', 'allow seen4', 'either'),
        node('Where', 'either low high', 'mask'),
      ],
      more: [...positions, ...floats, int64s('ax', [1, 2])],
    },
    {
      name: 'a causal mask with padding added by an and',
      causal: true,
      nodes: [
        ...columns,
        node('LessOrEqual', 'col row', 'allow'),
        node('Cast', 'pad', 'seen', { to: BOOL }),
        node('Unsqueeze', 'seen ax', 'seen4'),
        node('And', 'allow seen4', 'both'),
        node('Where', 'both low high', 'mask'),
      ],
      more: [...positions, ...floats, int64s('ax', [1, 2])],
    },
  ];
  for (const { name, causal, nodes, more } of masks) {
    it(`${causal ? 'halves' : 'does not halve'} the work of attention behind ${name}`, () => {
      const { block } = attentionBlock(attention(nodes, more));
      expect(block.causal).to.equal(causal);
      expect(block.flop / FULL).to.be.within(causal ? 0.5 : 1, causal ? 0.65 : 1.3);
    });
  }

  it('takes expert weights fetched by computed indices and their product for one grouped product', () => {
    const experts = graph(
      [
        node('MatMul', 'x router', 'logits'),
        node('TopK', 'logits k', 'top which', { axis: -1 }),
        node('Reshape', 'which flat', 'id'),
        node('Gather', 'W id', 'w', { axis: 0 }),
        node('Unsqueeze', 'x last', 'column'),
        node('MatMul', 'w column', 'product'),
        node('Squeeze', 'product last', 'y'),
      ],
      [value('x', ['tokens', 16])],
      [value('y', null)],
      {
        initializer: [
          weight('router', [16, 8]),
          weight('W', [8, 24, 16]),
          int64s('k', [1]),
          int64s('flat', [-1]),
          int64s('last', [2]),
        ],
      },
    );
    const { graph: g, segmentation } = analyze(model(experts), { bind: { tokens: 20 } });
    expectSound(g, segmentation);
    const grouped = segmentation.blocks.filter((b) => b.kind === 'groupedGemm');
    expect(grouped.length).to.equal(1);
    const [block] = grouped;
    expect(block.flop).to.equal(2 * 20 * 24 * 16);
    expect(block.gradWeightFlop).to.equal(block.flop);
    // Nothing trainable lies before x.
    expect(block.gradInputFlop).to.equal(0);
    expect(block.factors.factors.find((f) => f.size === 8)?.kind).to.equal('lookup');
    expect(block.factors.factors.find((f) => f.size === 24)?.kind).to.equal('parallel');
    // The weights are read once, not once a token.
    expect(block.touchedElements).to.be.lessThan(8 * 24 * 16 + 20 * (24 + 16 + 2));
  });

  it('keeps a residual addition apart from the norm that follows', () => {
    const { segmentation } = analyze(
      model(
        graph(
          [
            node('MatMul', 'x w', 'm'),
            node('Add', 'm x', 'sum'),
            node('LayerNormalization', 'sum g', 'n', { axis: -1 }),
            node('MatMul', 'n w', 'm2'),
            node('Add', 'm2 sum', 'y'),
          ],
          [value('x', ['N', 5, 8])],
          [value('y', null)],
          { initializer: [weight('w', [8, 8]), weight('g', [8])] },
        ),
      ),
      { phase: 'inference' },
    );
    expect(segmentation.blocks.map((b) => [b.kind, b.nodes.length])).to.deep.equal([
      ['gemm', 1],
      ['pointwise', 1],
      ['pointwise', 1],
      ['gemm', 1],
      ['pointwise', 1],
    ]);
  });

  it('fuses a gated activation into one kernel that keeps both of its inputs', () => {
    const { graph: g, segmentation } = analyze(
      model(
        graph(
          [
            node('MatMul', 'x w1', 'gate'),
            node('MatMul', 'x w2', 'up'),
            node('Sigmoid', 'gate', 's'),
            node('Mul', 'gate s', 'silu'),
            node('Mul', 'silu up', 'h'),
            node('MatMul', 'h w3', 'y'),
          ],
          [value('x', ['N', 5, 8])],
          [value('y', null)],
          { initializer: [weight('w1', [8, 24]), weight('w2', [8, 24]), weight('w3', [24, 8])] },
        ),
      ),
    );
    const gated = segmentation.blocks.find((b) => b.nodes.length === 3)!;
    expect([...gated.saved].map((t) => g.tensorName[t]).sort()).to.deep.equal(['gate', 'up']);
  });

  it('never makes a cycle of blocks on a ladder of crossing branches', () => {
    const nodes: NodeProto[] = [];
    const w: TensorProto[] = [weight('w', [8, 8])];
    let [a, b] = ['x', 'x'];
    for (let i = 0; i < 40; i++) {
      const n = String(i);
      nodes.push(
        node('Relu', a, `p${n}`),
        node('MatMul', `${b} w`, `q${n}`),
        node('Mul', `p${n} q${n}`, `a${n}`),
        node('Exp', `p${n}`, `b${n}`),
      );
      [a, b] = [`a${n}`, `b${n}`];
    }
    nodes.push(node('Add', `${a} ${b}`, 'y'));
    const { graph: g, segmentation } = analyze(
      model(graph(nodes, [value('x', ['N', 8])], [value('y', null)], { initializer: w })),
    );
    expectSound(g, segmentation);
  });

  it('reads of a looked-up table only the rows it fetches', () => {
    const { segmentation } = analyze(
      model(
        graph([node('Gather', 'table ids', 'y')], [value('ids', ['N', 10], INT64)], [value('y', null)], {
          initializer: [weight('table', [5000, 8])],
        }),
      ),
      { phase: 'inference' },
    );
    expect(segmentation.blocks[0].kind).to.equal('lookup');
    expect(segmentation.blocks[0].touchedElements).to.be.lessThan(500);
  });
});
