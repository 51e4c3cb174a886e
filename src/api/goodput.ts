/** Expected time to train with failures, checkpoints, stragglers and spares: `--mtbf`. */
import type { Plan } from '../plan/types.js';
import { goodputOf } from '../simulate/goodput.js';
import type { Goodput, Reliability } from '../simulate/goodput.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { formatPercent, formatSeconds } from '../util/format.js';
import type { ProblemOptions } from './problem.js';
import { clusterOf } from './problem.js';

/** What `--mtbf` states, defaults filled in. */
export interface GoodputRequest extends Reliability {
  readonly steps: number;
}

/** Infinite where nothing fails is told as null. */
export type GoodputFacts = { readonly steps: number } & { readonly [K in keyof Goodput]: number | null };

/** Where nothing is stated: nothing fails but what is stated, a minute a checkpoint, five minutes a restart. */
const DEFAULTS: GoodputRequest = {
  deviceMtbfSec: Infinity,
  hostMtbfSec: Infinity,
  checkpointSec: 60,
  restartSec: 300,
  spareHosts: 0,
  repairSec: 0,
  stragglerShare: 0,
  steps: 100_000,
};

const KEYS: Readonly<Record<string, keyof GoodputRequest>> = {
  device: 'deviceMtbfSec',
  host: 'hostMtbfSec',
  checkpoint: 'checkpointSec',
  restart: 'restartSec',
  repair: 'repairSec',
  spares: 'spareHosts',
  stragglers: 'stragglerShare',
  steps: 'steps',
};
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `device=50000h,checkpoint=90s,spares=2`. @throws PartitionError usage naming the term */
export function parseMtbf(text: string): GoodputRequest {
  const found: Record<string, number> = {};
  for (const term of text.split(',').map((t) => t.trim())) {
    const [name, value = ''] = term.includes('=') ? term.split('=', 2) : ['device', term];
    const key = KEYS[name];
    const match = /^(\d+(?:\.\d+)?)([smhd%]?)$/.exec(value.trim());
    if (key === undefined || match === null) throw badTerm(term);
    const [, amount, unit] = match;
    const isTime = key.endsWith('Sec');
    const isShare = key === 'stragglerShare';
    if (isTime !== unit in UNITS || isShare !== (unit === '%')) throw badTerm(term);
    const number = Number(amount) * (isTime ? UNITS[unit] : isShare ? 0.01 : 1);
    const least = key.endsWith('MtbfSec') || key === 'steps' ? Number.MIN_VALUE : 0;
    if (!(number >= least) || (!isTime && !isShare && !Number.isSafeInteger(number))) throw badTerm(term);
    found[key] = number;
  }
  return { ...DEFAULTS, ...found };
}

function badTerm(term: string): PartitionError {
  return new PartitionError(
    'usage',
    `expected terms such as device=50000h, found ${oneLine(term, 60) || 'nothing'}`,
    '--mtbf',
    'device, host, checkpoint, restart and repair take s, m, h or d; spares and steps whole numbers; stragglers %',
  );
}

/** The plan's job under these failures. */
export function planGoodput(
  plan: Plan,
  request: GoodputRequest,
  options: Pick<ProblemOptions, 'cluster' | 'calibration'>,
): GoodputFacts {
  const { devices } = plan.cluster;
  const cluster = clusterOf({ ...options, devices });
  const hosts = cluster.groups.reduce((sum, group) => sum + group.hosts, 0);
  const job = { devices, hosts, stepTimeSec: plan.prediction.stepTimeSec, steps: request.steps };
  const entries = Object.entries(goodputOf(request, job)).map(
    ([k, v]: [string, number]): [string, number | null] => [k, Number.isFinite(v) ? v : null],
  );
  return { steps: request.steps, ...Object.fromEntries(entries) } as GoodputFacts;
}

/** Two lines for people. */
export function goodputText(f: GoodputFacts): string {
  const days = (sec: number | null): string => (sec === null ? '-' : `${(sec / 86_400).toPrecision(4)} days`);
  return [
    `goodput     ${formatPercent(f.goodput ?? 0)}: ${f.steps} steps in ${days(f.expectedSec)} expected, ${(f.expectedFailures ?? 0).toPrecision(3)} failures, one every ${f.mtbfSec === null ? 'never' : formatSeconds(f.mtbfSec)}`,
    `checkpoint  every ${f.intervalSec === null ? 'never' : formatSeconds(f.intervalSec)} (Young's rule ${f.youngIntervalSec === null ? 'never' : formatSeconds(f.youngIntervalSec)}); waiting for repairs ${formatPercent(f.waitingShare ?? 0)}`,
  ].join('\n');
}
