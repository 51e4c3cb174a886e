/**
 * Placement for throughput: the least possible load of the busiest device, when samples are pipelined.
 *
 * Contiguous splits of several orders, exactly, seed annealing over free assignments; coolings restart from the best and grow
 * longer until the time is up.
 */
import type { Highs } from 'highs';
import type { Clock } from '../types.js';
import type { Random } from '../../util/random.js';
import { Annealer } from './anneal.js';
import { loadBound } from './bound.js';
import { groupsOf } from './groups.js';
import type { Groups } from './groups.js';
import { coarsened, contiguousOrders, solveContiguous } from './contiguous.js';
import { splitOrder } from './linear.js';
import type { PlaceProblem } from './problem.js';
import { deviceKinds } from './problem.js';

export interface PlaceOptions {
  readonly contiguous: boolean;
  readonly maxSec: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Solves integer programs, where the objective has one. */
  readonly highs?: Highs | undefined;
  readonly onImprovement?: (value: number) => void;
}

export interface Placement {
  /** Device of each operator; null: nothing that fits was found. */
  readonly device: Int32Array | null;
  readonly value: number;
  readonly lowerBound: number;
  /** What the bound comes from: the work of all devices, the longest path, or HiGHS's branch and bound. */
  readonly boundFrom: 'load' | 'path' | 'highs';
  /** Whether the search proved what it says: that nothing is better, or that nothing fits. */
  readonly proven: boolean;
}

const FIRST_MOVES = 100_000;
const MOST_MOVES = 12_000_000;
/** A solution this near to the bound is not improved upon. */
const CLOSE_ENOUGH = 1e-9;

export function placeForThroughput(problem: PlaceProblem, options: PlaceOptions): Placement {
  const groups = groupsOf(problem);
  const lowerBound = loadBound(problem, groups);
  if (lowerBound === Infinity)
    return { device: null, value: Infinity, lowerBound, boundFrom: 'load', proven: true };
  const untilSec = options.clock() + options.maxSec;
  if (options.contiguous) {
    const found = solveContiguous(problem, groups, untilSec, options);
    if (found === null)
      return { device: null, value: Infinity, lowerBound, boundFrom: 'load', proven: false };
    return finish(groups, found.device, found.maxLoad, lowerBound, found.exact);
  }
  const annealer = new Annealer(problem, groups);
  // Seeds may take a third of the time.
  const seedsUntilSec = options.clock() + options.maxSec / 3;
  let contiguousLoad = Infinity;
  let start: Int32Array = startOf(problem, groups);
  annealer.loads.reset(start);
  annealer.note();
  for (const order of contiguousOrders(problem, groups, options.random)) {
    for (const row of [coarsened(order), order]) {
      const outOfTime = (): boolean => options.clock() >= seedsUntilSec;
      const split = row === null ? null : splitOrder(problem, groups, row, contiguousLoad, outOfTime);
      if (split === null || split.maxLoad >= contiguousLoad) continue;
      contiguousLoad = split.maxLoad;
      start = split.device;
      annealer.loads.reset(start);
      annealer.note();
      options.onImprovement?.(annealer.bestLoad);
    }
    if (options.clock() >= seedsUntilSec) break;
  }
  let moves = FIRST_MOVES;
  let told = annealer.bestLoad;
  for (let round = 0; options.clock() < untilSec; round++) {
    if (annealer.bestLoad <= lowerBound * (1 + CLOSE_ENOUGH)) break;
    // Alternately from the best and from the contiguous start; hot rounds forget where they came from anyway.
    const from = round % 3 === 2 ? start : annealer.bestLoad < Infinity ? annealer.best.slice() : start;
    const hot = [0.02, 0.005, 0.1][round % 3];
    annealer.run(from, { ...options, moves, hot, cold: 2e-5, untilSec });
    if (annealer.bestLoad < told) {
      told = annealer.bestLoad;
      options.onImprovement?.(told);
    }
    moves = Math.min(MOST_MOVES, Math.round(moves * 1.3));
  }
  if (annealer.bestLoad === Infinity)
    return { device: null, value: Infinity, lowerBound, boundFrom: 'load', proven: false };
  const proven = annealer.bestLoad <= lowerBound * (1 + CLOSE_ENOUGH);
  return finish(groups, annealer.best, annealer.bestLoad, lowerBound, proven);
}

function finish(
  groups: Groups,
  device: Int32Array,
  value: number,
  lowerBound: number,
  proven: boolean,
): Placement {
  return {
    device: Int32Array.from(groups.of, (g) => device[g]),
    value,
    lowerBound,
    boundFrom: 'load',
    proven,
  };
}

/** Heaviest first onto the device that then is least loaded among those with room; room matters more than load. */
function startOf(problem: PlaceProblem, groups: Groups): Int32Array {
  const kindOf = deviceKinds(problem);
  const n = groups.count;
  const load = new Float64Array(kindOf.length);
  const size = new Float64Array(kindOf.length);
  const device = new Int32Array(n);
  const order = Array.from({ length: n }, (_, g) => g).sort(
    (x, y) => groups.sizeBytes[y] - groups.sizeBytes[x],
  );
  for (const g of order) {
    let best = -1;
    let bestCost = Infinity;
    for (let d = 0; d < kindOf.length; d++) {
      const time = groups.time[kindOf[d] * n + g];
      if (time === Infinity) continue;
      const over = size[d] + groups.sizeBytes[g] > problem.kinds[kindOf[d]].memoryBytes;
      const cost = load[d] + time + (over ? 1e15 : 0);
      if (cost < bestCost) {
        bestCost = cost;
        best = d;
      }
    }
    device[g] = Math.max(0, best);
    load[device[g]] += groups.time[kindOf[device[g]] * n + g];
    size[device[g]] += groups.sizeBytes[g];
  }
  return device;
}
