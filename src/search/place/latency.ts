/**
 * Placement for latency: the time of one sample, end to end (Tarnawski et al. 2020, section 4). An accelerator is called once: it
 * starts when everything that it reads is ready, and is busy for its transfers in, its operators and its transfers out; its results
 * are ready when it ends. Kinds that pay no transfers run each operator as soon as its inputs are ready, as wide as the graph.
 *
 * The groups of one accelerator must therefore be contiguous, and accelerators must not wait for each other in a ring: a
 * placement that breaks this has no latency. The search is annealing over legal assignments; seeds are contiguous splits with
 * few devices in use. Where HiGHS is at hand it takes over after a while (`latencyMip`): for the dual bound, and for better placements.
 */
import { groupsOf } from './groups.js';
import type { Groups } from './groups.js';
import { contiguousOrders } from './contiguous.js';
import { solveLatencyMip } from './latencyMip.js';
import { LatencyModel } from './latencyModel.js';
import type { PlaceProblem } from './problem.js';
import { deviceKinds, topologicalOrder } from './problem.js';
import type { PlaceOptions, Placement } from './throughput.js';

export function placeForLatency(problem: PlaceProblem, options: PlaceOptions): Placement {
  const groups = groupsOf(problem);
  if (deviceKinds(problem).length === 0)
    return { device: null, value: Infinity, lowerBound: Infinity, boundFrom: 'path', proven: true };
  const model = new LatencyModel(problem, groups);
  const lowerBound = pathBound(problem);
  const untilSec = options.clock() + options.maxSec;
  const search = new Search(problem, groups, model, options);
  for (const start of starts(problem, groups, options)) {
    search.consider(start);
    if (options.clock() >= untilSec) break;
  }
  const searchUntilSec = options.highs === undefined ? untilSec : untilSec - MIP_SHARE * options.maxSec;
  const cool = (until: number): void => {
    for (let round = 0; options.clock() < until && search.value > lowerBound * (1 + 1e-9); round++) {
      const hot = [0.01, 0.05, 0.002, 0.15][round % 4];
      search.cool(round % 4 === 3 ? null : search.best, hot, 20_000 * (1 + (round >> 2)), until);
    }
  };
  cool(searchUntilSec);
  let bound = lowerBound;
  let boundFrom: Placement['boundFrom'] = 'path';
  if (options.highs !== undefined && search.value > lowerBound * (1 + 1e-9)) {
    const answer = solveLatencyMip(options.highs, problem, groups, {
      known: search.value,
      lowerBound,
      untilSec,
      clock: options.clock,
      seed: 1,
      onPlacement: (device) => search.consider(device),
    });
    if (answer !== null && answer.lowerBound > lowerBound) {
      bound = answer.lowerBound;
      boundFrom = 'highs';
    }
    // Too large a program leaves time.
    if (answer === null) cool(untilSec);
  }
  if (search.best === null)
    return { device: null, value: Infinity, lowerBound: bound, boundFrom, proven: bound === Infinity };
  const best = search.best;
  const proven = search.value <= bound * (1 + PROVEN_GAP);
  const device = Int32Array.from(groups.of, (g) => best[g]);
  return { device, value: search.value, lowerBound: Math.min(bound, search.value), boundFrom, proven };
}

/** Share of the time that HiGHS has. */
const MIP_SHARE = 0.6;
/** Relative gap that counts as none: the solver's tolerances. */
const PROVEN_GAP = 1e-5;

/**
 * Work on the longest path with every operator at its fastest, transfers free; and, where no memory is unlimited-and-free, nothing
 * more. Valid because an accelerator runs its own operators one after another.
 */
function pathBound(problem: PlaceProblem): number {
  const n = problem.names.length;
  const order = topologicalOrder(n, problem.edgeSource, problem.edgeTarget);
  const ready = new Float64Array(n);
  const into: number[][] = Array.from({ length: n }, () => []);
  for (let e = 0; e < problem.edgeSource.length; e++) into[problem.edgeTarget[e]].push(problem.edgeSource[e]);
  let longest = 0;
  for (const v of order) {
    let least = Infinity;
    for (let k = 0; k < problem.kinds.length; k++)
      if (problem.kinds[k].count > 0) least = Math.min(least, problem.time[k * n + v]);
    for (const u of into[v]) ready[v] = Math.max(ready[v], ready[u]);
    ready[v] += least;
    longest = Math.max(longest, ready[v]);
  }
  return longest;
}

