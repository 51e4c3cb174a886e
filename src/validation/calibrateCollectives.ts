/**
 * Fits the levels of cluster presets to measured collectives: latency, start-up, and the share of the bandwidth that
 * rings, the switch and all-to-all reach. The model is that of `src/cost/collective.ts`, unchanged.
 */
import { presetFolder } from '../cluster/document.js';
import type { Calibration, Cluster, Level } from '../cluster/index.js';
import { loadCluster } from '../cluster/index.js';
import { collectiveTimeSec } from '../cost/collective.js';
import { membersWithin, ringEfficiency } from '../cost/route.js';
import type { GroupSpan } from '../parallel/mesh.js';
import { PartitionError, oneLine } from '../util/errors.js';
import type { CalibrationPart, ErrorGroup } from './calibrationResult.js';
import { percentError } from './calibrationResult.js';
import type { CollectiveSample } from './collectiveTable.js';
import { fitParameters } from './fit.js';
import type { FitParameter } from './fit.js';
import { hardwarePreset } from './hardware.js';

export interface CollectiveFitOptions {
  /** Cluster preset, for files that do not name their hardware or name it wrongly. */
  readonly cluster?: string | undefined;
  /** Fit only the samples of this hardware. */
  readonly device?: string | undefined;
  /** Numbers to start from, over the presets'. */
  readonly base?: Calibration | undefined;
  /** What was measured, for the origin of each number. */
  readonly source: string;
}

/** A sample and where its ranks live. */
interface Placed {
  readonly sample: CollectiveSample;
  readonly group: GroupSpan;
  readonly cluster: Cluster;
}

/** One number of one level. */
interface Knob extends FitParameter {
  readonly level: string;
  readonly field:
    | 'latencyUs'
    | 'overheadUs'
    | 'efficiency'
    | 'allToAllEfficiency'
    | 'inSwitchReduction'
    | 'efficiencyByRanks';
  /** Of `efficiencyByRanks`. */
  readonly ranks: number;
}

/**
 * One part for each cluster preset that was measured.
 *
 * @throws PartitionError input when the hardware is not known or is not in the file
 */
export function fitCollectives(
  samples: readonly CollectiveSample[],
  file: string,
  options: CollectiveFitOptions,
): CalibrationPart[] {
  const chosen = samples.filter((s) => options.device === undefined || sameDevice(s.device, options.device));
  if (chosen.length === 0) {
    const known = [...new Set(samples.map((s) => s.device ?? 'unnamed'))].join(', ');
    throw new PartitionError(
      'input',
      `no measured collective of device ${oneLine(options.device ?? '', 60)}`,
      file,
      `the file has ${oneLine(known, 120)}`,
    );
  }
  const byPreset = new Map<string, CollectiveSample[]>();
  for (const device of new Set(chosen.map((s) => s.device))) {
    const own = chosen.filter((s) => s.device === device);
    const preset = presetOf(device, own, file, options.cluster);
    byPreset.set(preset, [...(byPreset.get(preset) ?? []), ...own]);
  }
  return [...byPreset].map(([preset, own]) => fitPreset(preset, own, file, options));
}

function sameDevice(device: string | null, wanted: string): boolean {
  if (device === null) return true;
  const preset = hardwarePreset(wanted);
  return (
    device.toLowerCase() === wanted.toLowerCase() ||
    (preset !== undefined && hardwarePreset(trimVendor(device)) === preset)
  );
}

function trimVendor(device: string): string {
  return device.replace(/^(NVIDIA|AMD( Instinct)?|Tesla)\s+/i, '');
}

/** The preset that a device's name stands for, or the one of the same device whose hosts hold what was measured on one. */
function presetOf(
  device: string | null,
  samples: readonly CollectiveSample[],
  file: string,
  cluster: string | undefined,
): string {
  const name = cluster ?? (device === null ? undefined : trimVendor(device));
  if (name === undefined)
    throw new PartitionError(
      'input',
      'the file does not say on what hardware it was measured',
      file,
      'name the preset with --cluster',
    );
  const preset = cluster === undefined ? hardwarePreset(name) : presetFolder('clusters').find(name);
  if (preset === undefined)
    throw new PartitionError(
      cluster === undefined ? 'input' : 'usage',
      `unknown hardware ${oneLine(name, 60)}`,
      cluster === undefined ? file : '--cluster',
      'name a preset with --cluster (partition clusters lists them)',
    );
  const onOneHost = Math.max(...samples.map((s) => s.ranksPerHost ?? s.ranks));
  if (cluster !== undefined || hostSize(preset) >= onOneHost) return preset;
  const { name: chip } = loadCluster(preset).groups[0].device;
  const larger = presetFolder('clusters').names.find(
    (other) => loadCluster(other).groups[0].device.name === chip && hostSize(other) >= onOneHost,
  );
  return larger ?? preset;
}

