/**
 * Energy of a step. A device draws a level of power for each thing it may be busy with. Its host adds a constant part
 * (processors, memory, switches inside), fans a share of all heat in the host, power supplies lose a share of all they
 * pass on. Switches between hosts draw by port. The site multiplies by its PUE (facility over equipment power).
 */
import type { Device, DeviceGroup } from '../cluster/types.js';

/** Seconds that one device spends on each kind of work in a step; what overlaps counts as the more powerful kind. */
export interface ActivitySeconds {
  readonly matrixSec: number;
  readonly memorySec: number;
  readonly networkSec: number;
  readonly idleSec: number;
}

/** Joules of one device. */
export function deviceEnergyJoule(device: Device, activity: ActivitySeconds): number {
  return (
    activity.matrixSec * device.matrixWatt +
    activity.memorySec * device.memoryWatt +
    activity.networkSec * device.networkWatt +
    activity.idleSec * device.idleWatt
  );
}

type HostPower = Pick<DeviceGroup, 'hostWatt' | 'coolingShare' | 'powerSupplyEfficiency'>;

/** Watts that a host draws from the mains while its devices draw `deviceWatt` together. */
export function hostMainsWatt(host: HostPower, deviceWatt: number): number {
  return hostDirectWatt(host, deviceWatt) / host.powerSupplyEfficiency;
}

/** The same behind its power supplies (direct current): devices, host and fans. */
export function hostDirectWatt(host: HostPower, deviceWatt: number): number {
  return (deviceWatt + host.hostWatt) * (1 + host.coolingShare);
}

/** What a trillion tokens take at the meter of the site. */
export interface TrillionTokens {
  readonly kwh: number;
  readonly carbonKg: number;
  /** Null when the cluster has no price. */
  readonly priceUsd: number | null;
}

const JOULE_PER_KWH = 3.6e6;
const TRILLION = 1e12;

/** @param costPerStep USD; null when the cluster has no price */
export function perTrillionTokens(
  energyJoulesPerStep: number,
  costPerStep: number | null,
  tokensPerStep: number,
  carbonKgPerKwh: number,
): TrillionTokens {
  const steps = TRILLION / tokensPerStep;
  const kwh = (energyJoulesPerStep * steps) / JOULE_PER_KWH;
  return {
    kwh,
    carbonKg: kwh * carbonKgPerKwh,
    priceUsd: costPerStep === null ? null : costPerStep * steps,
  };
}
