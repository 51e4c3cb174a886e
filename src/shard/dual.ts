/**
 * The dual bound: memory rows as prices (Lagrange multipliers), pairwise costs by message passing, both raised together.
 * Prices follow the volume algorithm (Barahona and Anbil 2000): from the best prices so far along an average of the loads
 * of recent choices, by lengths that grow while the bound does. Every bound holds for every feasible choice, converged or not.
 */
import type { ShardCore } from './core.js';
import { MessagePasser } from './messages.js';

/** Weight of the newest choice in the average. */
const NEWEST = 0.1;
/** The length of steps is what they would gain if the bound were a plane; at first this share of the bound. */
const FIRST_LENGTH = 0.01;
/** Steps without a better bound until they get shorter, and how much. */
const PATIENCE = 8;
const SHORTER = 0.7;
const LONGER = 1.1;
/** A step that falls by this share of the bound was far too long. */
const FAR_OFF = 0.003;
/** Length, as a share of the bound, below which direction and length start anew, and the length to start with. */
const SHORTEST = 3e-6;
const FRESH_LENGTH = 1e-3;
/** Fresh starts without a better bound until the ascent is at its end. */
const MOST_FRESH = 6;
const WARM_UP_PASSES = 20;

export class DualAscent {
  /** No feasible choice costs less. */
  bound: number;
  /** Price per unit of usage of each row at which the bound was found. */
  readonly price: Float64Array;
  /** Choice that follows the last messages; it may overfill rows. */
  readonly choice: Int32Array;
  readonly messages: MessagePasser;
  private readonly trial: Float64Array;
  private readonly before: Float64Array;
  private readonly direction: Float64Array;
  private readonly short: Float64Array;
  private length = 0;
  private worse = 0;
  private fresh = 0;
  private steps = 0;
  /** Whether the prices tried are other than the best. */
  private moved = false;
  /** Most usage beyond the capacity of any row, of the choice. */
  private worst = -Infinity;

  constructor(private readonly core: ShardCore) {
    this.price = new Float64Array(core.rowCount);
    this.trial = new Float64Array(core.rowCount);
    this.before = new Float64Array(core.rowCount + 1);
    this.direction = new Float64Array(core.rowCount);
    this.short = new Float64Array(core.rowCount + 1);
    this.choice = new Int32Array(core.count);
    this.messages = new MessagePasser(core);
    this.bound = sumOfLeasts(core);
  }

  /** Passes messages while memory is free: prices that follow rough messages lead astray. */
  warmUp(stopped: () => boolean): void {
    for (let k = 0; k < WARM_UP_PASSES && !stopped(); k++) {
      this.messages.forward();
      this.messages.backward();
    }
  }

  /**
   * One pass of messages there and back, and one step of the prices.
   *
   * @param known cost of the best choice known: no bound is above it
   */
  step(known: number): void {
    const { core, price, trial, direction, messages } = this;
    this.steps++;
    messages.forward();
    let found = messages.backward();
    for (let r = 0; r < core.rowCount; r++) found -= trial[r] * core.capacity[r];
    messages.decode(this.choice);
    this.fillShort();
    const isBetter = found > this.bound;
    if (isBetter) {
      this.bound = found;
      price.set(trial);
    }
    // A bound of zero says nothing of how long steps should be.
    const scale = Math.abs(this.bound) || (known < Infinity ? Math.abs(known) : 1);
    if (this.steps === 1) this.length = FIRST_LENGTH * scale;
    const along = this.turn(this.steps === 1 ? 1 : NEWEST);
    if (isBetter) {
      this.worse = 0;
      this.fresh = 0;
      if (along > 0 && this.moved) this.length *= LONGER;
    } else if (++this.worse >= PATIENCE || found < this.bound - FAR_OFF * scale) {
      this.length *= SHORTER;
      this.worse = 0;
    }
    if (this.length < SHORTEST * scale) {
      this.length = FRESH_LENGTH * scale;
      this.fresh++;
      this.turn(1);
    }
    let square = 0;
    for (let r = 0; r < core.rowCount; r++)
      if (price[r] > 0 || direction[r] > 0) square += direction[r] * direction[r];
    // Nothing but prices of zero would fall: back to where the bound is.
    this.moved = square > 0;
    if (square === 0) {
      square = Infinity;
      direction.fill(0);
    }
    const factor = Math.min(this.length, Math.max(known - this.bound, SHORTEST * scale)) / square;
    for (let r = 0; r < core.rowCount; r++) trial[r] = Math.max(0, price[r] + factor * direction[r]);
    this.charge(trial);
  }

