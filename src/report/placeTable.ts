/** A placement as people read it: what each device carries. */
import { formatBytes, formatPercent, formatTable } from '../util/format.js';

/** The fields of a placement that the table shows. */
export interface PlaceFacts {
  readonly objective: string;
  readonly value: number | null;
  readonly lowerBound: number;
  readonly boundFrom: 'load' | 'path' | 'highs' | 'stages';
  readonly wallSec: number;
  readonly devices: readonly {
    readonly device: string;
    readonly ops: number;
    readonly load: number;
    readonly sizeBytes: number;
    readonly dataDegree: number;
    readonly tensorDegree: number;
  }[];
}

const BOUNDS = {
  load: 'the work of all devices',
  path: 'the longest path',
  highs: "HiGHS's branch and bound",
  stages: 'the search over stages',
} as const;

/** Rows shown; a placement over thousands of devices is for --json. */
const MOST_ROWS = 64;

export function placeTable(facts: PlaceFacts): string {
  const staged = facts.objective === 'time-per-sample';
  const head = staged
    ? ['stage', 'layers', 'replicas', 'tensor', 'time', 'memory']
    : ['device', 'ops', 'load', 'memory'];
  const rows = facts.devices.slice(0, MOST_ROWS).map((row) => {
    const degrees = staged ? [String(row.dataDegree), String(row.tensorDegree)] : [];
    return [row.device, String(row.ops), ...degrees, row.load.toPrecision(6), formatBytes(row.sizeBytes)];
  });
  const more = facts.devices.length - rows.length;
  const value = facts.value ?? Infinity;
  const gap =
    facts.lowerBound > 0 ? ` (within ${formatPercent(value / facts.lowerBound - 1)} of the bound)` : '';
  return [
    formatTable([head, ...rows]),
    ...(more > 0 ? [`${more} more; --json lists them`] : []),
    '',
    `${facts.objective}: ${value.toPrecision(8)}, lower bound ${facts.lowerBound.toPrecision(8)} by ${BOUNDS[facts.boundFrom]}${gap}`,
  ].join('\n');
}
