/**
 * Where a chain of blocks may be cut: how much is alive at each position, and the positions where little is.
 */
import { isFloat } from '../model/dtype.js';
import { streamNodes } from './stream.js';
import type { Block, Graph } from './types.js';

/** Blocks looked at on either side of a candidate. */
const WINDOW = 16;

export interface Alive {
  /** Per position. */
  readonly elements: Float64Array;
  /** Per block: how many tensors of the stream it is the last to read. */
  readonly ends: Int32Array;
}

/**
 * Float elements alive between block p-1 and block p (index p; 0 at both ends), each piece of memory once. Weights,
 * constants and the model's inputs are not counted, nor is what is no part of the stream (masks, rotary tables): every
 * device computes those itself.
 */
export function aliveElements(graph: Graph, blocks: readonly Block[]): Alive {
  const count = blocks.length;
  const home = new Int32Array(graph.tensorCount).fill(-1);
  const last = new Int32Array(graph.tensorCount).fill(-1);
  const stream = streamNodes(graph);
  blocks.forEach((block, b) => {
    for (const t of block.outputs) {
      const root = graph.storage[t];
      if (home[root] < 0) home[root] = b;
    }
    for (const t of block.inputs) last[graph.storage[t]] = b;
  });
  const change = new Float64Array(count + 2);
  const ends = new Int32Array(count + 1);
  for (let t = 0; t < graph.tensorCount; t++) {
    if (home[t] < 0 || last[t] <= home[t] || !stream[graph.producer[t]] || !isFloat(graph.tensorDtype[t]))
      continue;
    change[home[t] + 1] += graph.tensorElements[t];
    change[last[t] + 1] -= graph.tensorElements[t];
    ends[last[t]]++;
  }
  const alive = new Float64Array(count + 1);
  for (let p = 1; p <= count; p++) alive[p] = alive[p - 1] + change[p];
  alive[count] = 0;
  return { elements: alive, ends };
}

/**
 * Positions where no more is alive than anywhere in the window before, or than anywhere in the window after. Asking for one
 * side only lets a decoder be cut beside its encoder, whose output stays alive throughout.
 */
export function cutPositions({ elements: alive, ends }: Alive): number[] {
  const end = alive.length - 1;
  const before = slidingMinimum(alive, false);
  const after = slidingMinimum(alive, true);
  const cuts: number[] = [];
  for (let p = 1; p < end; p++) {
    // The next block joins what is alive (a residual addition) and leaves less: after it is the better place.
    if (p + 1 < end && alive[p + 1] < alive[p] && ends[p] > 1) continue;
    if (alive[p] <= before[p] || alive[p] <= after[p]) cuts.push(p);
  }
  return cuts;
}

/** Minimum over the window that ends (or begins) at each position. */
function slidingMinimum(values: Float64Array, forward: boolean): Float64Array {
  const n = values.length;
  const minimum = new Float64Array(n);
  const queue = new Int32Array(n);
  let head = 0;
  let tail = 0;
  for (let k = 0; k < n; k++) {
    const i = forward ? n - 1 - k : k;
    while (tail > head && values[queue[tail - 1]] >= values[i]) tail--;
    queue[tail++] = i;
    if (Math.abs(queue[head] - i) > WINDOW) head++;
    minimum[i] = values[queue[head]];
  }
  return minimum;
}
