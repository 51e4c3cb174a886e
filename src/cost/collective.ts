/**
 * Time of collectives: latency and bandwidth per topology level, every known algorithm priced, the fastest taken, as
 * the libraries do. Each algorithm is a line `startSec + secPerByte * bytes`, so that a group's cost is the lower
 * envelope of a few lines: concave, increasing, cheap to evaluate.
 *
 * **Bytes** follow nccl-tests: all-reduce, broadcast and p2p: the message of one rank; all-gather: the gathered result;
 * reduce-scatter: the whole input of one rank; all-to-all: everything one rank sends, its own share included.
 *
 * Sources: Thakur et al. 2005 (ring, tree); NCCL `src/graph/tuning.cc` (protocols, latencies, tree); Jeaugey 2019
 * (double binary trees); NVIDIA NVLS and PAT release notes (2.17, 2.23); Google scaling book (torus).
 */
import type { Topology } from '../cluster/types.js';
import type { GroupSpan } from '../parallel/mesh.js';
import { Route } from './route.js';

export type CollectiveKind = 'allReduce' | 'reduceScatter' | 'allGather' | 'allToAll' | 'broadcast' | 'p2p';

export const COLLECTIVE_KINDS: readonly CollectiveKind[] = [
  'allReduce',
  'reduceScatter',
  'allGather',
  'allToAll',
  'broadcast',
  'p2p',
];

/**
 * NCCL's protocols: shares of the latency and of the bandwidth of `Simple`. Latencies are the ring rows of tuning.cc
 * (NVLink); bandwidths LL128 0.9 and LL 0.25 are fitted to measured all-reduces of 2-8 A100 (vTrain).
 */
const PROTOCOLS = ['simple', 'll128', 'll'] as const;
const PROTOCOL_LATENCY = [1, 0.56, 0.19];
const PROTOCOL_BANDWIDTH = [1, 0.9, 0.25];
/** Double binary trees reach this share of a ring's bandwidth (tuning.cc). */
const TREE_BANDWIDTH = 0.92;
/** A tree's step costs this many of a ring's (tuning.cc: 5.0 against 2.7 us LL, 8.5 against 4.0 LL128). */
const TREE_LATENCY = 2;
/** Cost of starting one more peer's message in an all-to-all; sends to all peers are in flight together. */
const PEER_START_SEC = 0.5e-6;
/** Host-side share of a collective's start that a point-to-point transfer pays. */
const P2P_START = 0.5;

const MAX_LINES = 24;
const route = new Route();
const lineStartSec = new Float64Array(MAX_LINES);
const lineSecPerByte = new Float64Array(MAX_LINES);
const lineName: string[] = new Array<string>(MAX_LINES).fill('');
let lineCount = 0;

function offer(startSec: number, secPerByte: number, name: string): void {
  lineStartSec[lineCount] = startSec;
  lineSecPerByte[lineCount] = secPerByte;
  lineName[lineCount] = name;
  lineCount++;
}

/** A group's cost of one collective: the lower envelope of lines, one for each algorithm. */
export interface CollectiveCurve {
  readonly startSec: Float64Array;
  readonly secPerByte: Float64Array;
  readonly algorithms: readonly string[];
}

/**
 * Seconds of one collective. Zero for a group of one and for zero bytes.
 *
 * @param concurrentGroups groups of this kind that share each domain's links at once; 0, the default: all that fit
 */
export function collectiveTimeSec(
  kind: CollectiveKind,
  bytes: number,
  group: GroupSpan,
  topology: Topology,
  concurrentGroups = 0,
): number {
  if (group.size <= 1 || bytes <= 0) return 0;
  priceAlgorithms(kind, group, topology, concurrentGroups);
  let best = Infinity;
  for (let i = 0; i < lineCount; i++) best = Math.min(best, lineStartSec[i] + lineSecPerByte[i] * bytes);
  return best;
}

/** The curve of a group, for callers that price many sizes: evaluate it with `curveTimeSec`. */
export function collectiveCurve(
  kind: CollectiveKind,
  group: GroupSpan,
  topology: Topology,
  concurrentGroups = 0,
): CollectiveCurve {
  lineCount = 0;
  if (group.size > 1) priceAlgorithms(kind, group, topology, concurrentGroups);
  const kept: number[] = [];
  for (let i = 0; i < lineCount; i++) if (!dominated(i)) kept.push(i);
  kept.sort((a, b) => lineStartSec[a] - lineStartSec[b] || lineSecPerByte[a] - lineSecPerByte[b]);
  return {
    startSec: Float64Array.from(kept, (i) => lineStartSec[i]),
    secPerByte: Float64Array.from(kept, (i) => lineSecPerByte[i]),
    algorithms: kept.map((i) => lineName[i]),
  };
}

/** Another line is nowhere above this one (the earlier of equals stays). */
function dominated(i: number): boolean {
  for (let j = 0; j < lineCount; j++) {
    if (j === i || lineStartSec[j] > lineStartSec[i] || lineSecPerByte[j] > lineSecPerByte[i]) continue;
    const equal = lineStartSec[j] === lineStartSec[i] && lineSecPerByte[j] === lineSecPerByte[i];
    if (!equal || j < i) return true;
  }
  return false;
}

