/** Follows a running job and says what changed: sources in, findings, counts and a summary out. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { decodePlan } from '../plan/index.js';
import type { Plan } from '../plan/index.js';
import type { Cluster } from '../cluster/index.js';
import { fetchExposition } from '../validation/monitor/endpoint.js';
import { readExposition } from '../validation/monitor/exposition.js';
import type { Finding } from '../validation/monitor/finding.js';
import { Journal } from '../validation/monitor/journal.js';
import { jobLayout } from '../validation/monitor/layout.js';
import type { JobLayout } from '../validation/monitor/layout.js';
import type { LineFormat } from '../validation/monitor/lines.js';
import { observedOf } from '../validation/monitor/observed.js';
import type { Observed } from '../validation/monitor/observed.js';
import { MonitorSession } from '../validation/monitor/session.js';
import type { TurnedAway } from '../validation/monitor/session.js';
import { FileTail } from '../validation/monitor/tail.js';
import type { WatchOptions } from '../validation/monitor/watch.js';
import { PartitionError } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import { clusterOf } from './problem.js';
import { readRun } from './runFile.js';

export type { Finding, Observed };
export { LINE_FORMATS } from '../validation/monitor/lines.js';
export { WATCH_DEFAULTS } from '../validation/monitor/watch.js';
export type { LineFormat };

export interface MonitorRequest {
  readonly planPath: string;
  /** Paths of logs, `-` for standard input, http addresses of Prometheus endpoints. */
  readonly sources: readonly string[];
  readonly format: LineFormat;
  /** Where the job runs; default: as run.json beside the plan says, else the preset of the plan's cluster name. */
  readonly cluster?: string | undefined;
  /** Folder of the state; null: nothing outlives the process. Default: `monitor` beside the plan. */
  readonly state?: string | null | undefined;
  /** Ends where the sources end now. */
  readonly once: boolean;
  /** Seconds between two readings of an endpoint, and how long one may take. */
  readonly intervalSec: number;
  readonly timeoutSec: number;
  readonly watch: WatchOptions;
}

export interface MonitorHooks {
  /** Monotonic seconds. */
  now(): number;
  sleep(seconds: number): Promise<void>;
  /** Whether to end, with everything saved. */
  stopped(): boolean;
  /** Standard input in pieces. */
  input?: AsyncIterable<Uint8Array> | undefined;
  onFinding?(finding: Finding): void;
  /** Called several times a second. */
  onStatus?(status: () => MonitorSummary): void;
}

/** What `partition monitor --json` prints; monitor.schema.json publishes it. */
export interface MonitorSummary {
  readonly plan: string;
  readonly planDigest: string;
  readonly sources: readonly {
    readonly source: string;
    readonly lines: number;
    readonly fault: string | null;
  }[];
  /** True when an earlier run's state was taken up. */
  readonly resumed: boolean;
  readonly lines: number;
  readonly accepted: number;
  readonly late: number;
  readonly twice: number;
  readonly restarts: number;
  readonly clockJumps: number;
  readonly gaps: number;
  readonly otherLines: number;
  readonly turnedAway: number;
  readonly faults: readonly { readonly fault: string; readonly count: number }[];
  readonly quoted: readonly TurnedAway[];
  readonly unknownHosts: readonly string[];
  /** Steps between false alarms, of all tests together, and how many tests there are. */
  readonly falseAlarmSteps: number;
  readonly tests: number;
  readonly predicted: {
    readonly stepTimeSec: number;
    readonly tokensPerSec: number;
    readonly powerWatt: number;
  };
  readonly tokensPerSec: number | null;
  readonly powerWatt: number | null;
  readonly energyJoulesPerStep: number | null;
  readonly findingsPath: string | null;
  readonly findingCount: number;
  readonly observed: Observed;
}

/** Lines that are read before others get a turn. */
const LINES_A_TURN = 5000;
/** Between two looks at sources that had nothing. */
const IDLE_SEC = 0.1;
const SAVE_SEC = 2;
const STATUS_SEC = 0.25;

interface FileSource {
  readonly name: string;
  readonly tail: FileTail;
  /** Step of its last record: the source that is behind is read first. */
  step: number;
  lines: number;
  /** Overlong lines that were told. */
  overlong: number;
}

interface Endpoint {
  readonly url: string;
  readonly host: string;
  due: number;
  readings: number;
  fault: string | null;
  /** What has come and was not taken yet. */
  arrived: string | null;
  busy: boolean;
}

