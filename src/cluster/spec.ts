import { readFileSync } from 'node:fs';
import { Fields } from './fields.js';
import { presetFolder, readYaml, resolvePreset } from './document.js';
import { loadDevice, readDevice } from './device.js';
import { readLevel } from './levels.js';
import { atPowerCap, leastCapWatt } from './powerCap.js';
import type { LevelSpec } from './levels.js';
import { calibratedCluster } from './overlay.js';
import type { Calibration } from './overlay.js';
import type { Device, SourcedFigure } from './types.js';

/** A cluster file as written: before hosts are counted off, normalised and fitted to a job. */
export interface ClusterSpec {
  readonly name: string;
  readonly description: string;
  readonly groups: readonly GroupSpec[];
  readonly missing: readonly HostDevice[];
  readonly slow: readonly (HostDevice & { readonly factor: number })[];
  readonly pue: number;
  readonly carbonKgPerKwh: number;
  readonly sources: readonly SourcedFigure[];
}

export interface GroupSpec {
  readonly name: string;
  readonly device: Device;
  /** Devices on each host in turn, or one number for as many hosts as the job needs. */
  readonly hosts: readonly number[] | { readonly any: number };
  readonly network: readonly LevelSpec[];
  readonly hostWatt: number;
  readonly coolingShare: number;
  readonly powerSupplyEfficiency: number;
  readonly networkWattPerDevice: number;
  readonly networkBaseWatt: number;
  readonly pricePerDeviceHourUsd: number;
}

/** A device of a host (numbers from 0 in file order over all groups); device null = the whole host. */
export interface HostDevice {
  readonly host: number;
  readonly device: number | null;
}

/** One group of a preset, for files that build on it. */
interface Base {
  readonly group: GroupSpec;
  readonly devicesPerHost: number;
}

/** Reads a preset by name. */
export function readPresetCluster(
  name: string,
  where: string,
  code: 'usage' | 'input' = 'usage',
  calibration?: Calibration,
): ClusterSpec {
  const preset = resolvePreset('clusters', name, where, code);
  const folder = presetFolder('clusters');
  const document = calibratedCluster(preset, calibration);
  return readClusterSpec(document, folder.path(preset), preset, `cluster ${preset}: `, calibration);
}

/** Reads a user's file. */
export function readClusterFile(path: string, calibration?: Calibration): ClusterSpec {
  const name = path.replace(/^.*[\\/]/, '').replace(/\.[^.]*$/, '');
  return readClusterSpec(readYaml(path), path, name, '', calibration);
}

/** Reads a parsed document. `file` and `label` are for messages and sources. */
export function readClusterSpec(
  document: unknown,
  file: string,
  fallbackName: string,
  label: string,
  calibration: Calibration | undefined,
): ClusterSpec {
  const sources: SourcedFigure[] = [];
  const fields = Fields.of(document, file, '', sources, label);
  fields.list('aliases', []);
  const name = fields.string('name', fallbackName);
  const description = fields.string('description', '-');
  const inline = readInlineDevices(fields);
  const groupFields = fields.children('groups');
  if (groupFields.length === 0) throw fields.fault('groups', 'at least one group');
  const groups = groupFields.map((group) => readGroup(group, inline, sources, calibration));
  const scalable = groups.filter((group) => 'any' in group.hosts).length;
  if (scalable > 0 && groups.length > 1)
    throw groupFields.find((_, i) => 'any' in groups[i].hosts)!.fault('hosts', 'a number (several groups)');
  const missing = fields.children('missing', []).map((entry) => readHostDevice(entry, groups));
  const slow = fields.children('slow', []).map((entry) => {
    const factor = entry.number('factor', { min: 0.01, max: 1 });
    return { ...readHostDevice(entry, groups), factor };
  });
  const pue = fields.number('pue', { min: 1, max: 5, default: 1.1 });
  const carbonKgPerKwh = fields.number('carbonKgPerKwh', { max: 5, default: 0.4 });
  fields.done();
  return { name, description, groups, missing, slow, pue, carbonKgPerKwh, sources };
}

/** `devices:` of a cluster file: own devices by name, for groups to use. */
function readInlineDevices(fields: Fields): Map<string, Device> {
  const devices = new Map<string, Device>();
  const table = fields.child('devices');
  if (table !== null)
    for (const name of table.names()) devices.set(name, readDevice(table.required(name), name));
  return devices;
}

