/**
 * The device-placement problem of any DAG on a handful of unlike devices, and a placement in the making: ops are placed
 * one by one in a topological order, and the value (makespan or largest load) is kept up to date.
 *
 *     latency   every device runs one op at a time; data for another device arrives `transferSec` after its op ends.
 *               An op takes the first gap of its device that is long enough (insertion, as HEFT: Topcuoglu et al. 2002).
 *     load      what a device does per sample in a pipeline: its ops, and what it takes in and sends out, each
 *               tensor once (Tarnawski et al. 2020)
 */

export interface PlacementProblem {
  readonly opCount: number;
  readonly kindCount: number;
  /** Per device, its kind. */
  readonly deviceKind: Int32Array;
  /** Row-major [opCount, kindCount] seconds; Infinity where the kind cannot run the op. */
  readonly timeSec: Float64Array;
  /** Bytes that an op keeps on its device, and bytes of each device (Infinity: no limit). */
  readonly sizeBytes: Float64Array;
  readonly memoryBytes: Float64Array;
  /** Per device, 1 when transfers count into its load (an accelerator; a host's memory takes part for free). */
  readonly paysTransfers: Uint8Array;
  /** Edges; seconds that the data takes between two devices. */
  readonly edgeFrom: Int32Array;
  readonly edgeTo: Int32Array;
  readonly transferSec: Float64Array;
  /** What each edge carries: edges of one tensor leave their producer, and enter a device, once. */
  readonly edgeTensor: Int32Array;
  readonly tensorCount: number;
  /** Ops of one group (>= 0) go to one device; -1: the op stands alone. */
  readonly group: Int32Array;
  readonly objective: 'latency' | 'load';
}

/** What never changes while ops are placed: adjacency, order, bounds. */
export class PlacementGraph {
  readonly devices: number;
  /** CSR of edge numbers by consumer and by producer. */
  readonly inStart: Int32Array;
  readonly inEdge: Int32Array;
  readonly outStart: Int32Array;
  readonly outEdge: Int32Array;
  /** Ops by falling upward rank: a topological order, most urgent first. */
  readonly order: Int32Array;
  /** Mean seconds from an op's start to the end of the last op that depends on it. */
  readonly upwardRank: Float64Array;
  /** Least seconds between an op's end and the end of all. */
  readonly tailSec: Float64Array;
  readonly leastSec: Float64Array;
  readonly meanSec: Float64Array;
  /** No placement is better; above 0. */
  readonly boundSec: number;
  /** Bytes of an op's whole group, and [op, kind]: 1 when the kind can run all of it. */
  readonly groupBytes: Float64Array;
  readonly runs: Uint8Array;

  constructor(readonly problem: PlacementProblem) {
    const { opCount, kindCount, deviceKind, edgeFrom, edgeTo, timeSec } = problem;
    this.devices = deviceKind.length;
    [this.inStart, this.inEdge] = index(edgeTo, opCount);
    [this.outStart, this.outEdge] = index(edgeFrom, opCount);
    this.leastSec = new Float64Array(opCount);
    this.meanSec = new Float64Array(opCount);
    for (let v = 0; v < opCount; v++) {
      let least = Infinity;
      let sum = 0;
      let count = 0;
      for (let d = 0; d < this.devices; d++) {
        const sec = timeSec[v * kindCount + deviceKind[d]];
        if (sec === Infinity) continue;
        least = Math.min(least, sec);
        sum += sec;
        count++;
      }
      if (count === 0) throw new Error(`internal: op ${v} runs on no device`);
      this.leastSec[v] = least;
      this.meanSec[v] = sum / count;
    }
    const sorted = topological(this);
    this.upwardRank = new Float64Array(opCount);
    this.tailSec = new Float64Array(opCount);
    this.rank(sorted);
    const place = new Int32Array(opCount);
    sorted.forEach((v, i) => (place[v] = i));
    this.order = sorted
      .slice()
      .sort((a, b) => this.upwardRank[b] - this.upwardRank[a] || place[a] - place[b]);
    this.boundSec = this.bound();
    this.groupBytes = problem.sizeBytes.slice();
    this.runs = new Uint8Array(opCount * kindCount);
    this.joinGroups();
  }

