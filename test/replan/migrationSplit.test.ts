/** Migration of real shards: those that `partition split` writes, byte for byte. */
import { expect } from 'chai';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { splitFile } from '../../src/api/split.js';
import { weightBytes } from '../../src/emit/split/weights.js';
import type { SplitManifest } from '../../src/emit/split/index.js';
import { dtypeBits, readModel } from '../../src/model/index.js';
import { boxAt, placeOf } from '../../src/plan/holdings.js';
import type { TensorLayout } from '../../src/plan/holdings.js';
import type { MigrationSide } from '../../src/plan/migration.js';
import { applied, indices, order } from '../support/migration.js';
import type { Held } from '../support/migration.js';

/** Layouts and the bytes that every rank holds of each weight, as a split model has them. */
function splitSide(folder: string, tp: number, pp: number, weights: ReadonlySet<string>) {
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as SplitManifest;
  const cut = new Map(manifest.shardings.map((s) => [s.as, s]));
  const layouts = new Map<string, TensorLayout>();
  const stagesOf = new Map<string, Set<number>>();
  const bytes = new Map<string, Uint8Array>();
  const part = new Map<string, readonly number[]>();
  const widths = new Map<string, number>();
  for (const { stage, rank, file } of manifest.pieces) {
    const path = join(folder, file);
    for (const tensor of readModel(path).graph?.initializer ?? []) {
      const name = tensor.name ?? '';
      const sharding = cut.get(name);
      const original = sharding?.tensor ?? name;
      // Sizes and offsets that splitting made up are no state of the job.
      if (!weights.has(original)) continue;
      const dims = tensor.dims.map(Number);
      const width = dtypeBits(tensor.dataType ?? 0) / 8;
      if (!(width >= 1)) continue;
      const shape = sharding === undefined ? dims : dims.map((d, k) => (k === sharding.axis ? d * tp : d));
      // A whole and a cut copy of one weight are two tensors of the ranks.
      const id = sharding === undefined ? original : `${original} cut`;
      widths.set(id, width);
      part.set(id, dims);
      const content = weightBytes({ kind: 'tensor', tensor, sharding: null }, 0, 1, path);
      if (content === null) continue;
      const chunks: Buffer[] = [];
      content.visit((chunk) => chunks.push(Buffer.from(chunk)));
      bytes.set(`${id}/${stage}/${rank}`, Buffer.concat(chunks));
      stagesOf.set(id, (stagesOf.get(id) ?? new Set()).add(stage));
      layouts.set(id, {
        tensor: id,
        shape,
        dims: shape.map((_, k) => (sharding !== undefined && k === sharding.axis ? ['tp'] : [])),
        blocks: shape.map((_, k) => (sharding !== undefined && k === sharding.axis ? sharding.blocks : 1)),
        copies: shape.map(() => 1),
        pipelineRanks: [],
      });
    }
  }
  return { layouts, stagesOf, bytes, widths, order: order({ tp, pp }) };
}

describe('migration of a split model', function () {
  this.timeout(60_000);
  const full = fileURLToPath(new URL('../../../shared/data/onnx/full/', import.meta.url));
  const names = existsSync(full)
    ? readdirSync(full).filter((n) => /^(llama|gpt2|bert|vit|mixtral)-tiny\.ts$/.test(n))
    : [];

  before(function () {
    if (names.length > 0) return;
    process.stdout.write(
      '      skipped: ../shared/data/onnx/full is not there, so no split model is moved\n',
    );
    this.skip();
  });

  // Tensor-parallel and pipeline degrees before and after: as many ranks, fewer, more.
  const CASES = [
    ['llama-tiny.ts', [2, 2], [4, 1]],
    ['llama-tiny.ts', [4, 1], [1, 2]],
    ['llama-tiny.ts', [1, 2], [2, 2]],
    ['gpt2-tiny.ts', [2, 2], [4, 1]],
    ['bert-tiny.ts', [2, 2], [4, 1]],
    ['vit-tiny.ts', [2, 1], [1, 2]],
    ['mixtral-tiny.ts', [2, 1], [2, 2]],
  ] as const;
  for (const [name, old, next] of CASES)
    it(`moving the shards of ${name} from tp ${old[0]} pp ${old[1]} to tp ${next[0]} pp ${next[1]} gives that split, byte for byte`, function () {
      if (!names.includes(name)) this.skip();
      const model = join(
        full,
        name,
        readdirSync(join(full, name)).find((n) => n.endsWith('.onnx'))!,
      );
      const folder = mkdtempSync(join(tmpdir(), 'migrate-'));
      const weights = new Set(readModel(model).graph?.initializer.map((t) => t.name ?? ''));
      try {
        const made = ([tp, pp]: readonly [number, number]) => {
          const out = join(folder, `${tp}x${pp}`);
          splitFile({ modelPath: model, stages: pp, tp, out });
          return splitSide(out, tp, pp, weights);
        };
        const from = made(old);
        const to = made(next);
        let compared = 0;
        for (const [id, layout] of to.layouts) {
          const original = id.replace(/ cut$/, '');
          const there = [`${original} cut`, original].find((k) => from.layouts.has(k));
          if (there === undefined) continue;
          const source = from.layouts.get(there)!;
          if (source.shape.join() !== layout.shape.join()) continue;
          const as = (side: typeof from, l: TensorLayout, key: string): MigrationSide => ({
            order: side.order,
            zeroStage: 0,
            layouts: [
              { ...l, tensor: 'w', pipelineRanks: [...side.stagesOf.get(key)!].sort((a, b) => a - b) },
            ],
            deviceOfRank: Array.from({ length: side.order.tp * side.order.pp }, (_, i) => i),
          });
          const before = as(from, source, there);
          const after = as(to, layout, id);
          const width = to.widths.get(id)!;
          const read = (side: typeof from, m: MigrationSide, key: string): Held =>
            m.deviceOfRank.map((_, rank) => {
              const { pipelineRank, place } = placeOf(m.order, rank);
              const own = side.bytes.get(`${key}/${pipelineRank}/${place}`);
              if (own === undefined) return new Map<number, unknown>();
              const flat = indices(m.layouts[0].shape, boxAt(m.order, m.layouts[0], place, false));
              return new Map(
                flat.map((i, k) => [
                  i,
                  Buffer.from(own.subarray(k * width, (k + 1) * width)).toString('hex'),
                ]),
              );
            });
          const result = applied(
            before,
            after,
            'parameter',
            before.layouts[0],
            read(from, before, there),
            () => null,
          );
          expect(
            result.map((m) => [...m].sort((a, b) => a[0] - b[0])),
            id,
          ).to.deep.equal(read(to, after, id).map((m) => [...m].sort((a, b) => a[0] - b[0])));
          compared++;
        }
        expect(compared).to.be.above(10);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
});
