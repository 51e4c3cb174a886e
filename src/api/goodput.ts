/** Expected time to train with failures, checkpoints, stragglers and spares: `--mtbf`. */
import type { Plan } from '../plan/types.js';
import { goodputOf } from '../simulate/goodput.js';
import type { JobSize, Reliability } from '../simulate/goodput.js';
import type { GoodputFacts } from '../report/goodputTable.js';
import { PartitionError, oneLine } from '../util/errors.js';
import type { ProblemOptions } from './problem.js';
import { clusterOf } from './problem.js';

/** What `--mtbf` states, defaults filled in. */
export interface GoodputRequest extends Reliability {
  readonly steps: number;
}

/** Where nothing is stated: nothing fails but what is stated, a minute a checkpoint, five minutes a restart. */
const DEFAULTS: GoodputRequest = {
  deviceMtbfSec: Infinity,
  hostMtbfSec: Infinity,
  checkpointSec: 60,
  restartSec: 300,
  spareHosts: 0,
  repairSec: 0,
  stragglerShare: 0,
  failureShape: 1,
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
  shape: 'failureShape',
  steps: 'steps',
};
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const MOST_SPARES = 1e6;
/** Weibull shapes beyond these are of no failures that anyone has seen. */
const SHAPES = { least: 0.2, most: 10 };

/** What a term's number counts. */
function kindOf(key: keyof GoodputRequest): 'time' | 'share' | 'shape' | 'count' {
  if (key.endsWith('Sec')) return 'time';
  if (key === 'stragglerShare') return 'share';
  return key === 'failureShape' ? 'shape' : 'count';
}

/** `90s`, `5m`, `1.5h`, `30d` as seconds; null for anything else. */
export function durationSec(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text.trim());
  const timeSec = match === null ? NaN : Number(match[1]) * UNITS[match[2]];
  return Number.isFinite(timeSec) ? timeSec : null;
}

/** `device=50000h,checkpoint=90s,spares=2`. @throws PartitionError usage naming the term */
export function parseMtbf(text: string): GoodputRequest {
  const found: Record<string, number> = {};
  for (const term of text.split(',').map((t) => t.trim())) {
    const [name, value = ''] = term.includes('=') ? term.split('=', 2) : ['device', term];
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    const number = key === undefined ? null : valueOf(key, value.trim());
    if (key === undefined || number === null) throw badTerm(term);
    found[key] = number;
  }
  return { ...DEFAULTS, ...found };
}

function valueOf(key: keyof GoodputRequest, value: string): number | null {
  const kind = kindOf(key);
  if (kind === 'time') {
    const timeSec = durationSec(value);
    // A checkpoint may take no time; between failures there is some.
    return timeSec === 0 && key.endsWith('MtbfSec') ? null : timeSec;
  }
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(value);
  if (match === null || (kind === 'share') !== (match[2] === '%')) return null;
  const number = Number(match[1]);
  if (kind === 'share') return number / 100;
  if (kind === 'shape') return number >= SHAPES.least && number <= SHAPES.most ? number : null;
  const least = key === 'steps' ? 1 : 0;
  const most = key === 'spareHosts' ? MOST_SPARES : Number.MAX_SAFE_INTEGER;
  return Number.isSafeInteger(number) && number >= least && number <= most ? number : null;
}

function badTerm(term: string): PartitionError {
  return new PartitionError(
    'usage',
    `expected terms such as device=50000h, found ${oneLine(term, 60) || 'nothing'}`,
    '--mtbf',
    'device, host, checkpoint, restart and repair take s, m, h or d; spares and steps whole numbers; stragglers %; shape 0.2 to 10',
  );
}

/** The job of a plan: what `goodputOf` asks of it. */
export function jobOf(
  plan: Plan,
  { steps }: Pick<GoodputRequest, 'steps'>,
  options: Pick<ProblemOptions, 'cluster' | 'calibration'>,
): JobSize {
  const { devices } = plan.cluster;
  return {
    devices,
    hosts: hostsOf({ ...options, devices }),
    stepTimeSec: plan.prediction.stepTimeSec,
    steps,
  };
}

/** Hosts of a cluster with so many devices. */
export function hostsOf(options: Pick<ProblemOptions, 'cluster' | 'calibration' | 'devices'>): number {
  return clusterOf(options).groups.reduce((sum, group) => sum + group.hosts, 0);
}

/** The plan's job under these failures. */
export function planGoodput(
  plan: Plan,
  request: GoodputRequest,
  options: Pick<ProblemOptions, 'cluster' | 'calibration'>,
): GoodputFacts {
  return goodputFacts(request, jobOf(plan, request, options));
}

/** A job under these failures, infinite figures as null. */
export function goodputFacts(request: GoodputRequest, job: JobSize): GoodputFacts {
  const entries = Object.entries(goodputOf(request, job)).map(
    ([k, v]: [string, number]): [string, number | null] => [k, Number.isFinite(v) ? v : null],
  );
  return { steps: request.steps, ...Object.fromEntries(entries) } as GoodputFacts;
}
