/**
 * Multilevel graph partitioning after METIS (Karypis and Kumar 1998): coarsen by heavy-edge matching, split the coarsest
 * graph by growing regions, and refine on the way back up. Parts come from recursive bisection; cycles of coarsening
 * within the parts and k-way refinement then improve all of them together.
 *
 *     fine  o-o-o-o-o-o-o-o           part 0 0 0 0 | 1 1 1 1     refine
 *            \/  \/  \/  \/                 ^ project
 *             O---O---O---O     ->          0   0  |  1   1      refine
 *              \ /     \ /
 *               0-------0       split       0      |      1
 *
 * Deterministic for a seed. Several independent tries are made and the best is kept.
 */
import { Random } from '../util/random.js';
import type { Coarser } from './coarsen.js';
import { coarsen } from './coarsen.js';
import { Refiner } from './refineParts.js';
import type { WeightedGraph } from './weightedGraph.js';
import { cutWeight, graphOf, imbalanceOf, partWeights } from './weightedGraph.js';

export interface MultilevelOptions {
  /** A part may weigh (1 + imbalance) times the mean. */
  readonly imbalance: number;
  readonly seed: number;
  /** Independent tries, of which the best is kept. */
  readonly tries: number;
}

export const DEFAULT_MULTILEVEL: MultilevelOptions = { imbalance: 0.03, seed: 1, tries: 64 };

export interface Partition {
  /** Part of each vertex. */
  readonly part: Int32Array;
  /** Weight of the edges between parts. */
  readonly cut: number;
  readonly imbalance: number;
}

/** Vertices at which coarsening for a bisection ends, and per part at which it ends for k-way refinement. */
const COARSEST = 40;
const COARSEST_PER_PART = 12;
/** A level that shrinks less than this is not worth its while. */
const LEAST_SHRINK = 0.95;
/** First splits of the coarsest graph: half of them grown regions, half drawn at random. */
const GROWTHS = 12;
/** Room for the rounding of sums. */
const ROUNDING = 1 + 1e-10;
/** Share of the tries that disturb the best partition so far instead of beginning anew. */
const DISTURBED_SHARE = 0.6;
/** Vertices that a disturbance moves: at most this share. */
const DISTURBED_VERTICES = 0.12;
/** Cycles of k-way refinement. */
const CYCLES = 3;

/** Splits the vertices into `parts` of about equal weight with little weight of edges between them. */
export function partitionGraph(
  g: WeightedGraph,
  parts: number,
  options: Partial<MultilevelOptions> = {},
): Partition {
  const { imbalance, seed, tries } = { ...DEFAULT_MULTILEVEL, ...options };
  const random = new Random(seed);
  const total = g.vertexWeight.reduce((sum, w) => sum + w, 0);
  const limit = new Float64Array(parts).fill(((1 + imbalance) * total * ROUNDING) / parts);
  let best: Partition | null = null;
  for (let attempt = 0; attempt < tries; attempt++) {
    // Every other try matches the heaviest edges, the others nearly any.
    const blur = attempt % 2 === 0 ? 0 : 1;
    const part: Int32Array = new Int32Array(g.vertexCount);
    // Models are numbered in the order they run: runs of equal weight are a good start, and cost nothing.
    if (best !== null && attempt > (1 - DISTURBED_SHARE) * tries) {
      part.set(best.part);
      disturb(g, parts, part, random);
    } else if (attempt === 0) runsOfEqualWeight(g, parts, total, part);
    else bisectAll(g, parts, imbalance, part, blur, random);
    for (let cycle = 0; cycle < CYCLES; cycle++) refineCycle(g, parts, limit, part, blur, random);
    const found = { part, cut: cutWeight(g, part), imbalance: imbalanceOf(g, part, parts) };
    if (best === null || isBetter(found, best, imbalance)) best = found;
  }
  return best!;
}

