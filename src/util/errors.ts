/**
 * A fault the user can mend: one line that names where, what was expected and found, and a next step.
 * Anything else that is thrown is our own fault and its message begins with `internal:`.
 */
export type ErrorCode =
  /** Wrong flags or values on the command line, or a wrong call of the library. Exit 2. */
  | 'usage'
  /** A file that cannot be read, parsed or understood. Exit 3. */
  | 'input'
  /** The request is sound but no plan satisfies it. Exit 1. */
  | 'infeasible'
  /** Our own fault. Exit 70. */
  | 'internal';

/** Process exit status for each kind of error (sysexits' 70 is EX_SOFTWARE). */
export const EXIT_CODE: Readonly<Record<ErrorCode, number>> = {
  infeasible: 1,
  usage: 2,
  input: 3,
  internal: 70,
};

export class PartitionError extends Error {
  override readonly name = 'PartitionError';

  /**
   * @param code what kind of fault it is
   * @param message what was expected and what was found, on one line
   * @param where file, field, node or flag concerned
   * @param hint what the user can do next
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly where: string | null = null,
    readonly hint: string | null = null,
  ) {
    super(message);
  }

  /** `where: message (hint)` on one line, long names shortened. */
  line(): string {
    const where = this.where === null ? '' : `${oneLine(this.where, 200)}: `;
    const hint = this.hint === null ? '' : ` (${oneLine(this.hint, 300)})`;
    return `${where}${oneLine(this.message, 600)}${hint}`;
  }
}

/** Control and bidirectional-override characters, which must never reach a terminal from a file's names. */
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Text made safe for one terminal line: unprintable characters escaped, the middle of long text left out. */
export function oneLine(text: string, maxLength = 120): string {
  const cut =
    text.length <= maxLength ? text : `${text.slice(0, maxLength >> 1)}...${text.slice(-(maxLength >> 2))}`;
  return cut.replace(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Fails loudly on a broken invariant of ours. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`);
}
