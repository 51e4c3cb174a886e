/** From the hardware's name in a measured run to a cluster. */
import { buildCluster } from '../cluster/cluster.js';
import { presetFolder } from '../cluster/document.js';
import type { Cluster } from '../cluster/index.js';
import { readPresetCluster } from '../cluster/spec.js';
import type { ClusterSpec, GroupSpec } from '../cluster/spec.js';
import { PartitionError } from '../util/errors.js';
import { CellFault } from './row.js';

/** Loads a preset's description, under a calibration or not. */
export type ClusterLoader = (preset: string) => ClusterSpec;

export const SHIPPED_CLUSTERS: ClusterLoader = (preset) => readPresetCluster(preset, 'hardware');

/** Preset behind a hardware name, spelling aside; undefined when there is none. */
export function hardwarePreset(name: string): string | undefined {
  const folder = presetFolder('clusters');
  const exact = folder.find(name);
  if (exact !== undefined) return exact;
  const words = wordsOf(name);
  let best: string | undefined;
  let length = 0;
  for (const [alias, preset] of folder.byAlias()) {
    if (plain(alias) === plain(name)) return preset;
    // `H100 SXM5 80GB` has all words of `H100-80GB-SXM`; the alias with most of them counts.
    const wanted = alias.toLowerCase().split(BETWEEN_WORDS);
    if (wanted.join('').length > length && wanted.every((word) => words.has(word))) {
      best = preset;
      length = wanted.join('').length;
    }
  }
  return best;
}

const BETWEEN_WORDS = /[^a-z0-9]+/;

/** The words of a name; a revision at the end of one (`SXM5`) may go. */
function wordsOf(name: string): Set<string> {
  const words = name.toLowerCase().split(BETWEEN_WORDS);
  return new Set(words.flatMap((word) => [word, /^[a-z]{2,}\d$/.test(word) ? word.slice(0, -1) : word]));
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
}

/**
 * The cluster of a run. Hosts, slices and racks smaller than the preset's are taken from the row.
 *
 * @param devicesPerDomain of the fast-interconnect domain; null = the preset's
 * @throws CellFault naming the field
 */
export function clusterOf(
  preset: string,
  devices: number,
  devicesPerDomain: number | null,
  load: ClusterLoader = SHIPPED_CLUSTERS,
): Cluster {
  const spec = load(preset);
  const sized = devicesPerDomain === null ? spec : withDomain(spec, devicesPerDomain);
  try {
    return buildCluster(sized, devices);
  } catch (e) {
    if (!(e instanceof PartitionError)) throw e;
    throw new CellFault('gpus', e.message);
  }
}

function withDomain(spec: ClusterSpec, domain: number): ClusterSpec {
  const group = spec.groups[0];
  const inner = group.network[0];
  const perHost = 'any' in group.hosts ? group.hosts.any : group.hosts[0];
  const own = inner.devices === 'host' ? perHost : inner.devices === 'all' ? Infinity : inner.devices;
  if (domain >= own || domain < 1) return spec;
  const resized: GroupSpec =
    inner.devices === 'host'
      ? { ...group, hosts: { any: domain } }
      : { ...group, network: [{ ...inner, devices: domain }, ...group.network.slice(1)] };
  return { ...spec, groups: [resized, ...spec.groups.slice(1)] };
}
