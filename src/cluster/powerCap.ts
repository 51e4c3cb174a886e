/**
 * A device under a power cap. Power above idle falls with the clock to the exponent `clockExponent`, because voltage falls
 * with it; each kind of work runs at the highest clock whose draw meets the cap:
 *
 *     watt = idle + (level - idle) * clock ^ exponent       clock = ((cap - idle) / (level - idle)) ^ (1 / exponent)
 *
 * Matrix and vector units slow with their clock. Memory has a clock of its own: memory-bound work slows only once its own
 * draw is above the cap. Links keep their rate. At or above the power limit nothing changes.
 */
import { PartitionError } from '../util/errors.js';
import { PRECISIONS } from './types.js';
import type { Device, Precision } from './types.js';

/** No firmware lets a device crawl below this share of its clock. */
const LEAST_CLOCK = 0.1;

/**
 * The device as it runs under a cap: rates and power levels scaled, datasheet peaks (the denominator of MFU) as they were.
 *
 * @param watt at least a little above idle
 * @throws PartitionError usage when the cap cannot be met
 */
export function atPowerCap(device: Device, watt: number): Device {
  const least = leastCapWatt(device);
  if (!(watt >= least))
    throw new PartitionError(
      'usage',
      `expected a power cap of at least ${Math.ceil(least)} W for ${device.name} (idle ${device.idleWatt} W), found ${watt}`,
      'powerCapWatt',
    );
  if (watt >= device.tdpWatt) return device;
  const matrix = clockAt(device, device.matrixWatt, watt);
  const memory = clockAt(device, device.memoryWatt, watt);
  const achievableFlopPerSec = {} as Record<Precision, number>;
  for (const precision of PRECISIONS)
    achievableFlopPerSec[precision] = device.achievableFlopPerSec[precision] * matrix;
  return {
    ...device,
    achievableFlopPerSec,
    vectorFlopPerSec: device.vectorFlopPerSec * matrix,
    attention: {
      ...device.attention,
      forwardFraction: device.attention.forwardFraction * matrix,
      backwardFraction: device.attention.backwardFraction * matrix,
    },
    memoryBytesPerSec: device.memoryBytesPerSec * memory,
    tdpWatt: watt,
    matrixWatt: Math.min(device.matrixWatt, watt),
    memoryWatt: Math.min(device.memoryWatt, watt),
    networkWatt: Math.min(device.networkWatt, watt),
  };
}

/** Share of the full clock at which work that draws `levelWatt` draws `capWatt`; 1 when it may run as it likes. */
export function clockAt(device: Device, levelWatt: number, capWatt: number): number {
  if (capWatt >= levelWatt) return 1;
  return ((capWatt - device.idleWatt) / (levelWatt - device.idleWatt)) ** (1 / device.clockExponent);
}

/** The smallest cap that the device can keep. */
export function leastCapWatt(device: Device): number {
  return device.idleWatt + (device.matrixWatt - device.idleWatt) * LEAST_CLOCK ** device.clockExponent;
}
