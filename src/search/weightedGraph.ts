/** Undirected graphs with weights on vertices and edges, as partitioners read them: CSR, both directions stored. */

export interface WeightedGraph {
  readonly vertexCount: number;
  readonly vertexWeight: Float64Array;
  /** Neighbours of v: target[start[v] .. start[v+1]), with the weight of each edge. */
  readonly start: Int32Array;
  readonly target: Int32Array;
  readonly edgeWeight: Float64Array;
}

/** One edge; parallel edges add up, loops are dropped. */
export interface WeightedEdge {
  readonly from: number;
  readonly to: number;
  readonly weight: number;
}

export function graphOf(vertexWeight: ArrayLike<number>, edges: readonly WeightedEdge[]): WeightedGraph {
  const n = vertexWeight.length;
  const degree = new Int32Array(n + 1);
  for (const { from, to } of edges)
    if (from !== to) {
      degree[from]++;
      degree[to]++;
    }
  const first = new Int32Array(n + 1);
  for (let v = 0; v < n; v++) first[v + 1] = first[v] + degree[v];
  const target = new Int32Array(first[n]);
  const weight = new Float64Array(first[n]);
  const fill = first.slice();
  for (const { from, to, weight: w } of edges)
    if (from !== to) {
      target[fill[from]] = to;
      weight[fill[from]++] = w;
      target[fill[to]] = from;
      weight[fill[to]++] = w;
    }
  return merged(Float64Array.from(vertexWeight), first, target, weight);
}

/** The graph with parallel edges added up. */
export function merged(
  vertexWeight: Float64Array,
  first: Int32Array,
  rawTarget: Int32Array,
  rawWeight: Float64Array,
): WeightedGraph {
  const n = vertexWeight.length;
  const start = new Int32Array(n + 1);
  const target = new Int32Array(rawTarget.length);
  const edgeWeight = new Float64Array(rawTarget.length);
  // Where the edge to u stands in the list of the vertex at hand, or before it.
  const seen = new Int32Array(n).fill(-1);
  let at = 0;
  for (let v = 0; v < n; v++) {
    start[v] = at;
    for (let e = first[v]; e < first[v + 1]; e++) {
      const u = rawTarget[e];
      if (seen[u] >= start[v]) edgeWeight[seen[u]] += rawWeight[e];
      else {
        seen[u] = at;
        target[at] = u;
        edgeWeight[at++] = rawWeight[e];
      }
    }
  }
  start[n] = at;
  return {
    vertexCount: n,
    vertexWeight,
    start,
    target: target.slice(0, at),
    edgeWeight: edgeWeight.slice(0, at),
  };
}

/** Weight of the edges whose ends lie in different parts. */
export function cutWeight(g: WeightedGraph, part: ArrayLike<number>): number {
  let cut = 0;
  for (let v = 0; v < g.vertexCount; v++)
    for (let e = g.start[v]; e < g.start[v + 1]; e++)
      if (part[v] !== part[g.target[e]]) cut += g.edgeWeight[e];
  return cut / 2;
}

export function partWeights(g: WeightedGraph, part: ArrayLike<number>, parts: number): Float64Array {
  const weights = new Float64Array(parts);
  for (let v = 0; v < g.vertexCount; v++) weights[part[v]] += g.vertexWeight[v];
  return weights;
}

/** Weight of the heaviest part over the mean, less 1. */
export function imbalanceOf(g: WeightedGraph, part: ArrayLike<number>, parts: number): number {
  const weights = partWeights(g, part, parts);
  let total = 0;
  let most = 0;
  for (const w of weights) {
    total += w;
    most = Math.max(most, w);
  }
  return total === 0 ? 0 : (most * parts) / total - 1;
}
