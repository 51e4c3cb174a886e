import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { inferModel } from '../../src/graph/infer.js';
import { family as ml } from '../../src/ops/ml.js';
import { family as sequence } from '../../src/ops/sequence.js';
import { family as training } from '../../src/ops/training.js';
import { infer, shapes } from '../support/op_harness.js';
import { graph, int64s, model, node, value } from '../support/onnx.js';

describe('sequences and optionals', () => {
  it('carry the element type through construction, insertion and reading', () => {
    const m = model(
      graph(
        [
          node('SplitToSequence', 'x two', 'seq', { axis: 0 }),
          node('SequenceAt', 'seq zero', 'first'),
          node('SequenceLength', 'seq', 'length'),
          node('SequenceConstruct', 'x first', 'mixed'),
          node('SequenceAt', 'mixed zero', 'any'),
          node('ConcatFromSequence', 'seq', 'joined', { axis: 0 }),
          node('Optional', 'x', 'maybe'),
          node('OptionalGetElement', 'maybe', 'sure'),
          node('OptionalHasElement', 'maybe', 'has'),
          node('SequenceEmpty', '', 'empty'),
          node('SequenceInsert', 'empty x', 'one'),
          node('SequenceAt', 'one zero', 'x2'),
        ],
        [value('x', [6, 'n'])],
        [value('joined', null)],
        { initializer: [int64s('two', [2], []), int64s('zero', [0], [])] },
      ),
    );
    const r = inferModel(m);
    const shape = (name: string) => {
      const t = r.type[r.values.indexOf(name)];
      return t?.kind === 'tensor' ? t.shape!.map((d) => (typeof d === 'number' ? d : d.text)) : t?.kind;
    };
    expect(shape('first')).to.deep.equal([2, 'n']);
    expect(shape('length')).to.deep.equal([]);
    expect(shape('any')).to.deep.equal(['unk__0', 'n']);
    expect(shape('joined')).to.deep.equal(['unk__1', 'n']);
    expect(shape('maybe')).to.equal('optional');
    expect(shape('sure')).to.deep.equal([6, 'n']);
    expect(shape('x2')).to.deep.equal([6, 'n']);
    expect(r.unknownOps).to.deep.equal([]);
  });

  it('map a body over their elements', () => {
    const body = graph([node('Flatten', 'e', 'f')], [value('e', null)], [value('f', null)]);
    const m = model(
      graph(
        [
          node('SequenceConstruct', 'x x', 's'),
          node('SequenceMap', 's', 't', { body }),
          node('SequenceAt', 't i', 'y'),
        ],
        [value('x', ['b', 3, 4]), value('i', [], 7)],
        [value('y', null)],
      ),
    );
    const r = inferModel(m);
    const t = r.type[r.values.indexOf('y')];
    expect(t?.kind === 'tensor' && t.shape![1]).to.equal(12);
  });

  it('recognise text operators', () => {
    expect(shapes(sequence, 'StringConcat', { inputs: [['n', 1], [3]] })).to.deep.equal([['n', 3]]);
    expect(shapes(sequence, 'StringSplit', { inputs: [['n']], outputs: 2 })).to.deep.equal([
      ['n', 'unk__0'],
      ['n'],
    ]);
    expect(infer(sequence, 'RegexFullMatch', { inputs: [['n']] }).types[0]).to.deep.include({
      dtype: DType.BOOL,
    });
    const c = { inputs: [['n', 7]], attrs: { ngram_indexes: [0, 1, 5] } } as const;
    expect(shapes(sequence, 'TfIdfVectorizer', c)).to.deep.equal([['n', 6]]);
  });
});

describe('classical machine learning', () => {
  it('classifies rows into labels and scores', () => {
    const c = { inputs: [['n', 4]], attrs: { classlabels_ints: [0, 1, 2] }, outputs: 2 } as const;
    expect(shapes(ml, 'LinearClassifier', c)).to.deep.equal([['n'], ['n', 3]]);
    const trees = { inputs: [['n', 4]], attrs: { classlabels_int64s: [0, 1] }, outputs: 2 } as const;
    expect(shapes(ml, 'TreeEnsembleClassifier', trees)).to.deep.equal([['n'], ['n', 2]]);
  });

  it('keeps or replaces the last dimension', () => {
    expect(shapes(ml, 'Scaler', { inputs: [['n', 4]] })).to.deep.equal([['n', 4]]);
    expect(
      shapes(ml, 'TreeEnsembleRegressor', { inputs: [['n', 4]], attrs: { n_targets: 2 } }),
    ).to.deep.equal([['n', 2]]);
    expect(shapes(ml, 'OneHotEncoder', { inputs: [['n']], attrs: { cats_int64s: [1, 2, 3] } })).to.deep.equal(
      [['n', 3]],
    );
    const picked = { inputs: [['n', 9], { dims: [1, 2], dtype: DType.INT64 }] } as const;
    expect(shapes(ml, 'ArrayFeatureExtractor', picked)).to.deep.equal([['n', 2]]);
    expect(infer(ml, 'ZipMap', { inputs: [['n', 3]] }).types[0]!.kind).to.equal('sequence');
  });
});

describe('optimizer operators', () => {
  it('return tensors and states in the shapes they came in', () => {
    const scalar = { dims: [] };
    const inputs = [scalar, scalar, [3, 4], [5], [3, 4], [5], [3, 4], [5], [3, 4], [5]];
    const all = shapes(training, 'Adam', { inputs, outputs: 6 });
    expect(all).to.deep.equal([[3, 4], [5], [3, 4], [5], [3, 4], [5]]);
    expect(
      shapes(training, 'Momentum', { inputs: [scalar, scalar, [7], [7], [7]], outputs: 2 }),
    ).to.deep.equal([[7], [7]]);
  });
});
