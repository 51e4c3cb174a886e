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

/** Records step by step, hosts in order. */
export function* jobLog(o: JobLogOptions): Generator<MonitorRecord> {
  const random = new Random(o.seed);
  const noise = o.noise ?? 0.03;
  const perHost = o.devicesPerHost ?? 8;
  const by = o.by ?? 'host';
  const units = by === 'rank' ? o.hosts * perHost : o.hosts;
  const compute = new Float64Array(units);
  const first = o.firstStep ?? 0;
  for (let step = first; step < first + o.steps; step++) {
    const since = (at: number | undefined): boolean => at !== undefined && step >= at;
    for (let u = 0; u < units; u++) {
      const host = by === 'rank' ? Math.floor(u / perHost) : u;
      let factor = since(o.slowEverywhere?.step) ? o.slowEverywhere!.factor : 1;
      if (since(o.slow?.step) && (o.slow!.rank === undefined ? o.slow!.host === host : o.slow!.rank === u))
        factor *= o.slow!.factor;
      compute[u] = COMPUTE_SEC * factor * Math.exp(noise * random.normal());
    }
    if (o.timing === 'alone') {
      for (let u = 0; u < units; u++) yield { step, ...unitName(by, u), stepTimeSec: compute[u] };
      continue;
    }
    const slowest = compute.reduce((a, b) => Math.max(a, b));
    const degraded = (level: 'nvlink' | 'nic'): number =>
      o.link?.level === level && since(o.link.step) ? o.link.factor : 1;
    const nvlink = TRANSFER_SEC.nvlink * degraded('nvlink') * Math.exp(noise * random.normal());
    const nic = TRANSFER_SEC.nic * degraded('nic') * Math.exp(noise * random.normal());
    const stepTimeSec = slowest + nvlink + nic;
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
