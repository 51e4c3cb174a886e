/** Every small model with its weights: cut in stages and over ranks, it computes what it computes whole. */
import { expect } from 'chai';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  defaultTolerance,
  difference,
  givenInputs,
  loadRuntime,
  runSplit,
  runWhole,
  seededInputs,
  splitFacts,
  splitModel,
} from '../../src/emit/split/index.js';
import type { Runtime, RuntimeTensor, SplitManifest } from '../../src/emit/split/index.js';
import { readModel } from '../../src/model/index.js';
import { graphs, root } from '../cli/support.js';

const full = join(root, '../shared/data/onnx/full');

interface Subject {
  readonly name: string;
  readonly path: string;
  readonly feeds: () => Record<string, RuntimeTensor>;
  /** Outputs of the whole model as its exporter ran it. */
  readonly stored: string | null;
}

/** All models with inputs and outputs where they are at hand; the committed ones with made-up inputs else. */
function subjects(): Subject[] {
  if (existsSync(full))
    return readdirSync(full).map((name) => ({
      name,
      path: join(full, name, 'model.onnx'),
      feeds: () => givenInputs(join(full, name, 'inputs.npz')),
      stored: join(full, name, 'outputs.npz'),
    }));
  console.log('      the models with stored outputs are absent: those in graphs/ are split instead');
  return readdirSync(graphs)
    .filter((name) => name.includes('-tiny.'))
    .map((name) => {
      const path = join(graphs, name);
      return {
        name,
        path,
        feeds: () => seededInputs(splitFacts(readModel(path), path), 1, {}, path),
        stored: null,
      };
    });
}

describe('models run in pieces', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  let folder = '';
  before(async () => {
    runtime = await loadRuntime();
    folder = mkdtempSync(join(tmpdir(), 'split-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const split = (path: string, stages: number, tp: number): SplitManifest =>
    splitModel({
      model: readModel(path),
      modelPath: path,
      plan: null,
      stages,
      tp,
      out: folder,
      weights: 'copy',
      proceed: () => undefined,
    });

  for (const subject of subjects()) {
    it(`${subject.name} computes the same in 2, 3 and 4 stages, on 2 and 4 ranks, and both`, async () => {
      const { path } = subject;
      const feeds = subject.feeds();
      const facts = splitFacts(readModel(path), path);
      const isQuantised = facts.nodes.some(({ proto }) => /Quantize|NBits/.test(proto.opType ?? ''));
      const whole = await runWhole(runtime, path, feeds);
      if (subject.stored !== null)
        for (const [name, stored] of Object.entries(givenInputs(subject.stored)))
          expect(
            difference(name, stored, whole[name], defaultTolerance(facts, 1)).pass,
            `${name}, whole`,
          ).to.equal(true);
      const wholeBytes = bytesOf(split(path, 1, 1));
      for (const [stages, tp] of [
        [2, 1],
        [3, 1],
        [4, 1],
        [1, 2],
        [1, 4],
        [2, 2],
      ]) {
        const manifest = split(path, stages, tp);
        const result = (await runSplit(runtime, folder, manifest, feeds))!;
        const tolerance = isQuantised && tp === 1 ? 0 : defaultTolerance(facts, tp);
        for (const { name } of manifest.outputs) {
          const found = difference(name, whole[name], result[name], tolerance);
          expect(found.pass, `${name}, stages ${stages}, tp ${tp}: ${JSON.stringify(found)}`).to.equal(true);
        }
        // A rank holds little more than its share: norms and biases of row products are whole on each.
        if (tp > 1) expect(bytesOf(manifest), `bytes at tp ${tp}`).to.be.below((1 / tp + 0.06) * wholeBytes);
      }
    });
  }
});

/** Weights of rank 0, over all stages. */
function bytesOf(manifest: SplitManifest): number {
  return manifest.pieces.reduce((sum, p) => sum + (p.rank === 0 ? p.initializerBytes : 0), 0);
}
