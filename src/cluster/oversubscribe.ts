/** What a cluster would be with fuller or leaner uplinks. */
import { PartitionError } from '../util/errors.js';
import type { Cluster, Level } from './types.js';

/**
 * The cluster with another oversubscription on the outermost level that its job crosses: `2` = uplinks carry half of
 * what hangs below them.
 *
 * @returns the cluster, and the name of the level
 * @throws PartitionError usage when the job stays within one host or on a torus
 */
export function oversubscribed(cluster: Cluster, ratio: number): { cluster: Cluster; level: string } {
  const outer = cluster.levels.at(-1);
  if (outer === undefined || cluster.levels.length < 2 || outer.torus !== null)
    throw new PartitionError(
      'usage',
      `cluster ${cluster.name} has no uplinks between hosts for ${cluster.deviceCount} devices`,
      '--oversubscription',
      'it needs a job of several hosts behind switches',
    );
  const change = (levels: readonly Level[]): Level[] =>
    levels.map((level) => (level.name === outer.name ? { ...level, oversubscription: ratio } : level));
  return {
    cluster: {
      ...cluster,
      levels: change(cluster.levels),
      groups: cluster.groups.map((group) => ({ ...group, levels: change(group.levels) })),
    },
    level: outer.name,
  };
}
