/** A complete choice with everything that moves ask for kept up to date. */
import type { ShardCore } from './core.js';
import { RowSlack } from './rowSlack.js';

export class ShardState {
  readonly choice: Int32Array;
  /** What each strategy of each variable would cost beside the others' choices. */
  readonly margin: Float64Array;
  readonly slack: RowSlack;
  cost = 0;

  constructor(
    readonly core: ShardCore,
    choice: ArrayLike<number>,
  ) {
    this.choice = Int32Array.from(choice);
    this.margin = new Float64Array(core.start[core.count]);
    this.slack = new RowSlack(core.capacity);
    for (let i = 0; i < core.count; i++) this.take(i, this.choice[i], -1);
    this.recount();
  }

  /** Sums costs anew: sums of other than wholes drift. */
  recount(): void {
    const { core, choice, margin } = this;
    const { start, edgeStart, edgeTo, edgeTable, table } = core;
    margin.set(core.cost);
    let twice = 0;
    let own = 0;
    for (let i = 0; i < core.count; i++) {
      const from = start[i];
      const size = start[i + 1] - from;
      for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
        const at = edgeTable[e] + choice[edgeTo[e]] * size;
        for (let s = 0; s < size; s++) margin[from + s] += table[at + s];
      }
      own += core.cost[from + choice[i]];
      twice += margin[from + choice[i]];
    }
    this.cost = core.constant + (twice + own) / 2;
  }

  move(i: number, to: number): void {
    const { core, choice, margin } = this;
    const { start, edgeStart, edgeTo, edgeTable, edgeBack, table } = core;
    const from = choice[i];
    if (from === to) return;
    this.cost += margin[start[i] + to] - margin[start[i] + from];
    for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
      const j = edgeTo[e];
      const size = start[j + 1] - start[j];
      const base = edgeTable[edgeBack[e]];
      const x = base + to * size;
      const y = base + from * size;
      const at = start[j];
      for (let s = 0; s < size; s++) margin[at + s] += table[x + s] - table[y + s];
    }
    choice[i] = to;
    this.take(i, to, from);
  }

  /** Changes only the memory: variable i takes strategy `to` instead of `from` (-1: of nothing). */
  take(i: number, to: number, from: number): void {
    const { segmentStart, rowBegin, rowEnd, usageAt, usage } = this.core;
    for (let g = segmentStart[i]; g < segmentStart[i + 1]; g++) {
      const less = (from < 0 ? 0 : usage[usageAt[g] + from]) - (to < 0 ? 0 : usage[usageAt[g] + to]);
      if (less !== 0) this.slack.add(rowBegin[g], rowEnd[g], less);
    }
  }

  /** Whether variable i could take strategy `to` beside the others. */
  fits(i: number, to: number): boolean {
    const { segmentStart, rowBegin, rowEnd, usageAt, usage } = this.core;
    const from = this.choice[i];
    for (let g = segmentStart[i]; g < segmentStart[i + 1]; g++) {
      const more = usage[usageAt[g] + to] - usage[usageAt[g] + from];
      if (more > 0 && this.slack.leastOf(rowBegin[g], rowEnd[g]) < more) return false;
    }
    return true;
  }
}
