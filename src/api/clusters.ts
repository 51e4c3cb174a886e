/** Cluster presets, described. */
import type { Cluster } from '../cluster/index.js';
import { listPresets, loadCluster } from '../cluster/index.js';
import { loadCalibration } from '../cost/calibration.js';

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
      network: networkLine(name, group.devicesPerHost),
    };
  });
}

/** Hosts at which every level of a preset's network shows; whole domains of 18 hosts (72 devices) as of 32. */
const MANY_HOSTS = 288;

/** The levels that a large job sees; the last one, without a size, joins all that there is. */
function networkLine(name: string, devicesPerHost: number): string {
  const { levels } = loadCluster(name, devicesPerHost * MANY_HOSTS);
  return levels
    .map(({ kind, name: level, size, bytesPerSecPerDevice }, i) => {
      const domain = i === levels.length - 1 && levels.length > 1 ? '' : ` of ${size}`;
      const shown = level === kind ? kind : `${level} ${kind}`;
      return `${shown}${domain} ${(bytesPerSecPerDevice / 1e9).toPrecision(3)} GB/s`;
    })
    .join(', ');
}

/** One preset or file, under a calibration if any: what it holds and the source of every number. */
export function describeCluster(
  nameOrPath: string,
  calibration?: string,
): Pick<Cluster, 'name' | 'description' | 'notes' | 'sources' | 'deviceCount'> {
  const { name, description, notes, sources, deviceCount } = loadCluster(
    nameOrPath,
    undefined,
    calibration === undefined ? undefined : loadCalibration(calibration),
  );
  return { name, description, notes, sources, deviceCount };
}