  private rank(sorted: Int32Array): void {
    const { edgeTo, transferSec } = this.problem;
    const far = this.devices > 1 ? 1 : 0;
    for (let i = sorted.length - 1; i >= 0; i--) {
      const v = sorted[i];
      let rank = 0;
      let tail = 0;
      for (let j = this.outStart[v]; j < this.outStart[v + 1]; j++) {
        const e = this.outEdge[j];
        const w = edgeTo[e];
        rank = Math.max(rank, far * transferSec[e] + this.upwardRank[w]);
        tail = Math.max(tail, this.leastSec[w] + this.tailSec[w]);
      }
      this.upwardRank[v] = this.meanSec[v] + rank;
      this.tailSec[v] = tail;
    }
  }

  private bound(): number {
    const { opCount, objective } = this.problem;
    let work = 0;
    let longest = 0;
    for (let v = 0; v < opCount; v++) {
      work += this.leastSec[v];
      longest = Math.max(longest, this.leastSec[v] + (objective === 'latency' ? this.tailSec[v] : 0));
    }
    const bound = Math.max(work / this.devices, longest);
    // Free ops leave no scale: any positive number keeps ratios defined.
    return bound > 0 ? bound : 1;
  }

  private joinGroups(): void {
    const { opCount, kindCount, group, sizeBytes, timeSec } = this.problem;
    let groups = 0;
    for (let v = 0; v < opCount; v++) groups = Math.max(groups, group[v] + 1);
    const bytes = new Float64Array(groups);
    const runs = new Uint8Array(groups * kindCount).fill(1);
    for (let v = 0; v < opCount; v++) {
      if (group[v] < 0) continue;
      bytes[group[v]] += sizeBytes[v];
      for (let k = 0; k < kindCount; k++)
        if (timeSec[v * kindCount + k] === Infinity) runs[group[v] * kindCount + k] = 0;
    }
    for (let v = 0; v < opCount; v++) {
      const g = group[v];
      if (g >= 0) this.groupBytes[v] = bytes[g];
      for (let k = 0; k < kindCount; k++)
        this.runs[v * kindCount + k] =
          g >= 0 ? runs[g * kindCount + k] : timeSec[v * kindCount + k] === Infinity ? 0 : 1;
    }
  }
}

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

function index(key: Int32Array, count: number): [Int32Array, Int32Array] {
  const start = new Int32Array(count + 1);
  for (const k of key) start[k + 1]++;
  for (let i = 0; i < count; i++) start[i + 1] += start[i];
  const next = start.slice();
  const items = new Int32Array(key.length);
  for (let e = 0; e < key.length; e++) items[next[key[e]]++] = e;
  return [start, items];
}

function topological({ problem, inStart, outStart, outEdge }: PlacementGraph): Int32Array {
  const { opCount, edgeTo } = problem;
  const open = new Int32Array(opCount);
  const order = new Int32Array(opCount);
  let filled = 0;
  for (let v = 0; v < opCount; v++) {
    open[v] = inStart[v + 1] - inStart[v];
    if (open[v] === 0) order[filled++] = v;
  }
  for (let i = 0; i < filled; i++) {
    const v = order[i];
    for (let j = outStart[v]; j < outStart[v + 1]; j++) {
      const w = edgeTo[outEdge[j]];
      if (--open[w] === 0) order[filled++] = w;
    }
  }
  if (filled < opCount) throw new Error('internal: a placement problem with a cycle');
  return order;
}

function grown(from: Float64Array): Float64Array {
  const to = new Float64Array(2 * from.length);
  to.set(from);
  return to;
}
