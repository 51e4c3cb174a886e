import { expect } from 'chai';
import { graph, int64s, model, node, value, weight } from '../support/onnx.js';
import { expectSound, sum } from '../support/graph_checks.js';
import {
  analyze,
  AXIS_BATCH,
  AXIS_SEQUENCE,
  buildGraph,
  parameterCount,
  TensorRole,
  type Graph,
} from '../../src/graph/index.js';
import { PartitionError } from '../../src/util/errors.js';

const INT64 = 7;
const INT8 = 3;
const BOOL = 9;

function failure(run: () => unknown): PartitionError {
  try {
    run();
  } catch (e) {
    if (e instanceof PartitionError) return e;
    throw e;
  }
  throw new Error('expected a PartitionError');
}

function roleOf(g: Graph, name: string): TensorRole | undefined {
  const t = g.tensorName.indexOf(name);
  return t < 0 ? undefined : g.tensorRole[t];
}

const mlp = graph(
  [node('MatMul', 'x w1', 'a'), node('Relu', 'a', 'r'), node('MatMul', 'r w2', 'y')],
  [value('x', ['N', 8])],
  [value('y', null)],
  { initializer: [weight('w1', [8, 32]), weight('w2', [32, 4])] },
);

describe('graph/build', () => {
  it('binds the batch to one sample and finds it in every product', () => {
    const { graph: g, segmentation } = analyze(model(mlp));
    expectSound(g, segmentation);
    expect(g.referenceBatch).to.equal(1);
    for (const b of segmentation.blocks) expect([...b.factorAxis]).to.include(AXIS_BATCH);
    expect(sum(g.nodeFlop)).to.equal(2 * 8 * 32 + 32 + 2 * 32 * 4 + 5 * 4);
  });

  it('takes a bound batch as the reference', () => {
    const g = buildGraph(model(mlp), { bind: { N: 6 } });
    expect(g.referenceBatch).to.equal(6);
    expect(g.tensorElements[g.tensorName.indexOf('y')]).to.equal(24);
  });

  it('adds a loss at the end for training and none for inference', () => {
    const train = buildGraph(model(mlp));
    expect(train.lossNode).to.equal(train.nodeCount - 1);
    expect(train.nodeOp[train.lossNode]).to.equal('SoftmaxCrossEntropyLoss');
    const serve = buildGraph(model(mlp), { phase: 'inference' });
    expect(serve.lossNode).to.equal(-1);
    expect(sum(serve.nodeGradInputFlop) + sum(serve.nodeGradWeightFlop)).to.equal(0);
  });

  it('computes gradients only along paths from a weight to the loss', () => {
    const g = buildGraph(model(mlp));
    const flopOf = (n: number) => [g.nodeGradInputFlop[n], g.nodeGradWeightFlop[n]];
    const products = [...g.nodeKernel.keys()].filter((n) => g.nodeKernel[n] === 'gemm');
    // Nothing trainable lies before x: the first product has only a weight gradient.
    expect(flopOf(products[0])).to.deep.equal([0, 512]);
    expect(flopOf(products[1])).to.deep.equal([256, 256]);
    expect(g.tensorNeedsGrad[g.tensorName.indexOf('x')]).to.equal(0);
    expect(g.tensorNeedsGrad[g.tensorName.indexOf('r')]).to.equal(1);
  });

  it('names the symbol, a tensor and the flag when a dimension has no value', () => {
    const tokens = graph(
      [node('Gather', 'table ids', 'e'), node('MatMul', 'e w', 'y')],
      [value('ids', ['batch', 'seq'], INT64)],
      [value('y', null)],
      { initializer: [weight('table', [100, 8]), weight('w', [8, 4])] },
    );
    const e = failure(() => buildGraph(model(tokens)));
    expect(e.code).to.equal('usage');
    expect(e.line()).to.contain("'seq'").and.to.contain('--seq').and.to.contain('--bind seq=');
    const g = buildGraph(model(tokens), { seq: 16 });
    expect(g.sequenceLength).to.equal(16);
    expect([...g.factorAxis]).to.include(AXIS_SEQUENCE);
    expect(failure(() => buildGraph(model(tokens), { seq: 16, bind: { sqe: 3 } })).line()).to.contain('seq');
  });

  it('tells weights, constants and statistics apart by their use', () => {
    const g = buildGraph(
      model(
        graph(
          [
            node('BatchNormalization', 'x scale bias mean var', 'n'),
            node('Conv', 'n k', 'c'),
            node('Mul', 'c two', 'y'),
          ],
          [value('x', ['N', 3, 8, 8])],
          [value('y', null)],
          {
            initializer: [
              ...['scale', 'bias', 'mean', 'var'].map((n) => weight(n, [3])),
              weight('k', [4, 3, 3, 3]),
              weight('two', []),
            ],
          },
        ),
      ),
    );
    expect(roleOf(g, 'scale')).to.equal(TensorRole.PARAMETER);
    expect(roleOf(g, 'mean')).to.equal(TensorRole.CONSTANT);
    expect(roleOf(g, 'two')).to.equal(TensorRole.CONSTANT);
    expect(parameterCount(g)).to.equal(3 + 3 + 4 * 3 * 3 * 3);
  });

  it('takes a view, cast or transpose of a weight for the weight itself, and counts a tied one once', () => {
    const tied = graph(
      [
        node('Gather', 'table ids', 'e'),
        node('Transpose', 'table', 't', { perm: [1, 0] }),
        node('MatMul', 'e t', 'y'),
      ],
      [value('ids', ['batch', 12], INT64)],
      [value('y', null)],
      { initializer: [weight('table', [100, 8])] },
    );
    const { graph: g, segmentation } = analyze(model(tied));
    expect(parameterCount(g)).to.equal(800);
    expect(g.nodeOp.includes('Transpose')).to.equal(false);
    expect(g.storage[g.tensorName.indexOf('t')]).to.equal(g.tensorName.indexOf('table'));
    expectSound(g, segmentation);
  });

  it('counts a quantised weight and computes no gradient for it', () => {
    const g = buildGraph(
      model(
        graph(
          [node('DequantizeLinear', 'q s', 'w'), node('MatMul', 'x w', 'y')],
          [value('x', ['N', 16])],
          [value('y', null)],
          { initializer: [{ ...weight('q', [16, 64]), dataType: INT8 }, weight('s', [])] },
        ),
      ),
    );
    expect(parameterCount(g)).to.equal(1024);
    expect(sum(g.nodeGradWeightFlop)).to.equal(0);
  });

  it('drops shape arithmetic and dead code', () => {
    const g = buildGraph(
      model(
        graph(
          [
            node('Shape', 'x', 'shape'),
            node('Gather', 'shape zero', 'n'),
            node('Concat', 'n minus', 'target', { axis: 0 }),
            node('Reshape', 'x target', 'flat'),
            node('MatMul', 'flat w', 'y'),
            node('Exp', 'x', 'unused'),
          ],
          [value('x', ['N', 4, 4])],
          [value('y', null)],
          { initializer: [int64s('zero', [0]), int64s('minus', [-1]), weight('w', [16, 3])] },
        ),
      ),
      { phase: 'inference' },
    );
    expect([...g.nodeOp]).to.deep.equal(['Reshape', 'MatMul']);
  });

  it('follows the batch through reshapes that have a batch of one baked in', () => {
    const baked = graph(
      [node('Reshape', 'x s', 'flat'), node('MatMul', 'flat w', 'm'), node('Reshape', 'm back', 'y')],
      [value('x', [1, 6, 4])],
      [value('y', null)],
      { initializer: [int64s('s', [6, 4]), int64s('back', [1, 6, 3]), weight('w', [4, 3])] },
    );
    const { graph: g, segmentation } = analyze(model(baked));
    expectSound(g, segmentation);
    for (const b of segmentation.blocks) expect([...b.factorAxis]).to.include(AXIS_BATCH);
  });

  it('refuses a graph whose work no longer scales with the batch, naming the tensor', () => {
    const lost = graph(
      [node('ReduceMax', 'x', 'm', { keepdims: 0, axes: [0] }), node('MatMul', 'm w', 'y')],
      [value('x', ['N', 64, 64])],
      [value('y', null)],
      { initializer: [weight('w', [64, 64])] },
    );
    const e = failure(() => buildGraph(model(lost, [], 13), { bind: { N: 4 } }));
    expect(e.code).to.equal('infeasible');
    expect(e.message).to.contain("'m'");
  });

  it('costs both branches of an If and says when a trip count is not known', () => {
    const branch = (op: string) => ({
      ...graph([node(op, 'x', `${op}_out`)], [], [value(`${op}_out`, null)]),
      name: op,
    });
    const g = buildGraph(
      model(
        graph(
          [node('If', 'c', 'y', { then_branch: branch('Relu'), else_branch: branch('Exp') })],
          [value('c', [], BOOL), value('x', ['N', 50])],
          [value('y', null)],
        ),
      ),
      { phase: 'inference' },
    );
    expect(g.nodeCount).to.equal(1);
    expect(sum(g.nodeFlop)).to.be.at.least(100);
  });

  it('warns of sizes that depend on the data and estimates them', () => {
    const g = buildGraph(
      model(
        graph(
          [node('NonZero', 'x', 'nz'), node('Cast', 'nz', 'f', { to: 1 }), node('Relu', 'f', 'y')],
          [value('x', ['N', 40])],
          [value('y', null)],
        ),
      ),
      { phase: 'inference' },
    );
    expect(g.warnings.join()).to.contain('depends on the data');
    expect(g.tensorElements[g.tensorName.indexOf('y')]).to.equal(80);
  });

  it('recognises a training graph and adds nothing to it', () => {
    const g = buildGraph(
      model(
        graph(
          [node('MatMul', 'x w', 'y'), node('SoftmaxGrad_13', 'y y', 'd', { axis: -1 }, 'com.microsoft')],
          [value('x', ['N', 4])],
          [value('d', ['N', 4])],
          { initializer: [weight('w', [4, 4])] },
        ),
      ),
    );
    expect(g.isTrainingGraph).to.equal(true);
    expect(g.lossNode).to.equal(-1);
  });

  it('takes a graph with cached keys and values for inference', () => {
    const past = (name: string) => value(name, ['batch', 2, 'past', 4]);
    const cached = graph(
      [
        node('Gather', 'table ids', 'e'),
        node('Concat', 'k k', 'kk', { axis: 2 }),
        node('Concat', 'v v', 'vv', { axis: 2 }),
        node('MatMul', 'e w', 'y'),
      ],
      [value('ids', ['batch', 'seq'], INT64), past('k'), past('v')],
      [value('y', null), value('kk', null), value('vv', null)],
      { initializer: [weight('table', [100, 8]), weight('w', [8, 4])] },
    );
    const g = buildGraph(model(cached), { seq: 3, bind: { past: 5 } });
    expect(g.hasCache).to.equal(true);
    expect(g.phase).to.equal('inference');
    expect(g.lossNode).to.equal(-1);
  });

  it('takes an initializer that is also listed as an input for the weight it is', () => {
    const g = buildGraph(
      model(
        graph([node('MatMul', 'x w', 'y')], [value('x', ['N', 4]), value('w', [4, 5])], [value('y', null)], {
          initializer: [weight('w', [4, 5])],
        }),
      ),
    );
    expect(parameterCount(g)).to.equal(20);
    expect(g.graphInputs.length).to.equal(1);
  });
});
