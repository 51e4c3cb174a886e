/**
 * A cluster in the condition that it is found in: devices that failed, run slow, links that run below their rate. Every
 * device keeps its identity (host and slot as the healthy cluster counts them), whatever rank it gets.
 */
import { buildCluster } from './cluster.js';
import { scaleDevice } from './device.js';
import { readClusterFile, readPresetCluster } from './spec.js';
import type { ClusterSpec, GroupSpec, HostDevice } from './spec.js';
import type { Calibration } from './overlay.js';
import type { LevelSpec } from './levels.js';
import type { Cluster } from './types.js';
import { PartitionError } from '../util/errors.js';

export type { HostDevice };

/** What is wrong. Hosts and devices are numbered from 0 as in the healthy cluster. */
export interface Condition {
  readonly failed: readonly HostDevice[];
  /** Share of the nominal rate, 0.01 to 1. */
  readonly slow: readonly (HostDevice & { readonly factor: number })[];
  /** Links of one level at this share of their rate: of one host, or of all (null). */
  readonly degraded: readonly {
    readonly level: string;
    readonly host: number | null;
    readonly factor: number;
  }[];
  /** Of every device and every link over the described ones, as a job was observed to run; absent: as described. */
  readonly rates?: ObservedRates;
}

export interface ObservedRates {
  readonly compute: number;
  readonly communication: number;
}

export const HEALTHY: Condition = { failed: [], slow: [], degraded: [] };

/** A cluster whose hosts are counted. */
export interface CountedSpec extends ClusterSpec {
  readonly devicesOfHost: readonly number[];
}

export interface ConditionedCluster {
  readonly cluster: Cluster;
  /** Per rank: which device it is. */
  readonly devices: readonly Slot[];
}

/** A device of a host. */
export interface Slot {
  readonly host: number;
  readonly device: number;
}

/**
 * A preset or file with its hosts counted; a preset that grows gets `devices` of them.
 *
 * @throws PartitionError as `loadCluster`
 */
export function countedSpec(nameOrPath: string, devices: number, calibration?: Calibration): CountedSpec {
  const spec = /[\\/]|\.(ya?ml|json)$/i.test(nameOrPath)
    ? readClusterFile(nameOrPath, calibration)
    : readPresetCluster(nameOrPath, '--cluster', 'usage', calibration);
  const only = spec.groups[0];
  if (!('any' in only.hosts))
    return { ...spec, devicesOfHost: spec.groups.flatMap(({ hosts }) => hosts as readonly number[]) };
  // As the loader deals them out, so that ranks of plans made there mean the same devices.
  const perHost = buildCluster(spec, devices).groups[0].devicesPerHost;
  const hosts = Array.from({ length: Math.ceil(devices / perHost) }, (_, h) =>
    Math.min(perHost, devices - h * perHost),
  );
  return { ...spec, groups: [{ ...only, hosts }], devicesOfHost: hosts };
}

/**
 * The cluster in its condition; `devices` of it, healthy hosts first.
 *
 * @throws PartitionError usage naming a host, device or level that does not exist, or when too few devices are left
 */
export function conditioned(spec: CountedSpec, condition: Condition, devices?: number): ConditionedCluster {
  checkCondition(spec, condition);
  const { groups, original } = splitGroups(spec, condition);
  const renumbered = new Map(original.map((host, i) => [host, i]));
  const renumber = <T extends HostDevice>(at: T): T => ({ ...at, host: renumbered.get(at.host)! });
  const built: ClusterSpec = {
    ...spec,
    groups,
    missing: [...spec.missing, ...condition.failed].map(renumber),
    slow: [...spec.slow, ...condition.slow.filter((s) => s.factor < 1)].map(renumber),
  };
  const cluster = buildCluster(built, devices);
  const slots: Slot[] = [];
  for (const group of cluster.groups)
    group.hostIds.forEach((id, i) => {
      const used = Math.min(group.devicesPerHost, group.deviceCount - i * group.devicesPerHost);
      const usable = usableDevices(built, id, spec.devicesOfHost[original[id]]);
      for (const device of usable.slice(0, used)) slots.push({ host: original[id], device });
    });
  return { cluster, devices: slots };
}

