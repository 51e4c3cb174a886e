/** Cluster presets, described. */
import type { Cluster } from '../cluster/index.js';
import { listPresets, loadCluster } from '../cluster/index.js';

export interface ClusterSummary {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly description: string;
  readonly device: string;
  readonly devicesPerHost: number;
  readonly peakFlopPerSec: number;
  readonly memoryBytes: number;
  readonly memoryBytesPerSec: number;
  /** The levels of the network, innermost first, as one line. */
  readonly network: string;
}

/** Every preset, alphabetical. */
export function listClusters(): ClusterSummary[] {
  return listPresets().map(({ name, aliases, description, cluster }) => {
    const group = cluster.groups[0];
    return {
      name,
      aliases,
      description,
      device: group.device.name,
      devicesPerHost: group.devicesPerHost,
      peakFlopPerSec: group.device.peakFlopPerSec.bf16,
      memoryBytes: group.device.memoryBytes,
      memoryBytesPerSec: group.device.memoryBytesPerSec,
      network: networkLine(cluster),
    };
  });
}

function networkLine(cluster: Cluster): string {
  return cluster.levels
    .map(
      (level) =>
        `${level.name}: ${level.kind} of ${level.size}, ${(level.bytesPerSecPerDevice / 1e9).toFixed(0)} GB/s`,
    )
    .join('; ');
}

/** One preset or file: what it holds and the source of every number. */
export function describeCluster(
  nameOrPath: string,
): Pick<Cluster, 'name' | 'description' | 'notes' | 'sources' | 'deviceCount'> {
  const { name, description, notes, sources, deviceCount } = loadCluster(nameOrPath);
  return { name, description, notes, sources, deviceCount };
}