/** Seconds of a message of `bytes` on a curve; an empty curve (a group of one) costs nothing. */
export function curveTimeSec(curve: CollectiveCurve, bytes: number): number {
  const { startSec, secPerByte } = curve;
  if (startSec.length === 0 || bytes <= 0) return 0;
  let best = Infinity;
  for (let i = 0; i < startSec.length; i++) best = Math.min(best, startSec[i] + secPerByte[i] * bytes);
  return best;
}

/** Name of the algorithm that a message of `bytes` takes: for explanations. */
export function curveAlgorithm(curve: CollectiveCurve, bytes: number): string {
  const time = curveTimeSec(curve, bytes);
  const at = curve.algorithms.findIndex((_, i) => curve.startSec[i] + curve.secPerByte[i] * bytes <= time);
  return curve.algorithms[at] ?? 'none';
}

function priceAlgorithms(
  kind: CollectiveKind,
  group: GroupSpan,
  topology: Topology,
  concurrentGroups: number,
): void {
  lineCount = 0;
  route.fill(group, topology, concurrentGroups);
  if (route.top < 0) {
    offer(0, 0, 'none');
    return;
  }
  const overheadSec = topology.levels[route.top].overheadSec;
  if (kind === 'p2p') priceP2p(topology, overheadSec);
  else if (kind === 'allToAll') priceAllToAll(group.size, topology, overheadSec);
  else if (kind === 'broadcast') priceBroadcast(topology, overheadSec);
  else priceReduction(kind === 'allReduce' ? 2 : 1, group.size, topology, overheadSec);
}

/** All-reduce is two passes (reduce-scatter and all-gather), the others one. */
function priceReduction(passes: number, size: number, topology: Topology, overheadSec: number): void {
  const torus = onTorus(topology);
  const protocols = torus ? 1 : PROTOCOLS.length;
  for (let p = 0; p < protocols; p++) {
    const latency = PROTOCOL_LATENCY[p];
    const bandwidth = PROTOCOL_BANDWIDTH[p];
    if (!torus)
      offer(
        overheadSec + passes * latency * flatRingLatencySec(topology),
        (passes * (size - 1)) / size / (bandwidth * flatRingBytesPerSec()),
        `ring/${PROTOCOLS[p]}`,
      );
    const name = torus ? 'torus' : `hierarchical/${PROTOCOLS[p]}`;
    if (torus || route.top > 0) offerHierarchical(passes, topology, overheadSec, latency, bandwidth, name);
    if (passes === 2 && route.top > 0) offerTree(topology, overheadSec, latency, bandwidth, PROTOCOLS[p]);
  }
  if (passes === 2) offerInSwitch(topology, overheadSec);
  else if (route.within[0] === 1) offerParallelTrees(size, topology, overheadSec);
}

/** Chips of the group are neighbours on a torus, whose collectives have no protocols to choose from. */
function onTorus(topology: Topology): boolean {
  return topology.levels[0].torus !== null && route.fanout[0] > 1;
}

/** One ring through all ranks is as fast as its slowest crossing: all members of a part share its uplinks. */
function flatRingBytesPerSec(): number {
  let slowest = Infinity;
  for (let l = 0; l <= route.top; l++) {
    if (route.fanout[l] <= 1) continue;
    const sharing = l === 0 ? 1 : route.within[l - 1];
    slowest = Math.min(slowest, sharing * route.memberBytesPerSec[l]);
  }
  return slowest;
}

/** Of the n - 1 steps, n / within[l-1] - n / within[l] cross level l. */
function flatRingLatencySec(topology: Topology): number {
  const size = route.within[route.top];
  let sec = 0;
  let below = 1;
  for (let l = 0; l <= route.top; l++) {
    sec += (size / below - size / route.within[l]) * topology.levels[l].latencySec;
    below = route.within[l];
  }
  return sec;
}

/** Level by level: each handles the part of the message that the levels below left to a member. */
function offerHierarchical(
  passes: number,
  topology: Topology,
  overheadSec: number,
  latency: number,
  bandwidth: number,
  name: string,
): void {
  let startSec = overheadSec;
  let secPerByte = 0;
  let below = 1;
  for (let l = 0; l <= route.top; l++) {
    const parts = route.fanout[l];
    if (parts > 1) {
      startSec += passes * latency * route.ringSteps[l] * topology.levels[l].latencySec;
      secPerByte += (passes * (parts - 1)) / parts / below / (bandwidth * route.memberBytesPerSec[l]);
    }
    below = route.within[l];
  }
  offer(startSec, secPerByte, name);
}

