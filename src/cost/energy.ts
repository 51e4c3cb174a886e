/**
 * Energy, carbon and price of a step. A device draws a level of power for each thing it may be busy with; hosts and
 * switches draw a constant share; the site multiplies by its PUE (facility power over equipment power).
 *
 * Levels default to shares of the power limit (matrix 0.93, memory 0.6, network 0.35), chosen so that a host of 8 H100
 * draws the measured 7.2-8.4 kW under training load (arXiv 2412.08602, 2506.14551).
 */
import type { Cluster, Device, DeviceGroup } from '../cluster/types.js';

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

/** Part of a step's devices: a group, how many of its devices work, and the mean energy of one of them. */
export interface GroupUsage {
  readonly group: DeviceGroup;
  readonly devices: number;
  readonly joulePerDevice: number;
}

export interface StepEnergy {
  readonly deviceJoule: number;
  /** Processors, memory, fans and NICs of the hosts. */
  readonly hostJoule: number;
  readonly networkJoule: number;
  /** All of it times PUE: what the meter of the site shows. */
  readonly facilityJoule: number;
  readonly carbonKg: number;
  readonly costUsd: number;
}

const JOULE_PER_KWH = 3.6e6;

/** Energy of one step of `stepTimeSec` seconds. Hosts are powered and paid for as long as any of their devices work. */
export function stepEnergy(cluster: Cluster, usages: readonly GroupUsage[], stepTimeSec: number): StepEnergy {
  let deviceJoule = 0;
  let hostJoule = 0;
  let networkJoule = 0;
  let costUsd = 0;
  for (const { group, devices, joulePerDevice } of usages) {
    const hosts = Math.ceil(devices / group.devicesPerHost);
    deviceJoule += devices * joulePerDevice;
    hostJoule += hosts * group.hostWatt * stepTimeSec;
    networkJoule += devices * group.networkWattPerDevice * stepTimeSec;
    costUsd += (devices * group.pricePerDeviceHourUsd * stepTimeSec) / 3600;
  }
  const facilityJoule = (deviceJoule + hostJoule + networkJoule) * cluster.pue;
  const carbonKg = (facilityJoule / JOULE_PER_KWH) * cluster.carbonKgPerKwh;
  return { deviceJoule, hostJoule, networkJoule, facilityJoule, carbonKg, costUsd };
}

/** A step's figures scaled to 10^12 tokens. */
export interface PerTrillionTokens {
  readonly kwh: number;
  readonly carbonKg: number;
  readonly costUsd: number;
}

export function perTrillionTokens(energy: StepEnergy, tokensPerStep: number): PerTrillionTokens {
  const steps = 1e12 / tokensPerStep;
  return {
    kwh: (energy.facilityJoule / JOULE_PER_KWH) * steps,
    carbonKg: energy.carbonKg * steps,
    costUsd: energy.costUsd * steps,
  };
}
