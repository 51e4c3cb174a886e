import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { PartitionError } from './errors.js';

/**
 * Writes a file so that a reader sees the old content or the new, never half of it: a temporary name beside
 * the target, then a rename.
 */
export function writeFileAtomic(path: string, data: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, data);
    renameSync(temporary, path);
  } catch (e) {
    rmSync(temporary, { force: true });
    throw unwritable(path, e);
  }
}

/** The user's error for an output that cannot be written. */
export function unwritable(path: string, cause: unknown): PartitionError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new PartitionError('usage', `cannot write (${code})`, path, 'choose another place with --out');
}

/** Path of a file in the package's data folder; the same from sources and from the build. */
export function dataPath(name: string): URL {
  return new URL(`../../src/data/${name}`, import.meta.url);
}
