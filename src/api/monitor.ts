/** Follows a running job and says what changed: sources in, findings, counts and a summary out. */
import { dirname, join } from 'node:path';
import { decodePlan } from '../plan/index.js';
import type { Plan } from '../plan/index.js';
import type { Cluster } from '../cluster/index.js';
import type { Finding } from '../validation/monitor/finding.js';
import { Journal } from '../validation/monitor/journal.js';
import { jobLayout } from '../validation/monitor/layout.js';
import type { JobLayout } from '../validation/monitor/layout.js';
import type { LineFormat } from '../validation/monitor/lines.js';
import { observedOf } from '../validation/monitor/observed.js';
import type { Observed } from '../validation/monitor/observed.js';
import { MonitorSession } from '../validation/monitor/session.js';
import type { TurnedAway } from '../validation/monitor/session.js';
import type { WatchOptions } from '../validation/monitor/watch.js';
import type { MonitorFacts } from '../report/monitorTable.js';
import { PartitionError } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import {
  checkSilence,
  finish,
  openEndpoint,
  openFile,
  readInput,
  save,
  takeFiles,
  takeInput,
  takeScrapes,
} from './monitorSources.js';
import type { Endpoint, FileSource, Input } from './monitorSources.js';
import { plannedCluster } from './plannedCluster.js';
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
export interface MonitorSummary extends MonitorFacts {
  readonly plan: string;
  readonly planDigest: string;
  readonly lines: number;
  readonly restarts: number;
  readonly clockJumps: number;
  readonly pauses: number;
  readonly gaps: number;
  readonly otherLines: number;
  readonly quoted: readonly TurnedAway[];
  readonly findingsPath: string | null;
  readonly observed: Observed;
}

/** Between two looks at sources that had nothing. */
const IDLE_SEC = 0.1;
const SAVE_SEC = 2;
const STATUS_SEC = 0.25;

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
    const grown: number[] = [];
    const tick = (busy: boolean): void => {
      const now = hooks.now();
      if (now - saved >= SAVE_SEC) {
        // What depends on the clock is not found again after a crash: it is saved at once.
        if (!request.once) checkSilence(files, session, now, grown);
        save(session, files);
        saved = hooks.now();
      }
      if (now - shown >= (busy ? 4 * STATUS_SEC : STATUS_SEC)) {
        shown = now;
        hooks.onStatus?.(summary);
      }
    };
    while (!hooks.stopped()) {
      const taken =
        takeFiles(files, session) +
        takeInput(input, session) +
        takeScrapes(request, job.endpoints, session, () => hooks.now());
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
    if (request.once) session.finish();
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
    return plannedCluster(plan, { cluster: place, calibration });
  } catch (e) {
    if (asked || !(e instanceof PartitionError)) throw e;
    return null;
  }
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
    pauses: watch.counts.pauses,
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
