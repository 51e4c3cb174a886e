import { existsSync } from 'node:fs';
import { PartitionError } from '../util/errors.js';
import { scaleDevice } from './device.js';
import { presetFolder } from './document.js';
import { fitLevels, usedDomainSize, weakestLevels } from './levels.js';
import { readClusterFile, readClusterSpec, readPresetCluster } from './spec.js';
import type { Calibration } from './overlay.js';
import type { ClusterSpec, GroupSpec } from './spec.js';
import type { Cluster, DeviceGroup, Level, SourcedFigure } from './types.js';

/** One host's usable part. */
interface Host {
  readonly spec: GroupSpec;
  readonly id: number;
  readonly devices: number;
  /** Speeds of its slow devices, one entry for each. */
  readonly slow: readonly number[];
}

/**
 * Loads a cluster: a preset's name, or the path of a YAML file (anything with a slash or an extension). `devices`
 * sizes a preset; of a file's cluster it takes that many, healthy hosts first. Without it a file's cluster is taken
 * whole and a preset gives one host. A calibration's numbers take the place of the presets' (those that a file builds on too).
 *
 * @throws PartitionError `usage`: unknown preset (with near names), more devices than there are; `input`: a bad file
 */
export function loadCluster(nameOrPath: string, devices?: number, calibration?: Calibration): Cluster {
  if (devices !== undefined && (!Number.isSafeInteger(devices) || devices < 1))
    throw new PartitionError('usage', `expected a positive number of devices, found ${devices}`, '--devices');
  const spec = isPath(nameOrPath)
    ? readClusterFile(nameOrPath, calibration)
    : readPresetCluster(nameOrPath, '--cluster', 'usage', calibration);
  return buildCluster(spec, devices);
}

/** A cluster given as the content of a cluster file; all of it, or that many devices. */
export function clusterOfDocument(document: unknown, name: string, devices?: number): Cluster {
  return buildCluster(readClusterSpec(document, name, name, '', undefined), devices);
}

function isPath(nameOrPath: string): boolean {
  if (/[\\/]|\.(ya?ml|json)$/i.test(nameOrPath)) return true;
  return presetFolder('clusters').find(nameOrPath) === undefined && existsSync(nameOrPath);
}

/** Counts off hosts, sorts them into groups of equals and fits the network to them. */
export function buildCluster(spec: ClusterSpec, devices?: number): Cluster {
  const notes: string[] = [];
  const { hosts, missingCount } = usableHosts(spec, devices, notes);
  const groups = groupHosts(hosts);
  const deviceCount = groups.reduce((sum, group) => sum + group.deviceCount, 0);
  const perGroup = groups.map((group, i) => {
    const own = hosts.find((host) => host.id === group.hostIds[0])!.spec;
    return {
      levels: fitLevels(own.network, deviceCount, group.devicesPerHost),
      group,
      name: uniqueName(groups, i),
    };
  });
  const whole: Level[] = weakestLevels(perGroup.map((entry) => entry.levels));
  return {
    name: spec.name,
    description: spec.description,
    groups: perGroup.map(({ group, name }) => ({ ...group, name })),
    deviceCount,
    levels: whole,
    scalable: spec.groups.some((group) => 'any' in group.hosts),
    slow: slowRanks(groups, hosts),
    missingCount,
    pue: spec.pue,
    carbonKgPerKwh: spec.carbonKgPerKwh,
    notes,
    sources: spec.sources,
  };
}

function usableHosts(
  spec: ClusterSpec,
  devices: number | undefined,
  notes: string[],
): { hosts: Host[]; missingCount: number } {
  const only = spec.groups[0];
  if ('any' in only.hosts)
    return { hosts: scaledHosts(only, devices ?? only.hosts.any, notes), missingCount: 0 };
  const hosts: Host[] = [];
  let missingCount = 0;
  let id = 0;
  for (const group of spec.groups)
    for (const count of group.hosts as readonly number[]) {
      const gone = spec.missing.filter((m) => m.host === id);
      const lost = gone.some((m) => m.device === null) ? count : new Set(gone.map((m) => m.device)).size;
      const slow = slowFactors(
        spec,
        id,
        count,
        gone.map((m) => m.device),
      );
      missingCount += lost;
      if (lost < count) hosts.push({ spec: group, id, devices: count - lost, slow });
      id++;
    }
  if (missingCount > 0) notes.push(`${missingCount} missing devices are left out`);
  const order = new Map(spec.groups.map((group, i) => [group, i]));
  hosts.sort(
    (a, b) =>
      order.get(a.spec)! - order.get(b.spec)! ||
      speedOf(b) - speedOf(a) ||
      b.devices - a.devices ||
      a.id - b.id,
  );
  return { hosts: takeDevices(spec, hosts, devices, notes), missingCount };
}

/** A preset's hosts for a job: equal shares where that leaves no host partly used. */
function scaledHosts(spec: GroupSpec, devices: number, notes: string[]): Host[] {
  const capacity = (spec.hosts as { any: number }).any;
  const perHost = usedDomainSize(devices, capacity, 1);
  if (devices > capacity && perHost < capacity)
    notes.push(`${perHost} of ${capacity} devices are used on every host`);
  return Array.from({ length: Math.ceil(devices / perHost) }, (_, id) => ({
    spec,
    id,
    devices: Math.min(perHost, devices - id * perHost),
    slow: [],
  }));
}

