/** Load of one growing set of groups if it were alone on a device of each kind. */
import type { Groups } from './groups.js';
import type { PlaceProblem } from './problem.js';

export class SetLoad {
  private readonly compute: Float64Array;
  /** Members that cannot run on each kind. */
  private readonly barred: Int32Array;
  private transfers = 0;
  private sizeBytes = 0;
  private readonly inside: Uint8Array;
  private readonly readInside: Int32Array;
  private readonly touched: Int32Array;
  private members = 0;

  constructor(
    private readonly problem: PlaceProblem,
    private readonly groups: Groups,
  ) {
    this.compute = new Float64Array(problem.kinds.length);
    this.barred = new Int32Array(problem.kinds.length);
    this.inside = new Uint8Array(groups.count);
    this.readInside = new Int32Array(groups.nets);
    this.touched = new Int32Array(groups.count);
  }

  clear(): void {
    const { groups } = this;
    for (let i = 0; i < this.members; i++) {
      const g = this.touched[i];
      this.inside[g] = 0;
      for (let j = groups.inFirst[g]; j < groups.inFirst[g + 1]; j++) this.readInside[groups.in[j]] = 0;
    }
    this.members = 0;
    this.compute.fill(0);
    this.barred.fill(0);
    this.transfers = 0;
    this.sizeBytes = 0;
  }

  add(g: number): void {
    const { groups, inside, readInside } = this;
    this.count(g, 1);
    this.sizeBytes += groups.sizeBytes[g];
    for (let i = groups.outFirst[g]; i < groups.outFirst[g + 1]; i++) {
      const e = groups.out[i];
      const all = groups.readerFirst[e + 1] - groups.readerFirst[e];
      if (readInside[e] > 0) this.transfers -= groups.netTime[e];
      if (readInside[e] < all) this.transfers += groups.netTime[e];
    }
    for (let i = groups.inFirst[g]; i < groups.inFirst[g + 1]; i++) {
      const e = groups.in[i];
      const before = readInside[e]++;
      if (inside[groups.netSource[e]] === 1) {
        if (before + 1 === groups.readerFirst[e + 1] - groups.readerFirst[e])
          this.transfers -= groups.netTime[e];
      } else if (before === 0) this.transfers += groups.netTime[e];
    }
    inside[g] = 1;
    this.touched[this.members++] = g;
  }

  /** Takes back the last group added. Floating sums are undone by the same amounts, to rounding. */
  removeLast(): void {
    const { groups, inside, readInside } = this;
    const g = this.touched[--this.members];
    inside[g] = 0;
    this.count(g, -1);
    this.sizeBytes -= groups.sizeBytes[g];
    for (let i = groups.inFirst[g]; i < groups.inFirst[g + 1]; i++) {
      const e = groups.in[i];
      const before = --readInside[e];
      if (inside[groups.netSource[e]] === 1) {
        if (before + 1 === groups.readerFirst[e + 1] - groups.readerFirst[e])
          this.transfers += groups.netTime[e];
      } else if (before === 0) this.transfers -= groups.netTime[e];
    }
    for (let i = groups.outFirst[g]; i < groups.outFirst[g + 1]; i++) {
      const e = groups.out[i];
      const all = groups.readerFirst[e + 1] - groups.readerFirst[e];
      if (readInside[e] > 0) this.transfers += groups.netTime[e];
      if (readInside[e] < all) this.transfers -= groups.netTime[e];
    }
  }

  /** Compute plus transfers on a device of the kind; Infinity when it cannot run there or does not fit. */
  load(kind: number): number {
    const { memoryBytes, paysTransfers } = this.problem.kinds[kind];
    if (this.sizeBytes > memoryBytes || this.barred[kind] > 0) return Infinity;
    return this.compute[kind] + (paysTransfers ? Math.max(0, this.transfers) : 0);
  }

  /** What the load cannot fall below as the set grows. */
  floor(kind: number): number {
    return this.sizeBytes > this.problem.kinds[kind].memoryBytes || this.barred[kind] > 0
      ? Infinity
      : this.compute[kind];
  }

  private count(g: number, sign: 1 | -1): void {
    const { groups } = this;
    for (let k = 0; k < this.compute.length; k++) {
      const time = groups.time[k * groups.count + g];
      if (time === Infinity) this.barred[k] += sign;
      else this.compute[k] += sign * time;
    }
  }
}
