/** Small files read whole, files written whole or not at all, and plain words for what the system refuses. */
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { PartitionError } from './errors.js';

/**
 * Writes a file so that a reader sees the old content or the new, never half of it: a temporary name beside
 * the target, then a rename.
 *
 * @throws PartitionError usage when it cannot be written
 */
export function writeFileAtomic(path: string, data: string | Uint8Array): void {
  const temporary = temporaryName(path);
  try {
    makeFolder(dirname(path));
    if (isDevice(path)) {
      writeFileSync(path, data);
      return;
    }
    writeFileSync(temporary, data);
    renameSync(temporary, path);
  } catch (e) {
    removeQuietly(temporary);
    throw unwritable(path, e);
  }
}

/** Whether a pipe, a terminal or a device stands there, which is written to and never replaced. */
function isDevice(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && !stat.isFile() && !stat.isDirectory();
}

/** Where a file of this process stands until it is whole. */
export function temporaryName(path: string): string {
  return `${path}.${process.pid}.tmp`;
}

/** A file that is written piece by piece and appears under its name when it is whole. */
export class AtomicWriter {
  private readonly temporary: string;
  private fd: number;

  /** @throws PartitionError usage when it cannot be written; so do the methods */
  constructor(private readonly path: string) {
    this.temporary = temporaryName(path);
    try {
      makeFolder(dirname(path));
      this.fd = openSync(this.temporary, 'w');
    } catch (e) {
      throw unwritable(path, e);
    }
  }

  append(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.fd, bytes, at);
    } catch (e) {
      this.abandon();
      throw unwritable(this.path, e);
    }
  }

  /** The file takes its name. */
  commit(): void {
    try {
      closeSync(this.fd);
      this.fd = -1;
      renameSync(this.temporary, this.path);
    } catch (e) {
      this.abandon();
      throw unwritable(this.path, e);
    }
  }

  /** Leaves nothing behind; without effect on a file that has its name. */
  abandon(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
    removeQuietly(this.temporary);
  }
}

/**
 * Makes a folder and those above it. One level at a time, because Node's own recursive mkdir never returns where the
 * system says that a folder is missing in one that exists, as below /proc.
 */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  let at = resolve(path);
  for (; !isFolder(at); at = dirname(at)) missing.push(at);
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder);
    } catch (e) {
      // Another process may have made it meanwhile.
      if ((e as NodeJS.ErrnoException).code !== 'EEXIST' || !isFolder(folder)) throw e;
    }
  }
}

/**
 * Finds out whether a folder can be made or written to, before long work whose result goes there. Leaves nothing.
 *
 * @throws PartitionError usage when it cannot
 */
export function checkWritableFolder(path: string): void {
  try {
    let at = resolve(path);
    while (!isFolder(at)) at = dirname(at);
    accessSync(at, constants.W_OK);
    rmdirSync(mkdtempSync(join(at, '.partition-')));
  } catch (e) {
    throw unwritable(path, e);
  }
}

/** Whether it is a folder; false when nothing is there. A file in the way is an error. */
function isFolder(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (stat.isDirectory()) return true;
  throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
}

/** Removes a file that may not be there, below a path that may not be one. */
export function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What could not be made need not be removed.
  }
}

/** Text files that people write are smaller than this. */
const LARGEST_TEXT_BYTES = 64 * 2 ** 20;

/**
 * The text of a file or pipe, read whole.
 *
 * @param expected what the file should be, for messages: `a plan`
 * @throws PartitionError input when it cannot be read or is larger than any such file
 */
export function readTextFile(path: string, expected: string, limitBytes = LARGEST_TEXT_BYTES): string {
  let fd: number | null = null;
  try {
    fd = openSync(path, 'r');
    const chunks: Buffer[] = [];
    // The size of a pipe is not known beforehand, and a device may never end.
    for (let total = 0; ;) {
      const chunk = Buffer.allocUnsafe(1 << 16);
      const count = readSync(fd, chunk);
      if (count === 0) return Buffer.concat(chunks).toString('utf8');
      chunks.push(chunk.subarray(0, count));
      total += count;
      if (total > limitBytes) {
        throw new PartitionError('input', `expected ${expected}, found more than ${limitBytes} bytes`, path);
      }
    }
  } catch (e) {
    throw e instanceof PartitionError ? e : unreadable(path, expected, e);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** Longer lines than this are no text that we wrote. */
const LONGEST_LINE_BYTES = 1 << 22;

/**
 * The lines of a file, one at a time, without their ends. `ended` is false for a last line that has no end.
 *
 * @throws PartitionError input when it cannot be read, or a line is longer than any we write
 */
export function* linesOf(path: string, expected: string): Generator<{ line: string; ended: boolean }> {
  let fd: number | null = null;
  try {
    fd = openSync(path, 'r');
    const chunk = Buffer.allocUnsafe(1 << 16);
    let rest: Buffer = Buffer.alloc(0);
    for (;;) {
      const count = readSync(fd, chunk);
      if (count === 0) break;
      const bytes = Buffer.concat([rest, chunk.subarray(0, count)]);
      let from = 0;
      for (let to = bytes.indexOf(10); to >= 0; to = bytes.indexOf(10, from)) {
        yield { line: bytes.toString('utf8', from, to), ended: true };
        from = to + 1;
      }
      rest = bytes.subarray(from);
      if (rest.length > LONGEST_LINE_BYTES)
        throw new PartitionError('input', `expected ${expected}, found a line without end`, path);
    }
    if (rest.length > 0) yield { line: rest.toString('utf8'), ended: false };
  } catch (e) {
    throw e instanceof PartitionError ? e : unreadable(path, expected, e);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** The user's error for an input that cannot be read. */
export function unreadable(path: string, expected: string, cause: unknown): PartitionError {
  const code = codeOf(cause);
  if (code === 'ENOENT') return new PartitionError('input', 'no such file', path, 'check the path');
  if (code === 'EISDIR')
    return new PartitionError(
      'input',
      `expected ${expected}, found a directory`,
      path,
      'name the file itself',
    );
  if (code === 'EACCES')
    return new PartitionError('input', 'no permission to read', path, 'check the file mode');
  return new PartitionError('input', `cannot read (${code})`, path, 'check the path');
}

const WRITE_FAULTS: Readonly<Record<string, string>> = {
  EACCES: 'no permission',
  EPERM: 'no permission',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left',
  EDQUOT: 'the quota is used up',
  ENOTDIR: 'a file stands where a folder is needed',
  EEXIST: 'a file stands where a folder is needed',
  EISDIR: 'a folder stands where the file is to be',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'nothing can be made there',
};

/** The user's error for an output that cannot be written. */
export function unwritable(path: string, cause: unknown): PartitionError {
  const code = codeOf(cause);
  const reason = WRITE_FAULTS[code];
  return new PartitionError(
    'usage',
    `cannot write: ${reason === undefined ? code : `${reason} (${code})`}`,
    path,
    'choose another place with --out',
  );
}

function codeOf(cause: unknown): string {
  return (cause as NodeJS.ErrnoException).code ?? String(cause);
}

/** Path of a file in the package's data folder; the same from sources and from the build. */
export function dataPath(name: string): URL {
  return new URL(`../../src/data/${name}`, import.meta.url);
}