/** Everything on the free kind; and every order filled into accelerators one after another, as far as memory goes. */
function* starts(problem: PlaceProblem, groups: Groups, options: PlaceOptions): Generator<Int32Array> {
  const kindOf = deviceKinds(problem);
  const n = groups.count;
  for (let d = 0; d < kindOf.length; d++)
    if (d === 0 || kindOf[d] !== kindOf[d - 1]) yield new Int32Array(n).fill(d);
  const free = kindOf.findIndex((k) => !problem.kinds[k].paysTransfers);
  for (const { groups: order } of contiguousOrders(problem, groups, options.random, 60)) {
    for (const share of [1, 0.5]) {
      const device = new Int32Array(n);
      let d = 0;
      let used = 0;
      for (const g of order) {
        const fits = (): boolean =>
          used + groups.sizeBytes[g] <= problem.kinds[kindOf[d]].memoryBytes * (d === free ? 1 : share) &&
          groups.time[kindOf[d] * n + g] < Infinity;
        while (d + 1 < kindOf.length && d !== free && !fits()) {
          d++;
          used = 0;
        }
        device[g] = d;
        used += groups.sizeBytes[g];
      }
      yield device;
    }
  }
}

class Search {
  best: Int32Array | null = null;
  value = Infinity;
  private readonly near: number[][];
  /** First device of each kind that pays nothing: its others are as good. */
  private readonly targets: Int32Array;

  constructor(
    problem: PlaceProblem,
    groups: Groups,
    private readonly model: LatencyModel,
    private readonly options: PlaceOptions,
  ) {
    const near: Set<number>[] = Array.from({ length: groups.count }, () => new Set<number>());
    for (let e = 0; e < problem.edgeSource.length; e++) {
      const [a, b] = [groups.of[problem.edgeSource[e]], groups.of[problem.edgeTarget[e]]];
      if (a === b) continue;
      near[a].add(b);
      near[b].add(a);
    }
    this.near = near.map((set) => [...set]);
    const kindOf = deviceKinds(problem);
    const targets: number[] = [];
    kindOf.forEach((k, d) => {
      if (problem.kinds[k].paysTransfers || kindOf.indexOf(k) === d) targets.push(d);
    });
    this.targets = Int32Array.from(targets);
  }

  consider(device: Int32Array): void {
    const value = this.model.latency(device);
    if (value < this.value) {
      this.value = value;
      this.best = device.slice();
      this.options.onImprovement?.(value);
    }
  }

  /** One cooling by whole assignments; illegal neighbours are refused. */
  cool(from: Int32Array | null, hot: number, moves: number, untilSec: number): void {
    const start = from ?? this.best;
    if (start === null) return;
    const { random, clock } = this.options;
    const device = start.slice();
    let value = this.model.latency(device);
    const n = device.length;
    const trail: number[] = [];
    const was: number[] = [];
    for (let step = 0; step < moves; step++) {
      if (step % 64 === 0 && clock() >= untilSec) return;
      const temperature = hot * Math.exp((step / moves) * Math.log(1e-5 / hot));
      trail.length = 0;
      was.length = 0;
      const put = (g: number, d: number): void => {
        trail.push(g);
        was.push(device[g]);
        device[g] = d;
      };
      const g = random.int(n);
      const a = device[g];
      const around = this.near[g];
      let b = this.targets[random.int(this.targets.length)];
      if (around.length > 0 && random.next() < 0.8) b = device[around[random.int(around.length)]];
      if (b === a) b = this.targets[random.int(this.targets.length)];
      if (b === a) continue;
      if (random.next() < 0.03) {
        // A whole device at once: calls are merged, or moved to another.
        for (let h = 0; h < n; h++) if (device[h] === a) put(h, b);
      } else {
        put(g, b);
        let more = random.next() < 0.5 ? 0 : 1 + random.int(random.next() < 0.7 ? 4 : 24);
        let last = g;
        while (more-- > 0) {
          const list = this.near[last].length > 0 ? this.near[last] : around;
          if (list.length === 0) break;
          const h = list[random.int(list.length)];
          if (device[h] === a) {
            put(h, b);
            last = h;
          } else if (random.next() < 0.3) last = trail[random.int(trail.length)];
        }
      }
      const next = this.model.latency(device);
      const relative = (next - value) / value;
      if (next < Infinity && (relative <= 0 || random.next() < Math.exp(-relative / temperature))) {
        value = next;
        if (value < this.value * (1 - 1e-12)) this.consider(device);
      } else for (let i = trail.length - 1; i >= 0; i--) device[trail[i]] = was[i];
    }
  }
}
