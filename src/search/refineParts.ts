/**
 * Refinement of a partition by moving one vertex at a time (Fiduccia and Mattheyses 1982, over any number of parts).
 * A pass moves each vertex at most once, always the one that gains most (or loses least) within the weight limits, and
 * then goes back to the best point it came through. Passes repeat while they gain.
 *
 * The gain of moving v from part a to b is (edges from v into b) - (edges from v into a).
 */
import type { WeightedGraph } from './weightedGraph.js';
import { partWeights } from './weightedGraph.js';

const MOST_PASSES = 12;
/** A pass ends after this many moves in a row without a new best, or this share of the vertices if that is more. */
const LEAST_FRUITLESS = 60;
const FRUITLESS_SHARE = 0.1;
/** Share of its limit by which a part may exceed it within a pass. */
const MOST_SLACK = 0.25;
const EPSILON = 1e-9;

/** Scratch for one graph and number of parts. */
export class Refiner {
  private readonly link: Float64Array;
  private readonly touched: Int32Array;
  private readonly locked: Uint8Array;
  private readonly stamp: Int32Array;
  private readonly moved: Int32Array;
  private readonly cameFrom: Int32Array;
  private readonly heap = new GainHeap();
  private weight: Float64Array;
  /** What a part may weigh in the middle of a pass, so that two heavy vertices can change places. */
  private readonly loose: Float64Array;
  /** Of the vertex looked at last: its best part and the gain. */
  private bestPart = -1;
  private bestGain = 0;

  /** @param limit heaviest weight of each part */
  constructor(
    private readonly g: WeightedGraph,
    private readonly parts: number,
    private readonly limit: Float64Array,
  ) {
    const n = g.vertexCount;
    this.link = new Float64Array(parts);
    this.touched = new Int32Array(parts);
    this.locked = new Uint8Array(n);
    this.stamp = new Int32Array(n);
    this.moved = new Int32Array(n);
    this.cameFrom = new Int32Array(n);
    this.weight = new Float64Array(parts);
    let heaviest = 0;
    for (const w of g.vertexWeight) heaviest = Math.max(heaviest, w);
    this.loose = limit.map((w) => w + Math.min(heaviest, MOST_SLACK * w));
  }

  /** Improves `part` in place. */
  run(part: Int32Array): void {
    this.weight = partWeights(this.g, part, this.parts);
    this.relieve(part);
    for (let pass = 0; pass < MOST_PASSES; pass++) if (!this.pass(part)) break;
  }

  /** Takes vertices out of parts above their limit, the least loss first, as long as somewhere has room. */
  private relieve(part: Int32Array): void {
    const { g, weight, limit } = this;
    for (let moves = 0; moves < g.vertexCount; moves++) {
      let over = -1;
      for (let p = 0; p < this.parts; p++)
        if (weight[p] > limit[p] && (over < 0 || weight[p] - limit[p] > weight[over] - limit[over])) over = p;
      if (over < 0) return;
      let vertex = -1;
      let to = -1;
      let gain = -Infinity;
      for (let v = 0; v < g.vertexCount; v++) {
        if (part[v] !== over || g.vertexWeight[v] === 0) continue;
        this.look(v, part, true);
        if (this.bestPart >= 0 && this.bestGain > gain) {
          vertex = v;
          to = this.bestPart;
          gain = this.bestGain;
        }
      }
      if (vertex < 0) return;
      this.move(vertex, part, to);
    }
  }

  /** One pass; whether it gained. */
  private pass(part: Int32Array): boolean {
    const { g, heap, locked, stamp, moved, cameFrom } = this;
    const n = g.vertexCount;
    locked.fill(0);
    heap.clear();
    for (let v = 0; v < n; v++) this.offer(v, part);
    const patience = Math.max(LEAST_FRUITLESS, FRUITLESS_SHARE * n);
    const tolerance = EPSILON * this.limit[0];
    let sum = 0;
    let best = 0;
    let bestOver = this.overload();
    let bestCount = 0;
    let count = 0;
    while (heap.size > 0 && count - bestCount < patience) {
      const v = heap.topVertex();
      const current = heap.topStamp() === stamp[v] && locked[v] === 0;
      const promised = heap.topGain();
      heap.pop();
      if (!current) continue;
      this.look(v, part, false);
      if (this.bestPart < 0) continue;
      // Room may have gone since it was offered: look again at its turn.
      if (this.bestGain < promised - EPSILON) {
        heap.push(this.bestGain, v, stamp[v]);
        continue;
      }
      moved[count] = v;
      cameFrom[count++] = part[v];
      sum += this.bestGain;
      locked[v] = 1;
      this.move(v, part, this.bestPart);
      const over = this.overload();
      if (over < bestOver - tolerance || (over <= bestOver + tolerance && sum > best + EPSILON)) {
        best = sum;
        bestOver = over;
        bestCount = count;
      }
      for (let e = g.start[v]; e < g.start[v + 1]; e++)
        if (locked[g.target[e]] === 0) this.offer(g.target[e], part);
    }
    for (let i = count - 1; i >= bestCount; i--) this.move(moved[i], part, cameFrom[i]);
    return bestCount > 0;
  }