function slowFactors(
  spec: ClusterSpec,
  host: number,
  count: number,
  gone: readonly (number | null)[],
): number[] {
  const speed = new Float64Array(count).fill(1);
  for (const entry of spec.slow)
    if (entry.host === host)
      for (let device = 0; device < count; device++)
        if (entry.device === null || entry.device === device)
          speed[device] = Math.min(speed[device], entry.factor);
  return [...speed].filter((factor, device) => factor < 1 && !gone.includes(device));
}

function speedOf(host: Host): number {
  return host.slow.reduce((low, factor) => Math.min(low, factor), 1);
}

function takeDevices(spec: ClusterSpec, hosts: Host[], devices: number | undefined, notes: string[]): Host[] {
  const total = hosts.reduce((sum, host) => sum + host.devices, 0);
  if (total === 0)
    throw new PartitionError('input', 'missing: expected at least one usable device, found none', spec.name);
  if (devices === undefined || devices === total) return hosts;
  if (devices > total)
    throw new PartitionError(
      'usage',
      `expected at most the ${total} usable devices of cluster ${spec.name}, found ${devices}`,
      '--devices',
      `give --devices ${total}, or a larger cluster`,
    );
  const taken: Host[] = [];
  let rest = devices;
  for (const host of hosts) {
    if (rest === 0) break;
    const used = Math.min(rest, host.devices);
    // A partly used host leaves its slow devices idle first.
    const healthy = host.devices - host.slow.length;
    const slow = [...host.slow].sort((a, b) => b - a).slice(0, Math.max(0, used - healthy));
    taken.push({ ...host, devices: used, slow });
    rest -= used;
  }
  notes.push(
    `${devices} of ${total} usable devices are taken, in the order of the file, healthy hosts first`,
  );
  return taken;
}

/** Runs of equal hosts become groups; a partly used last host stays with its group when it is a preset's. */
function groupHosts(hosts: readonly Host[]): DeviceGroup[] {
  const groups: DeviceGroup[] = [];
  let firstRank = 0;
  for (let i = 0; i < hosts.length;) {
    const head = hosts[i];
    const scalable = 'any' in head.spec.hosts;
    const run: Host[] = [];
    while (i < hosts.length) {
      const host = hosts[i];
      const equal = host.spec === head.spec && speedOf(host) === speedOf(head);
      if (!equal || (host.devices !== head.devices && !scalable)) break;
      run.push(host);
      i++;
    }
    const deviceCount = run.reduce((sum, host) => sum + host.devices, 0);
    groups.push({
      name: head.spec.name,
      device: scaleDevice(head.spec.device, speedOf(head)),
      hosts: run.length,
      devicesPerHost: head.devices,
      deviceCount,
      firstRank,
      speed: speedOf(head),
      hostIds: run.map((host) => host.id),
      levels: fitLevels(head.spec.network, deviceCount, head.devices),
      hostWatt: head.spec.hostWatt,
      coolingShare: head.spec.coolingShare,
      powerSupplyEfficiency: head.spec.powerSupplyEfficiency,
      networkWattPerDevice: head.spec.networkWattPerDevice,
      networkBaseWatt: head.spec.networkBaseWatt,
      pricePerDeviceHourUsd: head.spec.pricePerDeviceHourUsd,
    });
    firstRank += deviceCount;
  }
  return groups;
}

/** Slow devices stand last on their host. */
function slowRanks(groups: readonly DeviceGroup[], hosts: readonly Host[]): Cluster['slow'] {
  const byId = new Map(hosts.map((host) => [host.id, host]));
  const slow: { rank: number; factor: number }[] = [];
  for (const group of groups)
    group.hostIds.forEach((id, i) => {
      const host = byId.get(id)!;
      const first = group.firstRank + i * group.devicesPerHost + host.devices - host.slow.length;
      [...host.slow].sort((a, b) => b - a).forEach((factor, j) => slow.push({ rank: first + j, factor }));
    });
  return slow;
}

function uniqueName(groups: readonly DeviceGroup[], index: number): string {
  const name = groups[index].name;
  const same = groups.filter((group) => group.name === name);
  return same.length === 1 ? name : `${name}-${groups.slice(0, index).filter((g) => g.name === name).length}`;
}

/** A preset as `partition clusters` lists it: what it is, and where each number comes from. */
export interface PresetDescription {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly description: string;
  readonly cluster: Cluster;
  readonly sources: readonly SourcedFigure[];
}

/** Every preset, alphabetical, loaded at one host. */
export function listPresets(): PresetDescription[] {
  const folder = presetFolder('clusters');
  return folder.names.map((name) => {
    const cluster = loadCluster(name);
    const aliases = [...folder.byAlias()]
      .filter(([alias, of]) => of === name && alias !== name)
      .map(([alias]) => alias);
    return { name, aliases, description: cluster.description, cluster, sources: cluster.sources };
  });
}