/** Devices of a preset's host. */
function hostSize(preset: string): number {
  return loadCluster(preset).groups[0].devicesPerHost;
}

function place(
  sample: CollectiveSample,
  preset: string,
  file: string,
  base: Calibration | undefined,
): Placed {
  const perHost = hostSize(preset);
  if (sample.rankStride !== null) {
    const group = { size: sample.ranks, stride: sample.rankStride };
    const hosts = Math.ceil((group.size * group.stride) / perHost);
    return { sample, group, cluster: loadCluster(preset, hosts * perHost, base) };
  }
  const used = sample.ranksPerHost ?? Math.min(sample.ranks, perHost);
  if (used > perHost || sample.ranks % used !== 0)
    throw new PartitionError(
      'input',
      `${sample.ranks} ranks${sample.ranksPerHost === null ? '' : `, ${used} to a host,`} do not fit hosts of ${perHost} devices (${preset})`,
      file,
      'name the preset with --cluster, or add a column ranks_per_host',
    );
  const hosts = sample.ranks / used;
  return {
    sample,
    cluster: loadCluster(preset, hosts * perHost, base),
    // Ranks of one host stand next to each other; those of several take equal steps.
    group: { size: sample.ranks, stride: hosts === 1 ? 1 : Math.floor(perHost / used) },
  };
}

function fitPreset(
  preset: string,
  samples: readonly CollectiveSample[],
  file: string,
  options: CollectiveFitOptions,
): CalibrationPart {
  const placed = samples.map((sample) => place(sample, preset, file, options.base));
  const knobs = knobsOf(placed);
  const widest = placed.reduce((a, b) => (b.cluster.levels.length > a.cluster.levels.length ? b : a)).cluster;
  const clusters = [...new Set(placed.map((p) => p.cluster))];
  const predict = (values: readonly number[], out: Float64Array): void => {
    const changed = new Map(
      clusters.map((cluster) => [
        cluster,
        { deviceCount: cluster.deviceCount, levels: cluster.levels.map((l) => adjust(l, knobs, values)) },
      ]),
    );
    placed.forEach(({ sample, group, cluster }, i) => {
      const groupsAtOnce = sample.alone ? 1 : 0;
      out[i] = collectiveTimeSec(sample.kind, sample.bytes, group, changed.get(cluster)!, groupsAtOnce);
    });
  };
  const measured = Float64Array.from(samples, (s) => s.timeSec);
  const fit = fitParameters(knobs, predict, measured);
  const before = new Float64Array(samples.length);
  const after = new Float64Array(samples.length);
  predict(
    knobs.map((k) => k.prior),
    before,
  );
  predict(fit.values, after);
  const overlay: Record<string, Record<string, unknown>> = {};
  const source = `fit to ${samples.length} collectives of ${options.source}: mean error ${percentError(fit.errorBefore)} before, ${percentError(fit.errorAfter)} after`;
  for (const level of widest.levels) {
    const own = knobs.flatMap((knob, i) =>
      knob.level === level.name && fit.parameters[i].fitted ? [{ knob, value: fit.values[i] }] : [],
    );
    if (own.length === 0) continue;
    const fields: Record<string, unknown> = {};
    for (const { knob, value } of own)
      if (knob.field === 'inSwitchReduction') fields[knob.field] = { efficiency: { value, source } };
      else if (knob.field !== 'efficiencyByRanks') fields[knob.field] = { value, source };
    if (own.some(({ knob }) => knob.field === 'efficiencyByRanks')) {
      const table = adjust(level, knobs, fit.values).efficiencyByRanks!;
      fields['efficiencyByRanks'] = { ranks: [...table.ranks], efficiency: [...table.efficiency], source };
    }
    overlay[level.name] = fields;
  }
  return {
    title: `network of ${preset}`,
    samples: samples.length,
    errorBefore: fit.errorBefore,
    errorAfter: fit.errorAfter,
    parameters: fit.parameters,
    groups: errorsByRanks(samples, before, after),
    notes: samples.every((s) => s.device === null || hardwarePreset(trimVendor(s.device)) === preset)
      ? []
      : [`priced on ${preset}, whose hosts hold the ranks`],
    overlay: {
      devices: {},
      networks: Object.keys(overlay).length === 0 ? {} : { [preset]: overlay },
      stacks: {},
    },
  };
}

