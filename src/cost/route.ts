/**
 * Where a group of equally spaced ranks lives on the topology, and how fast it may send at each level. Filled into
 * one scratch object, so that pricing a collective allocates nothing.
 */
import type { Level, Topology } from '../cluster/types.js';
import type { GroupSpan } from '../parallel/mesh.js';

/** A cluster's network has a handful of levels; the arrays below hold this many. */
export const MAX_LEVELS = 12;

/**
 * A group's route. Level l connects `fanout[l]` parts, each of `within[l-1]` members, into parts of `within[l]`;
 * `within[-1]` reads as 1 and the last is the group's size.
 *
 *     size 16, stride 1 on hosts of 8:  within = [8, 16], fanout = [8, 2]
 *     size 16, stride 8 on hosts of 8:  within = [1, 16], fanout = [1, 16]
 */
export class Route {
  levels = 0;
  readonly within = new Float64Array(MAX_LEVELS);
  readonly fanout = new Float64Array(MAX_LEVELS);
  /** Bytes per second that one member may send across the level when its whole group does (ring efficiency applied). */
  readonly memberBytesPerSec = new Float64Array(MAX_LEVELS);
  /** The same for all-to-all. */
  readonly allToAllBytesPerSec = new Float64Array(MAX_LEVELS);
  /** Steps of a ring among the level's parts; hops on a torus. */
  readonly ringSteps = new Float64Array(MAX_LEVELS);
  /** Highest level that the group crosses; -1 for a group of one. */
  top = -1;

  /**
   * @param concurrentGroups groups of this kind that share each domain's links; 0 = as many as fit, the rule in
   * SPMD programs where every rank takes part in such a group at once
   */
  fill(group: GroupSpan, topology: Topology, concurrentGroups: number): void {
    const levels = topology.levels;
    this.levels = Math.min(levels.length, MAX_LEVELS);
    this.top = -1;
    let below = 1;
    let domainBelow = 1;
    for (let l = 0; l < this.levels; l++) {
      const level = levels[l];
      const last = l === this.levels - 1;
      const members = last
        ? group.size
        : Math.max(below, membersWithin(group, level.size, topology.deviceCount));
      const fanout = members / below;
      this.within[l] = members;
      this.fanout[l] = fanout;
      if (fanout > 1) {
        this.top = l;
        if (l === 0) this.fillInnermost(level, group, members);
        else this.fillOuter(level, l, below, domainBelow, fanout, concurrentGroups);
      } else {
        this.ringSteps[l] = 0;
        this.memberBytesPerSec[l] = Infinity;
        this.allToAllBytesPerSec[l] = Infinity;
      }
      below = members;
      domainBelow = level.size;
    }
  }

  private fillInnermost(level: Level, group: GroupSpan, members: number): void {
    if (level.torus !== null) {
      this.fillTorus(level, group, members);
      return;
    }
    this.ringSteps[0] = members - 1;
    this.memberBytesPerSec[0] = level.bytesPerSecPerDevice * ringEfficiency(level, members);
    const reach = level.meshPeers === null ? 1 : Math.min(1, (members - 1) / level.meshPeers);
    this.allToAllBytesPerSec[0] = level.bytesPerSecPerDevice * reach * level.allToAllEfficiency;
  }

  /** Each of the `below` members of a part owns its device's share of the uplinks, more when few groups send. */
  private fillOuter(
    level: Level,
    l: number,
    below: number,
    domainBelow: number,
    fanout: number,
    concurrentGroups: number,
  ): void {
    const alone = concurrentGroups > 0 ? Math.max(1, domainBelow / (below * concurrentGroups)) : 1;
    const nominal = (level.bytesPerSecPerDevice * alone) / level.oversubscription;
    this.ringSteps[l] = fanout - 1;
    this.memberBytesPerSec[l] = nominal * level.efficiency;
    this.allToAllBytesPerSec[l] = nominal * level.allToAllEfficiency;
  }

  /**
   * On a torus the group covers an extent of each axis; collectives run on all its axes at once, in both directions
   * (Google's scaling book). An axis that is closed into a ring uses both links of a chip, a cut-out line one.
   * All-to-all is bound by the longest axis: of a ring of e chips 1/8 of e times a chip's data crosses each link
   * direction, of a line 1/4.
   */
  private fillTorus(level: Level, group: GroupSpan, members: number): void {
    const torus = level.torus!;
    const shape = torus.shape;
    const linkBytesPerSec = level.bytesPerSecPerDevice / (2 * shape.length);
    const reach = group.stride * members;
    let chipStride = 1;
    let ringRate = 0;
    let hops = 0;
    let allToAllSecPerByte = 0;
    let covered = 1;
    for (let axis = 0; axis < shape.length; axis++) {
      const end = chipStride * shape[axis];
      const extent = Math.min(reach, end) / Math.max(group.stride, chipStride);
      if (extent > 1) {
        // Ranks that are further apart than neighbours share the links with the groups in between.
        const sharing = Math.max(1, group.stride / chipStride);
        const closed = torus.wraps[axis] && reach >= end && group.stride <= chipStride;
        ringRate += ((closed ? 2 : 1) * linkBytesPerSec) / sharing;
        hops += (closed ? extent / 2 : extent - 1) * sharing;
        const crossing = (extent / (closed ? 8 : 4)) * sharing;
        allToAllSecPerByte = Math.max(allToAllSecPerByte, crossing / linkBytesPerSec);
        covered *= extent;
      }
      chipStride = end;
    }
    if (ringRate === 0 || covered < 1) ringRate = linkBytesPerSec;
    this.ringSteps[0] = hops;
    this.memberBytesPerSec[0] = ringRate * level.efficiency;
    // Of `bytes` a chip sends (n - 1)/n; the caller multiplies by that share, so it is divided out here.
    const sent = (members - 1) / members;
    this.allToAllBytesPerSec[0] =
      (allToAllSecPerByte > 0 ? sent / allToAllSecPerByte : linkBytesPerSec) * level.allToAllEfficiency;
  }
}

/**
 * Members of the group inside one aligned domain of `domain` devices. All of them when the group's block divides the
 * domain; otherwise as many as every domain holds, the pessimistic count for groups that straddle.
 */
export function membersWithin(group: GroupSpan, domain: number, deviceCount: number): number {
  const { size, stride } = group;
  const block = size * stride;
  if (domain >= deviceCount || (block <= domain && domain % block === 0)) return size;
  if (stride >= domain) return 1;
  return gcd(Math.floor(domain / stride), size);
}

function gcd(a: number, b: number): number {
  let x = a;
  let y = b;
  while (y !== 0) {
    const rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}

/** Share of the link bandwidth that a ring of `ranks` reaches inside a host. */
export function ringEfficiency(level: Level, ranks: number): number {
  const table = level.efficiencyByRanks;
  if (table === null) {
    const links = level.meshPeers === null ? 1 : Math.min(1, (ranks - 1) / level.meshPeers);
    return level.efficiency * links;
  }
  const at = table.ranks;
  const efficiency = table.efficiency;
  const last = at.length - 1;
  if (ranks <= at[0]) return efficiency[0];
  for (let i = 1; i <= last; i++)
    if (ranks <= at[i]) {
      const share = (ranks - at[i - 1]) / (at[i] - at[i - 1]);
      return efficiency[i - 1] + share * (efficiency[i] - efficiency[i - 1]);
    }
  return efficiency[last];
}
