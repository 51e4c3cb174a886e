/**
 * What reductions leave of an instance: variables with more than one strategy each, prices of pairs, and rows of memory.
 * Flat arrays, made once and shared between threads.
 */
export interface ShardCore {
  readonly count: number;
  /** CSR of strategies. */
  readonly start: Int32Array;
  readonly cost: Float64Array;
  /** Cost that no choice changes. */
  readonly constant: number;
  /** CSR of neighbours, both directions of every edge. */
  readonly edgeStart: Int32Array;
  readonly edgeTo: Int32Array;
  /** Where the table of (i, its neighbour j) begins in `table`, rows = strategies of j, columns = strategies of i. */
  readonly edgeTable: Int32Array;
  /** Number of the opposite direction. */
  readonly edgeBack: Int32Array;
  readonly table: Float64Array;
  /** Stands for Infinity in costs and tables, so that sums can be undone; every legal solution costs less. */
  readonly forbidden: number;
  /** CSR of segments: usage above the least, from row `rowBegin` up to row `rowEnd`. */
  readonly segmentStart: Int32Array;
  readonly rowBegin: Int32Array;
  readonly rowEnd: Int32Array;
  /** Where a segment's usages, one a strategy, begin in `usage`. */
  readonly usageAt: Int32Array;
  readonly usage: Float64Array;
  readonly rowCount: number;
  readonly capacity: Float64Array;
}

/** Cost of a complete choice, by brute force; `forbidden` or more where it is forbidden. */
export function coreCost(core: ShardCore, choice: ArrayLike<number>): number {
  let cost = core.constant;
  for (let i = 0; i < core.count; i++) {
    cost += core.cost[core.start[i] + choice[i]];
    const size = core.start[i + 1] - core.start[i];
    for (let e = core.edgeStart[i]; e < core.edgeStart[i + 1]; e++) {
      const j = core.edgeTo[e];
      if (j < i) cost += core.table[core.edgeTable[e] + choice[j] * size + choice[i]];
    }
  }
  return cost;
}

/** Adds up usage per row. */
export function coreLoad(core: ShardCore, choice: ArrayLike<number>, load: Float64Array): void {
  load.fill(0);
  for (let i = 0; i < core.count; i++) {
    for (let g = core.segmentStart[i]; g < core.segmentStart[i + 1]; g++) {
      const usage = core.usage[core.usageAt[g] + choice[i]];
      if (usage !== 0) for (let r = core.rowBegin[g]; r < core.rowEnd[g]; r++) load[r] += usage;
    }
  }
}

/** How much rows are overfilled, summed. */
export function coreExcess(core: ShardCore, load: Float64Array): number {
  let excess = 0;
  for (let r = 0; r < core.rowCount; r++)
    if (load[r] > core.capacity[r]) excess += load[r] - core.capacity[r];
  return excess;
}
