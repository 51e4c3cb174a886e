/** Logs of made-up jobs: known noise, known changes. */
import type { JobLayout } from '../../src/validation/monitor/layout.js';
import type { MonitorRecord } from '../../src/validation/monitor/record.js';
import { Random } from '../../src/util/random.js';

export interface JobLogOptions {
  readonly hosts: number;
  readonly devicesPerHost?: number;
  readonly steps: number;
  readonly seed: number;
  /** Standard deviation of the log of every host's compute time and of every transfer. */
  readonly noise?: number;
  /** Who reports; ranks of a host each have their own noise. */
  readonly by?: 'job' | 'host' | 'rank';
  /**
   * `barrier`: hosts wait for each other, and say how long they computed; `alone`: each says its own step time only.
   */
  readonly timing?: 'barrier' | 'alone';
  readonly slow?: {
    readonly host?: number;
    readonly rank?: number;
    readonly factor: number;
    readonly step: number;
  };
  readonly slowEverywhere?: { readonly factor: number; readonly step: number };
  readonly link?: { readonly level: 'nvlink' | 'nic'; readonly factor: number; readonly step: number };
  readonly firstStep?: number;
  /** Noise that is not independent and normal, of the same standard deviation. */
  readonly weather?: Weather;
}

export interface Weather {
  /** First-order memory of every noise, 0 to 1. */
  readonly memory?: number;
  /** Student's t with three degrees of freedom. */
  readonly heavyTails?: boolean;
  /** Every so many steps the whole job waits: a checkpoint, an evaluation; seconds. */
  readonly pause?: { readonly every: number; readonly seconds: number };
  /** Every so many steps, on average, one host stumbles: a garbage collection; times its compute. */
  readonly stumble?: { readonly every: number; readonly factor: number };
  /** The first step takes `1 + excess` times as long, and the excess dies away over so many steps. */
  readonly warmUp?: { readonly excess: number; readonly steps: number };
  /** Computing becomes slower everywhere, evenly between two steps. */
  readonly ramp?: { readonly change: number; readonly from: number; readonly to: number };
}

const COMPUTE_SEC = 4;
const TRANSFER_SEC = { nvlink: 0.5, nic: 0.6 };

export function jobLayoutOf(hosts: number, devicesPerHost = 8, levels = ['nvlink', 'nic']): JobLayout {
  const devices = hosts * devicesPerHost;
  return {
    planDigest: 'f'.repeat(64),
    devices,
    hosts,
    hostOfRank: Int32Array.from({ length: devices }, (_, r) => Math.floor(r / devicesPerHost)),
    stageOfHost: new Int32Array(hosts),
    levels,
    prediction: {
      stepTimeSec: 5.2,
      tokensPerStep: 2 ** 20,
      tokensPerSec: 2 ** 20 / 5.2,
      energyJoulesPerStep: devices * 3000,
      peakMemoryBytes: 60e9,
      memoryCapacityBytes: 80e9,
      mfu: 0.4,
    },
  };
}

/** Deviates of unit variance, one series a unit. */
function noiseOf(random: Random, series: number, { memory = 0, heavyTails }: Weather): (i: number) => number {
  const last = Float64Array.from({ length: series }, () => (memory > 0 ? random.normal() : 0));
  const fresh = Math.sqrt(1 - memory * memory);
  return (i) => {
    let deviate = random.normal();
    if (heavyTails === true) {
      // t = z / sqrt(chi2 / 3), whose variance is 3.
      const chi2 = random.normal() ** 2 + random.normal() ** 2 + random.normal() ** 2;
      deviate /= Math.sqrt(chi2);
    }
    return (last[i] = memory * last[i] + fresh * deviate);
  };
}

/** Records step by step, hosts in order. */
export function* jobLog(o: JobLogOptions): Generator<MonitorRecord> {
  const random = new Random(o.seed);
  const noise = o.noise ?? 0.03;
  const perHost = o.devicesPerHost ?? 8;
  const by = o.by ?? 'host';
  const units = by === 'rank' ? o.hosts * perHost : o.hosts;
  const compute = new Float64Array(units);
  const first = o.firstStep ?? 0;
  const weather = o.weather ?? {};
  const { pause, stumble, warmUp, ramp } = weather;
  const deviate = noiseOf(random, units + 2, weather);
  for (let step = first; step < first + o.steps; step++) {
    const since = (at: number | undefined): boolean => at !== undefined && step >= at;
    let shared = since(o.slowEverywhere?.step) ? o.slowEverywhere!.factor : 1;
    if (warmUp !== undefined) shared *= 1 + warmUp.excess * Math.exp(-(step - first) / warmUp.steps);
    if (ramp !== undefined)
      shared *= 1 + ramp.change * Math.min(1, Math.max(0, (step - ramp.from) / (ramp.to - ramp.from)));
    const waitSec = pause !== undefined && step % pause.every === pause.every - 1 ? pause.seconds : 0;
    const stumbles = stumble !== undefined && random.next() < 1 / stumble.every ? random.int(o.hosts) : -1;
    for (let u = 0; u < units; u++) {
      const host = by === 'rank' ? Math.floor(u / perHost) : u;
      let factor = host === stumbles ? shared * stumble!.factor : shared;
      if (since(o.slow?.step) && (o.slow!.rank === undefined ? o.slow!.host === host : o.slow!.rank === u))
        factor *= o.slow!.factor;
      compute[u] = COMPUTE_SEC * factor * Math.exp(noise * deviate(u));
    }
    if (o.timing === 'alone') {
      for (let u = 0; u < units; u++) yield { step, ...unitName(by, u), stepTimeSec: compute[u] + waitSec };
      continue;
    }
    const slowest = compute.reduce((a, b) => Math.max(a, b));
    const degraded = (level: 'nvlink' | 'nic'): number =>
      o.link?.level === level && since(o.link.step) ? o.link.factor : 1;
    const nvlink = TRANSFER_SEC.nvlink * degraded('nvlink') * Math.exp(noise * deviate(units));
    const nic = TRANSFER_SEC.nic * degraded('nic') * Math.exp(noise * deviate(units + 1));
    const stepTimeSec = slowest + nvlink + nic + waitSec;
    if (by === 'job') {
      yield { step, stepTimeSec };
      continue;
    }
    for (let u = 0; u < units; u++)
      yield {
        step,
        ...unitName(by, u),
        stepTimeSec,
        computeSec: compute[u],
        levels: { nvlink, nic: nic + slowest - compute[u] },
      };
  }
}

function unitName(by: 'job' | 'host' | 'rank', unit: number): { host?: string; rank?: number } {
  if (by === 'job') return {};
  return by === 'rank' ? { rank: unit } : { host: `host${unit}` };
}

/** The same log of a job whose healthy step takes so long. */
export function* atPace(records: Iterable<MonitorRecord>, stepSec: number): Generator<MonitorRecord> {
  const pace = stepSec / (COMPUTE_SEC + TRANSFER_SEC.nvlink + TRANSFER_SEC.nic);
  for (const record of records) {
    const { stepTimeSec, computeSec, levels } = record;
    yield {
      ...record,
      ...(stepTimeSec === undefined ? {} : { stepTimeSec: stepTimeSec * pace }),
      ...(computeSec === undefined ? {} : { computeSec: computeSec * pace }),
      ...(levels === undefined
        ? {}
        : { levels: Object.fromEntries(Object.entries(levels).map(([name, sec]) => [name, sec * pace])) }),
    };
  }
}
