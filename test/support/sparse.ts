/** Model files of any size that take no room on disk: weights are holes. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { encodeGraph } from '../../src/model/index.js';
import { graph, node, tensor, value } from '../model/support.js';

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
export function writeSparse(path: string, weightBytes: readonly number[]): number {
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
