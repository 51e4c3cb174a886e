/**
 * The device-placement problem of any DAG on a handful of unlike devices, and the graph that its placements share: order,
 * neighbours, bounds.
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
