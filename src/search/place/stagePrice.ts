/**
 * Price of one pipeline stage while its set of layers grows: for a tensor degree, a data degree and a number of samples in
 * flight, the least time over the layers' configurations within memory.
 *
 * Choosing configurations is a multiple-choice knapsack. From the fastest of every layer, steps along each layer's lower convex
 * hull of (memory, time) are taken in the order of time paid per byte saved until the stage fits. That is optimal for the
 * relaxation with fractional steps, which gives the bound; `exact` closes the gap where it matters.
 */
import { fastest, hullOf, solveKnapsack } from './knapsack.js';
import type { PiperProblem } from './piperProblem.js';

/** Steps for one (tensor degree, data degree, samples in flight), over all layers, cheapest byte first. */
interface Steps {
  readonly layer: Int32Array;
  readonly time: Float64Array;
  readonly bytes: Float64Array;
}

export class StagePrice {
  /** Least time with whole steps, and the bound with a fractional last step; left by `price`. */
  time = 0;
  bound = 0;
  private readonly inside: Uint8Array;
  private readonly members: Int32Array;
  private count = 0;
  /** Sums over members at their fastest, by tensor degree. */
  private readonly barred: Int32Array;
  private readonly transfer: Float64Array;
  private readonly transferBefore: Float64Array;
  private readonly tables = new Map<number, StepTable>();
  private readonly edges: readonly (readonly number[])[];
  /** `[degree][layer]` of sync bytes on each edge, from the side of the source and of the target. */
  private readonly syncOut: readonly Float64Array[];
  private readonly syncIn: readonly Float64Array[];

  constructor(private readonly problem: PiperProblem) {
    const n = problem.names.length;
    const degrees = problem.tensorDegrees;
    this.inside = new Uint8Array(n);
    this.members = new Int32Array(n);
    this.barred = new Int32Array(degrees.length);
    this.transfer = new Float64Array(degrees.length);
    this.transferBefore = new Float64Array((n + 1) * degrees.length);
    const edges: number[][] = Array.from({ length: n }, () => []);
    for (let e = 0; e < problem.edgeSource.length; e++) {
      edges[problem.edgeSource[e]].push(e);
      edges[problem.edgeTarget[e]].push(e);
    }
    this.edges = edges;
    const syncs = (ends: Int32Array): Float64Array[] =>
      degrees.map((t) =>
        Float64Array.from(ends, (v, e) =>
          // The largest over the configurations: safe where they differ, exact where they agree.
          (problem.choices[v].get(t) ?? []).reduce((m, c) => Math.max(m, c.syncBytes.get(e) ?? 0), 0),
        ),
      );
    this.syncOut = syncs(problem.edgeSource);
    this.syncIn = syncs(problem.edgeTarget);
  }

  /** Adds a layer that is not in the stage. */
  add(v: number): void {
    const { problem, inside } = this;
    const degrees = problem.tensorDegrees.length;
    const save = this.count * degrees;
    for (let i = 0; i < degrees; i++) {
      this.transferBefore[save + i] = this.transfer[i];
      if (!problem.choices[v].has(problem.tensorDegrees[i])) this.barred[i]++;
    }
    for (const e of this.edges[v]) {
      const outgoing = problem.edgeSource[e] === v;
      const other = outgoing ? problem.edgeTarget[e] : problem.edgeSource[e];
      for (let i = 0; i < degrees; i++) {
        const [own, far] = outgoing
          ? [this.syncOut[i][e], this.syncIn[i][e]]
          : [this.syncIn[i][e], this.syncOut[i][e]];
        // An edge to a member stops being a border, which the member paid.
        this.transfer[i] +=
          inside[other] === 1 ? -2 * (problem.edgeBytes[e] + far) : 2 * (problem.edgeBytes[e] + own);
      }
    }
    inside[v] = 1;
    this.members[this.count++] = v;
  }

  removeLast(): void {
    const { problem } = this;
    const degrees = problem.tensorDegrees.length;
    const v = this.members[--this.count];
    this.inside[v] = 0;
    for (let i = 0; i < degrees; i++) {
      this.transfer[i] = this.transferBefore[this.count * degrees + i];
      if (!problem.choices[v].has(problem.tensorDegrees[i])) this.barred[i]--;
    }
  }

  clear(): void {
    while (this.count > 0) this.removeLast();
  }

  /** Opens the stage for one tensor degree (by index) and data degree; null when a layer cannot. */
  at(degree: number, dataDegree: number): StageAt | null {
    if (this.barred[degree] > 0) return null;
    const key = degree * 65_536 + dataDegree;
    let table = this.tables.get(key);
    if (table === undefined) {
      table = new StepTable(this.problem, this.problem.tensorDegrees[degree], dataDegree);
      this.tables.set(key, table);
    }
    let time = this.transfer[degree] / dataDegree / this.problem.bandwidth;
    let perSample = 0;
    let fixed = 0;
    for (let i = 0; i < this.count; i++) {
      const v = this.members[i];
      time += table.fastTime[v];
      perSample += table.fastPerSample[v];
      fixed += table.fastFixed[v];
    }
    return { table, time, perSample, fixed };
  }

