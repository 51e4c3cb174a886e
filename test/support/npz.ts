/** Headers of the arrays in a NumPy .npz file: a zip of .npy members, stored or deflated. */
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';

/** Array name to shape. @throws Error on anything that is no npz */
export function npzShapes(path: string): Map<string, number[]> {
  const bytes = readFileSync(path);
  // End of central directory: the last 22 bytes when there is no comment.
  let end = bytes.length - 22;
  while (end >= 0 && bytes.readUInt32LE(end) !== 0x06054b50) end--;
  if (end < 0) throw new Error(`${path}: not a zip file`);
  const shapes = new Map<string, number[]>();
  let at = bytes.readUInt32LE(end + 16);
  for (let n = bytes.readUInt16LE(end + 10); n > 0; n--) {
    const method = bytes.readUInt16LE(at + 10);
    const packed = bytes.readUInt32LE(at + 20);
    const nameLength = bytes.readUInt16LE(at + 28);
    const local = bytes.readUInt32LE(at + 42);
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength).replace(/\.npy$/, '');
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const member = bytes.subarray(start, start + packed);
    shapes.set(name, npyShape(method === 0 ? member : inflateRawSync(member)));
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return shapes;
}

/** The `shape` tuple of an .npy header. */
function npyShape(npy: Uint8Array): number[] {
  const text = Buffer.from(npy.buffer, npy.byteOffset, Math.min(npy.length, 4096)).toString('latin1');
  const tuple = /'shape':\s*\(([^)]*)\)/.exec(text);
  if (tuple === null) throw new Error('npy header without a shape');
  return tuple[1]
    .split(',')
    .map((t) => t.trim())
    .filter((t) => t !== '')
    .map(Number);
}
