/**
 * Where to cut a chain into stages so that the slowest stage is as fast as can be: exact dynamic programming.
 *
 *     f[k][j] = min over i < j of max(f[k-1][i], cost(k, i, j))        first j segments on stages 0..k, none empty
 *
 * `cost` may differ between stages (unlike devices; fewer microbatches in flight further down) and is Infinity where a
 * stage does not fit its memory. It must not fall when a stage grows, to either side.
 *
 * As i grows cost falls. Where f[k-1] rises with i (it does unless stages are very unlike), the best i is where the two
 * cross, and the crossing only moves right as j grows: one pass per stage, O(segments * stages) costs in all. Otherwise
 * i runs down from j - 1 until the stage alone costs as much as the best found.
 */

/** Cost of one stage. */
export interface ChainCosts {
  /** Of stage k holding segments [from, to); Infinity when it cannot. */
  cost(stage: number, from: number, to: number): number;
}

export interface Cuts {
  /** First segment of each stage, and the segment count. */
  readonly stageStart: Int32Array;
  /** Cost of the costliest stage. */
  readonly bottleneck: number;
}

/** Scratch kept between calls: a search cuts the same chain thousands of times. */
let parent = new Int32Array(0);
let row = new Float64Array(0);
let previous = new Float64Array(0);

/** Best cuts of `segments` into `stages` non-empty runs; null when every way costs Infinity or stages are too many. */
export function minimaxCuts(segments: number, stages: number, costs: ChainCosts): Cuts | null {
  if (stages > segments) return null;
  const width = segments + 1;
  if (parent.length < stages * width) parent = new Int32Array(stages * width);
  if (row.length < width) {
    row = new Float64Array(width);
    previous = new Float64Array(width);
  }
  previous.fill(Infinity, 0, width);
  previous[0] = 0;
  for (let k = 0; k < stages; k++) {
    row.fill(Infinity, 0, width);
    // The last stage must end at the end; the others leave a segment for each stage to come.
    const first = k === stages - 1 ? segments : k + 1;
    const last = segments - (stages - 1 - k);
    if (rises(previous, k, last)) crossings(costs, k, first, last, width);
    else scans(costs, k, first, last, width);
    const swap = previous;
    previous = row;
    row = swap;
  }
  const bottleneck = previous[segments];
  if (bottleneck === Infinity) return null;
  const stageStart = new Int32Array(stages + 1);
  stageStart[stages] = segments;
  for (let k = stages - 1; k > 0; k--) stageStart[k] = parent[k * width + stageStart[k + 1]];
  return { stageStart, bottleneck };
}

/** Whether values[from..to) never falls. */
function rises(values: Float64Array, from: number, to: number): boolean {
  for (let i = from + 1; i < to; i++) if (values[i] < values[i - 1]) return false;
  return true;
}

/** Row k where `previous` rises: the crossing of previous[i] and cost(k, i, j) moves right with j. */
function crossings(costs: ChainCosts, k: number, first: number, last: number, width: number): void {
  let i = k;
  for (let j = first; j <= last; j++) {
    let cost = costs.cost(k, i, j);
    while (i < j - 1 && previous[i] < cost) cost = costs.cost(k, ++i, j);
    // At the crossing previous[i] decides; just before it, the cost does.
    let best = previous[i] > cost ? previous[i] : cost;
    let arg = i;
    if (i > k) {
      const before = costs.cost(k, i - 1, j);
      if (before < best) {
        best = previous[i - 1] > before ? previous[i - 1] : before;
        arg = i - 1;
      }
    }
    row[j] = best;
    parent[k * width + j] = arg;
  }
}

/** Row k in general. */
function scans(costs: ChainCosts, k: number, first: number, last: number, width: number): void {
  for (let j = first; j <= last; j++) {
    let best = Infinity;
    let arg = -1;
    for (let i = j - 1; i >= k; i--) {
      const cost = costs.cost(k, i, j);
      if (cost >= best) break;
      const value = previous[i] > cost ? previous[i] : cost;
      if (value < best) {
        best = value;
        arg = i;
      }
    }
    row[j] = best;
    parent[k * width + j] = arg;
  }
}
