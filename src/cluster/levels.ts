import type { Fields } from './fields.js';
import { equalSliceSize, torusLine, torusSlice } from './torus.js';
import type { TorusPod } from './torus.js';
import type { Level, LevelKind } from './types.js';

const KINDS: readonly LevelKind[] = ['switch', 'mesh', 'torus', 'nic', 'spine'];

/** A level as the file describes it, before it is fitted to a number of devices. */
export interface LevelSpec extends Omit<Level, 'size' | 'torus'> {
  /** Domain: one host, the whole job, or this many devices of the hardware. */
  readonly devices: 'host' | 'all' | number;
  readonly pod: TorusPod | null;
}

/** Reads one level of `network`; fields absent come from the level of that name in `base`. */
export function readLevel(fields: Fields, base: LevelSpec | undefined): LevelSpec {
  const kind = fields.oneOf('kind', KINDS, base?.kind);
  const spec: LevelSpec = {
    name: fields.string('name'),
    kind,
    devices: readDomain(fields, base?.devices),
    bytesPerSecPerDevice: number(fields, 'GBps', 1e9, base?.bytesPerSecPerDevice, { min: 1e-3 }),
    latencySec: number(fields, 'latencyUs', 1e-6, base?.latencySec ?? 3e-6),
    overheadSec: number(fields, 'overheadUs', 1e-6, base?.overheadSec ?? 15e-6),
    efficiency: number(fields, 'efficiency', 1, base?.efficiency ?? 0.85, { min: 0.01, max: 1 }),
    allToAllEfficiency: number(fields, 'allToAllEfficiency', 1, base?.allToAllEfficiency ?? 0.7, {
      min: 0.01,
      max: 1,
    }),
    oversubscription: number(fields, 'oversubscription', 1, base?.oversubscription ?? 1, { min: 1 }),
    efficiencyByRanks: readByRanks(fields) ?? base?.efficiencyByRanks ?? null,
    inSwitchReduction: readInSwitch(fields) ?? base?.inSwitchReduction ?? null,
    meshPeers: readPeers(fields, kind, base?.meshPeers ?? null),
    pod: readPod(fields, kind) ?? base?.pod ?? null,
  };
  if (kind === 'torus' && spec.pod === null)
    throw fields.fault('torus', 'a map with podShape and wrapMultiple');
  fields.done();
  return spec;
}

function readDomain(fields: Fields, base: LevelSpec['devices'] | undefined): LevelSpec['devices'] {
  const value = fields.raw('devices') ?? base;
  if (value === 'host' || value === 'all') return value;
  if (typeof value === 'number' || (typeof value === 'object' && fields.has('devices')))
    return fields.has('devices') ? fields.number('devices', { min: 1, integer: true }) : (value as number);
  throw fields.fault('devices', 'host, all or a number of devices');
}

function number(
  fields: Fields,
  name: string,
  unit: number,
  base: number | undefined,
  range: { min?: number; max?: number } = {},
): number {
  if (base !== undefined && !fields.has(name)) {
    fields.raw(name);
    return base;
  }
  return fields.number(name, range) * unit;
}

function readByRanks(fields: Fields): Level['efficiencyByRanks'] {
  const table = fields.child('efficiencyByRanks');
  if (table === null) return null;
  table.string('source', '-');
  const ranks = table.numbers('ranks', { min: 2, integer: true });
  const efficiency = table.numbers('efficiency', { min: 0.001, max: 1.5 });
  if (ranks.length === 0 || ranks.length !== efficiency.length)
    throw table.fault('efficiency', `${ranks.length} numbers, one for each of ranks`);
  if (ranks.some((r, i) => i > 0 && r <= ranks[i - 1])) throw table.fault('ranks', 'ascending numbers');
  table.done();
  return { ranks, efficiency };
}

function readPeers(fields: Fields, kind: LevelKind, base: number | null): number | null {
  if (kind !== 'mesh') return null;
  if (base !== null && !fields.has('meshPeers')) return base;
  return fields.number('meshPeers', { min: 1, integer: true });
}

function readInSwitch(fields: Fields): Level['inSwitchReduction'] {
  const table = fields.child('inSwitchReduction');
  if (table === null) return null;
  const read = {
    efficiency: table.number('efficiency', { min: 0.01, max: 1 }),
    minRanks: table.number('minRanks', { min: 2, integer: true, default: 2 }),
  };
  table.done();
  return read;
}

function readPod(fields: Fields, kind: LevelKind): TorusPod | null {
  const table = fields.child('torus');
  if (table === null) return null;
  if (kind !== 'torus') throw fields.fault('torus', `nothing at a level of kind ${kind}`);
  table.string('source', '-');
  const pod = {
    podShape: table.numbers('podShape', { min: 1, integer: true }),
    wrapMultiple: table.number('wrapMultiple', { min: 1, integer: true }),
  };
  if (pod.podShape.length < 1 || pod.podShape.length > 6) throw table.fault('podShape', 'one to six extents');
  table.done();
  return pod;
}

