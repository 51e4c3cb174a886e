/**
 * Reductions along edges. A strategy with no partner on the other side of an edge goes; an edge that is the sum of two
 * node costs dissolves into them; a node whose partner leaves it one strategy becomes part of the partner.
 */
import type { Edge, ReductionGraph } from './reductionGraph.js';
import { LARGEST_TABLE } from './reductionGraph.js';

/** Looks at every waiting edge until none waits; when time is up, only at those that nodes without a choice must lose. */
export function propagateEdges(graph: ReductionGraph, isOver: () => boolean): void {
  while (graph.waiting.length > 0 && !graph.infeasible) {
    const edge = graph.waiting.pop()!;
    edge.waiting = false;
    if (!edge.alive || (graph.size(edge.a) > 1 && graph.size(edge.b) > 1 && isOver())) continue;
    if (dropPartnerless(graph, edge)) continue;
    if (dissolve(graph, edge)) continue;
    foldFollower(graph, edge);
  }
}

/** Whether strategies went, which puts the edge back in the queue. */
function dropPartnerless(graph: ReductionGraph, edge: Edge): boolean {
  const { a, b, table } = edge;
  const rows = graph.size(a);
  const columns = graph.size(b);
  const rowOk = new Uint8Array(rows);
  const columnOk = new Uint8Array(columns);
  for (let i = 0, cell = 0; i < rows; i++)
    for (let j = 0; j < columns; j++, cell++)
      if (table[cell] < Infinity && graph.cost[a][i] < Infinity && graph.cost[b][j] < Infinity)
        rowOk[i] = columnOk[j] = 1;
  const some = restrictTo(graph, a, rowOk);
  return restrictTo(graph, b, columnOk) || some;
}

function restrictTo(graph: ReductionGraph, node: number, ok: Uint8Array): boolean {
  if (!ok.includes(0)) return false;
  const keep: number[] = [];
  ok.forEach((flag, s) => {
    if (flag === 1) keep.push(s);
  });
  graph.restrict(node, Int32Array.from(keep));
  return true;
}

/** Whether the table was r[i] + c[j] and went into the costs of both ends. */
function dissolve(graph: ReductionGraph, edge: Edge): boolean {
  const { a, b, table } = edge;
  const rows = graph.size(a);
  const columns = graph.size(b);
  for (let i = 0; i < rows; i++) {
    const base = table[i * columns] - table[0];
    // Infinity minus Infinity is not equal to anything.
    for (let j = 0; j < columns; j++) if (table[i * columns + j] - table[j] !== base) return false;
  }
  const row = new Float64Array(rows);
  const column = new Float64Array(columns);
  for (let i = 0; i < rows; i++) row[i] = table[i * columns];
  for (let j = 0; j < columns; j++) column[j] = table[j] - table[0];
  graph.removeEdge(edge);
  graph.addCost(a, row);
  graph.addCost(b, column);
  return true;
}

function foldFollower(graph: ReductionGraph, edge: Edge): void {
  const { a, b } = edge;
  const byA = onlyPartner(graph, edge, a);
  const byB = onlyPartner(graph, edge, b);
  // Of two that follow each other the one with fewer edges moves.
  const intoA = byA !== null && (byB === null || graph.edges[b].size <= graph.edges[a].size);
  if (intoA && fits(graph, b, a)) graph.fold(b, a, byA);
  else if (byB !== null && fits(graph, a, b)) graph.fold(a, b, byB);
}

/** Whether tables stay of a reasonable size when a follower's edges move to its leader. */
function fits(graph: ReductionGraph, node: number, leader: number): boolean {
  const size = graph.size(leader);
  if (size <= 2 * graph.size(node)) return true;
  for (const other of graph.edges[node].keys())
    if (other !== leader && size * graph.size(other) > LARGEST_TABLE) return false;
  return true;
}

/** For each strategy of the leader the only one that it leaves the other end; null when it leaves more. */
function onlyPartner(graph: ReductionGraph, edge: Edge, leader: number): Int32Array | null {
  const columns = graph.size(edge.b);
  const size = graph.size(leader);
  const others = edge.a === leader ? columns : graph.size(edge.a);
  const step = edge.a === leader ? 1 : columns;
  const stride = edge.a === leader ? columns : 1;
  const partner = new Int32Array(size);
  for (let s = 0; s < size; s++) {
    let found = -1;
    for (let t = 0, cell = s * stride; t < others; t++, cell += step) {
      if (edge.table[cell] === Infinity) continue;
      if (found >= 0) return null;
      found = t;
    }
    partner[s] = found;
  }
  return partner;
}
