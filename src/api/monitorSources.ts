/** Where a monitor's records come from: files that are followed, a pipe, Prometheus endpoints. */
import { existsSync } from 'node:fs';
import { PartitionError, oneLine } from '../util/errors.js';
import { formatSeconds } from '../util/format.js';
import { fetchExposition } from '../validation/monitor/endpoint.js';
import { readExposition } from '../validation/monitor/exposition.js';
import type { MonitorSession } from '../validation/monitor/session.js';
import { FileTail } from '../validation/monitor/tail.js';

/** Lines that are read before others get a turn. */
const LINES_A_TURN = 5000;
export interface FileSource {
  readonly name: string;
  readonly tail: FileTail;
  /** Step of its last record: the source that is behind is read first. */
  step: number;
  lines: number;
  /** Overlong lines that were told. */
  overlong: number;
  readonly silence: Silence;
}

/** When a source gave something, and what is usual of it. */
export interface Silence {
  lastSec: number;
  /** Steps between its last two records. */
  stride: number;
  isTold: boolean;
}

export interface Endpoint {
  readonly url: string;
  readonly host: string;
  due: number;
  readings: number;
  fault: string | null;
  /** What has come and was not taken yet. */
  arrived: Awaited<ReturnType<typeof fetchExposition>> | null;
  busy: boolean;
  /** Readings in a row that gave nothing. */
  failures: number;
  isTold: boolean;
}

export function openFile(path: string, session: MonitorSession, once: boolean): FileSource {
  const position = session.positions[path] ?? null;
  // Only who follows waits for a log that is not there yet.
  if (once && !existsSync(path)) throw new PartitionError('input', 'no such file', path, 'check the path');
  const silence = { lastSec: NaN, stride: 1, isTold: false };
  return { name: path, tail: new FileTail(path, position), step: -1, lines: 0, overlong: 0, silence };
}

export function openEndpoint(url: string): Endpoint {
  let host: string;
  try {
    host = new URL(url).hostname;
  } catch {
    throw new PartitionError(
      'usage',
      `expected an address, found ${url}`,
      '--source',
      'for example http://localhost:9400/metrics',
    );
  }
  return {
    url,
    host,
    due: -Infinity,
    readings: 0,
    fault: null,
    arrived: null,
    busy: false,
    failures: 0,
    isTold: false,
  };
}

/** Lines of all files, the file that is furthest behind first, so that steps come together. */
export function takeFiles(files: readonly FileSource[], session: MonitorSession): number {
  let taken = 0;
  while (taken < LINES_A_TURN) {
    let next: FileSource | null = null;
    let text = '';
    for (const file of files) {
      if (next !== null && file.step >= next.step) continue;
      const line = file.tail.peek();
      if (line === null) continue;
      next = file;
      text = line;
    }
    if (next === null) break;
    takeLine(next, text, session);
    taken++;
  }
  for (const file of files)
    for (; file.overlong < file.tail.overlong; file.overlong++)
      session.turnAway('too long', `${file.name}:${file.tail.lineNumber - 1}`, '');
  return taken;
}

function takeLine(file: FileSource, text: string, session: MonitorSession): void {
  const step = session.line(text, file.name, file.tail.lineNumber);
  // A file whose job went back is behind again.
  if (step >= 0) {
    if (step > file.step && file.step >= 0) file.silence.stride = step - file.step;
    file.step = step;
  }
  file.tail.take();
  file.lines++;
}

/** The end of a log that nobody writes any more. A line that is only half there is left, for whoever goes on. */
export function finish(session: MonitorSession, files: readonly FileSource[]): void {
  for (const file of files) {
    const text = file.tail.peekUnended();
    if (text === null) continue;
    if (session.isWhole(text)) takeLine(file, text, session);
    else session.turnAway('half written', `${file.name}:${file.tail.lineNumber}`, text);
  }
}

export function save(session: MonitorSession, files: readonly FileSource[]): void {
  for (const { name, tail } of files) session.positions[name] = tail.position();
  session.save();
}

export interface Input {
  readonly pieces: Buffer[];
  /** A line whose end has not come. */
  rest: Buffer;
  lines: number;
  ended: boolean;
}

/** Bytes that wait to be taken, at most: a writer that is faster has to wait. */
const WAITING_PIECES = 64;

export function readInput(source: AsyncIterable<Uint8Array>): Input {
  const input: Input = { pieces: [], rest: Buffer.alloc(0), lines: 0, ended: false };
  void (async () => {
    try {
      for await (const piece of source) {
        input.pieces.push(Buffer.from(piece));
        while (input.pieces.length >= WAITING_PIECES) await new Promise((resolve) => setImmediate(resolve));
      }
    } catch {
      // A pipe that breaks has ended.
    }
    input.ended = true;
  })();
  return input;
}