/**
 * Monitors until the sources end, or until it is told to stop.
 *
 * @throws PartitionError usage for sources that are none; input for a plan, log or state that does not belong
 */
export async function monitorJob(request: MonitorRequest, hooks: MonitorHooks): Promise<MonitorSummary> {
  const job = openJob(request, (finding) => hooks.onFinding?.(finding));
  const { session } = job;
  try {
    session.open();
    const files = job.paths.map((path) => openFile(path, session, request.once));
    const input = hooks.input === undefined ? null : readInput(hooks.input);
    const summary = (): MonitorSummary =>
      summaryOf(request, session, files, job.endpoints, input, job.journal);
    let saved = hooks.now();
    let shown = -Infinity;
    const tick = (busy: boolean): void => {
      const now = hooks.now();
      if (now - saved >= SAVE_SEC) {
        save(session, files);
        saved = hooks.now();
      }
      if (now - shown >= (busy ? 4 * STATUS_SEC : STATUS_SEC)) {
        shown = now;
        hooks.onStatus?.(summary);
      }
    };
    while (!hooks.stopped()) {
      const taken = takeFiles(files, session) + takeInput(input, session) + takeScrapes(request, job, hooks);
      tick(taken > 0);
      if (taken > 0) {
        await hooks.sleep(0);
        continue;
      }
      if (isOver(request, job.endpoints, input)) break;
      await hooks.sleep(IDLE_SEC);
    }
    if (request.once && !hooks.stopped()) finish(session, files);
    save(session, files);
    files.forEach(({ tail }) => tail.close());
    if (request.once) session.watch.finish();
    return summary();
  } finally {
    job.journal?.close();
  }
}

interface Job {
  readonly session: MonitorSession;
  readonly journal: Journal | null;
  readonly paths: readonly string[];
  readonly endpoints: readonly Endpoint[];
}

function openJob(request: MonitorRequest, tell: (finding: Finding) => void): Job {
  const { layout } = layoutOfPlan(request.planPath, request.cluster);
  const addresses = request.sources.filter((source) => /^https?:/i.test(source));
  const endpoints = addresses.map((url) => openEndpoint(url));
  const paths = request.sources.filter((source) => source !== '-' && !addresses.includes(source));
  const state = request.state === undefined ? join(dirname(request.planPath), 'monitor') : request.state;
  const journal = state === null ? null : new Journal(state, layout.planDigest);
  const session = new MonitorSession(layout, request.format, journal, tell, request.watch);
  return { session, journal, paths, endpoints };
}

/** A plan with the hosts and links that it runs on. */
export function layoutOfPlan(planPath: string, cluster?: string): { plan: Plan; layout: JobLayout } {
  const plan = decodePlan(readTextFile(planPath, 'a plan in JSON'), planPath);
  const run = readRun(planPath);
  const place = cluster ?? run.cluster ?? plan.cluster.name;
  const calibration = run.calibration;
  return { plan, layout: jobLayout(plan, placeOf(place, plan, calibration, cluster !== undefined)) };
}

/** Null where the plan names a cluster that is no preset: hosts are then taken to have eight devices. */
function placeOf(place: string, plan: Plan, calibration: string | undefined, asked: boolean): Cluster | null {
  try {
    return clusterOf({ cluster: place, calibration, devices: plan.cluster.devices });
  } catch (e) {
    if (asked || !(e instanceof PartitionError)) throw e;
    return null;
  }
}

function openFile(path: string, session: MonitorSession, once: boolean): FileSource {
  const position = session.positions[path] ?? null;
  // Only who follows waits for a log that is not there yet.
  if (once && !existsSync(path)) throw new PartitionError('input', 'no such file', path, 'check the path');
  return { name: path, tail: new FileTail(path, position), step: -1, lines: 0, overlong: 0 };
}

function openEndpoint(url: string): Endpoint {
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
  return { url, host, due: -Infinity, readings: 0, fault: null, arrived: null, busy: false };
}

/** Lines of all files, the file that is furthest behind first, so that steps come together. */
function takeFiles(files: readonly FileSource[], session: MonitorSession): number {
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
  if (step >= 0) file.step = step;
  file.tail.take();
  file.lines++;
}

/** The end of a log that nobody writes any more. A line that is only half there is left, for whoever goes on. */
function finish(session: MonitorSession, files: readonly FileSource[]): void {
  for (const file of files) {
    const text = file.tail.peekUnended();
    if (text === null) continue;
    if (session.isWhole(text)) takeLine(file, text, session);
    else session.turnAway('half written', `${file.name}:${file.tail.lineNumber}`, text);
  }
}

