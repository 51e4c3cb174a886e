/**
 * Splitting a model with 2 GB of weights: bytes written a second against copying the same bytes, and the peak of memory.
 *
 *     node --import tsx bench/split.ts
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { splitFile } from '../src/api/split.js';
import { DType, isExternal, writeModel } from '../src/model/index.js';
import { formatBytes } from '../src/util/format.js';
import { median } from '../src/util/stats.js';
import { buildZoo, zooConfig } from '../src/zoo/index.js';

const RUNS = 5;
const LAYERS = 4;

/** The graph of a zoo model with a weight file of made-up bytes beside it. */
function writeBigModel(folder: string): { readonly model: string; readonly weights: string } {
  const proto = buildZoo(
    { ...zooConfig('llama3-8b'), layers: LAYERS, vocab: 16_000 },
    { seq: 64, dtype: DType.FLOAT16 },
  );
  const model = join(folder, 'big.onnx');
  writeModel(proto, model);
  const places = proto
    .graph!.initializer.filter(isExternal)
    .map((t) => new Map(t.externalData.map((e) => [e.key!, e.value!])));
  const weights = join(folder, places[0].get('location')!);
  const size = Math.max(...places.map((p) => Number(p.get('offset') ?? 0) + Number(p.get('length'))));
  const bytes = Buffer.alloc(1 << 22);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(i, 2654435761) >>> 24;
  const fd = openSync(weights, 'w');
  for (let at = 0; at < size; at += bytes.length) writeSync(fd, bytes, 0, Math.min(bytes.length, size - at));
  closeSync(fd);
  return { model, weights };
}

const secondsOf = (work: () => void): number => {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
};

function measure(): void {
  const folder = mkdtempSync(join(tmpdir(), 'split-bench-'));
  try {
    const { model, weights } = writeBigModel(folder);
    const size = statSync(weights).size;
    const ratios: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      const copySec = secondsOf(() => spawnSync('cp', [weights, join(folder, 'copy')]));
      rmSync(join(folder, 'copy'));
      let written = 0;
      const out = join(folder, 'out');
      const splitSec = secondsOf(() => {
        written = splitFile({ modelPath: model, stages: 2, out })!.files.reduce(
          (sum, f) => sum + f.initializerBytes,
          0,
        );
      });
      rmSync(out, { recursive: true });
      ratios.push(written / splitSec / (size / copySec));
      console.log(
        `copy ${formatBytes(size)} in ${copySec.toFixed(2)} s, split ${formatBytes(written)} in ${splitSec.toFixed(2)} s: ${(100 * ratios[run]).toFixed(0)} % of copying`,
      );
    }
    const peak = process.resourceUsage().maxRSS * 1024;
    console.log(
      `median ${(100 * median(ratios)).toFixed(0)} % of the speed of copying, peak of memory ${formatBytes(peak)}`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) measure();
