import { expect } from 'chai';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkModel, encodeGraph, readModel, readNumbers, tensorBytes } from '../../src/model/index.js';
import { graph, node, tensor, value } from './support.js';

const GIB = 2 ** 30;

function varint(value: number): number[] {
  const out: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...out, rest];
    out.push((rest % 128) | 128);
  }
}

/**
 * Writes a model whose weights are embedded as holes of a sparse file, `weightBytes` each; the graph's other fields
 * come before and behind them. Returns the size of the file.
 */
function writeSparse(path: string, weightBytes: readonly number[]): number {
  const fd = openSync(path, 'w');
  const names = weightBytes.map((_, i) => `w${i}`);
  const nodes = names.map((w, i) => node('Mul', [i === 0 ? 'x' : `h${i - 1}`, w], [`h${i}`]));
  const before = encodeGraph(graph({ node: nodes }));
  const last = `h${names.length - 1}`;
  const marker = tensor('marker', 7, [1], { int64Data: { kind: 'bytes', bytes: Uint8Array.of(42) } });
  const behind = encodeGraph(
    graph({ initializer: [marker], input: [value('x', [1])], output: [value(last)] }),
  );
  const heads = weightBytes.map((size, i) => {
    const dims = [0x08, ...varint(size / 4)];
    const inner = [...dims, 0x10, 1, 0x42, names[i].length, ...Buffer.from(names[i]), 0x4a, ...varint(size)];
    return Buffer.from([0x2a, ...varint(inner.length + size), ...inner]);
  });
  const graphBytes =
    before.length +
    behind.length +
    heads.reduce((n, h) => n + h.length, 0) +
    weightBytes.reduce((a, b) => a + b, 0);
  let at = 0;
  const put = (bytes: Uint8Array): void => {
    at += writeSync(fd, bytes, 0, bytes.length, at);
  };
  put(Buffer.from([0x08, 8, 0x3a, ...varint(graphBytes)]));
  put(before);
  heads.forEach((head, i) => {
    put(head);
    at += weightBytes[i];
  });
  put(behind);
  put(Buffer.from([0x42, 2, 0x10, 17]));
  ftruncateSync(fd, at);
  closeSync(fd);
  return at;
}

describe('model files beyond 2 and 4 GiB', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'large-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const cases: [string, number[]][] = [
    ['one weight of 2.5 GiB', [2.5 * GIB]],
    ['two weights of 2.5 GiB', [2.5 * GIB, 2.5 * GIB]],
    ['one weight of 5 GiB', [5 * GIB]],
    ['two thousand weights of 4 MiB', Array.from({ length: 2000 }, () => 4 << 20)],
  ];
  for (const [what, sizes] of cases) {
    it(`${what} are read in under a second without being loaded`, () => {
      const path = join(folder, 'large.onnx');
      const fileBytes = writeSparse(path, sizes);
      const rssBefore = process.memoryUsage().rss;
      const start = performance.now();
      const model = readModel(path);
      const diagnostics = checkModel(model, path);
      const elapsed = performance.now() - start;
      expect(elapsed).to.be.below(1000);
      expect(process.memoryUsage().rss - rssBefore).to.be.below(150 * 2 ** 20);
      expect(diagnostics).to.deep.equal([]);
      const initializers = model.graph!.initializer;
      expect(initializers.slice(0, -1).map(tensorBytes)).to.deep.equal(sizes);
      const ranges = initializers.slice(0, -1).map((t) => (t.rawData?.kind === 'range' ? t.rawData : null));
      expect(ranges.every((r) => r !== null)).to.equal(true);
      expect(ranges.at(-1)!.offset + ranges.at(-1)!.length).to.be.below(fileBytes);
      // What stands behind the weights is read from beyond 4 GiB.
      expect(readNumbers(initializers.at(-1)!, 10)).to.deep.equal(Float64Array.of(42));
      expect(model.opsetImport).to.deep.equal([{ version: 17 }]);
    });
  }

  it('a large file that is cut short says where it ends', () => {
    const path = join(folder, 'cut.onnx');
    const fileBytes = writeSparse(path, [5 * GIB]);
    const fd = openSync(path, 'r+');
    ftruncateSync(fd, fileBytes - GIB);
    closeSync(fd);
    expect(() => readModel(path)).to.throw(`truncated at byte ${fileBytes - GIB}`);
  });
});
