/**
 * The time-cost trade-off of a project: activities that may be shortened at a price, convex and linear in pieces, in an
 * order that is given. The least cost for every duration of the project, from the cheapest to the shortest, is walked
 * exactly (Kelley 1961; Fulkerson 1961; Phillips and Dessouky 1977): at each duration the cheapest cut of the critical
 * activities, a maximum flow whose bounds are the slopes on either side of each activity's present duration, says what to
 * shorten and what may lengthen again. The flow is kept from one duration to the next; distances in its residual network
 * say how far the same cut holds.
 *
 *     cost of an activity                  flow f through it       its duration
 *      \                                   f < slope 1             the longest
 *       \__ slope 2                        slope 1 < f < slope 2   point 1
 *          \____ slope 1                   ...
 *     short   long                         f > last slope          the shortest
 */
import { invariant } from './errors.js';

/** Arcs and their curves; numbers are integers (up to 2^53), so that what is equal stays equal. */
export interface ProjectNetwork {
  /** Node 0 is the start, node nodeCount - 1 the end; every node is reached from the one and reaches the other. */
  readonly nodeCount: number;
  readonly arcFrom: Int32Array;
  readonly arcTo: Int32Array;
  readonly arcCurve: Int32Array;
  /** Points of curve c: [curveStart[c], curveStart[c + 1]), longest duration first. */
  readonly curveStart: Int32Array;
  readonly duration: Float64Array;
  /** Cost per unit of time from the point before to this one, rising strictly along a curve; 0 at its first point. */
  readonly slope: Float64Array;
}

/** Nodes in an order in which every arc goes forward. */
export function topologicalOrder(n: Pick<ProjectNetwork, 'nodeCount' | 'arcFrom' | 'arcTo'>): Int32Array {
  const { nodeCount, arcFrom, arcTo } = n;
  const waits = new Int32Array(nodeCount);
  const start = new Int32Array(nodeCount + 1);
  for (let a = 0; a < arcFrom.length; a++) {
    waits[arcTo[a]]++;
    start[arcFrom[a] + 1]++;
  }
  for (let v = 0; v < nodeCount; v++) start[v + 1] += start[v];
  const next = start.slice();
  const arcs = new Int32Array(arcFrom.length);
  for (let a = 0; a < arcFrom.length; a++) arcs[next[arcFrom[a]]++] = a;
  const order = new Int32Array(nodeCount);
  let count = 0;
  for (let v = 0; v < nodeCount; v++) if (waits[v] === 0) order[count++] = v;
  for (let i = 0; i < count; i++)
    for (let j = start[order[i]]; j < start[order[i] + 1]; j++) {
      const to = arcTo[arcs[j]];
      if (--waits[to] === 0) order[count++] = to;
    }
  invariant(count === nodeCount, 'a project without cycles');
  return order;
}

export class ProjectWalk {
  /** When each node happens in a cheapest project of the present duration. */
  readonly at: Float64Array;
  /** What one unit of time less costs from here on; valid after `advance`. */
  price = 0;
  /** Distances worked out so far. */
  steps = 0;
  /** Through every arc, kept from one duration to the next: what a unit of its time is worth at the present duration. */
  readonly flow: Float64Array;
  /** Point of each arc's curve: slope[level] <= flow < slope[level + 1]. */
  private readonly level: Int32Array;
  // Half arcs by node: 2 a forward, 2 a + 1 backward.
  private readonly halfStart: Int32Array;
  private readonly half: Int32Array;
  private readonly distance: Float64Array;
  private readonly rank: Int32Array;
  private readonly next: Int32Array;
  private readonly queue: Int32Array;
  private readonly path: Int32Array;
  private readonly heap: DistanceHeap;

