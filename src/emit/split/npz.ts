/**
 * Arrays of numpy's .npz files: a ZIP archive (stored or deflated members, ZIP64 not needed below 4 GiB) of .npy files.
 * Formats: PKWARE APPNOTE 6.3; numpy/lib/format.py, versions 1 to 3.
 */
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { PartitionError } from '../../util/errors.js';
import { ELEMENT_TYPES, elementsOf } from './elements.js';
import type { RuntimeTensor } from './runtime.js';

const END_SIGNATURE = 0x06054b50;
const ENTRY_SIGNATURE = 0x02014b50;

/** @throws PartitionError input when the file is no such archive */
export function readNpz(path: string): Record<string, RuntimeTensor> {
  const fail = (message: string): never => {
    throw new PartitionError('input', message, path, 'numpy.savez writes such files');
  };
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    throw new PartitionError(
      'input',
      code === 'ENOENT' ? 'no such file' : `cannot read (${String(code)})`,
      path,
      'check the path',
    );
  }
  try {
    let end = bytes.length - 22;
    while (end >= 0 && bytes.readUInt32LE(end) !== END_SIGNATURE) end--;
    if (end < 0) return fail('expected a .npz archive, found something else');
    const tensors: Record<string, RuntimeTensor> = {};
    let at = bytes.readUInt32LE(end + 16);
    for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
      if (bytes.readUInt32LE(at) !== ENTRY_SIGNATURE) return fail('a damaged .npz archive');
      const method = bytes.readUInt16LE(at + 10);
      const length = bytes.readUInt32LE(at + 20);
      const nameLength = bytes.readUInt16LE(at + 28);
      const name = bytes.toString('utf8', at + 46, at + 46 + nameLength);
      const header = bytes.readUInt32LE(at + 42);
      const from = header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28);
      const stored = bytes.subarray(from, from + length);
      if (method !== 0 && method !== 8) return fail(`member "${name}" is packed by method ${String(method)}`);
      tensors[name.replace(/\.npy$/, '')] = parseNpy(
        method === 0 ? stored : inflateRawSync(stored),
        name,
        path,
      );
      at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
    }
    return tensors;
  } catch (e) {
    if (e instanceof PartitionError) throw e;
    return fail('a damaged .npz archive');
  }
}

function parseNpy(bytes: Buffer, name: string, path: string): RuntimeTensor {
  const fail = (message: string): never => {
    throw new PartitionError('input', `array "${name}": ${message}`, path);
  };
  if (bytes.toString('latin1', 0, 6) !== '\x93NUMPY') return fail('not a .npy file');
  const isOld = bytes[6] === 1;
  const start = isOld ? 10 : 12;
  const length = isOld ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const header = bytes.toString('latin1', start, start + length);
  const descr = /'descr':\s*'([^']+)'/.exec(header)?.[1] ?? '';
  const kind = ELEMENT_TYPES.find((type) => type.numpy === descr);
  if (kind === undefined) return fail(`elements of kind '${descr}' are not supported`);
  if (/'fortran_order':\s*True/.test(header)) return fail('expected C order, found Fortran order');
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1] ?? '';
  const dims = shape
    .split(',')
    .filter((d) => d.trim() !== '')
    .map(Number);
  const data = bytes.subarray(start + length);
  const copy = new ArrayBuffer(data.length);
  new Uint8Array(copy).set(data);
  const elements = elementsOf(kind, copy);
  if (elements.length !== dims.reduce((a, b) => a * b, 1)) return fail('the data does not fill the shape');
  return { type: kind.name, data: elements, dims };
}
