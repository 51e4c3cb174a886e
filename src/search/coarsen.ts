/** Coarsening by heavy-edge matching (Karypis and Kumar 1998): neighbours that share a heavy edge become one vertex. */
import type { Random } from '../util/random.js';
import type { WeightedGraph } from './weightedGraph.js';
import { merged } from './weightedGraph.js';

export interface Coarser {
  readonly graph: WeightedGraph;
  /** Coarse vertex of each fine one. */
  readonly coarse: Int32Array;
}

/**
 * Matches every vertex, in random order, with the unmatched neighbour across its heaviest edge.
 *
 * @param mostWeight heaviest vertex that a match may make
 * @param blur 0..1: how far chance may take from the weight of an edge, so that tries differ
 * @param part where given, only vertices of one part are matched, so that the partition lives on in the coarse graph
 */
export function coarsen(
  g: WeightedGraph,
  mostWeight: number,
  random: Random,
  blur = 0,
  part: Int32Array | null = null,
): Coarser {
  const n = g.vertexCount;
  const order = random.shuffle(Array.from({ length: n }, (_, v) => v));
  const mate = new Int32Array(n).fill(-1);
  const { start, target, edgeWeight, vertexWeight } = g;
  for (const v of order) {
    if (mate[v] >= 0) continue;
    let best = v;
    let most = -1;
    for (let e = start[v]; e < start[v + 1]; e++) {
      const u = target[e];
      if (mate[u] >= 0 || vertexWeight[v] + vertexWeight[u] > mostWeight) continue;
      if (part !== null && part[u] !== part[v]) continue;
      const weight = blur === 0 ? edgeWeight[e] : edgeWeight[e] * (1 - blur * random.next());
      if (weight <= most) continue;
      best = u;
      most = weight;
    }
    mate[v] = best;
    mate[best] = v;
  }
  const coarse = new Int32Array(n);
  let count = 0;
  for (let v = 0; v < n; v++) if (mate[v] >= v) coarse[v] = coarse[mate[v]] = count++;
  return { graph: contract(g, coarse, count), coarse };
}

function contract(g: WeightedGraph, coarse: Int32Array, count: number): WeightedGraph {
  const n = g.vertexCount;
  const weight = new Float64Array(count);
  const first = new Int32Array(count + 1);
  for (let v = 0; v < n; v++) {
    weight[coarse[v]] += g.vertexWeight[v];
    for (let e = g.start[v]; e < g.start[v + 1]; e++)
      if (coarse[g.target[e]] !== coarse[v]) first[coarse[v] + 1]++;
  }
  for (let c = 0; c < count; c++) first[c + 1] += first[c];
  const target = new Int32Array(first[count]);
  const edgeWeight = new Float64Array(first[count]);
  const fill = first.slice();
  for (let v = 0; v < n; v++)
    for (let e = g.start[v]; e < g.start[v + 1]; e++) {
      const c = coarse[v];
      const other = coarse[g.target[e]];
      if (other === c) continue;
      target[fill[c]] = other;
      edgeWeight[fill[c]++] = g.edgeWeight[e];
    }
  return merged(weight, first, target, edgeWeight);
}
