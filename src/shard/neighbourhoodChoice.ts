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
 * A bandit on gain per work: arms are drawn in proportion to it, a share of the draws uniformly. Old gains fade, because
 * what is worth opening changes as the solution gets better.
 */
export class BanditChoice implements NeighbourhoodChoice {
  private readonly gain: Float64Array;
  private readonly work: Float64Array;

  constructor(
    arms: number,
    private readonly random: Random,
  ) {
    this.gain = new Float64Array(arms);
    this.work = new Float64Array(arms).fill(1);
  }

  next(): number {
    const { gain, work, random } = this;
    let total = 0;
    for (let a = 0; a < gain.length; a++) total += gain[a] / work[a];
    if (total === 0 || random.next() < EXPLORATION) return random.int(gain.length);
    let left = random.next() * total;
    for (let a = 0; a < gain.length; a++) {
      left -= gain[a] / work[a];
      if (left < 0) return a;
    }
    return gain.length - 1;
  }

  learn(arm: number, gain: number, work: number): void {
    for (let a = 0; a < this.gain.length; a++) this.gain[a] *= MEMORY;
    this.gain[arm] += gain;
    this.work[arm] = MEMORY * this.work[arm] + work;
  }
}
