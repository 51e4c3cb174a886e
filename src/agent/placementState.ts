/**
 * A placement in the making: ops are placed one by one in a topological order, and the value (makespan or largest load)
 * is kept up to date.
 *
 *     latency   every device runs one op at a time; data for another device arrives `transferSec` after its op ends.
 *               An op takes the first gap of its device that is long enough (insertion, as HEFT: Topcuoglu et al. 2002).
 *     load      what a device does per sample in a pipeline: its ops, and what it takes in and sends out, each
 *               tensor once (Tarnawski et al. 2020)
 */
import type { PlacementGraph } from './placementGraph.js';

/** A partial placement. Ops must be placed in `graph.order`. */
export class PlacementState {
  /** Device per op, -1 while open. */
  readonly device: Int32Array;
  readonly finishSec: Float64Array;
  readonly loadSec: Float64Array;
  readonly usedBytes: Float64Array;
  /** Bound of every placement that goes on from here; the value itself once all ops are placed. */
  valueSec: number;
  private readonly deviceOfGroup: Int32Array;
  /** Busy intervals of each device by start, and what has been charged for tensors on each device [tensor, device]. */
  private readonly starts: Float64Array[];
  private readonly ends: Float64Array[];
  private readonly busy: Int32Array;
  private readonly charged: Float64Array;
  private insertAt = 0;

  constructor(readonly graph: PlacementGraph) {
    const { opCount, tensorCount, group, objective } = graph.problem;
    const { devices } = graph;
    this.device = new Int32Array(opCount);
    this.finishSec = new Float64Array(opCount);
    this.loadSec = new Float64Array(devices);
    this.usedBytes = new Float64Array(devices);
    this.deviceOfGroup = new Int32Array(group.reduce((a, b) => Math.max(a, b), -1) + 1);
    const list = (): Float64Array[] => Array.from({ length: devices }, () => new Float64Array(16));
    this.starts = list();
    this.ends = list();
    this.busy = new Int32Array(devices);
    this.charged = new Float64Array(objective === 'load' ? tensorCount * devices : 0);
    this.valueSec = graph.boundSec;
    this.clear();
  }

  clear(): void {
    this.device.fill(-1);
    this.deviceOfGroup.fill(-1);
    this.loadSec.fill(0);
    this.usedBytes.fill(0);
    this.busy.fill(0);
    this.charged.fill(0);
    this.valueSec = this.graph.boundSec;
  }

  /** The device that the op's group has, -1 where it is free to choose. */
  forced(op: number): number {
    const g = this.graph.problem.group[op];
    return g < 0 ? -1 : this.deviceOfGroup[g];
  }

  /** Whether the device can run the op and all of its group. */
  runs(op: number, d: number): boolean {
    const { kindCount, deviceKind } = this.graph.problem;
    return this.graph.runs[op * kindCount + deviceKind[d]] === 1;
  }

  fits(op: number, d: number): boolean {
    return this.usedBytes[d] + this.graph.groupBytes[op] <= this.graph.problem.memoryBytes[d] * (1 + 1e-12);
  }

  /** When all inputs of the op are on the device. */
  readySec(op: number, d: number): number {
    const { graph, device, finishSec } = this;
    const { edgeFrom, transferSec } = graph.problem;
    let ready = 0;
    for (let j = graph.inStart[op]; j < graph.inStart[op + 1]; j++) {
      const e = graph.inEdge[j];
      const u = edgeFrom[e];
      const at = finishSec[u] + (device[u] === d ? 0 : transferSec[e]);
      if (at > ready) ready = at;
    }
    return ready;
  }

  opSec(op: number, d: number): number {
    const { kindCount, deviceKind, timeSec } = this.graph.problem;
    return timeSec[op * kindCount + deviceKind[d]];
  }

