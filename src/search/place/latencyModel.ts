/** Latency of an assignment of groups, in time linear in the graph; Infinity when it is illegal. */
import type { Groups } from './groups.js';
import { flatten } from './groups.js';
import type { PlaceProblem } from './problem.js';
import { deviceKinds } from './problem.js';

export class LatencyModel {
  private readonly kindOf: Int32Array;
  private readonly pays: Uint8Array;
  private readonly memory: Float64Array;
  private readonly edgeFirst: Int32Array;
  private readonly edgeTo: Int32Array;
  private readonly tensorFirst: Int32Array;
  private readonly tensorReader: Int32Array;
  private readonly size: Float64Array;
  /** A vertex is an operator on a free kind, or a whole accelerator (`ops + device`). */
  private readonly waits: Int32Array;
  private readonly ready: Float64Array;
  private readonly busy: Float64Array;
  private readonly queue: Int32Array;
  private readonly memberFirst: Int32Array;
  private readonly member: Int32Array;
  private readonly cursor: Int32Array;
  private readonly mark: Int32Array;
  private stamp = 0;

  constructor(
    private readonly problem: PlaceProblem,
    private readonly groups: Groups,
  ) {
    const n = problem.names.length;
    this.kindOf = deviceKinds(problem);
    const devices = this.kindOf.length;
    this.pays = Uint8Array.from(this.kindOf, (k) => (problem.kinds[k].paysTransfers ? 1 : 0));
    this.memory = Float64Array.from(this.kindOf, (k) => problem.kinds[k].memoryBytes);
    const to: number[][] = Array.from({ length: n }, () => []);
    const readers: number[][] = Array.from(problem.tensorTime, () => []);
    for (let e = 0; e < problem.edgeSource.length; e++) {
      to[problem.edgeSource[e]].push(problem.edgeTarget[e]);
      readers[problem.edgeTensor[e]].push(problem.edgeTarget[e]);
    }
    [this.edgeFirst, this.edgeTo] = flatten(to);
    [this.tensorFirst, this.tensorReader] = flatten(readers);
    this.size = new Float64Array(devices);
    this.waits = new Int32Array(n + devices);
    this.ready = new Float64Array(n + devices);
    this.busy = new Float64Array(n + devices);
    this.queue = new Int32Array(n + devices);
    this.memberFirst = new Int32Array(devices + 1);
    this.member = new Int32Array(n);
    this.cursor = new Int32Array(devices);
    this.mark = new Int32Array(devices);
  }

  /** @param device device of each group */
  latency(device: Int32Array): number {
    const { problem, groups, kindOf, pays, size, waits, ready, busy, queue, mark } = this;
    const { memberFirst, member, cursor, edgeFirst, edgeTo, tensorFirst, tensorReader } = this;
    const n = problem.names.length;
    const devices = kindOf.length;
    const of = groups.of;
    size.fill(0);
    for (let g = 0; g < groups.count; g++) size[device[g]] += groups.sizeBytes[g];
    for (let d = 0; d < devices; d++) if (size[d] > this.memory[d]) return Infinity;
    waits.fill(0);
    ready.fill(0);
    busy.fill(0);
    memberFirst.fill(0);
    for (let v = 0; v < n; v++) {
      const d = device[of[v]];
      const time = problem.time[kindOf[d] * n + v];
      if (time === Infinity) return Infinity;
      memberFirst[d + 1]++;
      busy[pays[d] === 1 ? n + d : v] += time;
    }
    for (let d = 0; d < devices; d++) {
      memberFirst[d + 1] += memberFirst[d];
      cursor[d] = memberFirst[d];
    }
    for (let v = 0; v < n; v++) member[cursor[device[of[v]]]++] = v;
    for (let t = 0; t < problem.tensorTime.length; t++) {
      const s = device[of[problem.tensorSource[t]]];
      const stamp = ++this.stamp;
      for (let i = tensorFirst[t]; i < tensorFirst[t + 1]; i++) {
        const d = device[of[tensorReader[i]]];
        if (d === s) continue;
        if (mark[d] !== stamp && pays[d] === 1) busy[n + d] += problem.tensorTime[t];
        if (mark[s] !== stamp && pays[s] === 1) busy[n + s] += problem.tensorTime[t];
        mark[d] = mark[s] = stamp;
      }
    }
    // Kahn's order over operators on free kinds and whole accelerators.
    for (let v = 0; v < n; v++) {
      const a = device[of[v]];
      const from = pays[a] === 1 ? n + a : v;
      for (let i = edgeFirst[v]; i < edgeFirst[v + 1]; i++) {
        const d = device[of[edgeTo[i]]];
        const into = pays[d] === 1 ? n + d : edgeTo[i];
        if (into !== from) waits[into]++;
      }
    }
    let tail = 0;
    let total = devices;
    for (let v = 0; v < n; v++) {
      if (pays[device[of[v]]] === 1) continue;
      total++;
      if (waits[v] === 0) queue[tail++] = v;
    }
    for (let d = 0; d < devices; d++) if (waits[n + d] === 0) queue[tail++] = n + d;
    let longest = 0;
    for (let head = 0; head < tail; head++) {
      const x = queue[head];
      const end = ready[x] + busy[x];
      if (end > longest) longest = end;
      const d = x - n;
      const first = d < 0 ? 0 : memberFirst[d];
      const last = d < 0 ? 1 : pays[d] === 1 ? memberFirst[d + 1] : first;
      for (let j = first; j < last; j++) {
        const v = d < 0 ? x : member[j];
        for (let i = edgeFirst[v]; i < edgeFirst[v + 1]; i++) {
          const e = device[of[edgeTo[i]]];
          const into = pays[e] === 1 ? n + e : edgeTo[i];
          if (into === x) continue;
          if (end > ready[into]) ready[into] = end;
          if (--waits[into] === 0) queue[tail++] = into;
        }
      }
    }
    return tail === total ? longest : Infinity;
  }
}