function readGroup(
  fields: Fields,
  inline: ReadonlyMap<string, Device>,
  sources: SourcedFigure[],
  calibration: Calibration | undefined,
): GroupSpec {
  const base = readBase(fields, sources, calibration);
  const deviceName =
    fields.has('device') || base === null ? fields.string('device') : (fields.raw('device'), null);
  const device =
    deviceName === null
      ? base!.group.device
      : (inline.get(deviceName) ??
        loadDevice(deviceName, sources, `${fields.file}: ${fields.at('device')}`, 'input', calibration));
  const group: GroupSpec = {
    name: fields.string('name', device.name),
    device: underCap(fields, device),
    hosts: readHosts(fields, base?.devicesPerHost),
    network: readNetwork(fields, base?.group.network ?? []),
    hostWatt: fields.number('hostWatt', { default: base?.group.hostWatt ?? 0 }),
    coolingShare: fields.number('coolingShare', { max: 2, default: base?.group.coolingShare ?? 0 }),
    powerSupplyEfficiency: fields.number('powerSupplyEfficiency', {
      min: 0.5,
      max: 1,
      default: base?.group.powerSupplyEfficiency ?? 1,
    }),
    networkWattPerDevice: fields.number('networkWattPerDevice', {
      default: base?.group.networkWattPerDevice ?? 0,
    }),
    networkBaseWatt: fields.number('networkBaseWatt', { default: base?.group.networkBaseWatt ?? 0 }),
    pricePerDeviceHourUsd: fields.number('pricePerDeviceHourUsd', {
      default: base?.group.pricePerDeviceHourUsd ?? 0,
    }),
  };
  fields.done();
  return group;
}

/** `powerCapWatt`: the limit that an operator sets, below the device's own. */
function underCap(fields: Fields, device: Device): Device {
  if (!fields.has('powerCapWatt')) return device;
  const min = Math.ceil(leastCapWatt(device));
  return atPowerCap(device, fields.number('powerCapWatt', { min, max: device.tdpWatt }));
}

function readBase(
  fields: Fields,
  sources: SourcedFigure[],
  calibration: Calibration | undefined,
): Base | null {
  const name = fields.string('preset', '-');
  if (name === '-') return null;
  const spec = readPresetCluster(name, `${fields.file}: ${fields.at('preset')}`, 'input', calibration);
  sources.push(...spec.sources);
  const group = spec.groups[0];
  return { group, devicesPerHost: 'any' in group.hosts ? group.hosts.any : group.hosts[0] };
}

function readHosts(fields: Fields, basePerHost: number | undefined): GroupSpec['hosts'] {
  const perHost = fields.raw('devicesPerHost');
  if (Array.isArray(perHost)) {
    const counts = fields.numbers('devicesPerHost', { min: 1, max: 4096, integer: true });
    const hosts = fields.number('hosts', { min: 1, integer: true, default: counts.length });
    if (hosts !== counts.length || hosts === 0)
      throw fields.fault('devicesPerHost', `a list of ${Math.max(hosts, 1)} numbers, one for each host`);
    return counts;
  }
  const range = { min: 1, max: 4096, integer: true };
  const count = fields.number(
    'devicesPerHost',
    basePerHost === undefined ? range : { ...range, default: basePerHost },
  );
  if (fields.raw('hosts') === 'any') return { any: count };
  const hosts = fields.number('hosts', { min: 1, max: 1e6, integer: true });
  return Array.from({ length: hosts }, () => count);
}

/** Levels of the group, innermost first: the preset's, overridden by name, then the new ones in file order. */
function readNetwork(fields: Fields, base: readonly LevelSpec[]): LevelSpec[] {
  const levels = [...base];
  for (const entry of fields.children('network', base.length > 0 ? [] : undefined)) {
    const at = levels.findIndex((level) => level.name === entry.raw('name'));
    const level = readLevel(entry, at >= 0 ? levels[at] : undefined);
    if (at >= 0) levels[at] = level;
    else levels.push(level);
  }
  if (levels.length === 0) throw fields.fault('network', 'at least one level');
  return levels;
}

function readHostDevice(fields: Fields, groups: readonly GroupSpec[]): HostDevice {
  const hosts = groups.flatMap((group) => ('any' in group.hosts ? [] : group.hosts));
  if (hosts.length === 0) throw fields.fault('host', 'a cluster with a fixed number of hosts');
  const host = fields.number('host', { min: 0, max: hosts.length - 1, integer: true });
  const device = fields.has('device')
    ? fields.number('device', { min: 0, max: hosts[host] - 1, integer: true })
    : (fields.raw('device'), null);
  fields.done();
  return { host, device };
}

/** The text of a preset file, for people who start their own from it. */
export function presetText(name: string): string {
  const preset = resolvePreset('clusters', name, 'cluster');
  return readFileSync(presetFolder('clusters').path(preset), 'utf8');
}
