import { Fields } from './fields.js';
import { presetFolder, resolvePreset } from './document.js';
import { calibratedDevice } from './overlay.js';
import type { Calibration } from './overlay.js';
import { PRECISIONS } from './types.js';
import type { AttentionCurve, Device, MatrixTile, Precision, SourcedFigure } from './types.js';

/** Formats tried in turn when the matrix units lack one; the last resort is fp32, which every device has. */
const FALLBACKS: Readonly<Record<Precision, readonly Precision[]>> = {
  fp32: [],
  tf32: [],
  fp16: ['bf16'],
  bf16: ['fp16'],
  fp8: ['bf16', 'fp16'],
  fp4: ['fp8', 'bf16', 'fp16'],
  int8: ['fp8', 'bf16', 'fp16'],
};

/**
 * Shares of the power limit drawn when a device file does not say: matrix products run at the limit (they throttle there),
 * streaming from memory at 0.6 of it, collectives at 0.35. Measured rows that hold them: `test/validation/energy.test.ts`.
 */
const MATRIX_POWER = 0.97;
const MEMORY_POWER = 0.6;
const NETWORK_POWER = 0.35;
/** Between the square (voltage at its floor) and the cube (voltage in step with the clock) of the textbook. */
const CLOCK_EXPONENT = 2.5;

/** A preset device and the sources of its numbers. Throws a usage error for an unknown name. */
export function loadDevice(
  name: string,
  sources: SourcedFigure[] = [],
  where = 'device',
  code: 'usage' | 'input' = 'usage',
  calibration?: Calibration,
): Device {
  const preset = resolvePreset('devices', name, where, code);
  const folder = presetFolder('devices');
  const fields = Fields.of(
    calibratedDevice(preset, calibration),
    folder.path(preset),
    '',
    sources,
    `device ${preset}: `,
  );
  return readDevice(fields, preset);
}

/** Names of the preset devices. */
export function listDevices(): readonly string[] {
  return presetFolder('devices').names;
}

/** Reads a device description (see `cluster.schema.json`, `device`); rates in T, memory in GiB, times in us. */
export function readDevice(fields: Fields, name: string): Device {
  fields.string('description', '-');
  fields.list('aliases', []);
  const peaks = readRates(fields.required('peakTflops'));
  const measured = fields.has('achievableTflops') ? readRates(fields.required('achievableTflops')) : {};
  if (peaks.fp32 === undefined) throw fields.required('peakTflops').fault('fp32', 'a number');
  const defaultFraction = fields.number('achievableFraction', {
    min: 0.01,
    max: 1,
    default: measuredFraction(peaks, measured),
  });
  const runsAs = {} as Record<Precision, Precision>;
  const peakFlopPerSec = {} as Record<Precision, number>;
  const achievableFlopPerSec = {} as Record<Precision, number>;
  for (const precision of PRECISIONS) {
    const real = [precision, ...FALLBACKS[precision]].find((p) => peaks[p] !== undefined) ?? 'fp32';
    const peak = peaks[real]!;
    runsAs[precision] = real;
    peakFlopPerSec[precision] = peak;
    achievableFlopPerSec[precision] = Math.min(measured[real] ?? peak * defaultFraction, peak);
  }
  const tdpWatt = fields.number('tdpWatt', { min: 1 });
  const device: Device = {
    name: fields.string('name', name),
    vendor: fields.string('vendor', 'unknown'),
    runsAs,
    peakFlopPerSec,
    achievableFlopPerSec,
    vectorFlopPerSec: fields.number('vectorTflops', { min: 1e-6, default: peaks.fp32 / 1e12 }) * 1e12,
    memoryBytes: Math.round(fields.number('memoryGiB', { min: 0.001 }) * 2 ** 30),
    reservedBytes: Math.round(fields.number('reservedGiB', { default: 1.5 }) * 2 ** 30),
    memoryBytesPerSec: fields.number('memoryGBps', { min: 0.001 }) * 1e9,
    memoryEfficiency: fields.number('memoryEfficiency', { min: 0.01, max: 1, default: 0.9 }),
    launchOverheadSec: fields.number('launchOverheadUs', { default: 3 }) * 1e-6,
    cores: fields.number('cores', { min: 1, integer: true }),
    matrixTiles: readTiles(fields),
    contractionHalfLength: fields.number('contractionHalfLength', { default: 128 }),
    attention: readAttention(fields),
    tdpWatt,
    idleWatt: fields.number('idleWatt', { default: 0.12 * tdpWatt }),
    matrixWatt: fields.number('matrixWatt', { max: tdpWatt, default: MATRIX_POWER * tdpWatt }),
    memoryWatt: fields.number('memoryWatt', { max: tdpWatt, default: MEMORY_POWER * tdpWatt }),
    networkWatt: fields.number('networkWatt', { max: tdpWatt, default: NETWORK_POWER * tdpWatt }),
    clockExponent: fields.number('clockExponent', { min: 1, max: 4, default: CLOCK_EXPONENT }),
  };
  fields.done();
  return device;
}