/**
 * Devices that a job of `deviceCount` uses in each domain of `capacity`: an equal share when one divides the job and
 * wastes less than a third of the domain (64 of each NVL72 rack for 1,024 devices), else the whole domain, the last
 * one partly used. Always a multiple of `granule`, the domain below.
 */
export function usedDomainSize(deviceCount: number, capacity: number, granule: number): number {
  if (deviceCount <= capacity) return Math.ceil(deviceCount / granule) * granule;
  const whole = Math.max(granule, Math.floor(capacity / granule) * granule);
  for (let size = whole; 3 * size >= 2 * capacity; size -= granule) if (deviceCount % size === 0) return size;
  return whole;
}

/** Fits levels to a job; a level that adds nothing (the job ends below it) is left out. */
export function fitLevels(specs: readonly LevelSpec[], deviceCount: number, devicesPerHost: number): Level[] {
  const levels: Level[] = [];
  let below = 1;
  for (const spec of specs) {
    if (levels.length > 0 && below >= deviceCount) break;
    const capacity =
      spec.devices === 'host' ? devicesPerHost : spec.devices === 'all' ? Infinity : spec.devices;
    const granule =
      spec.devices === 'host' ? 1 : Math.max(below, Math.min(devicesPerHost, deviceCount, capacity));
    const share = usedDomainSize(deviceCount, capacity, granule);
    const size = spec.pod === null ? share : equalSliceSize(deviceCount, capacity, spec.pod, share);
    if (size <= below && levels.length > 0) continue;
    levels.push(levelOf(spec, size));
    below = size;
  }
  return levels;
}

function levelOf(spec: LevelSpec, size: number): Level {
  return {
    name: spec.name,
    kind: spec.kind,
    size,
    bytesPerSecPerDevice: spec.bytesPerSecPerDevice,
    latencySec: spec.latencySec,
    overheadSec: spec.overheadSec,
    efficiency: spec.efficiency,
    allToAllEfficiency: spec.allToAllEfficiency,
    oversubscription: spec.oversubscription,
    efficiencyByRanks: spec.efficiencyByRanks,
    inSwitchReduction: spec.inSwitchReduction,
    meshPeers: spec.meshPeers,
    torus: spec.pod === null ? null : (torusSlice(size, spec.pod) ?? torusLine(size, spec.pod)),
  };
}

/** The network between unlike groups: levels that all of them have, by name, each as weak as its weakest. */
export function weakestLevels(all: readonly (readonly Level[])[]): Level[] {
  const first = all[0];
  if (all.length === 1) return [...first];
  const common = first.filter((level) => all.every((levels) => levels.some((l) => l.name === level.name)));
  // The outermost levels carry the traffic between groups even when they are called differently.
  const outer = all.map((levels) => levels.at(-1)!);
  const rows = common.map((level) => all.map((levels) => levels.find((l) => l.name === level.name)!));
  if (rows.length === 0 || rows.at(-1)!.some((level, i) => level !== outer[i])) rows.push(outer);
  const merged: Level[] = [];
  for (const row of rows) {
    const level = row.reduce(weaker);
    const top = row === rows.at(-1);
    merged.push(top ? { ...level, size: Math.max(...row.map((l) => l.size)) } : level);
  }
  return merged.filter((level, i) => i === 0 || level.size > merged[i - 1].size);
}

function weaker(a: Level, b: Level): Level {
  const byRanks = a.efficiencyByRanks ?? b.efficiencyByRanks;
  return {
    ...a,
    kind: a.kind === b.kind ? a.kind : 'nic',
    size: Math.min(a.size, b.size),
    bytesPerSecPerDevice: Math.min(a.bytesPerSecPerDevice, b.bytesPerSecPerDevice),
    latencySec: Math.max(a.latencySec, b.latencySec),
    overheadSec: Math.max(a.overheadSec, b.overheadSec),
    efficiency: Math.min(a.efficiency, b.efficiency),
    allToAllEfficiency: Math.min(a.allToAllEfficiency, b.allToAllEfficiency),
    oversubscription: Math.max(a.oversubscription, b.oversubscription),
    efficiencyByRanks: byRanks,
    inSwitchReduction:
      a.inSwitchReduction !== null && b.inSwitchReduction !== null ? a.inSwitchReduction : null,
    meshPeers:
      a.kind === b.kind && a.meshPeers !== null && b.meshPeers !== null
        ? Math.max(a.meshPeers, b.meshPeers)
        : null,
    torus: a.torus !== null && b.torus !== null && a.size === b.size ? a.torus : null,
  };
}
