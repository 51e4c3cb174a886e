import { expect } from 'chai';
import { inferModel, type Inferred, type InferOptions } from '../../src/graph/infer.js';
import type { ModelProto } from '../../src/model/types.js';
import { shapeText } from '../../src/ops/dim.js';
import { PartitionError } from '../../src/util/errors.js';
import { attr, graph, int64s, localFunction, model, node, value, weight } from '../support/onnx.js';

const shapeOf = (r: Inferred, name: string): string => {
  const t = r.type[r.values.indexOf(name)];
  return t?.kind === 'tensor' ? shapeText(t.shape) : (t?.kind ?? 'unknown');
};

function fault(m: ModelProto, options: InferOptions = {}): PartitionError {
  try {
    inferModel(m, options);
  } catch (e) {
    if (e instanceof PartitionError) return e;
    throw e;
  }
  throw new Error('accepted');
}

describe('shape inference of a model', () => {
  it('folds the shape arithmetic that exporters write', () => {
    const m = model(
      graph(
        [
          node('Shape', 'x', 'shape'),
          node('Gather', 'shape zero', 'b'),
          node('Gather', 'shape one', 's'),
          node('Unsqueeze', 'b axes', 'b1'),
          node('Unsqueeze', 's axes', 's1'),
          node('Concat', 'b1 s1 heads', 'target', { axis: 0 }),
          node('Reshape', 'x target', 'y'),
          node('Transpose', 'y', 'z', { perm: [0, 2, 1, 3] }),
        ],
        [value('x', ['batch', 'seq', 768])],
        [value('z', null)],
        {
          initializer: [
            int64s('zero', [0], []),
            int64s('one', [1], []),
            int64s('axes', [0]),
            int64s('heads', [12, -1]),
          ],
        },
      ),
    );
    const r = inferModel(m);
    expect(shapeOf(r, 'z')).to.equal('[batch, 12, seq, 64]');
    expect(r.symbols).to.deep.equal([
      { name: 'batch', firstTensor: 'x' },
      { name: 'seq', firstTensor: 'x' },
    ]);
    expect(r.notInferred).to.deep.equal([]);
    expect(shapeOf(inferModel(m, { bind: { batch: 2, seq: 16 } }), 'z')).to.equal('[2, 12, 16, 64]');
  });

  it('binds parts of an expression and whole dimension texts', () => {
    const m = model(
      graph([node('Relu', 'x', 'y')], [value('x', ['past + seq', 'odd name!', 'seq'])], [value('y', null)]),
    );
    expect(shapeOf(inferModel(m, { bind: { seq: 4 } }), 'y')).to.equal('[past + 4, odd name!, 4]');
    expect(shapeOf(inferModel(m, { bind: { 'past + seq': 9, 'odd name!': 2 } }), 'y')).to.equal(
      '[9, 2, seq]',
    );
    expect(fault(m, { bind: { seq: -1 } }).code).to.equal('usage');
    expect(inferModel(m, { bind: { sqe: 4 } }).warnings).to.deep.equal([
      'no dimension is called "sqe"; its value is not used',
    ]);
  });

  it('sorts nodes that are out of order, and says so', () => {
    const m = model(
      graph([node('Relu', 'h', 'y'), node('Neg', 'x', 'h')], [value('x', [3])], [value('y', null)]),
    );
    const r = inferModel(m);
    expect(r.nodes.map((n) => n.opType)).to.deep.equal(['Neg', 'Relu']);
    expect(r.warnings.join()).to.contain('topological');
  });

  it('finds cycles, dangling inputs and names defined twice', () => {
    const io = [[value('x', [3])], [value('y', null)]] as const;
    expect(fault(model(graph([node('Add', 'x z', 'y'), node('Neg', 'y', 'z')], ...io))).message).to.contain(
      'cycle',
    );
    expect(fault(model(graph([node('Add', 'x ghost', 'y')], ...io))).message).to.contain(
      '"ghost" has no producer',
    );
    expect(fault(model(graph([node('Neg', 'x', 'y'), node('Neg', 'x', 'y')], ...io))).message).to.contain(
      'already defined',
    );
    expect(fault(model(graph([], ...io))).message).to.contain('"y" is produced by no node');
  });

  it('names the file and the node of a contradiction', () => {
    const m = model(
      graph([node('MatMul', 'x w', 'y')], [value('x', ['b', 4])], [value('y', null)], {
        initializer: [weight('w', [5, 6])],
      }),
    );
    const e = fault(m, { where: 'model.onnx' });
    expect(e.code).to.equal('input');
    expect(e.line()).to.match(/^model\.onnx: node "y": MatMul: /);
  });

  it('handles a chain of 100,000 nodes', () => {
    const nodes = Array.from({ length: 100_000 }, (_, i) =>
      node('Relu', `t${String(i)}`, `t${String(i + 1)}`),
    );
    const r = inferModel(model(graph(nodes, [value('t0', ['n'])], [value('t100000', null)])));
    expect(shapeOf(r, 't100000')).to.equal('[n]');
  });

  it('does not materialise tensors that only a shape describes', () => {
    const m = model(
      graph([node('ConstantOfShape', 'dims', 'y')], [], [value('y', null)], {
        initializer: [int64s('dims', [2 ** 30, 2 ** 30])],
      }),
    );
    expect(shapeOf(inferModel(m), 'y')).to.equal('[1073741824, 1073741824]');
    const huge = weight('w', [2 ** 40, 2 ** 40]);
    expect(
      fault(model(graph([node('Neg', 'w', 'y')], [], [value('y', null)], { initializer: [huge] }))).message,
    ).to.contain('impossible');
  });
});

