/**
 * Reductions at nodes. A strategy goes when another is no worse whatever the neighbours do and takes no more memory at
 * any time (Goldstein's criterion), or when it does not fit even beside the least usages of all others; a node whose
 * best strategy follows from its only neighbour's becomes part of that; one without memory and with at most two
 * neighbours is minimised out.
 */
import { propagateEdges } from './propagate.js';
import type { ReductionGraph } from './reductionGraph.js';
import { LARGEST_TABLE } from './reductionGraph.js';
import type { MemoryRows, RowSegment } from './rows.js';

/** Comparisons of two costs that one call may make. */
const WORK_LIMIT = 3e8;
/** Combinations of the neighbours' strategies that are tried before all are compared. */
const PROBES = 12;

/** Applies each rule once to every node until time is up. @returns whether anything changed */
export function reduceNodes(graph: ReductionGraph, rows: MemoryRows, isOver: () => boolean): boolean {
  let changed = false;
  const budget = { left: WORK_LIMIT };
  const goesOn = (): boolean => !graph.infeasible && !isOver();
  for (let i = 0; i < graph.nodeCount && goesOn(); i++) {
    if (graph.alive[i] === 0) continue;
    const segments = rows.segments[i];
    if (graph.size(i) > 1 && graph.touched[i] === 1 && !isStale(graph, i, segments)) {
      graph.touched[i] = 0;
      changed = dropStrategies(graph, i, rows, budget) || changed;
    }
  }
  for (let i = 0; i < graph.nodeCount && goesOn(); i++) {
    propagateEdges(graph, isOver);
    if (graph.alive[i] === 0) continue;
    if (graph.size(i) === 1 || isStale(graph, i, rows.segments[i])) continue;
    const { size: degree } = graph.edges[i];
    if (rows.segments[i].length === 0) changed = (degree <= 2 && eliminated(graph, i)) || changed;
    else if (degree === 1) changed = followed(graph, i, rows.segments[i]) || changed;
  }
  return changed;
}

/** Whether the rows say too little of a node: it took memory over, or lost strategies, since they were made. */
function isStale(graph: ReductionGraph, node: number, segments: readonly RowSegment[]): boolean {
  if (graph.outdated[node] === 1) return true;
  return segments.length > 0 && segments[0].usage.length !== graph.size(node);
}

function dropStrategies(
  graph: ReductionGraph,
  node: number,
  rows: MemoryRows,
  budget: { left: number },
): boolean {
  const size = graph.size(node);
  const cost = graph.cost[node];
  const segments = rows.segments[node];
  const gone = new Uint8Array(size);
  for (const { begin, end, usage } of segments) {
    let room = Infinity;
    for (let r = begin; r < end; r++) room = Math.min(room, rows.capacity[r]);
    for (let s = 0; s < size; s++) if (usage[s] > room) gone[s] = 1;
  }
  const tables: Float64Array[] = [];
  let width = 1;
  for (const edge of graph.edges[node].values()) {
    tables.push(graph.rowsOf(edge, node));
    width += graph.size(edge.a === node ? edge.b : edge.a);
  }
  if (budget.left > 0) {
    const probes = probed(cost, tables, size);
    budget.left -= size * size;
    for (let s = 0; s < size; s++) {
      for (let t = 0; t < size && gone[s] === 0; t++) {
        if (t === s || gone[t] === 1 || !passes(probes, size, t, s)) continue;
        budget.left -= segments.length;
        if (!takesNoMore(segments, t, s)) continue;
        budget.left -= width;
        if (noWorse(cost, tables, size, t, s)) gone[s] = 1;
      }
    }
  }
  if (!gone.includes(1)) return false;
  const keep: number[] = [];
  gone.forEach((flag, s) => {
    if (flag === 0) keep.push(s);
  });
  graph.restrict(node, Int32Array.from(keep));
  return true;
}

/** Costs of each strategy beside a few combinations of the neighbours' strategies, combination by combination. */
function probed(cost: Float64Array, tables: readonly Float64Array[], size: number): Float64Array {
  const result = new Float64Array(PROBES * size);
  for (let p = 0; p < PROBES; p++) {
    for (let s = 0; s < size; s++) result[p * size + s] = cost[s];
    for (const table of tables) {
      const columns = table.length / size;
      const column = Math.floor((p * columns) / PROBES);
      for (let s = 0; s < size; s++) result[p * size + s] += table[s * columns + column];
    }
  }
  return result;
}

/** Whether t costs no more than s in every probe: else it cannot take the place of s. */
function passes(probes: Float64Array, size: number, t: number, s: number): boolean {
  for (let at = 0; at < probes.length; at += size) if (probes[at + t] > probes[at + s]) return false;
  return true;
}

function takesNoMore(segments: readonly RowSegment[], t: number, s: number): boolean {
  for (let k = 0; k < segments.length; k++) if (segments[k].usage[t] > segments[k].usage[s]) return false;
  return true;
}

/** Whether t costs no more than s whatever the neighbours do. */
function noWorse(
  cost: Float64Array,
  tables: readonly Float64Array[],
  size: number,
  t: number,
  s: number,
): boolean {
  let gain = cost[s] - cost[t];
  for (const table of tables) {
    const columns = table.length / size;
    let least = Infinity;
    for (let b = 0, x = s * columns, y = t * columns; b < columns; b++, x++, y++) {
      // What s forbids itself is no reason to keep it.
      if (table[x] === Infinity) continue;
      const gap = table[x] - table[y];
      if (gap < least) least = gap;
    }
    gain += least;
    if (gain === -Infinity) return false;
  }
  return gain >= 0;
}

function eliminated(graph: ReductionGraph, node: number): boolean {
  const neighbours = [...graph.edges[node].keys()];
  if (neighbours.length === 2 && graph.size(neighbours[0]) * graph.size(neighbours[1]) > LARGEST_TABLE)
    return false;
  graph.eliminate(node);
  return true;
}

/** Folds a node into its only neighbour when each of the neighbour's strategies leaves it one that is best in all. */
function followed(graph: ReductionGraph, node: number, segments: readonly RowSegment[]): boolean {
  const [[leader, edge]] = graph.edges[node];
  const size = graph.size(node);
  const rows = graph.rowsOf(edge, leader);
  const reply = new Int32Array(graph.size(leader));
  for (let i = 0; i < reply.length; i++) {
    let best = -1;
    for (let s = 0; s < size; s++) {
      const price = graph.cost[node][s] + rows[i * size + s];
      if (price === Infinity) continue;
      const old = best < 0 ? Infinity : graph.cost[node][best] + rows[i * size + best];
      if (best < 0 || (price <= old && takesNoMore(segments, s, best))) best = s;
    }
    if (best < 0) return false;
    for (let s = 0; s < size; s++) {
      const price = graph.cost[node][s] + rows[i * size + s];
      const beaten =
        graph.cost[node][best] + rows[i * size + best] <= price && takesNoMore(segments, best, s);
      if (price < Infinity && s !== best && !beaten) return false;
    }
    reply[i] = best;
  }
  graph.fold(node, leader, reply);
  return true;
}
