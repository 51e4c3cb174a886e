/**
 * Golden shapes of the committed graphs: `node --import tsx test/support/shape_goldens.ts` writes them anew. Review the
 * difference before committing it.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { dtypeName } from '../../src/model/dtype.js';
import { readModel } from '../../src/model/read.js';
import { inferModel } from '../../src/graph/infer.js';
import { shapeText } from '../../src/ops/dim.js';

export const GRAPHS = new URL('../../graphs/', import.meta.url).pathname;
export const GOLDENS = new URL('../fixtures/shapes/', import.meta.url).pathname;

/** Tiny graphs, whose whole listing a person can read. */
export function goldenGraphs(): string[] {
  return readdirSync(GRAPHS)
    .filter((f) => f.endsWith('.onnx') && (f.includes('tiny') || f.startsWith('resnet')))
    .sort();
}

/** One line a tensor that is computed or fed: name, element type, shape. */
export function shapeListing(file: string): string {
  const inferred = inferModel(readModel(GRAPHS + file));
  const lines: string[] = [];
  inferred.values.forEach((name, v) => {
    if (inferred.initializers.has(v)) return;
    const t = inferred.type[v];
    const text =
      t?.kind === 'tensor' ? `${dtypeName(t.dtype)} ${shapeText(t.shape)}` : (t?.kind ?? 'unknown');
    lines.push(`${JSON.stringify(name)} ${text}`);
  });
  return lines.join('\n') + '\n';
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const file of goldenGraphs())
    writeFileSync(`${GOLDENS}${file.replace('.onnx', '.txt')}`, shapeListing(file));
}
