/**
 * Calibrations: measured numbers that lie over the presets' own. A calibration file holds nothing but numbers and where
 * each came from; the presets stay as they are.
 *
 *     schemaVersion: 1
 *     name: our-h100s
 *     method: "nccl-tests 2.13 on two hosts; profile of step 20"
 *     devices:
 *       h100-sxm: { achievableTflops: { bf16: { value: 760, source: "profile of step 20, 812 matmuls" } } }
 *     networks:
 *       h100-sxm: { nvlink: { latencyUs: { value: 2.9, source: "all_reduce_perf" } } }
 *     stacks:
 *       megatron: { tpExposed: { value: 0.8, source: "fit to our 12 runs" } }
 */
import { createHash } from 'node:crypto';
import { PartitionError, oneLine } from '../util/errors.js';
import { nearNames } from '../util/near.js';
import { presetFolder, readYaml } from './document.js';
import type { PresetKind } from './document.js';
import { readDevice } from './device.js';
import { Fields, fault } from './fields.js';
import { readLevel } from './levels.js';
import { isMap, mergeOverlay } from './overlay.js';
import type { Calibration, Overlay } from './overlay.js';

/** What a calibration may change of a network's level; its shape stays the preset's. */
export const LEVEL_FIELDS: readonly string[] = [
  'GBps',
  'latencyUs',
  'overheadUs',
  'efficiency',
  'allToAllEfficiency',
  'efficiencyByRanks',
  'inSwitchReduction',
  'oversubscription',
];

/**
 * Reads a calibration and checks all of it but the stacks, which `loadCalibration` checks.
 *
 * @throws PartitionError input naming the preset, level or field that is not known, or the number out of range
 */
export function readCalibration(path: string): Calibration {
  return parseCalibration(readYaml(path), path);
}

/** The same of a parsed document. */
export function parseCalibration(document: unknown, file: string): Calibration {
  const f = Fields.of(document, file, '', []);
  const version = f.number('schemaVersion', { min: 1, integer: true });
  if (version !== 1)
    throw new PartitionError(
      'input',
      `schemaVersion: expected 1, found ${version}`,
      file,
      'the calibration was written by a newer release',
    );
  const name = f.string('name');
  const method = f.string('method', 'not stated');
  const devices = overlays(f, 'devices', 'devices');
  const networks = new Map<string, ReadonlyMap<string, Overlay>>();
  for (const [cluster, overlay] of overlays(f, 'networks', 'clusters'))
    networks.set(cluster, new Map(Object.entries(overlay) as [string, Overlay][]));
  const stacks = overlays(f, 'stacks', 'stacks');
  f.done();
  for (const [preset, overlay] of devices) {
    const merged = mergeOverlay(presetFolder('devices').document(preset), overlay);
    readDevice(Fields.of(merged, file, `devices.${preset}`, []), preset);
  }
  for (const [preset, levels] of networks) checkNetwork(preset, levels, file);
  const digest = createHash('sha256')
    .update(
      JSON.stringify([
        [...devices],
        [...networks].map(([cluster, levels]) => [cluster, [...levels]]),
        [...stacks],
      ]),
    )
    .digest('hex');
  return { name, method, file, digest, devices, networks, stacks };
}

/** The maps under one heading, by the preset that each name or alias stands for. */
function overlays(fields: Fields, heading: string, kind: PresetKind): Map<string, Overlay> {
  const found = new Map<string, Overlay>();
  const table = fields.child(heading);
  if (table === null) return found;
  const presets = presetFolder(kind);
  for (const name of table.names()) {
    const preset = presets.find(name);
    const what = kind.slice(0, -1);
    if (preset === undefined) {
      const near = nearNames(name, [...presets.byAlias().keys()]);
      throw new PartitionError(
        'input',
        `${table.at(oneLine(name, 60))}: unknown ${what} preset`,
        fields.file,
        near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known: ${presets.names.join(', ')}`,
      );
    }
    const overlay = table.raw(name);
    if (!isMap(overlay)) throw fault(fields.file, table.at(name), 'a map', overlay);
    if (found.has(preset))
      throw new PartitionError(
        'input',
        `${table.at(name)}: names ${what} ${preset} a second time`,
        fields.file,
      );
    found.set(preset, overlay);
  }
  return found;
}

function checkNetwork(preset: string, overlay: ReadonlyMap<string, Overlay>, file: string): void {
  const known = levelsOf(presetFolder('clusters').document(preset));
  for (const [level, changed] of overlay) {
    const path = `networks.${preset}.${level}`;
    const base = known.find((entry) => entry['name'] === level);
    if (base === undefined)
      throw new PartitionError(
        'input',
        `${oneLine(path)}: unknown level`,
        file,
        `levels of ${preset}: ${known.map((entry) => String(entry['name'])).join(', ')}`,
      );
    if (!isMap(changed)) throw fault(file, path, 'a map', changed);
    for (const field of Object.keys(changed))
      if (!LEVEL_FIELDS.includes(field))
        throw new PartitionError(
          'input',
          `${oneLine(`${path}.${field}`)}: unknown field`,
          file,
          `known: ${LEVEL_FIELDS.join(', ')}`,
        );
    readLevel(Fields.of(mergeOverlay(base, changed), file, path, []), undefined);
  }
}

/** Level entries of a cluster preset's document, of all its groups. */
function levelsOf(document: unknown): Record<string, unknown>[] {
  const { groups = [] } = document as { groups?: { network?: Record<string, unknown>[] }[] };
  return groups.flatMap((group) => group.network ?? []);
}
