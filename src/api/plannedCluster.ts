/** The cluster that a plan was made for, in the condition that it was in. */
import { conditioned, countedSpec } from '../cluster/condition.js';
import type { Cluster } from '../cluster/index.js';
import { loadCalibration } from '../cost/calibration.js';
import type { Plan } from '../plan/types.js';
import { clusterOf } from './problem.js';

export interface PlannedPlace {
  /** Preset or YAML file of the cluster with nothing wrong; default: the plan's cluster name. */
  readonly cluster?: string | undefined;
  readonly calibration?: string | undefined;
  /** Of its devices so many; default: as many as the plan has. */
  readonly devices?: number | undefined;
}

/**
 * A cluster of another name than the plan's is taken as it is.
 *
 * @throws PartitionError as `loadCluster`, or when the condition names hosts that the cluster has not
 */
export function plannedCluster({ cluster: planned }: Plan, place: PlannedPlace = {}): Cluster {
  const cluster = place.cluster ?? planned.name;
  const devices = place.devices ?? planned.devices;
  const { condition } = planned;
  if (condition !== undefined) {
    const calibration = place.calibration === undefined ? undefined : loadCalibration(place.calibration);
    const spec = countedSpec(cluster, condition.devices, calibration);
    if (spec.name === planned.name) return conditioned(spec, condition, devices).cluster;
  }
  return clusterOf({ cluster, calibration: place.calibration, devices });
}