function save(session: MonitorSession, files: readonly FileSource[]): void {
  for (const { name, tail } of files) session.positions[name] = tail.position();
  session.save();
}

interface Input {
  readonly pieces: Buffer[];
  /** A line whose end has not come. */
  rest: Buffer;
  lines: number;
  ended: boolean;
}

/** Bytes that wait to be taken, at most: a writer that is faster has to wait. */
const WAITING_PIECES = 64;

function readInput(source: AsyncIterable<Uint8Array>): Input {
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

function takeInput(input: Input | null, session: MonitorSession): number {
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

/** Starts readings that are due, and takes those that have come. */
function takeScrapes(request: MonitorRequest, { session, endpoints }: Job, hooks: MonitorHooks): number {
  let taken = 0;
  for (const endpoint of endpoints) {
    if (endpoint.arrived !== null) {
      const { samples, rejected } = readExposition(endpoint.arrived, endpoint.host);
      endpoint.arrived = null;
      for (let i = 0; i < rejected; i++) session.turnAway('out of range', endpoint.url, 'a counter');
      endpoint.fault = samples.length === 0 ? 'names no device that we know the counters of' : null;
      endpoint.readings += samples.length;
      session.acceptLines(
        samples.map((sample) => JSON.stringify(sample)),
        endpoint.url,
        endpoint.readings,
      );
      taken += samples.length;
    }
    const again = !request.once || endpoint.due === -Infinity;
    if (endpoint.busy || !again || hooks.now() < endpoint.due) continue;
    endpoint.due = hooks.now() + request.intervalSec;
    endpoint.busy = true;
    void fetchExposition(endpoint.url, { timeoutSec: request.timeoutSec }).then((answer) => {
      endpoint.busy = false;
      if ('text' in answer) endpoint.arrived = answer.text;
      else endpoint.fault = answer.fault;
    });
  }
  return taken;
}

function isOver(
  { once, sources }: MonitorRequest,
  endpoints: readonly Endpoint[],
  input: Input | null,
): boolean {
  if (endpoints.some((e) => e.busy || e.arrived !== null)) return false;
  const inputOver = input === null || (input.ended && input.pieces.length === 0);
  // A pipe that has ended is all there was to hear.
  return inputOver && (once || sources.every((source) => source === '-'));
}

function summaryOf(
  request: MonitorRequest,
  session: MonitorSession,
  files: readonly FileSource[],
  endpoints: readonly Endpoint[],
  input: Input | null,
  journal: Journal | null,
): MonitorSummary {
  const { watch, layout } = session;
  const observed = observedOf(session);
  const stepSec = observed.stepTime?.medianSec ?? null;
  const { prediction } = layout;
  const watt = watch.telemetry.totalWatt();
  return {
    plan: request.planPath,
    planDigest: layout.planDigest,
    sources: [
      ...files.map(({ name, lines }) => ({ source: name, lines, fault: null })),
      ...(input === null ? [] : [{ source: '-', lines: input.lines, fault: null }]),
      ...endpoints.map(({ url, readings, fault }) => ({ source: url, lines: readings, fault })),
    ],
    resumed: session.resumed,
    lines: session.lines,
    accepted: watch.counts.accepted,
    late: watch.counts.late,
    twice: watch.counts.twice,
    restarts: watch.counts.restarts,
    clockJumps: watch.counts.clockJumps,
    gaps: files.reduce((sum, { tail }) => sum + tail.gaps, 0),
    otherLines: session.others,
    turnedAway: Object.values(session.faults).reduce((a, b) => a + b, 0),
    faults: Object.entries(session.faults).map(([fault, count]) => ({ fault, count })),
    quoted: session.quoted,
    unknownHosts: [...session.names.strangers],
    falseAlarmSteps: request.watch.falseAlarmSteps,
    tests: watch.tests.tests,
    predicted: {
      stepTimeSec: prediction.stepTimeSec,
      tokensPerSec: prediction.tokensPerSec,
      powerWatt: prediction.energyJoulesPerStep / prediction.stepTimeSec,
    },
    tokensPerSec: stepSec === null ? null : prediction.tokensPerStep / stepSec,
    powerWatt: watt,
    energyJoulesPerStep: watt === null || stepSec === null ? null : watt * stepSec,
    findingsPath: journal?.findingsPath ?? null,
    findingCount: watch.incidents.count,
    observed,
  };
}
