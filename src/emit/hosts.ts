/**
 * Ranks, devices and hosts. A plan numbers its ranks by its mesh; a tool numbers them by its own axis order; the scheduler
 * deals ranks to hosts. What is asked here: on which device and host does the tool's rank r stand?
 */
import type { Cluster } from '../cluster/types.js';
import type { Plan } from '../plan/types.js';

export type PlanAxis = Plan['mesh']['axes'][number]['name'];

/** Hosts of a job, in the cluster's order. */
export interface Hosts {
  /** Devices in use on each host, by host. */
  readonly devices: readonly number[];
  /** Host of every device. */
  readonly hostOf: Int32Array;
  /** Devices on every host, or 0 where hosts differ. */
  readonly perHost: number;
}

/** Hosts of the plan's devices; null where the cluster is not known. */
export function hostsOf(plan: Plan, cluster: Cluster | null): Hosts | null {
  if (cluster === null) return null;
  const devices: number[] = [];
  const hostOf = new Int32Array(plan.cluster.devices);
  let at = 0;
  for (const group of cluster.groups)
    for (let first = 0; first < group.deviceCount && at < hostOf.length; first += group.devicesPerHost) {
      const used = Math.min(group.devicesPerHost, group.deviceCount - first, hostOf.length - at);
      hostOf.fill(devices.length, at, at + used);
      devices.push(used);
      at += used;
    }
  if (at < hostOf.length) return null;
  return { devices, hostOf, perHost: devices.every((d) => d === devices[0]) ? devices[0] : 0 };
}

/** Device of a rank of the plan. */
export function deviceOf(plan: Plan, rank: number): number {
  return plan.mesh.rankToDevice?.[rank] ?? rank;
}

/**
 * The plan's rank at every rank of a tool that lays the same axes out in another order.
 *
 * @param order axes innermost first; must name all five
 */
export function ranksInOrder(plan: Plan, order: readonly PlanAxis[]): Int32Array {
  const axes = order.map((name) => plan.mesh.axes.find((axis) => axis.name === name)!);
  return Int32Array.from({ length: plan.cluster.devices }, (_, toolRank) => {
    let rest = toolRank;
    let rank = 0;
    for (const { size, stride } of axes) {
      rank += (rest % size) * stride;
      rest = Math.floor(rest / size);
    }
    return rank;
  });
}

/**
 * Host of every node of a tool whose ranks are dealt to nodes in blocks of `perHost`; null where the ranks of a node
 * would stand on several hosts.
 */
export function nodeHosts(plan: Plan, hosts: Hosts, order: readonly PlanAxis[] | null): number[] | null {
  if (hosts.perHost === 0) return null;
  const ranks = order === null ? null : ranksInOrder(plan, order);
  const found: number[] = [];
  for (let rank = 0; rank < plan.cluster.devices; rank++) {
    const host = hosts.hostOf[deviceOf(plan, ranks === null ? rank : ranks[rank])];
    const node = Math.floor(rank / hosts.perHost);
    if (rank % hosts.perHost === 0) found.push(host);
    else if (found[node] !== host) return null;
  }
  return found;
}

/** Axes of a plan in its own order, innermost first. */
export function planOrder(plan: Plan): PlanAxis[] {
  return plan.mesh.axes.map((axis) => axis.name);
}

/** True when the plan's mesh has the pipeline axis inside data parallelism, and it makes a difference. */
export function pipelineIsInside(plan: Plan): boolean {
  const names = planOrder(plan);
  return plan.degrees.pp > 1 && plan.degrees.dp > 1 && names.indexOf('pp') < names.indexOf('dpShard');
}