  /** Earliest start in a gap of the device, not before `ready`. */
  startSec(op: number, d: number, ready: number): number {
    const starts = this.starts[d];
    const ends = this.ends[d];
    const n = this.busy[d];
    const sec = this.opSec(op, d);
    // The first interval that ends after `ready`: those before it are of no concern.
    let lo = 0;
    let hi = n;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (ends[mid] <= ready) lo = mid + 1;
      else hi = mid;
    }
    let at = ready;
    let i = lo;
    for (; i < n; i++) {
      if (at + sec <= starts[i]) break;
      if (ends[i] > at) at = ends[i];
    }
    this.insertAt = i;
    return at;
  }

  /** `valueSec` were the op placed there. */
  valueAfter(op: number, d: number): number {
    if (this.graph.problem.objective === 'latency') {
      const end = this.startSec(op, d, this.readySec(op, d)) + this.opSec(op, d);
      return Math.max(this.valueSec, end + this.graph.tailSec[op]);
    }
    return Math.max(this.valueSec, this.loadSec[d] + this.opSec(op, d) + this.transfers(op, d, false));
  }

  place(op: number, d: number): void {
    const { graph } = this;
    const { group } = graph.problem;
    const sec = this.opSec(op, d);
    if (this.forced(op) < 0) {
      this.usedBytes[d] += graph.groupBytes[op];
      if (group[op] >= 0) this.deviceOfGroup[group[op]] = d;
    }
    if (graph.problem.objective === 'latency') {
      const start = this.startSec(op, d, this.readySec(op, d));
      this.finishSec[op] = start + sec;
      if (sec > 0) this.insert(d, this.insertAt, start, start + sec);
      this.loadSec[d] += sec;
      this.valueSec = Math.max(this.valueSec, start + sec + graph.tailSec[op]);
    } else {
      this.loadSec[d] += sec + this.transfers(op, d, true);
      for (let i = 0; i < graph.devices; i++) this.valueSec = Math.max(this.valueSec, this.loadSec[i]);
    }
    this.device[op] = d;
  }

  /** Bytes over capacity, as a ratio of use to capacity on the worst device; at most 1 when all fits. */
  memoryRatio(): number {
    let worst = 0;
    for (let d = 0; d < this.graph.devices; d++)
      if (this.usedBytes[d] > 0)
        worst = Math.max(worst, this.usedBytes[d] / this.graph.problem.memoryBytes[d]);
    return worst;
  }

  private insert(d: number, at: number, start: number, end: number): void {
    const n = this.busy[d]++;
    if (n === this.starts[d].length) {
      this.starts[d] = grown(this.starts[d]);
      this.ends[d] = grown(this.ends[d]);
    }
    this.starts[d].copyWithin(at + 1, at, n);
    this.ends[d].copyWithin(at + 1, at, n);
    this.starts[d][at] = start;
    this.ends[d][at] = end;
  }

  /**
   * Seconds of the transfers into d that placing the op there adds to d's load; with `charge` they are booked, those that
   * producers elsewhere pay included.
   */
  private transfers(op: number, d: number, charge: boolean): number {
    const { graph, device, charged, loadSec } = this;
    const { edgeFrom, edgeTensor, transferSec, paysTransfers } = graph.problem;
    const { devices } = graph;
    let added = 0;
    for (let j = graph.inStart[op]; j < graph.inStart[op + 1]; j++) {
      const e = graph.inEdge[j];
      const u = edgeFrom[e];
      const from = device[u];
      if (from === d) continue;
      // What d has paid for the tensor, and what its own device has paid to send it.
      const t = edgeTensor[e] * devices;
      const more = transferSec[e] - charged[t + d];
      if (more > 0) {
        added += paysTransfers[d] * more;
        if (charge) charged[t + d] = transferSec[e];
      }
      const sends = transferSec[e] - charged[t + from];
      if (charge && sends > 0) {
        charged[t + from] = transferSec[e];
        loadSec[from] += paysTransfers[from] * sends;
      }
    }
    return added;
  }
}

/**
 * The greedy choice for the next op: the earliest finish (HEFT) or the least growth of the largest load, among devices
 * that have room; where none has, the one with most room left.
 */
export function greedyDevice(state: PlacementState, op: number): number {
  const { graph } = state;
  const forced = state.forced(op);
  if (forced >= 0) return forced;
  const latency = graph.problem.objective === 'latency';
  let best = -1;
  let bestScore = Infinity;
  let roomiest = -1;
  let mostRoom = -Infinity;
  for (let d = 0; d < graph.devices; d++) {
    if (!state.runs(op, d)) continue;
    const room = graph.problem.memoryBytes[d] - state.usedBytes[d];
    if (room > mostRoom) {
      mostRoom = room;
      roomiest = d;
    }
    if (!state.fits(op, d)) continue;
    const score = latency
      ? state.startSec(op, d, state.readySec(op, d)) + state.opSec(op, d)
      : state.valueAfter(op, d) + 1e-6 * (state.loadSec[d] + state.opSec(op, d));
    if (score < bestScore) {
      bestScore = score;
      best = d;
    }
  }
  return best >= 0 ? best : roomiest;
}

/** Places every op greedily: the reference placement. */
export function greedyPlacement(state: PlacementState): void {
  state.clear();
  for (const op of state.graph.order) state.place(op, greedyDevice(state, op));
}

function grown(from: Float64Array): Float64Array {
  const to = new Float64Array(2 * from.length);
  to.set(from);
  return to;
}
