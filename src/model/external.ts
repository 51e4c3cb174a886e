/**
 * External tensor data. The location comes from the file and is not trusted: only regular files inside the model's
 * folder are ever opened, and planning opens none at all.
 * Keys and rules: onnx/docs/ExternalData.md; what attacks look like: CVE-2024-27318, CVE-2024-5187.
 */
import { realpathSync, statSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { PartitionError } from '../util/errors.js';
import { quote } from './quote.js';
import type { TensorProto } from './types.js';

const EXTERNAL = 1;
/** ONNX Runtime puts this where a tensor lies in its own memory: the "offset" is then an address. */
const MEMORY_TAG = '_ORT_MEM_ADDR_';

/** Keys that mean something; others are carried along. */
export const EXTERNAL_KEYS: ReadonlySet<string> = new Set(['location', 'offset', 'length', 'checksum']);

export interface ExternalReference {
  /** Relative path with `/`, no `.` or `..` parts. */
  readonly location: string;
  readonly offset: number;
  /** Null when the entry does not say. */
  readonly length: number | null;
  /** For messages. */
  readonly tensorName: string | undefined;
}

/** Whether the tensor's data lies in another file. */
export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === EXTERNAL;
}

/**
 * Where an external tensor says its data is.
 * @throws PartitionError 'input' when the entries are missing, doubled, malformed or point outside the model's folder
 */
export function parseExternal(tensor: TensorProto, where: string | null): ExternalReference {
  const fail = (message: string): never => {
    throw new PartitionError('input', `external data of tensor ${quote(tensor.name)}: ${message}`, where);
  };
  const values = new Map<string, string>();
  for (const { key = '', value = '' } of tensor.externalData) {
    if (values.has(key)) fail(`the key ${quote(key)} is given twice`);
    values.set(key, value);
  }
  const location = values.get('location');
  if (location === undefined) return fail('no location is given');
  const offset = decimal(values.get('offset'));
  if (Number.isNaN(offset)) fail(`expected a byte count as offset, found ${quote(values.get('offset'))}`);
  const length = values.has('length') ? decimal(values.get('length')) : null;
  if (Number.isNaN(length)) fail(`expected a byte count as length, found ${quote(values.get('length'))}`);
  if (!Number.isSafeInteger(offset + (length ?? 0))) fail(`offset + length is more than 2^53`);
  const parts = location.split(/[/\\]/);
  if (location === '') fail('the location is empty');
  if (location.includes(MEMORY_TAG))
    fail('the location is an address in the memory of the program that wrote it');
  if (location.includes('\0')) fail('the location holds a NUL character');
  if (/^([/\\]|[A-Za-z]:)/.test(location))
    fail(`expected a path relative to the model, found ${quote(location)}`);
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(location)) fail(`expected a path, found the URL ${quote(location)}`);
  if (parts.includes('..')) fail(`the location ${quote(location)} leaves the model's folder`);
  const plain = parts.filter((part) => part !== '' && part !== '.').join('/');
  if (plain === '') fail(`the location ${quote(location)} is a folder`);
  return { location: plain, offset, length, tensorName: tensor.name };
}

/** A decimal byte count; 0 when absent, NaN when malformed. */
function decimal(text: string | undefined): number {
  if (text === undefined) return 0;
  return /^[0-9]{1,20}$/.test(text) ? Number(text) : NaN;
}

/**
 * The file behind a reference; null when it does not exist, which planning can live with.
 * Symbolic links are followed only to targets beside the model, or beside the file that the model's own link leads to:
 * the Hugging Face cache links both into one folder.
 * @throws PartitionError 'input' when it is no regular file or lies outside
 */
export function locateExternal(
  reference: ExternalReference,
  modelPath: string,
): { path: string; sizeBytes: number } | null {
  const fail = (message: string): never => {
    const what = `external data of tensor ${quote(reference.tensorName)}`;
    throw new PartitionError('input', `${what}: ${quote(reference.location)} ${message}`, modelPath);
  };
  let path: string;
  let sizeBytes: number;
  try {
    path = realpathSync(join(dirname(modelPath), reference.location));
    const stat = statSync(path);
    if (!stat.isFile()) return fail(stat.isDirectory() ? 'is a directory' : 'is not a regular file');
    sizeBytes = stat.size;
  } catch (e) {
    if (e instanceof PartitionError) throw e;
    return null;
  }
  const folders = [realpathSync(dirname(modelPath)), dirname(realpathSync(modelPath))];
  if (!folders.some((folder) => path.startsWith(folder.endsWith(sep) ? folder : folder + sep))) {
    return fail("is a link that leaves the model's folder");
  }
  return { path, sizeBytes };
}
