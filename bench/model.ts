/** How fast ONNX files are read and written: MB of graph per second, medians over the graphs of `graphs/`. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkModel, decodeModel, encodeModel, readModel } from '../src/model/index.js';
import type { ModelProto, TensorProto } from '../src/model/index.js';
import { median } from '../src/util/stats.js';

const folder = fileURLToPath(new URL('../graphs/', import.meta.url));
const ROUNDS = 15;

/** Embedded weights are skipped, not parsed: they would flatter the figure. */
function weightBytes(model: ModelProto): number {
  const size = (t: TensorProto): number =>
    t.rawData?.kind === 'bytes' ? t.rawData.bytes.length : (t.rawData?.length ?? 0);
  return (model.graph?.initializer ?? []).reduce((sum, t) => sum + size(t), 0);
}

function medianSec(work: () => void): number {
  for (let i = 0; i < 3; i++) work();
  const times = Array.from({ length: ROUNDS }, () => {
    const start = performance.now();
    work();
    return (performance.now() - start) / 1e3;
  });
  return median(times);
}

export function run(): { name: string; value: number; unit: string }[] {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.onnx'))
    .map((name) => folder + name);
  const rates = {
    decode: [] as number[],
    read: [] as number[],
    check: [] as number[],
    encode: [] as number[],
  };
  for (const file of files) {
    const bytes = readFileSync(file);
    const model = decodeModel(bytes, file);
    const graphMegabytes = (bytes.length - weightBytes(model)) / 1e6;
    rates.decode.push(graphMegabytes / medianSec(() => decodeModel(bytes, file)));
    rates.read.push(graphMegabytes / medianSec(() => readModel(file)));
    rates.check.push(graphMegabytes / medianSec(() => checkModel(model, file)));
    rates.encode.push(graphMegabytes / medianSec(() => encodeModel(model)));
  }
  return [
    { name: 'model: decode in memory', value: median(rates.decode), unit: 'MB of graph/s' },
    {
      name: 'model: decode in memory, slowest graph',
      value: Math.min(...rates.decode),
      unit: 'MB of graph/s',
    },
    { name: 'model: read from file', value: median(rates.read), unit: 'MB of graph/s' },
    { name: 'model: check', value: median(rates.check), unit: 'MB of graph/s' },
    { name: 'model: encode', value: median(rates.encode), unit: 'MB of graph/s' },
  ];
}