/** Rings inside the innermost domain, a double binary tree above it; a tree sends every byte up and down. */
function offerTree(
  topology: Topology,
  overheadSec: number,
  latency: number,
  bandwidth: number,
  protocol: string,
): void {
  const inner = topology.levels[0];
  const local = route.within[0];
  let startSec = overheadSec;
  let secPerByte = 0;
  if (local > 1) {
    startSec += 2 * latency * route.ringSteps[0] * inner.latencySec;
    secPerByte += (2 * (local - 1)) / local / (bandwidth * route.memberBytesPerSec[0]);
  }
  let slowest = Infinity;
  for (let l = 1; l <= route.top; l++) {
    if (route.fanout[l] <= 1) continue;
    startSec += 2 * latency * TREE_LATENCY * Math.log2(route.fanout[l]) * topology.levels[l].latencySec;
    slowest = Math.min(slowest, (route.within[l - 1] / local) * route.memberBytesPerSec[l]);
  }
  secPerByte += 2 / local / (bandwidth * TREE_BANDWIDTH * slowest);
  offer(startSec, secPerByte, `tree/${protocol}`);
}

/** The switch adds: every device sends its message once and receives the sum once. Above it, a tree. */
function offerInSwitch(topology: Topology, overheadSec: number): void {
  const inner = topology.levels[0];
  const reduction = inner.inSwitchReduction;
  const local = route.within[0];
  if (reduction === null || local < reduction.minRanks) return;
  let startSec = overheadSec + 2 * inner.latencySec;
  let secPerByte = 1 / (inner.bytesPerSecPerDevice * reduction.efficiency);
  let slowest = Infinity;
  for (let l = 1; l <= route.top; l++) {
    if (route.fanout[l] <= 1) continue;
    startSec += 2 * TREE_LATENCY * Math.log2(route.fanout[l]) * topology.levels[l].latencySec;
    slowest = Math.min(slowest, (route.within[l - 1] / local) * route.memberBytesPerSec[l]);
  }
  if (slowest < Infinity) secPerByte += 2 / local / (TREE_BANDWIDTH * slowest);
  offer(startSec, secPerByte, 'in-switch');
}

/** PAT: logarithmic all-gather and reduce-scatter, one rank to a host (NCCL 2.23). */
function offerParallelTrees(size: number, topology: Topology, overheadSec: number): void {
  const latencySec = topology.levels[route.top].latencySec;
  offer(
    overheadSec + TREE_LATENCY * Math.ceil(Math.log2(size)) * latencySec,
    (size - 1) / size / (TREE_BANDWIDTH * flatRingBytesPerSec()),
    'parallel trees',
  );
}

/** Everything leaves at once; the level with the longest queue decides. */
function priceAllToAll(size: number, topology: Topology, overheadSec: number): void {
  let secPerByte = 0;
  let below = 1;
  for (let l = 0; l <= route.top; l++) {
    if (route.fanout[l] > 1) {
      const leaving = l === 0 ? (route.within[0] - 1) / size : (size - below) / size;
      secPerByte = Math.max(secPerByte, leaving / route.allToAllBytesPerSec[l]);
    }
    below = route.within[l];
  }
  const latencySec = topology.levels[route.top].latencySec;
  const hops = route.top === 0 && onTorus(topology) ? route.ringSteps[0] : 1;
  offer(overheadSec + hops * latencySec + (size - 1) * PEER_START_SEC, secPerByte, 'direct');
}

function priceBroadcast(topology: Topology, overheadSec: number): void {
  let slowest = Infinity;
  let treeSec = 0;
  for (let l = 0; l <= route.top; l++) {
    if (route.fanout[l] <= 1) continue;
    slowest = Math.min(slowest, (l === 0 ? 1 : route.within[l - 1]) * route.memberBytesPerSec[l]);
    treeSec += TREE_LATENCY * Math.ceil(Math.log2(route.fanout[l])) * topology.levels[l].latencySec;
  }
  const protocols = onTorus(topology) ? 1 : PROTOCOLS.length;
  for (let p = 0; p < protocols; p++) {
    const rate = PROTOCOL_BANDWIDTH[p] * slowest;
    offer(overheadSec + PROTOCOL_LATENCY[p] * flatRingLatencySec(topology), 1 / rate, `ring/${PROTOCOLS[p]}`);
    offer(overheadSec + PROTOCOL_LATENCY[p] * treeSec, 1 / (rate * TREE_BANDWIDTH), `tree/${PROTOCOLS[p]}`);
  }
}

/** Neighbours of the group exchange; with several, the pair across the widest level decides (a pipeline waits for it). */
function priceP2p(topology: Topology, overheadSec: number): void {
  const level = topology.levels[route.top];
  let bytesPerSec = route.memberBytesPerSec[route.top];
  if (route.top === 0 && level.torus === null) {
    const links = level.meshPeers === null ? 1 : 1 / level.meshPeers;
    bytesPerSec = level.bytesPerSecPerDevice * level.efficiency * links;
  } else if (route.top === 0 && level.torus !== null) {
    bytesPerSec = Math.min(
      bytesPerSec,
      (level.bytesPerSecPerDevice * level.efficiency) / (2 * level.torus.shape.length),
    );
  }
  offer(P2P_START * overheadSec + level.latencySec, 1 / bytesPerSec, 'direct');
}
