/**
 * Follows a log file through appending, rotation by renaming, rotation by copying and truncating, and restarts of this
 * program. A file is known by its inode and by its first bytes, since inodes are used again and copies have others. Only
 * whole lines are handed out; the position is always between two lines.
 */
import { closeSync, fstatSync, openSync, readSync, readdirSync, statSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { unreadable } from '../../util/files.js';

const CHUNK_BYTES = 1 << 18;
/** First bytes by which a file is known. */
const HEAD_BYTES = 256;
/** Longer lines are no records: they are passed over. */
const LONGEST_LINE_BYTES = 1 << 16;
const NEWLINE = 10;

/** Where reading goes on; plain JSON. */
export interface TailPosition {
  readonly inode: number;
  readonly offset: number;
  /** Of the first `headBytes` bytes. */
  readonly head: string;
  readonly headBytes: number;
  readonly lines: number;
}

export class FileTail {
  private fd = -1;
  private inode = 0;
  /** Of the next line that was not taken. */
  private offset = 0;
  private head: Buffer = Buffer.alloc(0);
  private buffer: Buffer = Buffer.alloc(0);
  private from = 0;
  private held: { text: string; bytes: number } | null = null;
  /** Files between the one that is read and the one that has the name now, oldest first. */
  private queue: string[] = [];
  private lines = 0;
  /** Bytes of the overlong line that is being passed over. */
  private skipping = false;
  /** Lines that were longer than any record. */
  overlong = 0;
  /** Times that a part of the log was gone before it was read. */
  gaps = 0;

  /**
   * @param position where an earlier follower of the path stopped; null: from the beginning
   * @throws PartitionError input when there is such a file and it cannot be read
   */
  constructor(
    readonly path: string,
    position: TailPosition | null = null,
  ) {
    if (position !== null) this.resume(position);
  }

  /** Number of the line that `peek` shows, from 1. */
  get lineNumber(): number {
    return this.lines + 1;
  }

  /** The next whole line without its end; null when there is none now. */
  peek(): string | null {
    while (this.held === null) {
      if (this.fd < 0 && !this.openNext()) return null;
      const to = this.buffer.indexOf(NEWLINE, this.from);
      if (to >= 0) this.hold(to, 1);
      else if (!this.readMore() && !this.moveOn()) return null;
    }
    return this.held.text;
  }

  /** The line that `peek` showed is done with. */
  take(): void {
    if (this.held === null) return;
    this.offset += this.held.bytes;
    this.held = null;
    this.lines++;
  }

  /** At the end of a log that nobody writes any more: its last line may lack its end. Null when there is none. */
  peekUnended(): string | null {
    if (this.held === null && this.fd >= 0 && this.from < this.buffer.length)
      this.hold(this.buffer.length, 0);
    return this.held?.text ?? null;
  }

  position(): TailPosition {
    const headBytes = Math.min(this.head.length, this.offset);
    return {
      inode: this.inode,
      offset: this.offset,
      head: digest(this.head.subarray(0, headBytes)),
      headBytes,
      lines: this.lines,
    };
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }

  private hold(to: number, endBytes: number): void {
    const bytes = to - this.from + endBytes;
    const skipped = this.skipping || bytes > LONGEST_LINE_BYTES;
    if (skipped) {
      this.skipping = false;
      this.overlong++;
      this.offset += bytes;
      this.lines++;
    } else this.held = { text: textOf(this.buffer, this.from, to), bytes };
    this.from = to + endBytes;
  }

  /** Reads on; false at the end of the file. */
  private readMore(): boolean {
    const rest = this.buffer.subarray(this.from);
    // What is known to be too long is not kept.
    if (rest.length > LONGEST_LINE_BYTES) {
      this.skipping = true;
      this.offset += rest.length;
      this.buffer = Buffer.alloc(0);
      this.from = 0;
    }
    if (this.isCut()) return false;
    const kept = this.skipping ? 0 : rest.length;
    const next = Buffer.allocUnsafe(kept + CHUNK_BYTES);
    const count = readSync(this.fd, next, kept, CHUNK_BYTES, this.offset + kept);
    if (count === 0) return false;
    if (this.offset + kept < HEAD_BYTES) this.head = headOf(this.fd);
    if (kept > 0) rest.copy(next, 0);
    this.buffer = next.subarray(0, kept + count);
    this.from = 0;
    return true;
  }

  /** At the end of a file: to the next one, if the name has passed to another. */
  private moveOn(): boolean {
    const now = statSync(this.path, { throwIfNoEntry: false });
    const own = fstatSync(this.fd);
    // Whoever still writes to the old file has not begun the new one.
    const isReplaced = now !== undefined && now.ino !== own.ino && now.size > 0;
    const isCut = this.isCut();
    if (!isReplaced && !isCut && this.queue.length === 0) return false;
    if (isCut && this.queue.length === 0) return this.findCopy();
    if (this.readMore()) return true;
    // The last line of a file that is over ends with it.
    if (this.peekUnended() !== null) return true;
    if (this.queue.length === 0) this.queue = laterFiles(this.path, own.mtimeMs, own.ino);
    this.leave();
    return this.openNext();
  }

  /** Whether the file was cut since, perhaps to grow again. */
  private isCut(): boolean {
    if (fstatSync(this.fd).size < this.offset) return true;
    const known = Math.min(this.head.length, this.offset);
    return known > 0 && headOf(this.fd).compare(this.head, 0, known, 0, known) !== 0;
  }

  /** The file was cut: what was not read may stand in a copy. */
  private findCopy(): boolean {
    const position = this.position();
    const copy = siblings(this.path).find((path) => path !== this.path && isSame(path, position));
    this.leave();
    if (copy === undefined) this.gaps++;
    else if (this.open(copy, position.offset)) {
      this.queue = [this.path];
      return true;
    }
    return this.open(this.path, 0);
  }

  private leave(): void {
    this.close();
    this.buffer = Buffer.alloc(0);
    this.from = 0;
    this.offset = 0;
    this.skipping = false;
    this.head = Buffer.alloc(0);
  }

  private openNext(): boolean {
    for (let path = this.queue.shift(); path !== undefined; path = this.queue.shift())
      if (this.open(path, 0)) return true;
    return this.open(this.path, 0);
  }

  private open(path: string, offset: number): boolean {
    try {
      this.fd = openSync(path, 'r');
      const stat = fstatSync(this.fd);
      if (stat.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
      this.inode = stat.ino;
      this.head = headOf(this.fd);
      this.offset = offset;
      return true;
    } catch (e) {
      // A log that is not there yet will come.
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw unreadable(path, 'a log', e);
    }
  }

  private resume(position: TailPosition): void {
    this.lines = position.lines;
    const all = siblings(this.path);
    const same =
      all.find((path) => inodeOf(path) === position.inode && isSame(path, position)) ??
      all.find((path) => isSame(path, position));
    if (same === undefined) {
      if (position.offset > 0) this.gaps++;
      return;
    }
    const stat = statSync(same);
    this.open(same, position.offset);
    if (same !== this.path) this.queue = laterFiles(this.path, stat.mtimeMs, stat.ino);
  }
}

/** A line without the carriage return that some loggers write. */
function textOf(buffer: Buffer, from: number, to: number): string {
  const end = to > from && buffer[to - 1] === 13 ? to - 1 : to;
  return buffer.toString('utf8', from, end);
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 32);
}

function headOf(fd: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  return head.subarray(0, readSync(fd, head, 0, HEAD_BYTES, 0));
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Whether a file begins as the one that was read did, and is as long as what was read of it. */
function isSame(path: string, { offset, head, headBytes }: TailPosition): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.size < offset) return false;
  const fd = openSync(path, 'r');
  try {
    return digest(headOf(fd).subarray(0, headBytes)) === head;
  } finally {
    closeSync(fd);
  }
}

/** The path and what log rotation makes of it: `job.log.1`, `job.log-20260801`. */
function siblings(path: string): string[] {
  const name = basename(path);
  let names: string[];
  try {
    names = readdirSync(dirname(path));
  } catch {
    return [];
  }
  const rotated = names.filter((n) => n.startsWith(`${name}.`) || n.startsWith(`${name}-`));
  return [
    path,
    ...rotated.filter((n) => !/\.(gz|zst|bz2|xz|tmp)$/.test(n)).map((n) => join(dirname(path), n)),
  ];
}

/** Files that were written after one of the log, oldest first, the one that has the name now last. */
function laterFiles(path: string, mtimeMs: number, inode: number): string[] {
  const later = siblings(path)
    .slice(1)
    .map((sibling) => ({ sibling, stat: statSync(sibling, { throwIfNoEntry: false }) }))
    .filter(({ stat }) => stat !== undefined && stat.isFile() && stat.ino !== inode && stat.mtimeMs > mtimeMs)
    .sort((a, b) => a.stat!.mtimeMs - b.stat!.mtimeMs);
  return [...later.map(({ sibling }) => sibling), path];
}