  /** Times with this many samples in flight, into `time` and `bound`; false when it cannot fit. */
  price(stage: StageAt, samples: number): boolean {
    this.time = this.bound = stage.time;
    let excess = stage.perSample * samples + stage.fixed - this.problem.memoryBytes;
    if (excess <= 0) return true;
    const steps = stage.table.steps(samples);
    const { layer, time, bytes } = steps;
    const { inside } = this;
    for (let i = 0; i < layer.length; i++) {
      const v = layer[i];
      if (inside[v] === 0) continue;
      this.bound = this.time + time[i] * Math.min(1, excess / bytes[i]);
      this.time += time[i];
      excess -= bytes[i];
      if (excess > 0) continue;
      return true;
    }
    return false;
  }

  /** Time of the stage if its transfers were free: what it cannot fall below as it grows. */
  computeTime(stage: StageAt, degree: number, dataDegree: number): number {
    return stage.time - this.transfer[degree] / dataDegree / this.problem.bandwidth;
  }

  /** Samples in flight up to which every layer can take its fastest configuration. */
  samplesAtFastest(stage: StageAt): number {
    const room = this.problem.memoryBytes - stage.fixed;
    if (room < 0) return 0;
    return stage.perSample === 0 ? Infinity : Math.floor(room / stage.perSample);
  }

  /** The best configurations with this many samples in flight, exactly where the search ends within its nodes. */
  exact(stage: StageAt, samples: number): ExactStage | null {
    const { problem } = this;
    const layers = Array.from(this.members.subarray(0, this.count));
    const t = stage.table.tensorDegree;
    const lists = layers.map((v) => problem.choices[v].get(t) ?? []);
    let transfers = stage.time;
    for (const v of layers) transfers -= stage.table.fastTime[v];
    const answer = solveKnapsack({
      time: layers.map((v, i) => lists[i].map((_, c) => stage.table.timeOf(v, c))),
      bytes: lists.map((list) => list.map((c) => c.memoryPerSample * samples + c.memoryFixed)),
      capacity: problem.memoryBytes,
    });
    return answer === null ? null : { ...answer, layers, time: answer.time + transfers };
  }
}

export interface ExactStage {
  readonly layers: readonly number[];
  readonly choice: readonly number[];
  readonly time: number;
  readonly proven: boolean;
}

/** A stage opened for one pair of degrees: its sums at the fastest configurations. */
export interface StageAt {
  readonly table: StepTable;
  readonly time: number;
  readonly perSample: number;
  readonly fixed: number;
}

/** Hulls and steps of all layers for one pair of degrees. */
export class StepTable {
  readonly fastTime: Float64Array;
  readonly fastPerSample: Float64Array;
  readonly fastFixed: Float64Array;
  private readonly known = new Map<number, Steps>();

  constructor(
    private readonly problem: PiperProblem,
    readonly tensorDegree: number,
    private readonly dataDegree: number,
  ) {
    const n = problem.names.length;
    this.fastTime = new Float64Array(n);
    this.fastPerSample = new Float64Array(n);
    this.fastFixed = new Float64Array(n);
    for (let v = 0; v < n; v++) {
      const list = problem.choices[v].get(tensorDegree);
      if (list === undefined) continue;
      const best = fastest(list.map((_, c) => this.timeOf(v, c)));
      this.fastTime[v] = this.timeOf(v, best);
      this.fastPerSample[v] = list[best].memoryPerSample;
      this.fastFixed[v] = list[best].memoryFixed;
    }
  }

  /** Time of one configuration, transfers aside. */
  timeOf(v: number, c: number): number {
    const choice = this.problem.choices[v].get(this.tensorDegree)![c];
    const d = this.dataDegree;
    const resync = (4 * (d - 1) * choice.parameterBytes) / d / this.problem.samplesPerBatch;
    return choice.timePerSample / d + resync / this.problem.bandwidth;
  }

  steps(samples: number): Steps {
    const known = this.known.get(samples);
    if (known !== undefined) return known;
    const rows: { layer: number; time: number; bytes: number }[] = [];
    for (let v = 0; v < this.problem.names.length; v++) {
      const list = this.problem.choices[v].get(this.tensorDegree);
      if (list === undefined) continue;
      const hull = hullOf(
        list.map((_, c) => this.timeOf(v, c)),
        list.map((c) => c.memoryPerSample * samples + c.memoryFixed),
      );
      for (let i = 1; i < hull.length; i++) {
        const [a, b] = [list[hull[i - 1]], list[hull[i]]];
        const bytes = (a.memoryPerSample - b.memoryPerSample) * samples + a.memoryFixed - b.memoryFixed;
        rows.push({
          layer: v,
          time: this.timeOf(v, hull[i]) - this.timeOf(v, hull[i - 1]),
          bytes,
        });
      }
    }
    rows.sort((x, y) => x.time / x.bytes - y.time / y.bytes || x.layer - y.layer);
    const steps: Steps = {
      layer: Int32Array.from(rows, (r) => r.layer),
      time: Float64Array.from(rows, (r) => r.time),
      bytes: Float64Array.from(rows, (r) => r.bytes),
    };
    this.known.set(samples, steps);
    return steps;
  }
}