describe('what a model declares', () => {
  it('fills in operators that are not known, which are listed, or refused when strict', () => {
    const m = model(
      graph(
        [
          node('Mystery', 'x', 'h', {}, 'com.example'),
          node('Relu', 'h', 'y'),
          node('Mystery', 'y', 'u', {}, 'com.example'),
        ],
        [value('x', [3])],
        [value('u', null)],
        {
          valueInfo: [value('h', ['b', 7])],
        },
      ),
    );
    const r = inferModel(m);
    expect(shapeOf(r, 'y')).to.equal('[b, 7]');
    expect(r.unknownOps).to.deep.equal([{ op: 'com.example::Mystery', count: 2 }]);
    expect(r.notInferred).to.deep.equal(['u']);
    expect(fault(m, { strict: true }).hint).to.contain('--strict');
  });

  it('is reported where it contradicts inference, and never overwrites it', () => {
    const m = model(
      graph([node('Relu', 'x', 'h'), node('Relu', 'h', 'y')], [value('x', [2, 3])], [value('y', [5])], {
        valueInfo: [value('h', [99, 99])],
      }),
    );
    const r = inferModel(m);
    expect(shapeOf(r, 'h')).to.equal('[2, 3]');
    expect(shapeOf(r, 'y')).to.equal('[2, 3]');
    expect(r.warnings).to.have.length(2);
    expect(r.warnings[0]).to.contain('"h" is declared FLOAT [99, 99] but inferred FLOAT [2, 3]');
    const promised = r.promised.get(r.values.indexOf('y'));
    expect(promised?.kind === 'tensor' ? promised.shape : null).to.deep.equal([5]);
  });

  it('names sizes that depend on the data', () => {
    const m = model(graph([node('NonZero', 'x', 'y')], [value('x', ['n'])], [value('y', [1, 'found'], 7)]));
    expect(shapeOf(inferModel(m), 'y')).to.equal('[1, found]');
    const withInfo = model(
      graph([node('NonZero', 'x', 'h'), node('Neg', 'h', 'y')], [value('x', ['n'])], [value('y', null)], {
        valueInfo: [value('h', [1, 'found'], 7)],
      }),
    );
    expect(shapeOf(inferModel(withInfo), 'y')).to.equal('[1, found]');
  });

  it('keeps fresh symbols apart from the symbols of the same spelling in the model', () => {
    const m = model(graph([node('NonZero', 'x', 'y')], [value('x', ['unk__4'])], [value('y', null)]));
    expect(shapeOf(inferModel(m), 'y')).to.equal('[1, unk__5]');
  });

  it("spells an output dimension as declared when that uses the inputs' symbols", () => {
    const m = model(
      graph(
        [node('Concat', 'past x', 'y', { axis: 0 })],
        [value('past', ['p']), value('x', ['s']), value('mask', ['total'])],
        [value('y', ['total'])],
      ),
    );
    expect(shapeOf(inferModel(m), 'y')).to.equal('[total]');
  });
});

