import { oneLine } from '../util/errors.js';

/** A name from a file for a message: shortened, made printable, in quotes; `(unnamed)` when there is none. */
export function quote(name: string | undefined): string {
  return name === undefined || name === '' ? '(unnamed)' : `"${oneLine(name, 80)}"`;
}
