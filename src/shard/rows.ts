/**
 * Memory over time as few rows: times at which the same segments are alive are one row, of two neighbouring times of
 * which one holds all that the other does only the fuller one counts, and times that no choice can overfill do not count.
 *
 *     time   0 1 2 3 4 5
 *     n0     [---------)          rows: {n0, n1}, {n0, n2}
 *     n1       [---)
 *     n2             [-----)
 */
import type { ReductionGraph } from './reductionGraph.js';

export interface MemoryRows {
  /** What the nodes' least usages leave of the limit, per row. */
  readonly capacity: Float64Array;
  /** The nodes' usages above their least, each segment from row `begin` up to row `end`. */
  readonly segments: readonly (readonly RowSegment[])[];
  /** A time at which the least usages exceed the limit, or null. */
  readonly overfullAt: number | null;
}

export interface RowSegment {
  readonly begin: number;
  readonly end: number;
  readonly usage: Float64Array;
}

const ROUNDING = 1e-10;

interface Piece {
  readonly node: number;
  readonly begin: number;
  readonly end: number;
  readonly usage: Float64Array;
  readonly most: number;
}

/**
 * Rewrites the nodes' segments to their least usage (which is the same for all of a node's strategies and needs no look)
 * and what varies above it, in rows.
 */
export function memoryRows(graph: ReductionGraph, limit: number): MemoryRows {
  const pieces: Piece[] = [];
  const base = new Map<number, number>();
  const times = new Set<number>();
  graph.outdated.fill(0);
  const add = (time: number, usage: number): void => void base.set(time, (base.get(time) ?? 0) + usage);
  for (let i = 0; i < graph.nodeCount; i++) {
    for (const { begin, end, usage } of graph.segments[i]) {
      const least = usage.reduce((x, y) => Math.min(x, y), Infinity);
      const above = usage.map((u) => u - least);
      const most = above.reduce((x, y) => Math.max(x, y), 0);
      add(begin, least);
      add(end, -least);
      if (most > 0) pieces.push({ node: i, begin, end, usage: above, most });
      times.add(begin).add(end);
    }
  }
  for (const { begin, end, usage } of graph.settled) {
    add(begin, usage);
    add(end, -usage);
    times.add(begin).add(end);
  }
  const at = Float64Array.from(times).sort();
  const count = Math.max(0, at.length - 1);
  const indexOf = new Map<number, number>();
  at.forEach((time, k) => indexOf.set(time, k));
  const capacity = new Float64Array(count);
  const room = new Float64Array(count + 1);
  // Whether a varying segment begins, or ends, at a time.
  const begins = new Uint8Array(count + 1);
  const ends = new Uint8Array(count + 1);
  for (const piece of pieces) {
    const from = indexOf.get(piece.begin)!;
    const to = indexOf.get(piece.end)!;
    begins[from] = 1;
    ends[to] = 1;
    room[from] += piece.most;
    room[to] -= piece.most;
  }
  let least = 0;
  let most = 0;
  let overfullAt: number | null = null;
  const counts = new Uint8Array(count);
  for (let k = 0; k < count; k++) {
    least += base.get(at[k]) ?? 0;
    most += room[k];
    capacity[k] = limit - least;
    // Sums of other than wholes drift: what is within rounding fits.
    if (capacity[k] < 0 && capacity[k] >= -ROUNDING * limit) capacity[k] = 0;
    if (capacity[k] < 0) overfullAt ??= at[k];
    // Sums of wholes are exact; of others the last digit may be off, to the safe side.
    counts[k] = most > capacity[k] * (1 - 1e-12) ? 1 : 0;
  }
  keepFullest(capacity, begins, ends, counts);
  return numbered(graph, pieces, capacity, counts, indexOf, overfullAt);
}

/** Clears the times that a neighbouring time implies. */
function keepFullest(capacity: Float64Array, begins: Uint8Array, ends: Uint8Array, counts: Uint8Array): void {
  const kept: number[] = [];
  // Whether segments begin or end between the last kept time and the one looked at.
  let begun = false;
  let ended = false;
  for (let k = 0; k < counts.length; k++) {
    begun ||= begins[k] === 1;
    ended ||= ends[k] === 1;
    if (counts[k] === 0) continue;
    // Nothing begins after the last kept time: it holds all that this one does.
    if (kept.length > 0 && !begun && capacity[kept[kept.length - 1]] <= capacity[k]) {
      counts[k] = 0;
      continue;
    }
    if (kept.length > 0 && !ended && capacity[k] <= capacity[kept[kept.length - 1]]) counts[kept.pop()!] = 0;
    kept.push(k);
    begun = false;
    ended = false;
  }
}

function numbered(
  graph: ReductionGraph,
  pieces: readonly Piece[],
  capacity: Float64Array,
  counts: Uint8Array,
  indexOf: ReadonlyMap<number, number>,
  overfullAt: number | null,
): MemoryRows {
  // Number of the first row at or after each time.
  const rowAt = new Int32Array(counts.length + 1);
  for (let k = 0; k < counts.length; k++) rowAt[k + 1] = rowAt[k] + counts[k];
  const segments: RowSegment[][] = Array.from({ length: graph.nodeCount }, () => []);
  for (const { node, begin, end, usage } of pieces) {
    const from = rowAt[indexOf.get(begin)!];
    const to = rowAt[indexOf.get(end)!];
    if (from < to) segments[node].push({ begin: from, end: to, usage });
  }
  return {
    capacity: capacity.filter((_, k) => counts[k] === 1),
    segments: segments.map(merged),
    overfullAt,
  };
}

/** Segments of one node over disjoint runs of rows, equal neighbours joined. */
function merged(segments: readonly RowSegment[]): readonly RowSegment[] {
  if (segments.length <= 1) return segments;
  const size = segments[0].usage.length;
  const starting = [...segments].sort((x, y) => x.begin - y.begin);
  const ending = [...segments].sort((x, y) => x.end - y.end);
  const cuts = Int32Array.from(new Set(segments.flatMap((s) => [s.begin, s.end]))).sort();
  const result: { begin: number; end: number; usage: Float64Array }[] = [];
  const sum = new Float64Array(size);
  for (let k = 0, s = 0, e = 0; k + 1 < cuts.length; k++) {
    for (; e < ending.length && ending[e].end === cuts[k]; e++)
      for (let x = 0; x < size; x++) sum[x] -= ending[e].usage[x];
    for (; s < starting.length && starting[s].begin === cuts[k]; s++)
      for (let x = 0; x < size; x++) sum[x] += starting[s].usage[x];
    const last = result.at(-1);
    if (last !== undefined && last.end === cuts[k] && last.usage.every((u, x) => u === sum[x])) {
      last.end = cuts[k + 1];
    } else if (sum.some((u) => u !== 0))
      result.push({ begin: cuts[k], end: cuts[k + 1], usage: Float64Array.from(sum) });
  }
  return result;
}
