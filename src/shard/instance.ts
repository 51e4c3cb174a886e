/**
 * A sharding instance as read: the form of the ASPLOS/EuroSys 2025 contest on intra-operator parallelism in flat arrays.
 * Every node picks one strategy; at every time the usages of the nodes whose half-open interval holds it add up to at most
 * the limit; the sum of node and edge costs is to be least. Infinity forbids.
 *
 *     node 0  [0, 2)  costs a b     usages 4 2        time 0: node 0
 *     node 1  [1, 3)  costs c d e   usages 1 1 8      time 1: nodes 0 and 1      time 2: node 1
 */
export interface ShardInstance {
  readonly name: string;
  readonly nodeCount: number;
  /** CSR of strategies: node i's are `strategyStart[i] .. strategyStart[i + 1]` of `nodeCost` and `usage`. */
  readonly strategyStart: Int32Array;
  readonly nodeCost: Float64Array;
  readonly usage: Float64Array;
  /** Alive in [begin, end); never when they are equal. */
  readonly begin: Float64Array;
  readonly end: Float64Array;
  readonly edgeCount: number;
  /** CSR of the nodes that an edge joins: one, two or more, possibly equal ones. */
  readonly edgeStart: Int32Array;
  readonly edgeNode: Int32Array;
  /** Which table prices an edge; equal tables are kept once. */
  readonly edgeTable: Int32Array;
  /** CSR of tables, row-major over the strategy counts of the edge's nodes. */
  readonly tableStart: Float64Array;
  readonly tableCost: Float64Array;
  /** Infinity when there is none. */
  readonly usageLimit: number;
}

/** Costs from here on mean forbidden. */
export const FORBIDDEN_COST = 1e18;

/** What a plain look at a solution says. */
export interface ShardVerdict {
  /** Infinity when a forbidden choice or pair was taken. */
  readonly cost: number;
  readonly peakUsage: number;
  readonly feasible: boolean;
}

/**
 * The judge of every answer: sums costs and usages by brute force and shares nothing with the solver.
 *
 * @param solution strategy of each node
 */
export function judgeShard(instance: ShardInstance, solution: ArrayLike<number>): ShardVerdict {
  if (solution.length !== instance.nodeCount)
    throw new Error(`internal: ${solution.length} strategies when expected ${instance.nodeCount}`);
  const { strategyStart, edgeStart, edgeNode } = instance;
  let cost = 0;
  for (let i = 0; i < instance.nodeCount; i++) {
    const strategies = strategyStart[i + 1] - strategyStart[i];
    if (!(solution[i] >= 0 && solution[i] < strategies))
      throw new Error(`internal: node ${i} has no strategy ${solution[i]}`);
    cost += instance.nodeCost[strategyStart[i] + solution[i]];
  }
  for (let e = 0; e < instance.edgeCount; e++) {
    let cell = 0;
    for (let k = edgeStart[e]; k < edgeStart[e + 1]; k++) {
      const i = edgeNode[k];
      cell = cell * (strategyStart[i + 1] - strategyStart[i]) + solution[i];
    }
    cost += instance.tableCost[instance.tableStart[instance.edgeTable[e]] + cell];
  }
  const peakUsage = peakOf(instance, (i) => instance.usage[strategyStart[i] + solution[i]]);
  return { cost, peakUsage, feasible: cost < Infinity && peakUsage <= instance.usageLimit };
}

/** The least peak that any solution could have, forbidden choices disregarded. */
export function leastPeak(instance: ShardInstance): number {
  return peakOf(instance, (i) => {
    let least = Infinity;
    for (let at = instance.strategyStart[i]; at < instance.strategyStart[i + 1]; at++)
      least = Math.min(least, instance.usage[at]);
    return least;
  });
}

/** The largest sum of usages at any time; at one time the ends come before the begins. */
function peakOf(instance: ShardInstance, usageOf: (node: number) => number): number {
  const { begin, end } = instance;
  const alive: number[] = [];
  for (let i = 0; i < instance.nodeCount; i++) if (begin[i] < end[i]) alive.push(i);
  const starting = Int32Array.from(alive).sort((a, b) => begin[a] - begin[b]);
  const ending = Int32Array.from(alive).sort((a, b) => end[a] - end[b]);
  let load = 0;
  let peak = 0;
  for (let s = 0, e = 0; s < starting.length; s++) {
    while (end[ending[e]] <= begin[starting[s]]) load -= usageOf(ending[e++]);
    load += usageOf(starting[s]);
    if (load > peak) peak = load;
  }
  return peak;
}
