/** One observation of a running job, and the checks it passes before it counts. */
import type { HostNames, JobLayout } from './layout.js';

/** As it stands in a log; monitor-record.schema.json publishes it. */
export interface MonitorRecord {
  /** Number of the optimizer step; absent in samples of device counters. */
  readonly step?: number;
  /** Seconds since 1970. */
  readonly timeSec?: number;
  readonly rank?: number;
  readonly host?: string;
  readonly stepTimeSec?: number;
  readonly computeSec?: number;
  readonly communicationSec?: number;
  /** By link level: time in collectives whose widest level it is. */
  readonly levels?: Readonly<Record<string, number>>;
  readonly tokens?: number;
  /** 0 to 1. */
  readonly utilisation?: number;
  readonly powerWatt?: number;
  readonly memoryBytes?: number;
}

/** First line of a log, or first line after a restart of the job. */
export interface MonitorHeader {
  readonly planDigest?: string;
  readonly hosts?: readonly string[];
}

/** Why a line does not count. */
export type Fault =
  | 'not JSON'
  | 'no record'
  | 'too long'
  | 'half written'
  | 'step'
  | 'rank'
  | 'unknown host'
  | 'negative'
  | 'not a number'
  | 'out of range'
  | 'nothing measured';

/** Who says it: -1 for the whole job's unit numbers. */
export interface Checked {
  /** -1: not of one rank. */
  rank: number;
  /** -1: of the whole job. */
  host: number;
}

const LONGEST_STEP_SEC = 86_400 * 7;
/** Per field, the largest value that can be true. */
const MOST: Readonly<Record<string, number>> = {
  timeSec: 1e11,
  stepTimeSec: LONGEST_STEP_SEC,
  computeSec: LONGEST_STEP_SEC,
  communicationSec: LONGEST_STEP_SEC,
  tokens: 2 ** 53,
  utilisation: 1,
  powerWatt: 1e7,
  memoryBytes: 2 ** 50,
};
const FIELDS = Object.keys(MOST) as (keyof MonitorRecord)[];
/** A duration or rate of 0 says that nothing was measured. */
const ABOVE_ZERO = new Set(['stepTimeSec', 'computeSec', 'communicationSec']);

/**
 * Checks a record.
 *
 * @param checked takes the rank and host
 * @returns null when it counts
 */
export function faultOf(
  record: MonitorRecord,
  layout: JobLayout,
  names: HostNames,
  checked: Checked,
): Fault | null {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return 'no record';
  const { step, rank, host, levels } = record;
  if (step !== undefined && !(Number.isSafeInteger(step) && step >= 0)) return 'step';
  checked.rank = -1;
  checked.host = -1;
  if (rank !== undefined) {
    if (!Number.isSafeInteger(rank) || rank < 0 || rank >= layout.devices) return 'rank';
    checked.rank = rank;
    checked.host = layout.hostOfRank[rank];
  } else if (host !== undefined) {
    if (typeof host !== 'string' || host === '') return 'unknown host';
    checked.host = names.numberOf(host);
    if (checked.host < 0) return 'unknown host';
  }
  let measured = 0;
  for (let i = 0; i < FIELDS.length; i++) {
    const field = FIELDS[i];
    const value = record[field] as unknown;
    if (value === undefined || value === null) continue;
    const fault = numberFault(value, MOST[field], ABOVE_ZERO.has(field));
    if (fault !== null) return fault;
    if (field !== 'timeSec') measured++;
  }
  if (levels !== undefined) {
    if (typeof levels !== 'object' || levels === null || Array.isArray(levels)) return 'not a number';
    for (const name in levels) {
      const fault = numberFault(levels[name], LONGEST_STEP_SEC, false);
      if (fault !== null) return fault;
      measured++;
    }
  }
  if (measured === 0 && !(step !== undefined && record.timeSec !== undefined)) return 'nothing measured';
  return null;
}

function numberFault(value: unknown, most: number, aboveZero: boolean): Fault | null {
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'not a number';
  if (value < 0) return 'negative';
  if (value > most || (aboveZero && value === 0)) return 'out of range';
  return null;
}
