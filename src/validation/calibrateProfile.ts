/**
 * Fits a device preset, and the network that its collectives crossed, to the kernel times of a profiler's trace. The
 * kernel model is that of `src/cost/compute.ts`, unchanged. Kernels are timed with the gap that follows them, as the
 * model does.
 */
import { presetFolder } from '../cluster/document.js';
import type { Calibration, Device } from '../cluster/index.js';
import { loadCluster, loadDevice } from '../cluster/index.js';
import { attentionTimeSec, gemmTimeSec, memoryBoundTimeSec } from '../cost/compute.js';
import type { Precision } from '../cluster/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { fitCollectives } from './calibrateCollectives.js';
import type { CalibrationPart, ErrorGroup } from './calibrationResult.js';
import { percentError } from './calibrationResult.js';
import { fitParameters } from './fit.js';
import type { Fit, FitParameter } from './fit.js';
import { hardwarePreset } from './hardware.js';
import type { AttentionShape, GemmShape } from './profileOps.js';
import type { Profile, Timed } from './profileSamples.js';

export interface ProfileFitOptions {
  readonly device?: string | undefined;
  readonly cluster?: string | undefined;
  readonly base?: Calibration | undefined;
  readonly source: string;
}

/** Smaller tensors may come from the cache, not from memory. */
const CACHE_BYTES = 64 * 2 ** 20;
/** Contraction lengths that must differ this much for their influence to show. */
const LEAST_SPREAD = 4;

/** Parts of one device: what they are called, what was measured, how it is priced. */
interface Section {
  readonly name: string;
  readonly knobs: readonly Knob[];
  readonly timesSec: readonly number[];
  readonly weights: readonly number[];
  /** Seconds of sample i on a device. */
  readonly price: (device: Device, i: number) => number;
}

interface Knob extends FitParameter {
  /** Path in the device's file. */
  readonly path: readonly string[];
  readonly apply: (device: Device, value: number) => Device;
}

/** @throws PartitionError input when the hardware is not known or nothing in the trace can be used */
export function fitProfile(
  profile: Profile,
  file: string,
  options: ProfileFitOptions,
): { parts: CalibrationPart[]; notes: string[] } {
  const notes = [...profile.notes];
  const preset = devicePreset(profile, file, options.device);
  const plain = loadDevice(preset, [], '--device', 'usage', options.base);
  const gapSec = profile.gapSec ?? 0;
  if (profile.gapSec === null)
    notes.push(
      'kernels hardly follow each other at once: the gap between them is not known and taken as nothing',
    );
  notes.push(
    `${profile.kernels} kernels, ${Math.round(profile.explainedShare * 100)}% of their time in operators with shapes`,
  );
  const parts: CalibrationPart[] = [];
  const sections = [
    (device: Device) => memorySection(profile, gapSec, device),
    (device: Device) => gemmSection(profile.gemms, gapSec, device),
    (device: Device) => attentionSection(profile.attentions, gapSec, device, false),
    (device: Device) => attentionSection(profile.attentions, gapSec, device, true),
  ];
  // Each section is fitted on the device as the ones before it left it: memory first, all kernels depend on it.
  let device = plain;
  for (const make of sections) {
    const section = make(device);
    if (section.timesSec.length === 0) {
      notes.push(`no ${section.name} in the trace: nothing of it is fitted`);
      continue;
    }
    const found = fitSection(section, device, preset, options.source);
    device = found.device;
    parts.push(found.part);
  }
  if (profile.collectives.length > 0) {
    const cluster = options.cluster ?? clusterPreset(profile, preset);
    parts.push(
      ...fitCollectives(profile.collectives, file, { cluster, base: options.base, source: options.source }),
    );
    notes.push('of equal collectives the fastest tenth counts: their kernels wait for the slowest rank');
  }
  if (parts.length === 0)
    throw new PartitionError(
      'input',
      'no kernel of the trace can be used: no matrix product, attention, elementwise operator or collective with its sizes',
      file,
      'profile with activities CPU and CUDA and record_shapes=True',
    );
  return { parts, notes };
}