/** The device with every rate scaled by `speed`: one that throttles, or shares its chip. Capacity stays. */
export function scaleDevice(device: Device, speed: number): Device {
  if (speed === 1) return device;
  const scale = (rates: Device['peakFlopPerSec']): Record<Precision, number> => {
    const scaled = {} as Record<Precision, number>;
    for (const precision of PRECISIONS) scaled[precision] = rates[precision] * speed;
    return scaled;
  };
  return {
    ...device,
    peakFlopPerSec: scale(device.peakFlopPerSec),
    achievableFlopPerSec: scale(device.achievableFlopPerSec),
    vectorFlopPerSec: device.vectorFlopPerSec * speed,
    memoryBytesPerSec: device.memoryBytesPerSec * speed,
  };
}

function readRates(fields: Fields): Partial<Record<Precision, number>> {
  const rates: Partial<Record<Precision, number>> = {};
  for (const precision of PRECISIONS)
    if (fields.has(precision)) rates[precision] = fields.number(precision, { min: 1e-6 }) * 1e12;
  fields.done();
  return rates;
}

/** Share of the peak reached where measured (bf16 first); 0.8 when nothing was, a middling value of the measured ones. */
function measuredFraction(
  peaks: Partial<Record<Precision, number>>,
  measured: Partial<Record<Precision, number>>,
): number {
  for (const precision of ['bf16', 'fp16', 'fp8', 'fp32'] as const) {
    const peak = peaks[precision];
    const rate = measured[precision];
    if (peak !== undefined && rate !== undefined) return Math.min(1, rate / peak);
  }
  return 0.8;
}

function readTiles(fields: Fields): MatrixTile[] {
  const tiles = fields.children('matrixTiles', [{ rows: 128, columns: 128, efficiency: 1 }]).map((tile) => {
    const read = {
      rows: tile.number('rows', { min: 1, integer: true }),
      columns: tile.number('columns', { min: 1, integer: true }),
      efficiency: tile.number('efficiency', { min: 0.001, max: 1 }),
    };
    tile.done();
    return read;
  });
  if (tiles.length === 0) throw fields.fault('matrixTiles', 'at least one tile');
  return tiles;
}

/** FlashAttention-2 on Ampere reaches about 0.7 of the peak forward, 0.55 backward: the default. */
function readAttention(fields: Fields): AttentionCurve {
  const curve = fields.child('attention');
  if (curve === null)
    return { forwardFraction: 0.7, forwardHalfLength: 250, backwardFraction: 0.55, backwardHalfLength: 350 };
  const read = {
    forwardFraction: curve.number('forwardFraction', { min: 0.01, max: 1 }),
    forwardHalfLength: curve.number('forwardHalfLength'),
    backwardFraction: curve.number('backwardFraction', { min: 0.01, max: 1 }),
    backwardHalfLength: curve.number('backwardHalfLength'),
  };
  curve.done();
  return read;
}