const LONGEST_LINE_BYTES = 1 << 16;

export function takeInput(input: Input | null, session: MonitorSession): number {
  if (input === null) return 0;
  const bytes = Buffer.concat([input.rest, ...input.pieces.splice(0)]);
  const to = input.ended ? bytes.length : bytes.lastIndexOf(10) + 1;
  input.rest = bytes.subarray(to);
  if (input.rest.length > LONGEST_LINE_BYTES) {
    session.turnAway('too long', 'standard input', input.rest.toString('utf8', 0, 100));
    input.rest = Buffer.alloc(0);
  }
  if (to === 0) return 0;
  const lines = bytes.toString('utf8', 0, to).split('\n');
  if (lines.at(-1) === '') lines.pop();
  session.acceptLines(lines, 'standard input', input.lines + 1);
  input.lines += lines.length;
  return lines.length;
}

/** When endpoints are read. */
export interface ScrapeOptions {
  readonly once: boolean;
  readonly intervalSec: number;
  readonly timeoutSec: number;
}

/** Starts readings that are due, and takes those that have come. */
export function takeScrapes(
  request: ScrapeOptions,
  endpoints: readonly Endpoint[],
  session: MonitorSession,
  now: () => number,
): number {
  let taken = 0;
  for (const endpoint of endpoints) {
    const answer = endpoint.arrived;
    endpoint.arrived = null;
    if (answer !== null && 'fault' in answer) noteReading(endpoint, answer.fault, session);
    else if (answer !== null) taken += takeAnswer(endpoint, answer.text, session);
    const again = !request.once || endpoint.due === -Infinity;
    if (endpoint.busy || !again || now() < endpoint.due) continue;
    endpoint.due = now() + request.intervalSec;
    endpoint.busy = true;
    void fetchExposition(endpoint.url, { timeoutSec: request.timeoutSec }).then((arrived) => {
      endpoint.busy = false;
      endpoint.arrived = arrived;
    });
  }
  return taken;
}

function takeAnswer(endpoint: Endpoint, text: string, session: MonitorSession): number {
  const { samples, rejected, fault } = readExposition(text, endpoint.host);
  for (const { fault: of, text: value } of rejected) session.turnAway(of, endpoint.url, value);
  endpoint.readings += samples.length;
  session.acceptLines(
    samples.map((sample) => JSON.stringify(sample)),
    endpoint.url,
    endpoint.readings,
  );
  noteReading(endpoint, fault, session);
  return samples.length;
}

/** One failure is nothing; so many in a row are told. */
const FAILED_READINGS = 3;

function noteReading(endpoint: Endpoint, fault: string | null, session: MonitorSession): void {
  endpoint.fault = fault;
  endpoint.failures = fault === null ? 0 : endpoint.failures + 1;
  const place = { scope: 'source', source: endpoint.url, what: 'reports' } as const;
  if (fault === null && endpoint.isTold) session.report({ kind: 'back', ...place });
  else if (endpoint.failures === FAILED_READINGS)
    session.report({
      kind: 'silent',
      ...place,
      message: `${oneLine(endpoint.url, 120)} gave nothing ${FAILED_READINGS} times in a row: ${fault}`,
    });
  endpoint.isTold = endpoint.failures >= FAILED_READINGS;
}

/** A log is missed after so many of the intervals at which it usually grows, but not before so many seconds. */
const MISSED_INTERVALS = 10;
const LEAST_SILENCE_SEC = 60;

/**
 * Tells logs that have stopped to grow, and those that grow again.
 *
 * @param nowSec monotonic
 * @param before lines of every file at the last call; filled by this one
 */
export function checkSilence(
  files: readonly FileSource[],
  session: MonitorSession,
  nowSec: number,
  before: number[],
): void {
  files.forEach((file, i) => {
    const { silence } = file;
    const place = { scope: 'source', source: file.name, what: 'reports' } as const;
    if (file.lines !== before[i] || Number.isNaN(silence.lastSec)) {
      if (silence.isTold) session.report({ kind: 'back', ...place });
      silence.isTold = false;
      silence.lastSec = nowSec;
      before[i] = file.lines;
      return;
    }
    const usualSec = (session.watch.usualStepSec || 0) * silence.stride;
    const quietSec = nowSec - silence.lastSec;
    if (silence.isTold || quietSec < Math.max(LEAST_SILENCE_SEC, MISSED_INTERVALS * usualSec)) return;
    silence.isTold = true;
    const message = `${oneLine(file.name, 120)} has not grown for ${formatSeconds(quietSec)}`;
    session.report({ kind: 'silent', ...place, message });
  });
}