/** The numbers of every level that some sample crosses. */
function knobsOf(placed: readonly Placed[]): Knob[] {
  const knobs: Knob[] = [];
  const seen = new Map<string, Level>();
  for (const { cluster } of placed) cluster.levels.forEach((level) => seen.set(level.name, level));
  const innermost = placed[0].cluster.levels[0];
  for (const level of seen.values()) {
    const add = (field: Knob['field'], prior: number, lower: number, upper: number, ranks = 0): void => {
      const name = `${level.name}.${field}${ranks > 0 ? ` at ${ranks}` : ''}`;
      knobs.push({ name, level: level.name, field, ranks, prior, lower, upper });
    };
    add('latencyUs', inMicros(level.latencySec), level.latencySec * 1e5, level.latencySec * 1e7);
    add('overheadUs', inMicros(level.overheadSec), level.overheadSec * 1e5, level.overheadSec * 1e7);
    const counts = level.name === innermost.name && level.torus === null ? ringSizes(placed) : [];
    if (level.efficiencyByRanks !== null || counts.length > 1)
      for (const ranks of counts) add('efficiencyByRanks', ringEfficiency(level, ranks), 0.02, 1.5, ranks);
    else add('efficiency', level.efficiency, 0.02, 1);
    add('allToAllEfficiency', level.allToAllEfficiency, 0.02, 1);
    if (level.inSwitchReduction !== null)
      add('inSwitchReduction', level.inSwitchReduction.efficiency, 0.02, 1);
  }
  return knobs;
}

function inMicros(timeSec: number): number {
  return Number((timeSec * 1e6).toPrecision(12));
}

/** Ranks on a host of the measured reductions, ascending. */
function ringSizes(placed: readonly Placed[]): number[] {
  const sizes = placed.map(({ group, cluster }) =>
    membersWithin(group, cluster.levels[0].size, cluster.deviceCount),
  );
  return [...new Set(sizes)].filter((n) => n > 1).sort((a, b) => a - b);
}

/** A level with the knobs set to these values. */
function adjust(level: Level, knobs: readonly Knob[], values: readonly number[]): Level {
  let changed = level;
  const table = new Map<number, number>();
  level.efficiencyByRanks?.ranks.forEach((r, i) => table.set(r, level.efficiencyByRanks!.efficiency[i]));
  knobs.forEach((knob, i) => {
    if (knob.level !== level.name) return;
    const value = values[i];
    if (knob.field === 'latencyUs') changed = { ...changed, latencySec: value * 1e-6 };
    else if (knob.field === 'overheadUs') changed = { ...changed, overheadSec: value * 1e-6 };
    else if (knob.field === 'inSwitchReduction')
      changed = { ...changed, inSwitchReduction: { ...level.inSwitchReduction!, efficiency: value } };
    else if (knob.field === 'efficiencyByRanks') table.set(knob.ranks, value);
    else changed = { ...changed, [knob.field]: value };
  });
  if (table.size === 0) return changed;
  const ranks = [...table.keys()].sort((a, b) => a - b);
  return { ...changed, efficiencyByRanks: { ranks, efficiency: ranks.map((r) => table.get(r)!) } };
}

function errorsByRanks(
  samples: readonly CollectiveSample[],
  before: Float64Array,
  after: Float64Array,
): ErrorGroup[] {
  const names = samples.map((s) => `${s.kind}, ${s.ranks} ranks`);
  return [...new Set(names)].map((name) => {
    const own = names.flatMap((n, i) => (n === name ? [i] : []));
    const error = (predicted: Float64Array): number =>
      own.reduce((sum, i) => sum + Math.abs(Math.log(predicted[i] / samples[i].timeSec)), 0) / own.length;
    return { name, samples: own.length, errorBefore: error(before), errorAfter: error(after) };
  });
}
