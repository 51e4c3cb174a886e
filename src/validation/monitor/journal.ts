/**
 * What outlives the monitor: the state as of a moment, written whole or not at all, and after it the lines of sources that
 * cannot be read again (a pipe, an endpoint). A line counts once it stands in the journal; after a crash the journal is
 * read from where the state ends, so that nothing accepted is lost and nothing counts twice.
 *
 *     state.json         position of every source, detectors, counts, length of findings.jsonl
 *     journal.7.jsonl    lines since; each state names the journal that goes with it
 *     findings.jsonl     cut on resuming to the length that the state knows: what follows is found again
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { PartitionError } from '../../util/errors.js';
import {
  linesOf,
  makeFolder,
  readTextFile,
  removeQuietly,
  temporaryName,
  unwritable,
} from '../../util/files.js';

/** A journal of this size is followed by a new one at the next state. */
const JOURNAL_BYTES = 16 * 2 ** 20;
const STATE_BYTES = 2 ** 30;
const STATE = 'state.json';
const FINDINGS = 'findings.jsonl';

export interface SavedState {
  readonly version: 2;
  readonly planDigest: string;
  readonly journal: { readonly generation: number; readonly bytes: number };
  readonly findingsBytes: number;
  readonly body: unknown;
}

export class Journal {
  private generation = 0;
  private journalFd = -1;
  private journalBytes = 0;
  private findingsFd = -1;
  private findingsBytes = 0;

  /** @throws PartitionError usage when the folder cannot be written; input when its state is none */
  constructor(
    readonly folder: string,
    private readonly planDigest: string,
  ) {}

  get findingsPath(): string {
    return join(this.folder, FINDINGS);
  }

  /**
   * Opens the folder.
   *
   * @param restore takes the saved state, before the lines
   * @param line takes each line that was accepted after it
   */
  open(restore: (body: unknown) => void, line: (text: string) => void): void {
    const saved = this.readState();
    this.guard(() => {
      makeFolder(this.folder);
      this.findingsFd = openSync(this.findingsPath, existsSync(this.findingsPath) ? 'r+' : 'w+');
      this.findingsBytes = saved?.findingsBytes ?? 0;
      ftruncateSync(this.findingsFd, this.findingsBytes);
    });
    if (saved !== null) restore(saved.body);
    this.generation = saved?.journal.generation ?? 0;
    this.replay(saved?.journal.bytes ?? 0, line);
    this.removeOthers();
  }

  /** Accepts lines: they count from now on. */
  append(lines: readonly string[]): void {
    if (lines.length === 0) return;
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    this.guard(() => {
      for (let at = 0; at < bytes.length;)
        at += writeSync(this.journalFd, bytes, at, bytes.length - at, this.journalBytes + at);
    });
    this.journalBytes += bytes.length;
  }

  appendFinding(text: string): void {
    const bytes = Buffer.from(`${text}\n`);
    this.guard(() => {
      for (let at = 0; at < bytes.length;)
        at += writeSync(this.findingsFd, bytes, at, bytes.length - at, this.findingsBytes + at);
    });
    this.findingsBytes += bytes.length;
  }

  /** Writes the state: on the disk, then under its name. */
  save(body: unknown): void {
    const fresh = this.journalBytes > JOURNAL_BYTES;
    const journal = fresh
      ? { generation: this.generation + 1, bytes: 0 }
      : { generation: this.generation, bytes: this.journalBytes };
    const state: SavedState = {
      version: 2,
      planDigest: this.planDigest,
      journal,
      findingsBytes: this.findingsBytes,
      body,
    };
    const path = join(this.folder, STATE);
    const temporary = temporaryName(path);
    this.guard(() => {
      fsyncSync(this.findingsFd);
      fsyncSync(this.journalFd);
      const fd = openSync(temporary, 'w');
      try {
        const bytes = Buffer.from(JSON.stringify(state));
        for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
      syncFolder(this.folder);
    });
    if (!fresh) return;
    this.generation++;
    this.journalBytes = 0;
    this.guard(() => {
      closeSync(this.journalFd);
      this.journalFd = openSync(this.journalPath(), 'w+');
    });
    this.removeOthers();
  }

  close(): void {
    for (const fd of [this.journalFd, this.findingsFd]) if (fd >= 0) closeSync(fd);
    this.journalFd = -1;
    this.findingsFd = -1;
  }

  private readState(): SavedState | null {
    const path = join(this.folder, STATE);
    if (!existsSync(path)) return null;
    let state: SavedState;
    try {
      state = JSON.parse(readTextFile(path, 'the state of a monitor', STATE_BYTES)) as SavedState;
    } catch (e) {
      if (e instanceof PartitionError) throw e;
      throw new PartitionError(
        'input',
        'expected the state of a monitor, found no JSON',
        path,
        'remove it to begin anew',
      );
    }
    if (state?.version !== 2 || typeof state.planDigest !== 'string')
      throw new PartitionError(
        'input',
        'expected the state of a monitor of this version',
        path,
        'remove it to begin anew',
      );
    if (state.planDigest !== this.planDigest)
      throw new PartitionError(
        'input',
        `expected the state of plan ${this.planDigest.slice(0, 12)}, found that of ${state.planDigest.slice(0, 12)}`,
        path,
        'choose another folder with --state',
      );
    return state;
  }

  /** Reads accepted lines again; a last line without end was never accepted and is cut off. */
  private replay(from: number, line: (text: string) => void): void {
    const path = this.journalPath();
    let end = from;
    if (existsSync(path) && statSync(path).size > from) {
      let at = 0;
      for (const { line: text, ended } of linesOf(path, 'a journal of accepted records')) {
        const start = at;
        at += Buffer.byteLength(text) + (ended ? 1 : 0);
        if (start < from || !ended) continue;
        line(text);
        end = at;
      }
    }
    this.guard(() => {
      this.journalFd = openSync(path, existsSync(path) ? 'r+' : 'w+');
      ftruncateSync(this.journalFd, end);
    });
    this.journalBytes = end;
  }

  private journalPath(): string {
    return join(this.folder, `journal.${this.generation}.jsonl`);
  }

  private removeOthers(): void {
    for (const name of readdirSync(this.folder)) {
      const journal = /^journal\.(\d+)\.jsonl$/.exec(name);
      if (journal !== null && Number(journal[1]) !== this.generation) removeQuietly(join(this.folder, name));
      if (/^state\.json\.\d+\.tmp$/.test(name)) removeQuietly(join(this.folder, name));
    }
  }

  private guard(write: () => void): void {
    try {
      write();
    } catch (e) {
      throw e instanceof PartitionError ? e : unwritable(this.folder, e);
    }
  }
}

/** A rename is on the disk once its folder is. */
function syncFolder(folder: string): void {
  const fd = openSync(folder.length > 0 ? folder : dirname(folder), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