function fitSection(
  section: Section,
  device: Device,
  preset: string,
  origin: string,
): { device: Device; part: CalibrationPart } {
  const { knobs, timesSec, weights, price } = section;
  const apply = (values: readonly number[]): Device =>
    knobs.reduce((changed, knob, i) => knob.apply(changed, values[i]), device);
  const predict = (values: readonly number[], out: Float64Array): void => {
    const changed = apply(values);
    for (let i = 0; i < timesSec.length; i++) out[i] = price(changed, i);
  };
  const fit = fitParameters(knobs, predict, timesSec, { weights });
  const source = `fit to ${timesSec.length} ${section.name} of ${origin}: mean error ${percentError(fit.errorBefore)} before, ${percentError(fit.errorAfter)} after`;
  const overlay: Record<string, unknown> = {};
  fit.parameters.forEach((p, i) => {
    if (p.fitted) put(overlay, knobs[i].path, { value: fit.values[i], source });
  });
  const changed = apply(knobs.map((knob, i) => (fit.parameters[i].fitted ? fit.values[i] : knob.prior)));
  return {
    device: changed,
    part: {
      title: `${section.name} on ${preset}`,
      samples: timesSec.length,
      errorBefore: fit.errorBefore,
      errorAfter: fit.errorAfter,
      parameters: fit.parameters,
      groups: [groupOf(section.name, fit)],
      notes: [],
      overlay: {
        devices: Object.keys(overlay).length === 0 ? {} : { [preset]: overlay },
        networks: {},
        stacks: {},
      },
    },
  };
}

function groupOf(name: string, { samples, errorBefore, errorAfter }: Fit): ErrorGroup {
  return { name, samples, errorBefore, errorAfter };
}

function put(overlay: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = overlay;
  for (const key of path.slice(0, -1)) at = (at[key] ??= {}) as Record<string, unknown>;
  at[path[path.length - 1]] = value;
}

/** Work that takes long counts for more, but not in proportion: one shape must not decide alone. */
function weightOf({ timeSec, runs }: Timed<unknown>): number {
  return Math.sqrt(timeSec * runs);
}

function memorySection(profile: Profile, gapSec: number, device: Device): Section {
  const samples = profile.elementwise;
  const large = samples.some(({ work }) => work.bytes >= CACHE_BYTES);
  const small = samples.filter(({ work }) => work.bytes < 2 ** 20 || work.bytes >= CACHE_BYTES);
  return {
    name: 'memory-bound kernels',
    knobs: [
      {
        name: 'memoryEfficiency',
        path: ['memoryEfficiency'],
        prior: device.memoryEfficiency,
        lower: 0.1,
        upper: 1,
        lacking: large
          ? null
          : `no tensor of ${CACHE_BYTES / 2 ** 20} MiB or more: smaller ones stay in the cache`,
        apply: (d, value) => ({ ...d, memoryEfficiency: value }),
      },
      {
        name: 'launchOverheadUs',
        path: ['launchOverheadUs'],
        prior: Number((device.launchOverheadSec * 1e6).toPrecision(12)),
        lower: 0.1,
        upper: 50,
        apply: (d, value) => ({ ...d, launchOverheadSec: value * 1e-6 }),
      },
    ],
    timesSec: small.map((s) => s.timeSec + gapSec),
    weights: small.map(() => 1),
    price: (d, i) => memoryBoundTimeSec(d, small[i].work.bytes),
  };
}

function gemmSection(gemms: readonly Timed<GemmShape>[], gapSec: number, device: Device): Section {
  const lengths = gemms.map(({ work }) => work.k);
  const spread = gemms.length === 0 ? 0 : Math.max(...lengths) / Math.min(...lengths);
  const precisions = [...new Set(gemms.map(({ work }) => device.runsAs[work.precision]))];
  return {
    name: 'matrix products',
    knobs: [
      ...precisions.map((precision): Knob => {
        const peak = device.peakFlopPerSec[precision];
        return {
          name: `achievableTflops.${precision}`,
          path: ['achievableTflops', precision],
          prior: Number((device.achievableFlopPerSec[precision] / 1e12).toPrecision(12)),
          lower: peak * 0.05e-12,
          upper: peak * 1e-12,
          apply: (d, value) => withRate(d, precision, value * 1e12),
        };
      }),
      {
        name: 'contractionHalfLength',
        path: ['contractionHalfLength'],
        prior: device.contractionHalfLength,
        lower: 4,
        upper: 4096,
        lacking: spread >= LEAST_SPREAD ? null : 'the contractions are about equally long',
        apply: (d, value) => ({ ...d, contractionHalfLength: value }),
      },
    ],
    timesSec: gemms.map((s) => s.timeSec + gapSec),
    weights: gemms.map(weightOf),
    price: (d, i) => {
      const { precision, batch, m, n, k } = gemms[i].work;
      return gemmTimeSec(d, precision, batch, m, n, k);
    },
  };
}

