/**
 * Device counters from a Prometheus exposition, by the names of NVIDIA's DCGM exporter (etc/default-counters.csv and
 * etc/dcp-metrics-included.csv of NVIDIA/dcgm-exporter). One sample a device; a value that cannot be true is left out.
 */
import parsePrometheus from 'parse-prometheus-text-format';
import { oneLine } from '../../util/errors.js';
import type { Fault, MonitorRecord } from './record.js';

interface Counter {
  readonly field: 'powerWatt' | 'utilisation' | 'memoryBytes';
  readonly scale: number;
  readonly most: number;
  /** Of several that say the same, the best is taken. */
  readonly rank: number;
}

const COUNTERS: Readonly<Record<string, Counter>> = {
  DCGM_FI_DEV_POWER_USAGE: { field: 'powerWatt', scale: 1, most: 1e5, rank: 0 },
  // Share of time in which the matrix units work: what the plan calls utilisation comes nearest to it.
  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE: { field: 'utilisation', scale: 1, most: 1, rank: 3 },
  DCGM_FI_PROF_GR_ENGINE_ACTIVE: { field: 'utilisation', scale: 1, most: 1, rank: 2 },
  DCGM_FI_DEV_GPU_UTIL: { field: 'utilisation', scale: 0.01, most: 1, rank: 1 },
  DCGM_FI_DEV_FB_USED: { field: 'memoryBytes', scale: 2 ** 20, most: 2 ** 50, rank: 0 },
};

export interface Scrape {
  readonly samples: readonly MonitorRecord[];
  /** Values of known counters that cannot be true, or that no device is named for. */
  readonly rejected: readonly { readonly fault: Fault; readonly text: string }[];
  /** Why nothing can be read; null when something can. */
  readonly fault: string | null;
}

/**
 * Reads an exposition.
 *
 * @param text in Prometheus' text format
 * @param defaultHost of devices whose `Hostname` label is missing
 */
export function readExposition(text: string, defaultHost: string): Scrape {
  const devices = new Map<
    string,
    { values: Record<string, number>; ranks: Record<string, number>; host: string }
  >();
  const rejected: { fault: Fault; text: string }[] = [];
  const families = familiesOf(text);
  if (families === null) return { samples: [], rejected, fault: 'is no Prometheus exposition' };
  for (const family of families) {
    const counter = Object.hasOwn(COUNTERS, family.name) ? COUNTERS[family.name] : undefined;
    if (counter === undefined) continue;
    for (const { value, labels } of family.metrics) {
      const number = value === undefined || value.trim() === '' ? NaN : Number(value) * counter.scale;
      const device = labels?.['UUID'] ?? labels?.['gpu'];
      const fault = faultOfValue(number, counter.most) ?? (device === undefined ? 'no record' : null);
      if (fault !== null) {
        rejected.push({ fault, text: oneLine(`${family.name} of ${device ?? 'no device'}: ${value}`, 100) });
        continue;
      }
      const host = labels?.['Hostname'] || defaultHost;
      const key = `${host}\n${device}`;
      const entry = devices.get(key) ?? { values: {}, ranks: {}, host };
      devices.set(key, entry);
      if (counter.rank < (entry.ranks[counter.field] ?? -1)) continue;
      entry.ranks[counter.field] = counter.rank;
      entry.values[counter.field] = number;
    }
  }
  const samples = perHost([...devices.values()]);
  return {
    samples,
    rejected,
    fault: samples.length === 0 ? 'names no device that we know the counters of' : null,
  };
}

function familiesOf(text: string): ReturnType<typeof parsePrometheus> | null {
  try {
    return parsePrometheus(text);
  } catch {
    return null;
  }
}

function faultOfValue(number: number, most: number): Fault | null {
  if (Number.isNaN(number)) return 'not a number';
  if (number < 0) return 'negative';
  return number <= most ? null : 'out of range';
}

/** One sample a host: devices' power added up, utilisation averaged, the fullest memory. */
function perHost(devices: readonly { values: Record<string, number>; host: string }[]): MonitorRecord[] {
  const hosts = new Map<string, { watt: number; utilisation: number; counted: number; bytes: number }>();
  for (const { values, host } of devices) {
    const sum = hosts.get(host) ?? { watt: 0, utilisation: 0, counted: 0, bytes: 0 };
    hosts.set(host, sum);
    sum.watt += values['powerWatt'] ?? 0;
    if (values['utilisation'] !== undefined) {
      sum.utilisation += values['utilisation'];
      sum.counted++;
    }
    sum.bytes = Math.max(sum.bytes, values['memoryBytes'] ?? 0);
  }
  return [...hosts].map(([host, { watt, utilisation, counted, bytes }]) => ({
    host,
    ...(watt > 0 ? { powerWatt: watt } : {}),
    ...(counted > 0 ? { utilisation: utilisation / counted } : {}),
    ...(bytes > 0 ? { memoryBytes: bytes } : {}),
  }));
}
