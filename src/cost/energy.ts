/**
 * Energy, carbon and price of a step. A device draws a level of power for each thing it may be busy with; hosts and
 * switches draw a constant share; the site multiplies by its PUE (facility power over equipment power).
 *
 * Levels default to shares of the power limit (matrix 0.93, memory 0.6, network 0.35), chosen so that a host of 8 H100
 * draws the measured 7.2-8.4 kW under training load (arXiv 2412.08602, 2506.14551).
 */
import type { Device } from '../cluster/types.js';

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