/** Groups with the hosts of degraded links in groups of their own, and the original number of every host in the new order. */
function splitGroups(
  spec: CountedSpec,
  { degraded, rates }: Condition,
): { groups: GroupSpec[]; original: number[] } {
  const groups: GroupSpec[] = [];
  const original: number[] = [];
  let first = 0;
  for (const described of spec.groups) {
    const group = atRates(described, rates);
    const counts = group.hosts as readonly number[];
    // Hosts of one group by what is wrong with their links.
    const alike = new Map<string, number[]>();
    counts.forEach((_, i) => {
      const key = JSON.stringify(degraded.filter((d) => d.host === null || d.host === first + i));
      alike.set(key, [...(alike.get(key) ?? []), i]);
    });
    const faults = (key: string): Condition['degraded'] => JSON.parse(key) as Condition['degraded'];
    for (const [key, hosts] of [...alike].sort((a, b) => faults(a[0]).length - faults(b[0]).length)) {
      groups.push({
        ...group,
        hosts: hosts.map((i) => counts[i]),
        network: faults(key).reduce(withDegraded, group.network),
      });
      for (const i of hosts) original.push(first + i);
    }
    first += counts.length;
  }
  return { groups, original };
}

function atRates(group: GroupSpec, rates: ObservedRates | undefined): GroupSpec {
  if (rates === undefined) return group;
  return {
    ...group,
    device: scaleDevice(group.device, rates.compute),
    network: group.network.map((level) => ({
      ...level,
      bytesPerSecPerDevice: level.bytesPerSecPerDevice * rates.communication,
      latencySec: level.latencySec / rates.communication,
      overheadSec: level.overheadSec / rates.communication,
    })),
  };
}

/** The level's links run at the share; what goes further out crosses them too, so that it is no faster than they are. */
function withDegraded(network: readonly LevelSpec[], fault: Condition['degraded'][number]): LevelSpec[] {
  const at = network.findIndex(({ name }) => name === fault.level);
  if (at < 0) return [...network];
  const most = network[at].bytesPerSecPerDevice * fault.factor;
  return network.map((level, i) =>
    i < at ? level : { ...level, bytesPerSecPerDevice: Math.min(level.bytesPerSecPerDevice, most) },
  );
}

/** Slots of a host in the order of their ranks: healthy ones, then slow ones, the fastest first. */
function usableDevices({ missing, slow }: ClusterSpec, host: number, count: number): number[] {
  const speed = new Float64Array(count).fill(1);
  for (const s of slow)
    if (s.host === host)
      for (let d = 0; d < count; d++)
        if (s.device === null || s.device === d) speed[d] = Math.min(speed[d], s.factor);
  const gone = missing.filter((m) => m.host === host).map((m) => m.device);
  const usable = Array.from({ length: count }, (_, d) => d).filter(
    (d) => !gone.includes(null) && !gone.includes(d),
  );
  return usable.sort((a, b) => speed[b] - speed[a] || a - b);
}

function checkCondition(spec: CountedSpec, { failed, slow, degraded }: Condition): void {
  const hosts = spec.devicesOfHost.length;
  for (const { host, device } of [...failed, ...slow]) {
    if (host >= hosts || host < 0)
      throw new PartitionError('usage', `host ${host}: the cluster has hosts 0 to ${hosts - 1}`, spec.name);
    const count = spec.devicesOfHost[host];
    if (device !== null && (device < 0 || device >= count))
      throw new PartitionError(
        'usage',
        `device ${device} of host ${host}: it has devices 0 to ${count - 1}`,
        spec.name,
      );
  }
  const names = new Set(spec.groups.flatMap(({ network }) => network.map((l) => l.name)));
  for (const { level, host } of degraded) {
    if (!names.has(level))
      throw new PartitionError(
        'usage',
        `no level ${level} in this cluster`,
        spec.name,
        `levels: ${[...names].join(', ')}`,
      );
    if (host !== null && host >= hosts)
      throw new PartitionError('usage', `host ${host}: the cluster has hosts 0 to ${hosts - 1}`, spec.name);
  }
}
