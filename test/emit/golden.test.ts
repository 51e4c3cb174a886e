/**
 * The files of one plan, as text to be read in review. Rewritten by
 *
 *     UPDATE_GOLDEN=1 npx mocha test/emit/golden.test.ts
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { emitTargets } from '../../src/emit/index.js';
import type { EmitInput } from '../../src/emit/index.js';
import type { Candidate } from '../../src/plan/types.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';
import { EmitSource } from './support.js';

const folder = fileURLToPath(new URL('./golden/', import.meta.url));
const seq = 1024;

/** Grouped queries, uneven stages, two hosts, every kind of parallelism but experts; small enough to read. */
function input(): EmitInput {
  const config = {
    ...zooConfig('llama3-8b'),
    layers: 6,
    hidden: 512,
    heads: 8,
    kvHeads: 4,
    ffn: 1408,
    headDim: 64,
  };
  const source = new EmitSource(
    { name: 'llama-six', devices: 16, cluster: 'h100-sxm', seq, proto: () => buildZoo(config, { seq }) },
    1,
  );
  const { model } = source.problem;
  const candidate: Candidate = {
    ...{ dpReplicate: 1, dpShard: 2, tp: 2, pp: 4, vpp: 1, cp: 1, ep: 1, etp: 1 },
    zeroStage: 1,
    schedule: '1f1b',
    microbatch: 2,
    axisOrder: 'tp-cp-dp-pp',
    contextExchange: 'ring',
    recompute: Uint8Array.from({ length: model.segmentation.classCount }, (_, c) =>
      model.segmentation.classSize[c] > 1 ? 2 : 0,
    ),
    stageStart: Int32Array.of(0, 2, 4, 6, model.segmentation.segmentCount),
  };
  return source.of(candidate);
}

describe('emitted files, read in review', function () {
  this.timeout(30_000);
  const plan = input();

  for (const target of emitTargets())
    it(`${target.name} is as committed`, () => {
      for (const { name, content } of target.emit(plan).files) {
        // Models and traces are judged, not read; long lists of tensors are read at their beginning.
        if (typeof content !== 'string') continue;
        const text = content.split('\n').slice(0, 120).join('\n');
        const path = join(folder, target.name, name);
        if (process.env['UPDATE_GOLDEN'] !== undefined) {
          mkdirSync(join(folder, target.name), { recursive: true });
          writeFileSync(path, text);
        }
        expect(existsSync(path), `${path}: run with UPDATE_GOLDEN=1`).to.equal(true);
        expect(text, name).to.equal(readFileSync(path, 'utf8'));
      }
    });
});