  constructor(private readonly network: ProjectNetwork) {
    const { nodeCount, arcFrom, arcTo, arcCurve, curveStart, duration } = network;
    const arcs = arcFrom.length;
    this.flow = new Float64Array(arcs);
    this.level = Int32Array.from(arcCurve, (c) => curveStart[c]);
    this.halfStart = new Int32Array(nodeCount + 1);
    for (let a = 0; a < arcs; a++) {
      this.halfStart[arcFrom[a] + 1]++;
      this.halfStart[arcTo[a] + 1]++;
    }
    for (let v = 0; v < nodeCount; v++) this.halfStart[v + 1] += this.halfStart[v];
    const fill = this.halfStart.slice();
    this.half = new Int32Array(2 * arcs);
    for (let a = 0; a < arcs; a++) {
      this.half[fill[arcFrom[a]]++] = 2 * a;
      this.half[fill[arcTo[a]]++] = 2 * a + 1;
    }
    this.distance = new Float64Array(nodeCount);
    this.rank = new Int32Array(nodeCount);
    this.next = new Int32Array(nodeCount);
    this.queue = new Int32Array(2 * arcs + nodeCount);
    this.path = new Int32Array(nodeCount);
    this.heap = new DistanceHeap(2 * arcs + nodeCount);
    this.at = new Float64Array(nodeCount);
    for (const v of topologicalOrder(network))
      for (let j = this.halfStart[v]; j < this.halfStart[v + 1]; j++) {
        if ((this.half[j] & 1) === 1) continue;
        const a = this.half[j] >> 1;
        const end = this.at[v] + duration[curveStart[arcCurve[a]]];
        if (end > this.at[arcTo[a]]) this.at[arcTo[a]] = end;
      }
  }

  /** Present duration of the project. */
  get time(): number {
    return this.at[this.network.nodeCount - 1];
  }

  /**
   * Shortens the project until the cheapest cut changes, or to `limit`.
   *
   * @returns false, with nothing changed, when it can be no shorter
   */
  advance(limit = 0): boolean {
    if (!this.saturate()) return false;
    const { at, distance } = this;
    const most = Math.min(this.measure(), this.time - limit);
    for (let v = 0; v < at.length; v++) at[v] -= distance[v] < most ? distance[v] : most;
    this.steps++;
    return true;
  }

  /** Units that flow may grow by along a half arc at no loss; 0: none. */
  private residual(h: number): number {
    const { arcFrom, arcTo, arcCurve, curveStart, duration, slope } = this.network;
    const a = h >> 1;
    const level = this.level[a];
    const flow = this.flow[a];
    const gap = this.at[arcTo[a]] - this.at[arcFrom[a]];
    if ((h & 1) === 0) {
      if (gap !== duration[level]) return 0;
      return level + 1 === curveStart[arcCurve[a] + 1] ? Infinity : slope[level + 1] - flow;
    }
    if (flow <= 0) return 0;
    const below = flow === slope[level] ? level - 1 : level;
    return gap === duration[below] ? flow - slope[below] : 0;
  }

  private push(h: number, amount: number): void {
    const { arcCurve, curveStart, slope } = this.network;
    const a = h >> 1;
    const flow = (h & 1) === 0 ? this.flow[a] + amount : this.flow[a] - amount;
    this.flow[a] = flow;
    const last = curveStart[arcCurve[a] + 1] - 1;
    let level = this.level[a];
    while (level < last && slope[level + 1] <= flow) level++;
    while (flow < slope[level]) level--;
    this.level[a] = level;
  }

  private otherEnd(h: number): number {
    return (h & 1) === 0 ? this.network.arcTo[h >> 1] : this.network.arcFrom[h >> 1];
  }

  /** Maximum flow among what is critical (Dinic); false when nothing bounds it. */
  private saturate(): boolean {
    const end = this.network.nodeCount - 1;
    while (this.rankNodes()) {
      this.next.set(this.halfStart.subarray(0, end + 1));
      let depth = 0;
      let v = 0;
      for (;;) {
        if (v === end) {
          let amount = Infinity;
          for (let i = 0; i < depth; i++) amount = Math.min(amount, this.residual(this.path[i]));
          if (amount === Infinity) return false;
          this.price += amount;
          let back = depth;
          for (let i = depth - 1; i >= 0; i--) {
            const h = this.path[i];
            if (this.residual(h) === amount) back = i;
            this.push(h, amount);
          }
          depth = back;
          v = this.otherEnd(this.path[depth] ^ 1);
          continue;
        }
        const stop = this.halfStart[v + 1];
        let j = this.next[v];
        for (; j < stop; j++) {
          const h = this.half[j];
          if (this.rank[this.otherEnd(h)] === this.rank[v] + 1 && this.residual(h) > 0) break;
        }
        this.next[v] = j;
        if (j < stop) {
          this.path[depth++] = this.half[j];
          v = this.otherEnd(this.half[j]);
          continue;
        }
        if (depth === 0) break;
        // A dead end: back, and on with the next way.
        this.rank[v] = -1;
        v = this.otherEnd(this.path[--depth] ^ 1);
        this.next[v]++;
      }
    }
    return true;
  }

