/** Which arm of `NEIGHBOURHOODS` is opened next: uniform, or a bandit; anything that learns may be injected instead. */
import type { Random } from '../util/random.js';

/** What a choice may look at. */
export interface NeighbourhoodContext {
  /** Cost of the present solution with its penalty. */
  readonly value: number;
  /** Whether memory is overfull at present. */
  readonly overfull: boolean;
  /** Blocks opened so far, and since the last improvement. */
  readonly blocks: number;
  readonly sinceImprovement: number;
  /** Share of the time that is gone, 0 to 1. */
  readonly progress: number;
}

/** Chooses arms by number; hears what each bought. */
export interface NeighbourhoodChoice {
  next(context: NeighbourhoodContext): number;
  /**
   * @param gain by how much the value fell, relative to it
   * @param work sums that the block took
   */
  learn(arm: number, gain: number, work: number): void;
}

/** Every arm as often as any other. */
export class UniformChoice implements NeighbourhoodChoice {
  constructor(
    private readonly arms: number,
    private readonly random: Random,
  ) {}

  next(): number {
    return this.random.int(this.arms);
  }

  learn(): void {
    // Nothing is learned.
  }
}

/** Share of the draws that go to any arm. */
const EXPLORATION = 0.25;
/** What an older observation weighs when a newer one comes. */
const MEMORY = 0.995;

/**
 * A bandit on gain per work: arms are drawn in proportion to it, a share of the draws to explore. Old gains fade, because
 * what is worth opening changes as the solution gets better.
 */
export class BanditChoice implements NeighbourhoodChoice {
  private readonly gain: Float64Array;
  private readonly work: Float64Array;
  private readonly drawn: Float64Array;
  private readonly weight: Float64Array;

  /**
   * @param thrift how much less often a dear arm is explored: 0 = all as often, 1 = all for as much work
   */
  constructor(
    arms: number,
    private readonly random: Random,
    private readonly thrift = 0,
  ) {
    this.gain = new Float64Array(arms);
    // Arms never opened look cheap, and so are all tried early.
    this.work = new Float64Array(arms).fill(1);
    this.drawn = new Float64Array(arms).fill(1);
    this.weight = new Float64Array(arms);
  }

  next(): number {
    const { gain, work, drawn, weight, random, thrift } = this;
    let total = 0;
    for (let a = 0; a < gain.length; a++) total += weight[a] = gain[a] / work[a];
    if (total === 0 || random.next() < EXPLORATION) {
      total = 0;
      for (let a = 0; a < gain.length; a++) total += weight[a] = (drawn[a] / work[a]) ** thrift;
    }
    let left = random.next() * total;
    for (let a = 0; a < gain.length; a++) {
      left -= weight[a];
      if (left < 0) return a;
    }
    return gain.length - 1;
  }

  learn(arm: number, gain: number, work: number): void {
    for (let a = 0; a < this.gain.length; a++) this.gain[a] *= MEMORY;
    this.gain[arm] += gain;
    this.work[arm] = MEMORY * this.work[arm] + work;
    this.drawn[arm] = MEMORY * this.drawn[arm] + 1;
  }
}