/** Gives a random neighbourhood to a random part, or exchanges a few vertices of two parts. */
function disturb(g: WeightedGraph, parts: number, part: Int32Array, random: Random): void {
  const count = 1 + random.int(Math.max(2, Math.floor(DISTURBED_VERTICES * g.vertexCount)));
  const to = random.int(parts);
  const queue = [random.int(g.vertexCount)];
  const seen = new Set(queue);
  for (let i = 0; i < queue.length && i < count; i++) {
    part[queue[i]] = to;
    for (let e = g.start[queue[i]]; e < g.start[queue[i] + 1]; e++)
      if (!seen.has(g.target[e])) {
        seen.add(g.target[e]);
        queue.push(g.target[e]);
      }
  }
  // What the part received it gives back elsewhere, so that refinement need not undo all of it.
  const from = random.int(parts);
  for (let i = 0; i < count; i++) {
    const v = random.int(g.vertexCount);
    if (part[v] === to && !seen.has(v)) part[v] = from;
  }
}

/** Vertices in the order of their numbers, cut into runs of about equal weight. */
function runsOfEqualWeight(g: WeightedGraph, parts: number, total: number, part: Int32Array): void {
  let before = 0;
  for (let v = 0; v < g.vertexCount; v++) {
    part[v] = Math.min(parts - 1, Math.floor((parts * (before + g.vertexWeight[v] / 2)) / total));
    before += g.vertexWeight[v];
  }
}

/** Within the allowed imbalance the smaller cut, else the smaller imbalance. */
function isBetter(a: Partition, b: Partition, imbalance: number): boolean {
  const allowed = imbalance + 1e-9;
  if (a.imbalance <= allowed && b.imbalance <= allowed) return a.cut < b.cut;
  return a.imbalance < b.imbalance;
}

/** Recursive bisection, iteratively: a piece of k parts splits into floor(k / 2) and the rest. */
function bisectAll(
  g: WeightedGraph,
  parts: number,
  imbalance: number,
  part: Int32Array,
  blur: number,
  random: Random,
): void {
  let total = 0;
  for (const w of g.vertexWeight) total += w;
  // One part may weigh all that is allowed; a group of parts less, so that it can be split further.
  const limitOf = (count: number): number =>
    ((ROUNDING * (count * total)) / parts) * (1 + imbalance * (count === 1 ? 1 : 0.2 + 0.6 * random.next()));
  const pieces = [{ vertices: Array.from({ length: g.vertexCount }, (_, v) => v), first: 0, count: parts }];
  for (let piece = pieces.pop(); piece !== undefined; piece = pieces.pop()) {
    const { vertices, first, count } = piece;
    for (const v of vertices) part[v] = first;
    if (count === 1 || vertices.length === 0) continue;
    const left = count >> 1;
    const limit = Float64Array.of(limitOf(left), limitOf(count - left));
    const side = bisect(induced(g, vertices), left / count, limit, blur, random);
    pieces.push(
      { vertices: vertices.filter((_, i) => side[i] === 0), first, count: left },
      { vertices: vertices.filter((_, i) => side[i] === 1), first: first + left, count: count - left },
    );
  }
}

/** The graph on some of the vertices, in their order. */
function induced(g: WeightedGraph, vertices: readonly number[]): WeightedGraph {
  if (vertices.length === g.vertexCount) return g;
  const index = new Int32Array(g.vertexCount).fill(-1);
  vertices.forEach((v, i) => (index[v] = i));
  const edges = [];
  for (const v of vertices)
    for (let e = g.start[v]; e < g.start[v + 1]; e++) {
      const u = g.target[e];
      if (u > v && index[u] >= 0) edges.push({ from: index[v], to: index[u], weight: g.edgeWeight[e] });
    }
  return graphOf(
    vertices.map((v) => g.vertexWeight[v]),
    edges,
  );
}

/** Two sides, side 0 with about `share` of the weight, both within their limits; 0 or 1 per vertex. */
function bisect(
  g: WeightedGraph,
  share: number,
  limit: Float64Array,
  blur: number,
  random: Random,
): Int32Array {
  const total = g.vertexWeight.reduce((sum, w) => sum + w, 0);
  const levels = coarsenDown(g, COARSEST, null, blur, random);
  const coarsest = levels.length > 0 ? levels[levels.length - 1].graph : g;
  const refiner = new Refiner(coarsest, 2, limit);
  let least: Partition | null = null;
  for (let i = 0; i < GROWTHS; i++) {
    const grown =
      i % 2 === 0 ? growRegion(coarsest, share * total, random) : drawSide(coarsest, share * total, random);
    refiner.run(grown);
    const weights = partWeights(coarsest, grown, 2);
    const over = Math.max(0, weights[0] - limit[0], weights[1] - limit[1]);
    const found = { part: grown, cut: cutWeight(coarsest, grown), imbalance: over };
    if (least === null || isBetter(found, least, 0)) least = found;
  }
  return projectUp(g, levels, least!.part, 2, limit);
}