  /** Fewest critical half arcs from the start to each node; false when the end is out of reach. */
  private rankNodes(): boolean {
    const { rank, queue } = this;
    const end = rank.length - 1;
    rank.fill(-1);
    rank[0] = 0;
    queue[0] = 0;
    let count = 1;
    for (let i = 0; i < count; i++) {
      const v = queue[i];
      for (let j = this.halfStart[v]; j < this.halfStart[v + 1]; j++) {
        const to = this.otherEnd(this.half[j]);
        if (rank[to] >= 0 || this.residual(this.half[j]) <= 0) continue;
        rank[to] = rank[v] + 1;
        if (to === end) return true;
        queue[count++] = to;
      }
    }
    return false;
  }

  /** Distances from the start in the residual network, as far as to the end (Dijkstra); the end's. */
  private measure(): number {
    const { distance, heap, queue, at } = this;
    const { arcFrom, arcTo, duration, slope } = this.network;
    const end = distance.length - 1;
    distance.fill(Infinity);
    distance[0] = 0;
    heap.clear();
    queue[0] = 0;
    // Nodes at the distance in hand wait in a stack, all others in the heap.
    let waiting = 1;
    let here = 0;
    for (;;) {
      if (waiting === 0) {
        let v = -1;
        while (heap.size > 0) {
          here = heap.least();
          v = heap.pop();
          if (distance[v] === here) break;
          v = -1;
        }
        if (v < 0 || v === end) return distance[end];
        queue[waiting++] = v;
      }
      const v = queue[--waiting];
      for (let j = this.halfStart[v]; j < this.halfStart[v + 1]; j++) {
        const h = this.half[j];
        const a = h >> 1;
        const level = this.level[a];
        const gap = at[arcTo[a]] - at[arcFrom[a]];
        let cost: number;
        if ((h & 1) === 0) cost = gap - duration[level];
        else {
          const flow = this.flow[a];
          if (flow <= 0) continue;
          cost = duration[flow === slope[level] ? level - 1 : level] - gap;
        }
        const to = this.otherEnd(h);
        if (here + cost >= distance[to]) continue;
        distance[to] = here + cost;
        if (cost === 0) queue[waiting++] = to;
        else if (here + cost < distance[end] || to === end) heap.push(here + cost, to);
      }
    }
  }
}

/** Binary heap of nodes by distance; nodes may wait several times. */
class DistanceHeap {
  size = 0;
  private readonly key: Float64Array;
  private readonly node: Int32Array;

  constructor(room: number) {
    this.key = new Float64Array(room + 1);
    this.node = new Int32Array(room + 1);
  }

  clear(): void {
    this.size = 0;
  }

  least(): number {
    return this.key[0];
  }

  push(key: number, node: number): void {
    let i = this.size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (this.key[parent] <= key) break;
      this.key[i] = this.key[parent];
      this.node[i] = this.node[parent];
      i = parent;
    }
    this.key[i] = key;
    this.node[i] = node;
  }

  pop(): number {
    const top = this.node[0];
    const key = this.key[--this.size];
    const node = this.node[this.size];
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && this.key[child + 1] < this.key[child]) child++;
      if (this.key[child] >= key) break;
      this.key[i] = this.key[child];
      this.node[i] = this.node[child];
      i = child;
    }
    this.key[i] = key;
    this.node[i] = node;
    return top;
  }
}
