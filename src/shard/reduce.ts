/** Reductions that keep the optimum, round by round until nothing changes; what is left is a `ShardCore`. */
import type { ShardCore } from './core.js';
import { reduceNodes } from './dominance.js';
import type { ShardInstance } from './instance.js';
import { propagateEdges } from './propagate.js';
import { ReductionGraph, leastAt } from './reductionGraph.js';
import type { MemoryRows } from './rows.js';
import { memoryRows } from './rows.js';

export interface Reduction {
  /** Null when it was proved that nothing is feasible. */
  readonly core: ShardCore | null;
  /** Strategies of the instance's nodes from those of the core's variables. */
  unroll(choice: ArrayLike<number>): Int32Array;
}

const MOST_ROUNDS = 30;
/** Power of two. */
const SMALLEST_FORBIDDEN = 36;

/** @param isOver whether time is up: what is reduced by then is the core */
export function reduceInstance(instance: ShardInstance, isOver = (): boolean => false): Reduction {
  const graph = new ReductionGraph(instance);
  const round = (): MemoryRows => {
    propagateEdges(graph, isOver);
    return memoryRows(graph, instance.usageLimit);
  };
  let rows = round();
  for (
    let k = 1;
    k < MOST_ROUNDS && !failed(graph, rows) && !isOver() && reduceNodes(graph, rows, isOver);
    k++
  )
    rows = round();
  if (failed(graph, rows)) return { core: null, unroll: () => new Int32Array(instance.nodeCount) };
  const variables: number[] = [];
  for (let i = 0; i < graph.nodeCount; i++) if (graph.alive[i] === 1 && graph.size(i) > 1) variables.push(i);
  const numberOf = new Int32Array(graph.nodeCount).fill(-1);
  variables.forEach((node, v) => (numberOf[node] = v));
  return {
    core: coreOf(graph, rows, variables, numberOf),
    unroll: (choice) => graph.unroll((node) => (numberOf[node] < 0 ? 0 : choice[numberOf[node]])),
  };
}

function failed(graph: ReductionGraph, rows: MemoryRows): boolean {
  return graph.infeasible || rows.overfullAt !== null;
}

function coreOf(
  graph: ReductionGraph,
  rows: MemoryRows,
  variables: readonly number[],
  numberOf: Int32Array,
): ShardCore {
  const count = variables.length;
  let { constant } = graph;
  for (let i = 0; i < graph.nodeCount; i++)
    if (graph.alive[i] === 1 && graph.size(i) === 1) constant += graph.cost[i][leastAt(graph.cost[i])];
  const start = shared32(count + 1);
  const edgeStart = shared32(count + 1);
  const segmentStart = shared32(count + 1);
  let cells = 0;
  let usages = 0;
  variables.forEach((node, v) => {
    start[v + 1] = start[v] + graph.size(node);
    edgeStart[v + 1] = edgeStart[v] + graph.edges[node].size;
    segmentStart[v + 1] = segmentStart[v] + rows.segments[node].length;
    usages += rows.segments[node].length * graph.size(node);
    for (const edge of graph.edges[node].values()) cells += edge.table.length;
  });
  const cost = shared64(start[count]);
  const edgeTo = shared32(edgeStart[count]);
  const edgeTable = shared32(edgeStart[count]);
  const edgeBack = shared32(edgeStart[count]);
  const table = shared64(cells);
  const rowBegin = shared32(segmentStart[count]);
  const rowEnd = shared32(segmentStart[count]);
  const usageAt = shared32(segmentStart[count]);
  const usage = shared64(usages);
  const capacity = shared64(rows.capacity.length);
  capacity.set(rows.capacity);
  const directionOf = new Map<object, number>();
  let cell = 0;
  let use = 0;
  variables.forEach((node, v) => {
    cost.set(graph.cost[node], start[v]);
    let e = edgeStart[v];
    for (const edge of graph.edges[node].values()) {
      const other = edge.a === node ? edge.b : edge.a;
      edgeTo[e] = numberOf[other];
      edgeTable[e] = cell;
      table.set(graph.rowsOf(edge, other), cell);
      cell += edge.table.length;
      const opposite = directionOf.get(edge);
      if (opposite === undefined) directionOf.set(edge, e);
      else {
        edgeBack[e] = opposite;
        edgeBack[opposite] = e;
      }
      e++;
    }
    let g = segmentStart[v];
    for (const segment of rows.segments[node]) {
      rowBegin[g] = segment.begin;
      rowEnd[g] = segment.end;
      usageAt[g++] = use;
      usage.set(segment.usage, use);
      use += segment.usage.length;
    }
  });
  const forbidden = priceForbidden(cost, table, constant);
  return {
    count,
    start,
    cost,
    constant,
    edgeStart,
    edgeTo,
    edgeTable,
    edgeBack,
    table,
    forbidden,
    segmentStart,
    rowBegin,
    rowEnd,
    usageAt,
    usage,
    rowCount: rows.capacity.length,
    capacity,
  };
}

/**
 * Puts a large number in Infinity's place: a power of two above any legal cost, and small enough, where costs leave that
 * much room, that sums of many stay exact.
 */
function priceForbidden(cost: Float64Array, table: Float64Array, constant: number): number {
  let total = constant;
  for (let at = 0; at < cost.length; at++) if (cost[at] < Infinity) total += cost[at];
  for (let at = 0; at < table.length; at++) if (table[at] < Infinity) total += table[at];
  const forbidden = 2 ** Math.max(SMALLEST_FORBIDDEN, Math.ceil(Math.log2(total + 1)));
  for (let at = 0; at < cost.length; at++) if (cost[at] === Infinity) cost[at] = forbidden;
  for (let at = 0; at < table.length; at++) if (table[at] === Infinity) table[at] = forbidden;
  return forbidden;
}

function shared32(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * length));
}

function shared64(length: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(8 * length));
}
