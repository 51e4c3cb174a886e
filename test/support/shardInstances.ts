/** Random sharding instances in the contest's form, small enough to try everything, or as large as asked for. */
import type { Random } from '../../src/util/random.js';

export interface ContestProblem {
  problem: {
    name: string;
    nodes: { intervals: number[][]; costs: number[][]; usages: number[][] };
    edges: { nodes: number[][]; costs: number[][] };
    usage_limit?: number;
  };
}

const FORBIDDEN = 1e18;

export interface InstanceShape {
  readonly nodes: number;
  readonly edges: number;
  readonly mostStrategies: number;
  /** Chance that an edge makes one end follow the other, and that a node's or pair's cost is forbidden. */
  readonly following: number;
  readonly forbidden: number;
  /** Limit between the least and the largest peak, 0 to 1; none when absent. */
  readonly tightness?: number;
  /** A random solution is kept legal, and the limit is its peak times this: feasible for sure, but hard to see. */
  readonly plantedSlack?: number;
}

/** A graph in time order with layers' worth of parallel and odd edges, as the contest's instances have them. */
export function randomInstance(random: Random, shape: InstanceShape): ContestProblem {
  const intervals: number[][] = [];
  const costs: number[][] = [];
  const usages: number[][] = [];
  for (let i = 0; i < shape.nodes; i++) {
    const length = random.int(4) === 0 ? random.int(shape.nodes) : random.int(4);
    intervals.push([i, i + length]);
    const size = 1 + random.int(shape.mostStrategies);
    costs.push(
      Array.from({ length: size }, () => (random.next() < shape.forbidden ? FORBIDDEN : random.int(50))),
    );
    usages.push(Array.from({ length: size }, () => random.int(4) * 2 ** random.int(6)));
  }
  const planted = costs.map((list) => random.int(list.length));
  if (shape.plantedSlack !== undefined) {
    // Frugal more often than not: else the limit would not bind.
    planted.forEach((_, i) => {
      if (random.int(4) > 0) planted[i] = usages[i].indexOf(Math.min(...usages[i]));
      costs[i][planted[i]] %= FORBIDDEN;
    });
  }
  const nodes: number[][] = [];
  const edgeCosts: number[][] = [];
  for (let e = 0; e < shape.edges; e++) {
    const arity = random.int(12) === 0 ? 1 + 2 * random.int(2) : 2;
    const near = random.int(shape.nodes);
    const joined = Array.from({ length: arity }, () =>
      Math.min(shape.nodes - 1, Math.max(0, near + random.int(7) - 3)),
    );
    nodes.push(joined);
    const sizes = joined.map((i) => costs[i].length);
    const cells = sizes.reduce((x, y) => x * y, 1);
    const legal = joined.reduce((cell, i) => cell * costs[i].length + planted[i], 0);
    const follows = arity === 2 && random.next() < shape.following;
    edgeCosts.push(
      Array.from({ length: cells }, (_, cell) => {
        if (shape.plantedSlack !== undefined && cell === legal) return random.int(30);
        const partner = Math.floor(cell / (sizes[1] ?? 1)) % (sizes[1] ?? 1);
        if (follows) return cell % sizes[1] === partner ? random.int(10) : FORBIDDEN;
        return random.next() < shape.forbidden / 2 ? 2 * FORBIDDEN : random.int(30);
      }),
    );
  }
  const least = peak(
    intervals,
    usages.map((u) => Math.min(...u)),
  );
  const most = peak(
    intervals,
    usages.map((u) => Math.max(...u)),
  );
  return {
    problem: {
      name: 'random',
      nodes: { intervals, costs, usages },
      edges: { nodes, costs: edgeCosts },
      ...(shape.plantedSlack !== undefined
        ? {
            usage_limit: Math.floor(
              shape.plantedSlack *
                peak(
                  intervals,
                  planted.map((s, i) => usages[i][s]),
                ),
            ),
          }
        : shape.tightness !== undefined
          ? { usage_limit: Math.floor(least + shape.tightness * (most - least)) }
          : {}),
    },
  };
}

/** The least cost of all feasible solutions, by trying them all; Infinity when there is none. */
export function bruteForce({ problem }: ContestProblem): number {
  const { nodes, edges } = problem;
  const limit = problem.usage_limit ?? Infinity;
  const solution = nodes.costs.map(() => 0);
  let best = Infinity;
  for (;;) {
    const cost = costOf(problem, solution);
    if (
      cost < Math.min(best, FORBIDDEN) &&
      peak(
        nodes.intervals,
        solution.map((s, i) => nodes.usages[i][s]),
      ) <= limit
    )
      best = cost;
    let i = 0;
    while (i < solution.length && ++solution[i] === nodes.costs[i].length) solution[i++] = 0;
    if (i === solution.length) return best;
  }

  function costOf(p: ContestProblem['problem'], choice: readonly number[]): number {
    let sum = choice.reduce((total, s, i) => total + p.nodes.costs[i][s], 0);
    edges.nodes.forEach((joined, e) => {
      let cell = 0;
      for (const i of joined) cell = cell * p.nodes.costs[i].length + choice[i];
      sum += edges.costs[e][cell];
    });
    return sum;
  }
}

/** Largest sum of usages at any time, time by time. */
export function peak(intervals: readonly number[][], usage: readonly number[]): number {
  let most = 0;
  for (const time of new Set(intervals.map(([begin]) => begin))) {
    let sum = 0;
    intervals.forEach(([begin, end], i) => {
      if (begin <= time && time < end) sum += usage[i];
    });
    most = Math.max(most, sum);
  }
  return most;
}