/** Every precision that runs as this one. */
function withRate(device: Device, precision: Precision, flopPerSec: number): Device {
  const rates = { ...device.achievableFlopPerSec };
  for (const asked of Object.keys(rates) as Precision[])
    if (device.runsAs[asked] === precision) rates[asked] = Math.min(flopPerSec, device.peakFlopPerSec[asked]);
  return { ...device, achievableFlopPerSec: rates };
}

function attentionSection(
  all: readonly Timed<AttentionShape>[],
  gapSec: number,
  device: Device,
  backward: boolean,
): Section {
  const samples = all.filter(({ work }) => work.backward === backward);
  const way = backward ? 'backward' : 'forward';
  const fraction = `${way}Fraction` as const;
  const halfLength = `${way}HalfLength` as const;
  const lengths = samples.map(({ work }) => work.keys);
  const spread = samples.length === 0 ? 0 : Math.max(...lengths) / Math.min(...lengths);
  const set =
    (field: typeof fraction | typeof halfLength) =>
    (d: Device, value: number): Device => ({
      ...d,
      attention: { ...d.attention, [field]: value },
    });
  return {
    name: `attention ${way} kernels`,
    knobs: [
      {
        name: `attention.${fraction}`,
        path: ['attention', fraction],
        prior: device.attention[fraction],
        lower: 0.02,
        upper: 1,
        apply: set(fraction),
      },
      {
        name: `attention.${halfLength}`,
        path: ['attention', halfLength],
        prior: device.attention[halfLength],
        lower: 8,
        upper: 8192,
        lacking: spread >= LEAST_SPREAD ? null : 'the sequences are about equally long',
        apply: set(halfLength),
      },
    ],
    timesSec: samples.map((s) => s.timeSec + gapSec),
    weights: samples.map(weightOf),
    price: (d, i) => {
      const { precision, batch, heads, kvHeads, queries, keys, headDim, causal } = samples[i].work;
      return attentionTimeSec(d, precision, batch, heads, kvHeads, queries, keys, headDim, causal, backward);
    },
  };
}

/** The device that was traced: as asked for, or by the driver's name and the memory it reports. */
function devicePreset(profile: Profile, file: string, asked: string | undefined): string {
  const folder = presetFolder('devices');
  if (asked !== undefined) {
    const found = folder.find(asked) ?? deviceOfCluster(hardwarePreset(asked));
    if (found !== undefined) return found;
    throw new PartitionError(
      'usage',
      `unknown device preset "${oneLine(asked, 60)}"`,
      '--device',
      `known: ${folder.names.join(', ')}`,
    );
  }
  const named =
    profile.deviceName === null ? undefined : deviceOfCluster(hardwarePreset(driverName(profile)));
  if (named === undefined)
    throw new PartitionError(
      'input',
      profile.deviceName === null
        ? 'the trace does not say on what device it was recorded'
        : `unknown device ${oneLine(profile.deviceName, 60)}`,
      file,
      'name the preset with --device',
    );
  const memory = profile.deviceMemoryBytes;
  if (memory === null) return named;
  // One name stands for boards of several sizes.
  const off = (preset: string): number => Math.abs(Math.log(memory / loadDevice(preset).memoryBytes));
  const chip = named.split('-')[0];
  return folder.names
    .filter((name) => name.split('-')[0] === chip)
    .reduce((best, name) => (off(name) < off(best) - 0.1 ? name : best), named);
}

function driverName({ deviceName }: Profile): string {
  return (deviceName ?? '').replace(/^(NVIDIA|AMD( Instinct)?|Tesla)\s+/i, '');
}

function deviceOfCluster(cluster: string | undefined): string | undefined {
  return cluster === undefined ? undefined : loadCluster(cluster).groups[0].device.name;
}

/** The cluster preset of a device, the driver's name first. */
function clusterPreset(profile: Profile, device: string): string | undefined {
  const named = hardwarePreset(driverName(profile));
  if (named !== undefined && deviceOfCluster(named) === device) return named;
  return presetFolder('clusters').names.find((name) => deviceOfCluster(name) === device);
}
