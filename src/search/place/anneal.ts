/**
 * Simulated annealing over assignments of groups to devices, for the largest load. The energy is the p-norm of the loads, with
 * p rising from 8 to 32: smooth enough to lead somewhere while several devices share the maximum, close to it in the end.
 * Temperatures are shares of the energy, so nothing depends on the unit of time.
 */
import type { Clock } from '../types.js';
import type { Random } from '../../util/random.js';
import type { Groups } from './groups.js';
import { Loads } from './loads.js';
import type { PlaceProblem } from './problem.js';

export interface AnnealOptions {
  readonly moves: number;
  readonly hot: number;
  readonly cold: number;
  /** Stops at this clock reading. */
  readonly untilSec: number;
  readonly clock: Clock;
  readonly random: Random;
}

const CLOCK_EVERY = 4096;
/** One share of memory too much weighs as this many times the energy. */
const OVERFLOW_WEIGHT = 4;

export class Annealer {
  readonly loads: Loads;
  readonly best: Int32Array;
  bestLoad = Infinity;
  private readonly groups: Groups;
  private readonly power: Float64Array;
  /** Groups that share a net with group g. */
  private readonly near: readonly Int32Array[];
  private readonly trail: Int32Array;
  private readonly trailFrom: Int32Array;

  constructor(problem: PlaceProblem, groups: Groups) {
    this.groups = groups;
    this.loads = new Loads(problem, groups);
    this.best = new Int32Array(groups.count);
    this.power = new Float64Array(this.loads.devices);
    this.near = neighbours(groups);
    this.trail = new Int32Array(MOST_TOGETHER);
    this.trailFrom = new Int32Array(MOST_TOGETHER);
  }

  /** Keeps the assignment when it fits and is the best so far. */
  note(): boolean {
    const value = this.loads.maxLoad();
    if (!(value < this.bestLoad * (1 - 1e-12)) || this.loads.overflow() > 0) return false;
    this.bestLoad = value;
    this.best.set(this.loads.device);
    return true;
  }

  /** One cooling from `start`; the best legal assignment met stays in `best`. */
  run(start: ArrayLike<number>, options: AnnealOptions): void {
    const { loads, groups, power } = this;
    const { random, moves } = options;
    loads.reset(start);
    this.note();
    const n = groups.count;
    const devices = loads.devices;
    if (n === 0 || devices < 2) return;
    const cooling = Math.log(options.cold / options.hot);
    let scale = 0;
    let energy = 0;
    let squarings = 3;
    let temperature = options.hot;
    let over = loads.overflow();
    for (let step = 0; step < moves; step++) {
      if (step % CLOCK_EVERY === 0) {
        if (options.clock() >= options.untilSec) break;
        const done = step / moves;
        temperature = options.hot * Math.exp(cooling * done);
        squarings = done < 0.4 ? 3 : done < 0.7 ? 4 : 5;
        loads.reset(loads.device.slice());
        over = loads.overflow();
        scale = 1 / Math.max(loads.maxLoad(), 1e-300);
        energy = 0;
        for (let d = 0; d < devices; d++) energy += power[d] = raised(loads.load[d] * scale, squarings);
      }
      const g = random.int(n);
      const a = loads.device[g];
      const near = this.near[g];
      // Mostly to where a neighbour is: elsewhere all transfers are new.
      let b =
        near.length > 0 && random.next() < 0.7
          ? loads.device[near[random.int(near.length)]]
          : random.int(devices);
      if (b === a) b = random.int(devices);
      if (b === a) continue;
      // Alone, or with neighbours from the same device, so that a chain of transfers can move as a whole.
      const together = random.next() < 0.7 ? 1 : 2 + random.int(random.next() < 0.8 ? 4 : MOST_TOGETHER - 2);
      let moved = 0;
      let barred = false;
      let swap = -1;
      if (together === 1 && random.next() < 0.25) {
        const h = random.int(n);
        if (loads.device[h] === b) swap = h;
      }
      let next = g;
      while (next >= 0 && moved < together) {
        if (groups.time[loads.kindOf[b] * n + next] === Infinity) {
          barred = true;
          break;
        }
        loads.weigh(next, b);
        loads.move(next, b);
        this.trail[moved] = next;
        this.trailFrom[moved++] = a;
        const around = this.near[this.trail[random.int(moved)]];
        next = -1;
        for (let tries = 0; tries < 4 && around.length > 0; tries++) {
          const h = around[random.int(around.length)];
          if (loads.device[h] === a) {
            next = h;
            break;
          }
        }
      }
      if (!barred && swap >= 0) {
        if (groups.time[loads.kindOf[a] * n + swap] === Infinity) barred = true;
        else {
          loads.weigh(swap, a);
          loads.move(swap, a);
          this.trail[moved] = swap;
          this.trailFrom[moved++] = b;
        }
      }
      const newA = raised(loads.load[a] * scale, squarings);
      const newB = raised(loads.load[b] * scale, squarings);
      const delta = newA + newB - power[a] - power[b];
      const newOver = over === 0 && fits(loads, a) && fits(loads, b) ? 0 : loads.overflow();
      // First order of the p-norm's relative change.
      const relative = delta / (energy * (1 << squarings)) + OVERFLOW_WEIGHT * (newOver - over);
      if (!barred && (relative <= 0 || random.next() < Math.exp(-relative / temperature))) {
        energy += delta;
        power[a] = newA;
        power[b] = newB;
        over = newOver;
        if (over === 0) {
          const current = loads.maxLoad();
          if (current < this.bestLoad * (1 - 1e-12)) {
            this.bestLoad = current;
            this.best.set(loads.device);
          }
        }
      } else {
        while (moved > 0) {
          moved--;
          loads.weigh(this.trail[moved], this.trailFrom[moved]);
          loads.move(this.trail[moved], this.trailFrom[moved]);
        }
      }
    }
    // Loads drifted by rounding: what is reported is summed anew.
    if (this.bestLoad < Infinity) {
      loads.reset(this.best);
      this.bestLoad = loads.maxLoad();
    }
  }
}

/** Groups moved at once, at most. */
const MOST_TOGETHER = 16;

function fits(loads: Loads, d: number): boolean {
  return loads.size[d] <= loads.memory[d];
}

/** x to the power 2^squarings. */
function raised(x: number, squarings: number): number {
  let y = x;
  for (let i = 0; i < squarings; i++) y *= y;
  return y;
}

function neighbours(groups: Groups): Int32Array[] {
  const near: Set<number>[] = Array.from({ length: groups.count }, () => new Set<number>());
  for (let e = 0; e < groups.nets; e++) {
    const s = groups.netSource[e];
    for (let i = groups.readerFirst[e]; i < groups.readerFirst[e + 1]; i++) {
      near[s].add(groups.reader[i]);
      near[groups.reader[i]].add(s);
    }
  }
  return near.map((set) => Int32Array.from(set));
}
