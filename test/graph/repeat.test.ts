import { expect } from 'chai';
import { graph, model, node, value, weight } from '../support/onnx.js';
import { expectSound } from '../support/graph_checks.js';
import { analyze, fuse, segment, buildGraph, type Segmentation } from '../../src/graph/index.js';
import { findRuns } from '../../src/graph/runs.js';
import type { NodeProto, TensorProto } from '../../src/model/types.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';

/** `0x1 1x12 2x1`: class and how many in a row. */
function runsOf(s: Segmentation): string {
  const parts: string[] = [];
  for (let i = 0; i < s.segmentCount;) {
    let j = i;
    while (j < s.segmentCount && s.segmentClass[j] === s.segmentClass[i]) j++;
    parts.push(`${String(s.segmentClass[i])}x${String(j - i)}`);
    i = j;
  }
  return parts.join(' ');
}

/** A residual stack; each layer is a letter: `a` a hidden size of 32, `b` one of 48. */
function stack(layers: string): ReturnType<typeof graph> {
  const nodes: NodeProto[] = [];
  const initializer: TensorProto[] = [weight('e', [16, 16])];
  nodes.push(node('MatMul', 'x e', 'x0'));
  let x = 'x0';
  [...layers].forEach((letter, k) => {
    const i = k + 1;
    const hidden = letter === 'a' ? 32 : 48;
    const n = String(i);
    initializer.push(weight(`g${n}`, [16]), weight(`u${n}`, [16, hidden]), weight(`d${n}`, [hidden, 16]));
    nodes.push(
      node('LayerNormalization', `${x} g${n}`, `n${n}`, { axis: -1 }),
      node('MatMul', `n${n} u${n}`, `h${n}`),
      node('Relu', `h${n}`, `r${n}`),
      node('MatMul', `r${n} d${n}`, `o${n}`),
      node('Add', `${x} o${n}`, `x${n}`),
    );
    x = `x${n}`;
  });
  nodes.push(node('LayerNormalization', `${x} gf`, 'f', { axis: -1 }), node('MatMul', 'f head', 'y'));
  initializer.push(weight('gf', [16]), weight('head', [16, 100]));
  return graph(nodes, [value('x', ['N', 10, 16])], [value('y', null)], { initializer });
}

describe('graph/repeat', function () {
  this.timeout(60_000);

  it('finds the longest repetition, and those beside it', () => {
    const classes = Int32Array.from([9, 1, 2, 1, 2, 1, 2, 5, 3, 3, 7]);
    const ones = new Float64Array(classes.length).fill(1);
    const heavy = new Uint8Array(classes.length).fill(1);
    expect(findRuns(classes, ones, heavy, () => 0, 0)).to.deep.equal([
      { from: 1, to: 7, period: 2 },
      { from: 8, to: 10, period: 1 },
    ]);
  });

  it('makes equal layers one class', () => {
    const { graph: g, segmentation: s } = analyze(model(stack('aaaaaa')));
    expectSound(g, s);
    expect(s.layers).to.equal(6);
    for (let k = 1; k < s.segmentCount; k++) expect(s.cutElements[k]).to.equal(160);
  });

  it('tells alternating layers apart', () => {
    const { segmentation: s } = analyze(model(stack('abababab')));
    expect(s.layers).to.equal(4);
    expect(runsOf(s)).to.contain('1x1 2x1 1x1 2x1 1x1 2x1');
  });

  it('tells the first few layers from the rest', () => {
    const { segmentation: s } = analyze(model(stack('aaabbbbbbb')));
    expect(s.layers).to.equal(7);
    expect(runsOf(s)).to.match(/x3 \dx7/);
  });

  it('finds no layers where nothing repeats', () => {
    const { graph: g, segmentation: s } = analyze(model(stack('ab')));
    expectSound(g, s);
    expect(s.layers).to.equal(0);
  });

  it('lists weights that several segments share', () => {
    const tied = stack('aaaa');
    for (const n of tied.node) n.input = n.input.map((name) => (name === 'u3' ? 'u1' : name));
    const { graph: g, segmentation: s } = analyze(model(tied));
    expect(s.sharedParameter.length).to.equal(1);
    expect(g.tensorName[s.sharedParameter[0]]).to.equal('u1');
    expect(s.sharedStart[1] - s.sharedStart[0]).to.equal(2);
  });

  it('sees 3 dense and 58 expert layers in DeepSeek-V3', () => {
    const { graph: g, segmentation: s } = analyze(buildZoo(zooConfig('deepseek-v3')), { seq: 256 });
    expectSound(g, s);
    expect(s.layers).to.equal(61);
    expect(runsOf(s)).to.equal('0x1 1x3 2x58 3x1');
    expect(s.blocks.filter((b) => b.kind === 'groupedGemm').length).to.equal(58 * 2);
    for (let k = 1; k < s.segmentCount; k++) expect(s.cutElements[k]).to.equal(256 * 7168);
  });

  it('sees the encoder and the decoder of T5 as repetitions of their own', () => {
    const { graph: g, segmentation: s } = analyze(buildZoo(zooConfig('t5-large')), { seq: 128 });
    expectSound(g, s);
    const sizes = [...s.classSize].sort((a, b) => b - a);
    expect(sizes[0]).to.equal(24);
    expect(sizes[1]).to.be.within(23, 24);
  });

  it('plans the chain of Llama-3 405B in well under a second', () => {
    const g = buildGraph(buildZoo(zooConfig('llama3-405b')), { seq: 8192 });
    const blocks = fuse(g);
    const start = process.hrtime.bigint();
    const s = segment(g, blocks);
    const tookSec = Number(process.hrtime.bigint() - start) / 1e9;
    expect(s.layers).to.equal(126);
    expect(tookSec).to.be.lessThan(1);
  });

  it('cuts a chain of 30,000 operators into a bounded number of segments', () => {
    const nodes = Array.from({ length: 30_000 }, (_, i) =>
      node('Relu', i === 0 ? 'x' : `t${String(i - 1)}`, `t${String(i)}`),
    );
    const chain = graph(nodes, [value('x', ['N', 4])], [value('t29999', null)]);
    const { graph: g, segmentation: s } = analyze(model(chain), { phase: 'inference' });
    expectSound(g, s);
    expect(s.segmentCount).to.be.within(1, 1024);
  });
});