  /** Weight above the limits of all parts. */
  private overload(): number {
    const { weight, limit } = this;
    let over = 0;
    for (let p = 0; p < this.parts; p++) if (weight[p] > limit[p]) over += weight[p] - limit[p];
    return over;
  }

  private offer(v: number, part: Int32Array): void {
    this.look(v, part, false);
    this.stamp[v]++;
    if (this.bestPart >= 0) this.heap.push(this.bestGain, v, this.stamp[v]);
  }

  private move(v: number, part: Int32Array, to: number): void {
    const w = this.g.vertexWeight[v];
    this.weight[part[v]] -= w;
    this.weight[to] += w;
    part[v] = to;
  }

  /**
   * The best part for v among those it has edges into, within the loose limits; with `anywhere` among all, within the
   * limits. bestPart is -1 where none has room. Equal gains go to the lighter part.
   */
  private look(v: number, part: Int32Array, anywhere: boolean): void {
    const { g, link, touched, weight } = this;
    const limit = anywhere ? this.limit : this.loose;
    const own = part[v];
    const w = g.vertexWeight[v];
    let count = 0;
    link[own] = 0;
    for (let e = g.start[v]; e < g.start[v + 1]; e++) {
      const p = part[g.target[e]];
      if (link[p] === 0 && p !== own) touched[count++] = p;
      link[p] += g.edgeWeight[e];
    }
    this.bestPart = -1;
    this.bestGain = -Infinity;
    const at = link[own];
    const choices = anywhere ? this.parts : count;
    for (let i = 0; i < choices; i++) {
      const p = anywhere ? i : touched[i];
      if (p === own || weight[p] + w > limit[p]) continue;
      const gain = link[p] - at;
      if (
        gain > this.bestGain + EPSILON ||
        (gain > this.bestGain - EPSILON && weight[p] < weight[this.bestPart])
      ) {
        this.bestGain = gain;
        this.bestPart = p;
      }
    }
    for (let i = 0; i < count; i++) link[touched[i]] = 0;
    link[own] = 0;
  }
}

/** Binary heap of (gain, vertex, stamp), largest gain first; of equal gains the smaller vertex. Stale entries stay in. */
class GainHeap {
  size = 0;
  private gain = new Float64Array(64);
  private vertex = new Int32Array(64);
  private stamps = new Int32Array(64);

  clear(): void {
    this.size = 0;
  }

  topGain(): number {
    return this.gain[0];
  }

  topVertex(): number {
    return this.vertex[0];
  }

  topStamp(): number {
    return this.stamps[0];
  }

  push(gain: number, vertex: number, stamp: number): void {
    if (this.size === this.gain.length) this.grow();
    let i = this.size++;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!this.before(gain, vertex, up)) break;
      this.copy(up, i);
      i = up;
    }
    this.gain[i] = gain;
    this.vertex[i] = vertex;
    this.stamps[i] = stamp;
  }

  pop(): void {
    const last = --this.size;
    const gain = this.gain[last];
    const vertex = this.vertex[last];
    const stamp = this.stamps[last];
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= last) break;
      if (child + 1 < last && this.before(this.gain[child + 1], this.vertex[child + 1], child)) child++;
      if (this.before(gain, vertex, child)) break;
      this.copy(child, i);
      i = child;
    }
    this.gain[i] = gain;
    this.vertex[i] = vertex;
    this.stamps[i] = stamp;
  }

  private before(gain: number, vertex: number, i: number): boolean {
    return gain > this.gain[i] || (gain === this.gain[i] && vertex < this.vertex[i]);
  }

  private copy(from: number, to: number): void {
    this.gain[to] = this.gain[from];
    this.vertex[to] = this.vertex[from];
    this.stamps[to] = this.stamps[from];
  }

  private grow(): void {
    const more = 2 * this.gain.length;
    const gain = new Float64Array(more);
    const vertex = new Int32Array(more);
    const stamps = new Int32Array(more);
    gain.set(this.gain);
    vertex.set(this.vertex);
    stamps.set(this.stamps);
    this.gain = gain;
    this.vertex = vertex;
    this.stamps = stamps;
  }
}
