/** What a split leaves of a model: every node once, names, captures, functions, shared weights, files. */
import { expect } from 'chai';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { splitFile } from '../../src/api/split.js';
import { verifySplit } from '../../src/api/verify.js';
import type { SplitManifest } from '../../src/emit/split/index.js';
import { checkModel, readModel, writeModel } from '../../src/model/index.js';
import type { ModelProto, NodeProto } from '../../src/model/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { expectValid, graphs } from '../cli/support.js';
import { graph as bareGraph, int64s, localFunction, model, node, value } from '../support/onnx.js';
import { writePlanned } from '../support/plannedFolder.js';

/** ONNX Runtime wants a name. */
const graph: typeof bareGraph = (...parts) => ({ ...bareGraph(...parts), name: 'g' });

const tiny = join(graphs, 'gpt2-tiny.ts.onnx');

describe('a split model', function () {
  this.timeout(60_000);
  let folder = '';
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'split-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const at = (name: string): string => join(folder, name);
  const manifestOf = (name: string): SplitManifest =>
    JSON.parse(readFileSync(join(at(name), 'manifest.json'), 'utf8')) as SplitManifest;
  const piecesOf = (name: string): ModelProto[] =>
    manifestOf(name).pieces.map(({ file }) => readModel(join(at(name), file)));
  const write = (name: string, proto: ModelProto): string => {
    writeModel(proto, at(name));
    return at(name);
  };
  const text = (proto: NodeProto): string => JSON.stringify([proto.opType, proto.input, proto.output]);

  it('has every node of the model once, under names that are unique in its sub-model', () => {
    for (const name of ['gpt2-tiny.ts.onnx', 't5-tiny.ts.onnx', 'mixtral-tiny.ts.onnx']) {
      const whole = readModel(join(graphs, name));
      splitFile({ modelPath: join(graphs, name), stages: 3, out: at('out') });
      expectValid('split-manifest', manifestOf('out'));
      const pieces = piecesOf('out');
      expect(pieces).to.have.length(3);
      const found = pieces.flatMap((piece) => piece.graph!.node.map(text));
      expect(found.sort(), name).to.deep.equal(whole.graph!.node.map(text).sort());
      for (const [i, piece] of pieces.entries()) {
        const names = piece.graph!.node.map((n) => n.name);
        expect(new Set(names).size, name).to.equal(names.length);
        checkModel(piece, join(at('out'), manifestOf('out').pieces[i].file));
        for (const v of [...piece.graph!.input, ...piece.graph!.output])
          expect(v.type?.tensorType?.elemType, `${name}: type of ${v.name}`).to.be.above(0);
      }
    }
  });

  it('of a plan has its stages and ranks, and computes the same', async () => {
    const planPath = await writePlanned(
      at('planned'),
      { modelPath: tiny, devices: 8, seq: 16, batch: 64 },
      { pp: 2, tp: 2, dp: 2 },
      'partition',
    );
    const reply = (await verifySplit({ modelPath: tiny, planPath }))!;
    expect(reply).to.include({ stages: 2, tp: 2 });
    expect(reply.verification.pass).to.equal(true);
    expectValid('verify', reply.verification);
    const summary = splitFile({ modelPath: tiny, planPath, out: at('out') })!;
    expectValid('split', summary);
    const plan = JSON.parse(readFileSync(planPath, 'utf8')) as { stages: { ops: string[] }[] };
    const second = new Set(
      manifestOf('out')
        .pieces.filter((p) => p.stage === 1)
        .map((p) => p.file),
    );
    const names = new Set(
      [...second].flatMap((f) => readModel(join(at('out'), f)).graph!.node.map((n) => n.name)),
    );
    // The loss that training adds is no node of the model.
    const missing = plan.stages[1].ops.filter((op) => op !== 'loss' && !names.has(op));
    expect(missing, 'operators of the second stage').to.deep.equal([]);
  });

  it('of another model than the plan is refused', async () => {
    const request = { modelPath: tiny, devices: 2, seq: 16, batch: 8 };
    const planPath = await writePlanned(at('planned'), request, { tp: 1 }, 'partition');
    const modelPath = join(graphs, 'gpt2-tiny.dynamo.onnx');
    expect(() => splitFile({ modelPath, planPath, out: at('out') })).to.throw(
      PartitionError,
      /names no node of this model/,
    );
    expect(existsSync(at('out'))).to.equal(false);
  });

  it('keeps what branches capture, the functions that are called, and weights that stages share', async () => {
    const branch = (opType: string, out: string) =>
      graph([node(opType, 'hidden scale', out)], [], [value(out, ['n', 4])]);
    const weights = new Float32Array(16).map((_, i) => Math.sin(i));
    const shared = { ...int64s('scale', []), dims: [4, 4], dataType: 1 };
    shared.rawData = { kind: 'bytes', bytes: new Uint8Array(weights.buffer) };
    const proto = model(
      graph(
        [
          node('MatMul', 'x scale', 'hidden'),
          node('Twice', 'hidden', 'doubled', {}, 'local'),
          node('ReduceSum', 'doubled axes', 'total', { keepdims: 0 }),
          node('Greater', 'total zero', 'positive'),
          node('If', 'positive', 'chosen', {
            then_branch: branch('MatMul', 'a'),
            else_branch: graph([node('Neg', 'hidden', 'b')], [], [value('b', ['n', 4])]),
          }),
          node('MatMul', 'chosen scale', 'y'),
        ],
        [value('x', ['n', 4])],
        [value('y', ['n', 4])],
        {
          initializer: [
            shared,
            int64s('axes', [0, 1]),
            {
              ...int64s('zero', []),
              dims: [],
              dataType: 1,
              rawData: { kind: 'bytes', bytes: new Uint8Array(4) },
            },
          ],
        },
      ),
      [localFunction('Twice', 'v', 'w', [node('Add', 'v v', 'w')], { domain: 'local' })],
    );
    proto.opsetImport = [...proto.opsetImport, { domain: 'local', version: 1 }];
    const modelPath = write('branches.onnx', proto);
    for (const [stages, tp] of [
      [3, 1],
      [6, 1],
      [2, 2],
    ]) {
      const reply = (await verifySplit({ modelPath, stages, tp }))!;
      expect(reply.verification.outputs, `stages ${stages}, tp ${tp}`).to.deep.equal([
        { name: 'y', maxAbs: 0, maxRel: 0, pass: true },
      ]);
    }
    splitFile({ modelPath, stages: 6, out: at('out') });
    const pieces = piecesOf('out');
    expect(pieces.filter((p) => p.functions.length === 1)).to.have.length(1);
    expect(pieces.filter((p) => p.graph!.initializer.some((t) => t.name === 'scale'))).to.have.length(3);
    const chooser = pieces.find((p) => p.graph!.node.some((n) => n.opType === 'If'))!;
    expect(chooser.graph!.input.map((v) => v.name)).to.include('hidden');
  });

  it('slices the big products, attention and embeddings, and says so', () => {
    splitFile({ modelPath: tiny, tp: 2, out: at('out') });
    const { shardings, steps } = manifestOf('out');
    const whole = new Map(readModel(tiny).graph!.initializer.map((t) => [t.name, t]));
    const large = [...whole.values()].filter(
      (t) => t.dims.length === 2 && Number(t.dims[0]) * Number(t.dims[1]) >= 4096,
    );
    const cut = new Set(shardings.map((s) => s.tensor));
    expect(large.filter((t) => !cut.has(t.name ?? '')).map((t) => t.name)).to.deep.equal([]);
    // Two a layer as in Megatron-LM, one per embedding, and the logits.
    expect(steps.filter((s) => s.kind === 'allReduce')).to.have.length(4 * 2 + 2);
    expect(steps.filter((s) => s.kind === 'allGather')).to.have.length(1);
    expect(
      shardings.filter((s) => s.blocks === 3),
      'fused query, key and value',
    ).to.have.length(4 * 2);
  });

  it('slices experts whose fused weights are picked by token', async () => {
    const floats = (name: string, dims: number[]) => {
      const values = Float32Array.from(
        { length: dims.reduce((a, b) => a * b, 1) },
        (_, i) => Math.sin(i) / 4,
      );
      const rawData = { kind: 'bytes' as const, bytes: new Uint8Array(values.buffer) };
      return { ...int64s(name, []), dims, dataType: 1, rawData };
    };
    const proto = model(
      graph(
        [
          node('GatherND', 'up expert', 'picked'),
          node('MatMul', 'x picked', 'fused'),
          node('Split', 'fused', 'gate value', { axis: -1, num_outputs: 2 }),
          node('Sigmoid', 'gate', 'open'),
          node('Mul', 'open value', 'inner'),
          node('GatherND', 'down expert', 'back'),
          node('MatMul', 'inner back', 'y'),
        ],
        [value('x', ['n', 1, 16]), value('expert', ['n', 1], 7)],
        [value('y', ['n', 1, 16])],
        { initializer: [floats('up', [4, 16, 64]), floats('down', [4, 32, 16])] },
      ),
    );
    const modelPath = write('experts.onnx', proto);
    const reply = (await verifySplit({ modelPath, tp: 2 }))!;
    expect(reply.verification.pass).to.equal(true);
    splitFile({ modelPath, tp: 2, out: at('out') });
    const { shardings, steps } = manifestOf('out');
    expect(shardings.map(({ tensor, axis, blocks }) => ({ tensor, axis, blocks }))).to.deep.equal([
      { tensor: 'down', axis: 1, blocks: 1 },
      { tensor: 'up', axis: 2, blocks: 2 },
    ]);
    expect(steps.filter((s) => s.kind !== 'run').map((s) => s.kind)).to.deep.equal(['allReduce']);
  });

  it('replaces an earlier one in its folder, and leaves what is not its own', () => {
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    splitFile({ modelPath: tiny, stages: 4, tp: 2, out: folder });
    splitFile({ modelPath: tiny, stages: 2, out: folder });
    expect(readdirSync(folder).sort()).to.deep.equal([
      'manifest.json',
      'notes.txt',
      'stage0.onnx',
      'stage1.onnx',
    ]);
  });

  it('that is stopped leaves nothing, and the earlier one whole', () => {
    splitFile({ modelPath: tiny, stages: 2, out: folder });
    const before = readdirSync(folder);
    let asked = 0;
    expect(splitFile({ modelPath: tiny, stages: 4, out: folder }, { isStopped: () => ++asked > 2 })).to.equal(
      null,
    );
    expect(readdirSync(folder)).to.deep.equal(before);
  });

  it('is the same, byte for byte, when it is made again', () => {
    const contents = (name: string): string[] =>
      readdirSync(at(name))
        .sort()
        .map((file) => readFileSync(join(at(name), file)).toString('base64'));
    splitFile({ modelPath: tiny, stages: 2, tp: 2, out: at('a') });
    splitFile({ modelPath: tiny, stages: 2, tp: 2, out: at('b') });
    expect(contents('a')).to.deep.equal(contents('b'));
  });

  it('may refer to external weights instead of copying them, even to ones that are not there', () => {
    const modelPath = join(graphs, 'gpt2-small.onnx');
    expect(() => splitFile({ modelPath, stages: 2, out: at('out') })).to.throw(
      PartitionError,
      /weights of .* are missing/,
    );
    splitFile({ modelPath, stages: 2, weights: 'reference', out: at('out') });
    const references = piecesOf('out').flatMap((p) =>
      p.graph!.initializer.filter((t) => t.dataLocation === 1),
    );
    expect(references.length).to.be.above(100);
  });
});
