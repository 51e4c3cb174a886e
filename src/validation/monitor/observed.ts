/** What was observed of a job, as numbers to plan with: how fast each host, rank and link is against what was usual. */
import { closeSync, openSync } from 'node:fs';
import { readTextFile, unreadable } from '../../util/files.js';
import { PartitionError } from '../../util/errors.js';
import type { Finding } from './finding.js';
import type { JobLayout } from './layout.js';
import type { LineFormat } from './lines.js';
import { MonitorSession } from './session.js';
import { FileTail } from './tail.js';
import type { SavedState } from './journal.js';
import type { WatchOptions } from './watch.js';

export interface Observed {
  readonly planDigest: string;
  readonly steps: number;
  readonly lastStep: number;
  /** Of the last thousand steps; null before the first. `ratioToPlan`: median over the plan's. */
  readonly stepTime: {
    readonly medianSec: number;
    readonly p10Sec: number;
    readonly p90Sec: number;
    readonly ratioToPlan: number;
  } | null;
  /**
   * Recent speed of every host that reports. `speedRatio`: against the median of the hosts that do equal work, or against
   * its own first steps where fewer than three do; below 1 is slow. `silent`: it has stopped to report.
   */
  readonly hosts: readonly {
    readonly host: number;
    readonly name: string;
    readonly speedRatio: number;
    /** Recent computing time of a step, seconds; null where hosts do not say. */
    readonly computeSec: number | null;
    readonly powerWatt: number | null;
    readonly utilisation: number | null;
    readonly memoryBytes: number | null;
    readonly silent: boolean;
  }[];
  /** Ranks that run at another speed than the others, found by the tests' measure; empty where ranks do not report. */
  readonly ranks: readonly { readonly rank: number; readonly speedRatio: number }[];
  /** Recent bandwidth of every link level that is reported, over that of the first steps. */
  readonly levels: readonly {
    readonly level: string | null;
    readonly bandwidthRatio: number;
    readonly timeSec: number;
  }[];
  readonly findings: readonly Finding[];
}

/** A log that was read whole, with what of it was turned away. */
export interface ObservedLog extends Observed {
  /** Lines that are no usable records, by fault. */
  readonly faults: Readonly<Record<string, number>>;
  /** Hosts that are none of the plan's. */
  readonly strangers: readonly string[];
}

/** Fewer equal hosts have no typical one. */
const FEWEST_PEERS = 3;

/** What a session has seen so far. */
export function observedOf({ watch, names, layout, recent }: MonitorSession): Observed {
  const { times, telemetry } = watch;
  const { hostTimes, rankTimes, usualLevel, recentLevel } = watch.tests;
  const known = Array.from({ length: layout.hosts }, (_, h) => h).filter((h) => watch.hostReports(h));
  const typical = typicalLogs(layout, known, (h) => hostTimes.recentLog(h));
  return {
    planDigest: layout.planDigest,
    steps: times.count,
    lastStep: times.lastStep,
    stepTime:
      times.count === 0
        ? null
        : {
            medianSec: times.median(),
            p10Sec: times.quantile(0.1),
            p90Sec: times.quantile(0.9),
            ratioToPlan: times.median() / layout.prediction.stepTimeSec,
          },
    hosts: known.map((host) => {
      const peers = typical.get(layout.stageOfHost[host]);
      const slow = peers === undefined ? hostTimes.recentChange(host) : hostTimes.recentLog(host) - peers;
      return {
        host,
        name: names.nameOf(host),
        speedRatio: Math.exp(-slow),
        computeSec: watch.tests.hasCompute ? Math.exp(hostTimes.recentLog(host)) : null,
        powerWatt: finiteOrNull(telemetry.watt[host]),
        utilisation: finiteOrNull(telemetry.utilisation[host]),
        memoryBytes: telemetry.memoryBytes[host] || null,
        silent: watch.isSilent(host),
      };
    }),
    ranks:
      rankTimes === null
        ? []
        : Array.from({ length: layout.devices }, (_, rank) => rank)
            .filter((rank) => rankTimes.isKnown(rank))
            .map((rank) => ({ rank, speedRatio: Math.exp(-rankTimes.recentChange(rank)) })),
    levels: watch.levels.flatMap((level, i) =>
      Number.isNaN(usualLevel[i])
        ? []
        : [
            {
              level: level || null,
              bandwidthRatio: Math.exp(usualLevel[i] - recentLevel[i]),
              timeSec: Math.exp(recentLevel[i]),
            },
          ],
    ),
    findings: recent,
  };
}

/** Median log of the hosts of each pipeline rank that has enough of them. */
function typicalLogs(
  { stageOfHost }: JobLayout,
  hosts: readonly number[],
  logOf: (host: number) => number,
): Map<number, number> {
  const byStage = new Map<number, number[]>();
  for (const host of hosts) {
    const peers = byStage.get(stageOfHost[host]) ?? [];
    byStage.set(stageOfHost[host], peers);
    peers.push(logOf(host));
  }
  return new Map(
    [...byStage]
      .filter(([, logs]) => logs.length >= FEWEST_PEERS)
      .map(([stage, logs]) => {
        const sorted = logs.sort((a, b) => a - b);
        return [stage, (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2];
      }),
  );
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/**
 * Reads a whole log, or the state.json that a monitor left.
 *
 * @param path of a log in any format that the monitor reads, or of a state
 * @throws PartitionError input when it cannot be read, is of another plan, or holds no record
 */
export function readObserved(
  path: string,
  layout: JobLayout,
  format: LineFormat = 'auto',
  options?: WatchOptions,
): ObservedLog {
  const session = new MonitorSession(layout, format, null, () => undefined, options);
  if (/(^|\/)state\.json$/.test(path)) {
    const state = readState(path);
    if (state.planDigest !== layout.planDigest)
      throw new PartitionError(
        'input',
        `expected plan ${layout.planDigest.slice(0, 12)}, found ${String(state.planDigest).slice(0, 12)}`,
        path,
        'the job ran another plan',
      );
    session.restoreBody(state.body);
  } else readWhole(session, path);
  if (session.watch.counts.accepted === 0)
    throw new PartitionError(
      'input',
      `expected records of a job, found none in ${session.lines} lines`,
      path,
      'see monitor-record.schema.json for the fields',
    );
  session.finish();
  return { ...observedOf(session), faults: { ...session.faults }, strangers: [...session.names.strangers] };
}

function readState(path: string): SavedState {
  const expected = 'the state of a monitor';
  const text = readTextFile(path, expected, 2 ** 30);
  try {
    return JSON.parse(text) as SavedState;
  } catch (e) {
    throw new PartitionError('input', `expected ${expected}, ${(e as Error).message}`, path);
  }
}

function readWhole(session: MonitorSession, path: string): void {
  // A log that is named must be there; only a monitor waits for one.
  try {
    closeSync(openSync(path, 'r'));
  } catch (e) {
    throw unreadable(path, 'a log', e);
  }
  const tail = new FileTail(path);
  for (;;) {
    const text = tail.peek() ?? tail.peekUnended();
    if (text === null) break;
    session.line(text, path, tail.lineNumber);
    tail.take();
  }
  tail.close();
}
