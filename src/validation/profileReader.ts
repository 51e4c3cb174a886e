/**
 * Events of a Chrome trace (Trace Event Format), one at a time: traces of a training step are hundreds of megabytes, so
 * that neither the text nor the parsed tree is ever held whole. Plain or gzip; `{"traceEvents": [...]}` or a bare list.
 */
import { createReadStream, openSync, closeSync, readSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { PartitionError } from '../util/errors.js';
import { readTextFile } from '../util/files.js';

/** An event larger than this is none. */
const LARGEST_EVENT_BYTES = 16 * 2 ** 20;
/** Text before the events that is kept for `deviceProperties`. */
const LARGEST_HEAD_BYTES = 2 ** 20;
const CHUNK_BYTES = 2 ** 20;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const EVENTS_KEY = 'traceEvents';

export interface TraceHead {
  /** Events of the trace, read or not. */
  readonly events: number;
  /** What stands before the events: device properties, versions. */
  readonly text: string;
}

/**
 * @param onEvent told the text of every event
 * @throws PartitionError input: no trace, cut off, or broken JSON
 */
export async function readTraceEvents(file: string, onEvent: (text: string) => void): Promise<TraceHead> {
  const scanner = new EventScanner(file, onEvent);
  const gzipped = isGzip(file);
  const source = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  const consume = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) scanner.push(chunk);
  };
  try {
    if (gzipped) await pipeline(source, createGunzip({ chunkSize: CHUNK_BYTES }), consume);
    else await pipeline(source, consume);
  } catch (e) {
    if (e instanceof PartitionError) throw e;
    const { code } = e as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') throw scanner.cutOff();
    if (code?.startsWith('Z_') === true)
      throw new PartitionError('input', 'the gzip file is damaged', file, 'copy or record it again');
    throw e;
  }
  return scanner.end();
}

function isGzip(file: string): boolean {
  let fd: number | null = null;
  try {
    fd = openSync(file, 'r');
    const magic = Buffer.alloc(2);
    return readSync(fd, magic, 0, 2, 0) === 2 && magic[0] === 0x1f && magic[1] === 0x8b;
  } catch {
    // The same refusal as for any other file.
    readTextFile(file, 'a profiler trace', 0);
    return false;
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** Finds the list of events and cuts it into objects by counting brackets outside of strings. */
class EventScanner {
  private depth = 0;
  private inString = false;
  private escaped = false;
  /** Depth inside the list of events; -1 before it. */
  private listDepth = -1;
  private done = false;
  private topLevel = 0;
  private events = 0;
  private bytes = 0;
  /** Parts of an event that began in an earlier chunk. */
  private parts: Buffer[] = [];
  private partBytes = 0;
  private collecting = false;
  private lastString = '';
  /** Part of a key that began in an earlier chunk. */
  private stringBegun = '';
  private head = '';

  constructor(
    private readonly file: string,
    private readonly onEvent: (text: string) => void,
  ) {}

  push(chunk: Buffer): void {
    if (this.listDepth < 0 && this.head.length < LARGEST_HEAD_BYTES) this.head += chunk.toString('latin1');
    let start = 0;
    let stringStart = 0;
    for (let i = 0; i < chunk.length; i++) {
      const c = chunk[i];
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (c === BACKSLASH) this.escaped = true;
        else if (c === QUOTE) {
          this.inString = false;
          if (this.depth === 1 && this.listDepth < 0) {
            this.lastString = this.stringBegun + chunk.toString('latin1', stringStart, i);
            this.stringBegun = '';
          }
        }
        continue;
      }
      switch (c) {
        case QUOTE:
          this.inString = true;
          stringStart = i + 1;
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          if (this.depth === 0) this.begin(c);
          else if (
            c === OPEN_BRACKET &&
            this.depth === 1 &&
            this.listDepth < 0 &&
            this.lastString === EVENTS_KEY
          )
            this.listDepth = 2;
          else if (this.depth === this.listDepth && !this.done) {
            if (c !== OPEN_BRACE) throw this.broken();
            this.collecting = true;
            start = i;
          }
          this.depth++;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          this.depth--;
          if (this.depth < 0) throw this.broken();
          if (this.collecting && this.depth === this.listDepth) {
            this.emit(chunk.subarray(start, i + 1));
            this.collecting = false;
          } else if (this.depth === this.listDepth - 1) this.done = true;
          break;
        default:
          if (this.depth === 0 && c > 0x20 && this.bytes + i > 2) throw this.noTrace();
      }
    }
    this.bytes += chunk.length;
    if (this.inString && this.depth === 1 && this.listDepth < 0)
      this.stringBegun += chunk.toString('latin1', stringStart);
    if (this.collecting) this.keep(chunk.subarray(start));
  }

  end(): TraceHead {
    if (this.topLevel === 0) throw this.noTrace();
    // Chrome itself allows a bare list without its closing bracket; a trace that ends inside an event is cut off.
    if (this.depth > 0 || this.inString) throw this.cutOff();
    if (this.listDepth < 0) throw this.noTrace();
    const at = this.head.indexOf(`"${EVENTS_KEY}"`);
    return { events: this.events, text: at < 0 ? '' : this.head.slice(0, at) };
  }

  cutOff(): PartitionError {
    return new PartitionError(
      'input',
      `the trace ends in the middle, after ${this.events} events: it was cut off`,
      this.file,
      'record or copy it again',
    );
  }

  private begin(c: number): void {
    if (this.topLevel > 0) throw this.broken();
    this.topLevel++;
    if (c === OPEN_BRACKET) this.listDepth = 1;
  }

  private emit(last: Buffer): void {
    const whole = this.parts.length === 0 ? last : Buffer.concat([...this.parts, last]);
    this.parts = [];
    this.partBytes = 0;
    this.events++;
    this.onEvent(whole.toString('utf8'));
  }

  /** The chunk's memory is reused by the stream: what is kept is copied. */
  private keep(part: Buffer): void {
    this.partBytes += part.length;
    if (this.partBytes > LARGEST_EVENT_BYTES) throw this.broken();
    this.parts.push(Buffer.from(part));
  }

  private broken(): PartitionError {
    return new PartitionError(
      'input',
      `expected a trace in JSON, its brackets do not match after ${this.events} events`,
      this.file,
      'record or copy it again',
    );
  }

  private noTrace(): PartitionError {
    return new PartitionError(
      'input',
      'expected a profiler trace with "traceEvents", found none',
      this.file,
      'export one with prof.export_chrome_trace',
    );
  }
}
