/**
 * One step of the large-neighbourhood search: some variables are re-optimised exactly while the others stay. Memory enters
 * through prices of rows, a share of the dual's and corrections where rows would be overfull. What is judged is the cost
 * plus a penalty on overfull rows; a candidate that is better is taken. When the priced optimum reaches the value to beat,
 * nothing better exists in the block.
 */
import { BlockSolver } from './block.js';
import { RowPrices } from './rowPrices.js';
import type { ShardState } from './state.js';

export interface BlockRequest {
  readonly variables: readonly number[];
  /** Most cells of a table. */
  readonly limit: number;
  /** Prices tried. */
  readonly maxRounds: number;
  /** Share of the dual's prices to begin with. */
  readonly base: number;
  /** Penalty per unit of usage beyond the capacity, summed over rows. */
  readonly penalty: number;
}

export interface BlockOutcome {
  /** By how much the cost with its penalty fell; 0 or more. */
  readonly gain: number;
  /** Sums made, all rounds together. */
  readonly work: number;
}

/** Fixed part of a block's work: planning and applying cost about as much as this many sums a variable. */
const WORK_PER_VARIABLE = 400;

export class Improver {
  readonly prices: RowPrices;
  private readonly block: BlockSolver;
  private readonly unary: Float64Array;
  private readonly priced: Float64Array;
  private readonly overfull: Int32Array;
  private best: number[] = [];

  constructor(private readonly state: ShardState) {
    this.block = new BlockSolver(state.core);
    this.unary = new Float64Array(state.margin.length);
    this.priced = new Float64Array(state.margin.length);
    this.prices = new RowPrices(state.core.rowCount);
    this.overfull = new Int32Array(Math.max(1, state.core.rowCount));
  }

  /** @param pick chooses from 0 to n - 1 */
  open(request: BlockRequest, pick: (n: number) => number): BlockOutcome {
    const { state, block, prices } = this;
    const { penalty } = request;
    block.plan(request.variables, request.limit, pick);
    const { order } = block;
    if (order.length === 0) return { gain: 0, work: WORK_PER_VARIABLE };
    this.fillUnary();
    const before = order.map((v) => state.choice[v]);
    const present = this.energy(before) + penalty * state.slack.excess();
    const tolerance = 1e-9 * Math.abs(state.cost);
    let bestValue = present;
    let hasBest = false;
    prices.begin(request.base);
    let rounds = 0;
    while (rounds < request.maxRounds) {
      rounds++;
      this.fillPriced();
      block.solve(this.priced);
      const energy = this.energy(block.found);
      this.swap(before, block.found);
      const count = state.slack.overfull(this.overfull);
      const value = count === 0 ? energy : energy + penalty * state.slack.excess();
      // An equally good one is taken too: it opens other ways.
      if (value < bestValue || (!hasBest && value === present)) {
        bestValue = value;
        this.best = [...block.found];
        hasBest = true;
      }
      // The priced optimum less what prices charge for the room there is: no feasible solution of the block is better.
      const room = bestValue - (energy + prices.charge(state.slack));
      const goOn = rounds < request.maxRounds && room > tolerance && count > 0;
      if (goOn) prices.step(state.slack, this.overfull, count, room);
      this.swap(block.found, before);
      if (!goOn) break;
    }
    if (hasBest) for (let p = 0; p < order.length; p++) state.move(order[p], this.best[p]);
    return { gain: present - bestValue, work: rounds * block.work + WORK_PER_VARIABLE * order.length };
  }

  /** Margins without the edges inside the block. */
  private fillUnary(): void {
    const { state, block, unary } = this;
    const { core, choice, margin } = state;
    const { start, edgeStart, edgeTo, edgeTable, table } = core;
    for (const v of block.order) {
      const from = start[v];
      const size = start[v + 1] - from;
      for (let s = 0; s < size; s++) unary[from + s] = margin[from + s];
      for (let e = edgeStart[v]; e < edgeStart[v + 1]; e++) {
        const u = edgeTo[e];
        if (!block.isFree(u)) continue;
        const at = edgeTable[e] + choice[u] * size;
        for (let s = 0; s < size; s++) unary[from + s] -= table[at + s];
      }
    }
  }

  private fillPriced(): void {
    const { state, block, unary, priced, prices } = this;
    const { start, segmentStart, rowBegin, rowEnd, usageAt, usage } = state.core;
    const { isFree } = prices;
    for (const v of block.order) {
      const from = start[v];
      const size = start[v + 1] - from;
      for (let s = 0; s < size; s++) priced[from + s] = unary[from + s];
      if (isFree) continue;
      for (let g = segmentStart[v]; g < segmentStart[v + 1]; g++) {
        const price = prices.between(rowBegin[g], rowEnd[g]);
        if (price === 0) continue;
        const at = usageAt[g];
        for (let s = 0; s < size; s++) priced[from + s] += price * usage[at + s];
      }
    }
  }

  /** Cost of the block's variables and of the edges among them. */
  private energy(found: readonly number[]): number {
    const { state, block, unary } = this;
    const { start, edgeStart, edgeTo, edgeTable, table } = state.core;
    const { order } = block;
    let sum = 0;
    for (let p = 0; p < order.length; p++) {
      const v = order[p];
      const size = start[v + 1] - start[v];
      sum += unary[start[v] + found[p]];
      for (let e = edgeStart[v]; e < edgeStart[v + 1]; e++) {
        const q = block.position(edgeTo[e]);
        if (q > p) sum += table[edgeTable[e] + found[q] * size + found[p]];
      }
    }
    return sum;
  }

  /** Memory of the block as if it chose `to` instead of `from`. */
  private swap(from: readonly number[], to: readonly number[]): void {
    const { order } = this.block;
    for (let p = 0; p < order.length; p++) if (from[p] !== to[p]) this.state.take(order[p], to[p], from[p]);
  }
}
