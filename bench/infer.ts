/** Speed of shape inference: operators per second over the committed graphs, symbols kept and bound. */
import { readdirSync } from 'node:fs';
import { inferModel } from '../src/graph/infer.js';
import { readModel } from '../src/model/read.js';

const GRAPHS = new URL('../graphs/', import.meta.url).pathname;
const WARM_ROUNDS = 5;
const ROUNDS = 15;

/** Median seconds of one inference. */
function medianSec(f: () => void): number {
  for (let i = 0; i < WARM_ROUNDS; i++) f();
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const t0 = performance.now();
    f();
    times.push((performance.now() - t0) / 1000);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1];
}

export function run(): { name: string; value: number; unit: string }[] {
  const rows: { name: string; value: number; unit: string }[] = [];
  for (const file of readdirSync(GRAPHS)
    .filter((f) => f.endsWith('.onnx'))
    .sort()) {
    const model = readModel(GRAPHS + file);
    const ops = model.graph?.node.length ?? 0;
    const sec = medianSec(() => inferModel(model));
    rows.push({ name: `infer ${file}`, value: Math.round(ops / sec), unit: 'op/s' });
  }
  return rows;
}
