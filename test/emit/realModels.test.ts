/** The annotation on exports of real models, which do not ship with this repository. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { onnx } from '../../src/emit/onnx.js';
import { readModel } from '../../src/model/index.js';
import { onnxFaults } from './compilerRules.js';
import { EmitSource } from './support.js';

const MODELS = fileURLToPath(new URL('../../../shared/data/onnx/models/', import.meta.url));
const PLANS = 3;
/** Images have no sequence; these exports fix theirs. */
const BAKED = /resnet50|vit|nanogpt|moe-8x/;

/** Keys and values of 511 tokens are there, one more comes. */
const GENERATING: readonly (readonly [RegExp, Readonly<Record<string, number>>])[] = [
  [
    /genai/,
    {
      batch_size: 1,
      sequence_length: 1,
      past_sequence_length: 511,
      total_sequence_length: 512,
      kv_cache_dim: 512,
    },
  ],
  [/\.past\./, { batch: 1, seq: 1, past: 511, total: 512 }],
];

describe('annotated exports of real models', function () {
  this.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), 'annotated-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  if (!existsSync(MODELS)) {
    it('are not here: nothing to annotate', () => expect(existsSync(MODELS)).to.equal(false));
    return;
  }
  for (const name of readdirSync(MODELS).filter((n) => n.endsWith('.onnx'))) {
    it(`${name} reads back unchanged but for the annotation, with consistent shardings`, () => {
      const proto = () => readModel(join(MODELS, name));
      const source = new EmitSource(
        {
          name,
          bind: GENERATING.find(([n]) => n.test(name))?.[1],
          devices: 16,
          cluster: 'h100-sxm',
          seq: BAKED.test(name) ? 0 : 512,
          proto,
        },
        7,
      );
      for (let i = 0; i < PLANS; i++) {
        const input = source.next();
        const path = join(folder, 'annotated.onnx');
        const {
          files: [file],
          notExpressed,
        } = onnx.emit(input);
        (file.content as (path: string) => void)(path);
        expect(onnxFaults(readModel(path), input.model!.proto, input.plan, notExpressed)).to.deep.equal([]);
      }
    });
  }
});