describe('local functions', () => {
  const call = (attributes = {}): ModelProto => {
    const f = localFunction(
      'Fold',
      'a',
      'b',
      [node('Flatten', 'a', 'h', { axis: { ref: 'at' } }), node('Relu', 'h', 'b')],
      {
        attribute: ['at'],
        defaults: [attr('at', 1)],
      },
    );
    return model(
      graph([node('Fold', 'x', 'y', attributes, 'test')], [value('x', ['b', 3, 4])], [value('y', null)]),
      [f],
    );
  };

  it('are inlined with the attributes of the call, or their defaults', () => {
    const r = inferModel(call({ at: 2 }));
    expect(shapeOf(r, 'y')).to.equal('[3*b, 4]');
    expect(r.nodes.map((n) => [n.opType, n.functionPath])).to.deep.equal([
      ['Flatten', 'Fold'],
      ['Relu', 'Fold'],
    ]);
    expect(r.values).to.deep.equal(['x', 'y', 'Fold/h']);
    expect(r.mainCount).to.equal(2);
    expect(shapeOf(inferModel(call()), 'y')).to.equal('[b, 12]');
  });

  it('are told apart by their overloads', () => {
    const f = (overload: string, op: string) =>
      localFunction('F', 'a', 'b', [node(op, 'a', 'b')], { overload });
    const n = { ...node('F', 'x', 'y', {}, 'test'), overload: 'two' };
    const r = inferModel(
      model(graph([n], [value('x', [1])], [value('y', null)]), [f('one', 'Relu'), f('two', 'Neg')]),
    );
    expect(r.nodes.map((m) => m.opType)).to.deep.equal(['Neg']);
  });

  it('may pass an input through and leave an optional one out', () => {
    const f = localFunction('F', 'a lo', 'a c', [node('Clip', 'a lo', 'c')]);
    const r = inferModel(
      model(
        graph([node('F', 'x', 'p q', {}, 'test')], [value('x', ['n'])], [value('p', null), value('q', null)]),
        [f],
      ),
    );
    expect(shapeOf(r, 'p')).to.equal('[n]');
    expect(shapeOf(r, 'q')).to.equal('[n]');
  });

  it('may nest, but not without end', () => {
    const loop = localFunction('F', 'a', 'b', [node('F', 'a', 'b', {}, 'test')]);
    const m = model(graph([node('F', 'x', 'y', {}, 'test')], [value('x', [1])], [value('y', null)]), [loop]);
    expect(fault(m).message).to.contain('nest deeper');
  });
});

describe('subgraphs', () => {
  it('see outer names; branches that differ lose what differs', () => {
    const branch = (op: string, out: string, perm = {}) =>
      graph([node(op, 'x', out, perm)], [], [value(out, null)]);
    const m = model(
      graph(
        [node('If', 'c', 'y', { then_branch: branch('Relu', 't'), else_branch: branch('Transpose', 'e') })],
        [value('c', [], 9), value('x', [3, 'n'])],
        [value('y', null)],
      ),
    );
    const r = inferModel(m);
    expect(shapeOf(r, 'y')).to.match(/^\[unk__\d, unk__\d\]$/);
    expect(r.nodes[0].bodies.map((b) => b.nodes.map((n) => n.opType))).to.deep.equal([
      ['Relu'],
      ['Transpose'],
    ]);
  });

  it('of a loop forget the dimensions that grow, and are stacked in front', () => {
    const body = graph(
      [
        node('Identity', 'cond', 'cond_out'),
        node('Concat', 'state x', 'grown', { axis: 0 }),
        node('Relu', 'x', 'scan'),
      ],
      [value('i', [], 7), value('cond', [], 9), value('state', null)],
      [value('cond_out', null), value('grown', null), value('scan', null)],
    );
    const m = model(
      graph(
        [node('Loop', 'trips - x', 'final scans', { body })],
        [value('trips', [], 7), value('x', [2, 5])],
        [value('final', null), value('scans', null)],
      ),
    );
    const r = inferModel(m);
    expect(shapeOf(r, 'final')).to.match(/^\[unk__\d+, 5\]$/);
    expect(shapeOf(r, 'scans')).to.match(/^\[unk__\d+, 2, 5\]$/);
  });

  it('of a scan run along the scanned axis', () => {
    const body = graph(
      [node('Add', 'sum step', 'next'), node('Identity', 'next', 'out')],
      [value('sum', null), value('step', null)],
      [value('next', null), value('out', null)],
    );
    const m = model(
      graph(
        [node('Scan', 'init xs', 'final all', { body, num_scan_inputs: 1, scan_output_axes: [1] })],
        [value('init', [4]), value('xs', ['t', 4])],
        [value('final', null), value('all', null)],
      ),
    );
    const r = inferModel(m);
    expect(shapeOf(r, 'final')).to.equal('[4]');
    expect(shapeOf(r, 'all')).to.equal('[4, t]');
  });

  it('count when nodes are sorted: a capture is an input', () => {
    const branch = graph([node('Neg', 'late', 't')], [], [value('t', null)]);
    const m = model(
      graph(
        [node('If', 'c', 'y', { then_branch: branch, else_branch: branch }), node('Relu', 'x', 'late')],
        [value('c', [], 9), value('x', [3])],
        [value('y', null)],
      ),
    );
    expect(inferModel(m).nodes.map((n) => n.opType)).to.deep.equal(['Relu', 'If']);
    const cycle = model(
      graph(
        [node('If', 'c', 'y', { then_branch: branch, else_branch: branch }), node('Relu', 'y', 'late')],
        [value('c', [], 9)],
        [value('y', null)],
      ),
    );
    expect(fault(cycle).message).to.contain('cycle');
  });
});