/**
 * Grows side 0 from a random vertex until it has the weight asked for, always by the vertex whose edges into the region
 * outweigh those that leave it most.
 */
function growRegion(g: WeightedGraph, wanted: number, random: Random): Int32Array {
  const n = g.vertexCount;
  const side = new Int32Array(n).fill(1);
  const inside = new Float64Array(n);
  const degree = new Float64Array(n);
  for (let v = 0; v < n; v++) for (let e = g.start[v]; e < g.start[v + 1]; e++) degree[v] += g.edgeWeight[e];
  let weight = 0;
  let next = random.int(n);
  while (next >= 0) {
    side[next] = 0;
    weight += g.vertexWeight[next];
    if (weight >= wanted) break;
    for (let e = g.start[next]; e < g.start[next + 1]; e++) inside[g.target[e]] += g.edgeWeight[e];
    next = -1;
    let most = -Infinity;
    for (let v = 0; v < n; v++) {
      if (side[v] === 0 || weight + g.vertexWeight[v] / 2 > wanted) continue;
      const gain = 2 * inside[v] - degree[v] - (inside[v] === 0 ? 1e12 : 0);
      if (gain > most) {
        most = gain;
        next = v;
      }
    }
  }
  return side;
}

/** Side 0 drawn vertex by vertex at random: refinement finds pieces that a region would never join. */
function drawSide(g: WeightedGraph, wanted: number, random: Random): Int32Array {
  const side = new Int32Array(g.vertexCount).fill(1);
  let weight = 0;
  for (const v of random.shuffle(Array.from({ length: g.vertexCount }, (_, i) => i))) {
    if (weight + g.vertexWeight[v] / 2 > wanted) continue;
    side[v] = 0;
    weight += g.vertexWeight[v];
  }
  return side;
}

/** Coarser graphs, finest first, until few vertices are left or no more go together. */
function coarsenDown(
  g: WeightedGraph,
  fewest: number,
  part: Int32Array | null,
  blur: number,
  random: Random,
): Coarser[] {
  const levels: Coarser[] = [];
  let total = 0;
  for (const w of g.vertexWeight) total += w;
  const mostWeight = (1.5 * total) / fewest;
  let here = g;
  let parts = part;
  while (here.vertexCount > fewest) {
    const next = coarsen(here, mostWeight, random, blur, parts);
    if (next.graph.vertexCount > LEAST_SHRINK * here.vertexCount) break;
    parts = parts === null ? null : coarsePart(parts, next);
    levels.push(next);
    here = next.graph;
  }
  return levels;
}

function coarsePart(part: Int32Array, { graph, coarse }: Coarser): Int32Array {
  const result = new Int32Array(graph.vertexCount);
  for (let v = 0; v < coarse.length; v++) result[coarse[v]] = part[v];
  return result;
}

/** Carries a partition of the coarsest graph to the finest, refining at every level. */
function projectUp(
  g: WeightedGraph,
  levels: readonly Coarser[],
  coarsest: Int32Array,
  parts: number,
  limit: Float64Array,
): Int32Array {
  let part: Int32Array = coarsest;
  for (let i = levels.length - 1; i >= 0; i--) {
    const finer = i > 0 ? levels[i - 1].graph : g;
    const { coarse } = levels[i];
    const above = part;
    part = Int32Array.from({ length: finer.vertexCount }, (_, v) => above[coarse[v]]);
    new Refiner(finer, parts, limit).run(part);
  }
  return part;
}

/** One V-cycle that keeps to the parts: `part` in, a better one out. */
function refineCycle(
  g: WeightedGraph,
  parts: number,
  limit: Float64Array,
  part: Int32Array,
  blur: number,
  random: Random,
): void {
  const levels = coarsenDown(g, COARSEST_PER_PART * parts, part, blur, random);
  let top: Int32Array = part.slice();
  for (const level of levels) top = coarsePart(top, level);
  const coarsest = levels.length > 0 ? levels[levels.length - 1].graph : g;
  new Refiner(coarsest, parts, limit).run(top);
  part.set(projectUp(g, levels, top, parts, limit));
}
