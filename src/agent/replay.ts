/**
 * Prioritised replay (Schaul et al. 2016) in flat arrays: a sum tree draws experiences in proportion to a power of their
 * last error, and importance weights undo the bias. Rewards are kept as components, so that a multiplier that has
 * changed since applies when an experience is sampled. Demonstrations carry a bonus and are never overwritten by what
 * the agent did itself (Hester et al. 2018).
 */
import type { Random } from '../util/random.js';
import type { Observation } from './environment.js';

/** What n consecutive steps taught. */
export interface Experience {
  readonly observation: Observation;
  /** Place of the chosen option among the legal ones. */
  readonly choice: number;
  /** Discounted sums over the n steps. */
  readonly gain: number;
  readonly excess: number;
  /** What to estimate the rest from; `null` when the episode has ended. */
  readonly next: Observation | null;
  /** Discount of the rest's value: discount^n. */
  readonly nextDiscount: number;
  readonly demonstration: boolean;
}

export interface ReplayOptions {
  readonly capacity: number;
  /** 0 = uniform, 1 = in proportion to the error. */
  readonly priorityExponent: number;
  /** Added to the error of every demonstration before the exponent. */
  readonly demonstrationBonus: number;
}

export const DEFAULT_REPLAY: ReplayOptions = {
  capacity: 16384,
  priorityExponent: 0.6,
  demonstrationBonus: 0.3,
};

export interface ReplaySample {
  /** Slots, one per draw; an experience may come twice. */
  readonly slots: Int32Array;
  /** Importance weights, the largest 1. */
  readonly weights: Float32Array;
}

/** Keeps errors of 0 in play. */
const LEAST_PRIORITY = 0.01;

export class Replay {
  size = 0;
  demonstrations = 0;
  private readonly experiences: Experience[] = [];
  private readonly gains: Float64Array;
  private readonly excesses: Float64Array;
  private readonly isDemonstration: Uint8Array;
  /** Node i has the children 2i and 2i + 1; the leaf of slot s is leafCount + s. */
  private readonly tree: Float64Array;
  private readonly leafCount: number;
  private cursor = 0;
  private largestPriority = 1;

  constructor(private readonly options: ReplayOptions = DEFAULT_REPLAY) {
    const { capacity } = options;
    this.gains = new Float64Array(capacity);
    this.excesses = new Float64Array(capacity);
    this.isDemonstration = new Uint8Array(capacity);
    this.leafCount = 2 ** Math.ceil(Math.log2(capacity));
    this.tree = new Float64Array(2 * this.leafCount);
  }

  /** Takes the place of the oldest experience that is no demonstration; demonstrations beyond half the capacity are not kept for good. */
  add(experience: Experience): void {
    const { capacity } = this.options;
    const slot = this.size < capacity ? this.size++ : this.oldest();
    const kept = experience.demonstration && 2 * (this.demonstrations + 1) <= capacity;
    if (kept) this.demonstrations++;
    this.experiences[slot] = experience;
    this.gains[slot] = experience.gain;
    this.excesses[slot] = experience.excess;
    this.isDemonstration[slot] = kept ? 1 : 0;
    this.setPriority(slot, this.largestPriority);
  }

  at(slot: number): Experience {
    return this.experiences[slot];
  }

  /** The reward of a slot under a multiplier of what broke the limit. */
  reward(slot: number, multiplier: number): number {
    return this.gains[slot] - multiplier * this.excesses[slot];
  }

  /**
   * Draws one slot from each of `count` equal parts of the total priority.
   *
   * @param importanceExponent 0 = leave the bias, 1 = undo it
   */
  sample(count: number, importanceExponent: number, random: Random): ReplaySample {
    const slots = new Int32Array(count);
    const weights = new Float32Array(count);
    const total = this.tree[1];
    let largest = 0;
    for (let k = 0; k < count; k++) {
      slots[k] = this.find(((k + random.next()) / count) * total);
      const probability = this.tree[this.leafCount + slots[k]] / total;
      weights[k] = (this.size * probability) ** -importanceExponent;
      largest = Math.max(largest, weights[k]);
    }
    for (let k = 0; k < count; k++) weights[k] /= largest;
    return { slots, weights };
  }

  /** @param errors absolute or signed errors of the slots' values */
  update(slots: Int32Array, errors: Float32Array): void {
    const { priorityExponent, demonstrationBonus } = this.options;
    for (let k = 0; k < slots.length; k++) {
      const bonus = this.isDemonstration[slots[k]] === 1 ? demonstrationBonus : 0;
      const priority = (Math.abs(errors[k]) + LEAST_PRIORITY + bonus) ** priorityExponent;
      this.largestPriority = Math.max(this.largestPriority, priority);
      this.setPriority(slots[k], priority);
    }
  }

  private oldest(): number {
    while (this.isDemonstration[this.cursor] === 1) this.cursor = (this.cursor + 1) % this.options.capacity;
    const slot = this.cursor;
    this.cursor = (this.cursor + 1) % this.options.capacity;
    return slot;
  }

  private setPriority(slot: number, priority: number): void {
    const { tree } = this;
    let node = this.leafCount + slot;
    tree[node] = priority;
    // Sums anew instead of differences: no rounding error builds up.
    for (node >>= 1; node >= 1; node >>= 1) tree[node] = tree[2 * node] + tree[2 * node + 1];
  }

  /** The slot in which the running sum of priorities passes `mass`. */
  private find(mass: number): number {
    const { tree, leafCount } = this;
    let node = 1;
    let left = mass;
    while (node < leafCount) {
      node *= 2;
      // The right child may be empty where rounding left a crumb of mass.
      if (left >= tree[node] && tree[node + 1] > 0) left -= tree[node++];
    }
    return node - leafCount;
  }
}
