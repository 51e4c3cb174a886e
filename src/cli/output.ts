/** Where a command's words go: results to stdout, progress and warnings to stderr. */
import { writeSync } from 'node:fs';
import { PartitionError, oneLine } from '../util/errors.js';
import { shellLine } from '../util/shell.js';

/** The command line of this process, ready for a shell. */
export function commandLine(): string {
  return shellLine(['partition', ...process.argv.slice(2)]);
}

/** Writes all of the text even to a pipe that is read slowly, before the process may exit. */
export function print(text: string): void {
  try {
    writeAll(1, text.endsWith('\n') ? text : `${text}\n`);
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code ?? String(e);
    throw new PartitionError('usage', `cannot write (${code})`, 'standard output', 'send it somewhere else');
  }
}

export function printError(text: string): void {
  try {
    writeAll(2, `${text}\n`);
  } catch {
    // Nobody can be told that nobody can be told.
  }
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Pause before a full pipe is tried again. */
const RETRY_MS = 2;

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (e) {
      const code = (e as NodeJS.ErrnoException).code;
      // The reader has seen enough (`| head`): that is no fault.
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw e;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/** Warnings, each on its line, the first few; names from files are made safe for a terminal. */
export function printWarnings(warnings: readonly string[], limit = 8): void {
  for (const w of warnings.slice(0, limit)) printError(`warning: ${oneLine(w, 300)}`);
  if (warnings.length > limit) printError(`warning: ${warnings.length - limit} more; --json lists them`);
}

/** Below this share of the work nothing is foretold from it. */
const TELLING_SHARE = 0.02;

/** Seconds that are left, at the pace so far or until the time that was given is over; null where nobody knows. */
export function remainingSec(elapsedSec: number, share: number | null, expectedSec: number): number | null {
  if (share !== null && share > TELLING_SHARE) return (elapsedSec * (1 - Math.min(1, share))) / share;
  return Number.isFinite(expectedSec) && expectedSec >= elapsedSec ? expectedSec - elapsedSec : null;
}

/** No status is shown of a command that is done within this time. */
const QUIET_SEC = 1;
/** Between two lines of a log; a terminal's one line is redrawn more often. */
const LOG_SEC = 2;
const REDRAW_MS = 250;

/**
 * What a long command is doing, on stderr, once it has run for a second: one line that is redrawn on a terminal, else a
 * new line when there is news, every two seconds at most.
 */
export class Progress {
  private readonly started = performance.now();
  private readonly live = process.stderr.isTTY;
  private readonly timer: NodeJS.Timeout | null;
  private status = '';
  /** Share of the work that is done; null where nobody knows. */
  private share: number | null = null;
  private logged = '';
  private loggedSec = -LOG_SEC;
  private shown = false;

  /** @param expectedSec what the work may take, where that is known beforehand */
  constructor(
    quiet: boolean,
    private readonly expectedSec = Infinity,
  ) {
    this.timer = quiet ? null : setInterval(() => this.show(), REDRAW_MS).unref();
  }

  /** @param share of the work that is done, 0 to 1 */
  update(status: string, share?: number): void {
    this.status = status;
    this.share = share ?? null;
  }

  /** For work that leaves timers no turn: shows the status at once when it is due. */
  updateNow(status: string): void {
    this.status = status;
    if (this.timer !== null) this.show();
  }

  /** Takes the status line away. */
  done(): void {
    if (this.timer !== null) clearInterval(this.timer);
    if (this.shown && this.live) writeAll(2, '\r\u001b[K');
    this.shown = false;
  }

  private show(): void {
    const sec = (performance.now() - this.started) / 1000;
    if (sec < QUIET_SEC || this.status === '') return;
    const left = remainingSec(sec, this.share, this.expectedSec);
    const time =
      left === null ? `${sec.toFixed(0)} s` : `${sec.toFixed(0)} s, about ${left.toFixed(0)} s left`;
    const line = oneLine(`${this.status} (${time})`, 160);
    if (this.live) writeAll(2, `\r\u001b[K${line}`);
    else if (this.status !== this.logged && sec >= this.loggedSec + LOG_SEC) {
      printError(line);
      this.logged = this.status;
      this.loggedSec = sec;
    }
    this.shown = true;
  }
}