  /** Whether fresh starts have come to nothing. */
  get isConverged(): boolean {
    return this.fresh >= MOST_FRESH;
  }

  /** Whether the choice overfills no row. */
  get fits(): boolean {
    return this.worst <= 0;
  }

  /** Goes back to the best prices, for a choice by them. */
  settle(passes: number): void {
    this.trial.set(this.price);
    this.charge(this.trial);
    for (let k = 0; k < passes; k++) {
      this.messages.forward();
      this.messages.backward();
    }
    this.messages.decode(this.choice);
  }

  /** Moves the direction towards the newest shortage. @returns the product of the two as they were */
  private turn(newest: number): number {
    const { direction, short } = this;
    let along = 0;
    for (let r = 0; r < direction.length; r++) {
      along += short[r] * direction[r];
      direction[r] = newest * short[r] + (1 - newest) * direction[r];
    }
    return along;
  }

  /** Usage beyond capacity per row, negative below it, of the choice. */
  private fillShort(): void {
    const { core, short, choice } = this;
    short.fill(0);
    for (let i = 0; i < core.count; i++)
      for (let g = core.segmentStart[i]; g < core.segmentStart[i + 1]; g++) {
        const usage = core.usage[core.usageAt[g] + choice[i]];
        short[core.rowBegin[g]] += usage;
        short[core.rowEnd[g]] -= usage;
      }
    let load = 0;
    this.worst = -Infinity;
    for (let r = 0; r < core.rowCount; r++) {
      load += short[r];
      short[r] = load - core.capacity[r];
      if (short[r] > this.worst) this.worst = short[r];
    }
  }

  /** Puts prices into the variables' costs. */
  private charge(price: Float64Array): void {
    const { core, before } = this;
    const { unary } = this.messages;
    for (let r = 0; r < core.rowCount; r++) before[r + 1] = before[r] + price[r];
    unary.set(core.cost);
    for (let i = 0; i < core.count; i++) {
      const from = core.start[i];
      const size = core.start[i + 1] - from;
      for (let g = core.segmentStart[i]; g < core.segmentStart[i + 1]; g++) {
        const sum = before[core.rowEnd[g]] - before[core.rowBegin[g]];
        if (sum <= 0) continue;
        const at = core.usageAt[g];
        for (let s = 0; s < size; s++) unary[from + s] += sum * core.usage[at + s];
      }
    }
  }
}

/** What every choice costs at least: each variable and each edge its least. */
function sumOfLeasts(core: ShardCore): number {
  const { start, edgeStart, edgeTo, edgeTable, table } = core;
  let sum = core.constant;
  for (let i = 0; i < core.count; i++) {
    let least = Infinity;
    for (let at = start[i]; at < start[i + 1]; at++) if (core.cost[at] < least) least = core.cost[at];
    sum += least;
    for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
      const j = edgeTo[e];
      if (j > i) continue;
      const cells = (start[i + 1] - start[i]) * (start[j + 1] - start[j]);
      least = Infinity;
      for (let at = edgeTable[e]; at < edgeTable[e] + cells; at++) if (table[at] < least) least = table[at];
      sum += least;
    }
  }
  return sum;
}
