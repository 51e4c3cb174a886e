/**
 * Exact minimisation over some variables while the others stay: variable elimination (Bertele and Brioschi 1972) in an
 * order of least degree. Where a table would grow past its limit, a variable stays as it is instead (conditioning), so
 * that any set of variables can be asked for; `free` says which took part.
 *
 *     a - b - c      order a, c, b:   a leaves a table over b, c leaves a table over b, b takes the least of the sum,
 *                                     then c and a take their best replies.
 */
import type { ShardCore } from './core.js';

/** Cells of all tables of one block. */
const ARENA_CELLS = 1 << 21;

export class BlockSolver {
  /** Variables that took part, in the order of elimination. */
  readonly order: number[] = [];
  /** Strategies found, by position in `order`. */
  readonly found: number[] = [];
  /** Sums that one solve makes. */
  work = 0;
  private readonly positionOf: Int32Array;
  private readonly adjacency: number[][];
  private readonly inBlock: Uint8Array;
  private readonly stamp: Int32Array;
  private stampNow = 0;
  private readonly arena = new Float64Array(ARENA_CELLS);
  private readonly reply = new Uint16Array(ARENA_CELLS);
  /** Per position in the order: variables of the table that it leaves (latest first), and where that table begins. */
  private scopes: number[][] = [];
  private tableAt: number[] = [];
  /** Per position: positions whose tables it takes up. */
  private inbox: number[][] = [];
  private readonly sums: Float64Array;

  constructor(private readonly core: ShardCore) {
    this.positionOf = new Int32Array(core.count).fill(-1);
    this.adjacency = Array.from({ length: core.count }, () => []);
    this.inBlock = new Uint8Array(core.count);
    this.stamp = new Int32Array(core.count);
    let largest = 1;
    for (let i = 0; i < core.count; i++) largest = Math.max(largest, core.start[i + 1] - core.start[i]);
    this.sums = new Float64Array(largest);
  }

  /**
   * Finds an order. Variables that would need too large tables drop out.
   *
   * @param limit most cells (times strategies of the eliminated variable) of a table
   * @param pick chooses from 0 to n - 1 among equals
   */
  plan(variables: readonly number[], limit: number, pick: (n: number) => number): void {
    const { core, adjacency, inBlock } = this;
    for (const v of this.order) this.positionOf[v] = -1;
    this.order.length = 0;
    this.scopes = [];
    this.tableAt = [];
    for (const v of variables) inBlock[v] = 1;
    const buckets: number[][] = [];
    const push = (v: number): void => {
      const degree = adjacency[v].length;
      while (buckets.length <= degree) buckets.push([]);
      buckets[degree].push(v);
    };
    for (const v of variables) {
      const list: number[] = [];
      for (let e = core.edgeStart[v]; e < core.edgeStart[v + 1]; e++)
        if (inBlock[core.edgeTo[e]] === 1) list.push(core.edgeTo[e]);
      adjacency[v] = list;
    }
    for (const v of variables) push(v);
    let left = variables.length;
    let used = 0;
    let low = 0;
    this.work = 0;
    while (left > 0) {
      while (low < buckets.length && buckets[low].length === 0) low++;
      const bucket = buckets[low];
      const at = pick(bucket.length);
      const v = bucket[at];
      bucket[at] = bucket[bucket.length - 1];
      bucket.pop();
      // Entries of old degrees stay behind.
      if (inBlock[v] === 0 || adjacency[v].length !== low) continue;
      const neighbours = adjacency[v];
      let cells = 1;
      for (const u of neighbours) cells *= core.start[u + 1] - core.start[u];
      if (cells * (core.start[v + 1] - core.start[v]) > limit || used + cells > ARENA_CELLS) {
        const out = this.mostConnected(v, pick);
        this.leave(out, push);
        if (out !== v) push(v);
        left--;
        low = Math.max(0, low - 1);
        continue;
      }
      this.positionOf[v] = this.order.length;
      this.order.push(v);
      this.scopes.push(neighbours);
      this.tableAt.push(used);
      used += cells;
      this.work += cells * (core.start[v + 1] - core.start[v]);
      this.connect(v, neighbours, push);
      left--;
      low = Math.max(0, low - 1);
    }
    this.arrange();
  }

  /**
   * Solves in the planned order.
   *
   * @param unary cost of each strategy (CSR as the core's), all but edges between free variables
   * @returns the least cost; `found` holds the strategies
   */
  solve(unary: Float64Array): number {
    let constant = 0;
    for (let p = 0; p < this.order.length; p++) constant += this.eliminate(p, unary);
    const { core, order, found, positionOf } = this;
    found.length = order.length;
    for (let p = order.length - 1; p >= 0; p--) {
      let cell = 0;
      for (const u of this.scopes[p])
        cell = cell * (core.start[u + 1] - core.start[u]) + found[positionOf[u]];
      found[p] = this.reply[this.tableAt[p] + cell];
    }
    return constant;
  }

  /** Whether a variable takes part in the planned block. */
  isFree(v: number): boolean {
    return this.positionOf[v] >= 0;
  }

  /** Place in the order of elimination; -1 of a variable that does not take part. */
  position(v: number): number {
    return this.positionOf[v];
  }

  private mostConnected(v: number, pick: (n: number) => number): number {
    const { adjacency, core } = this;
    // Now and then any neighbour, so that no variable is left out for ever.
    if (pick(5) === 0) return adjacency[v][pick(adjacency[v].length)] ?? v;
    let out = v;
    let most = -1;
    for (const u of adjacency[v]) {
      const weight = adjacency[u].length * Math.log(core.start[u + 1] - core.start[u]);
      if (weight > most) {
        most = weight;
        out = u;
      }
    }
    return out;
  }

  private leave(v: number, push: (v: number) => void): void {
    for (const u of this.adjacency[v]) {
      remove(this.adjacency[u], v);
      push(u);
    }
    this.inBlock[v] = 0;
    this.adjacency[v] = [];
  }

  /** Takes v out and joins its neighbours with each other. */
  private connect(v: number, neighbours: readonly number[], push: (v: number) => void): void {
    const { adjacency, stamp } = this;
    this.inBlock[v] = 0;
    for (const u of neighbours) {
      const list = adjacency[u];
      remove(list, v);
      if (neighbours.length > 1) {
        const now = ++this.stampNow;
        stamp[u] = now;
        for (const w of list) stamp[w] = now;
        for (const w of neighbours) if (stamp[w] !== now) list.push(w);
      }
      push(u);
    }
  }

  /** Orders scopes so that the variable eliminated next comes last, and says who takes up which table. */
  private arrange(): void {
    const { positionOf, scopes, order } = this;
    this.inbox = order.map(() => []);
    for (let p = 0; p < order.length; p++) {
      // A variable that dropped out after p left is none of its neighbours any more.
      const scope = scopes[p].filter((u) => positionOf[u] >= 0);
      scope.sort((a, b) => positionOf[b] - positionOf[a]);
      scopes[p] = scope;
      if (scope.length > 0) this.inbox[positionOf[scope[scope.length - 1]]].push(p);
    }
  }

  /** @returns the constant that an eliminated variable without neighbours leaves */
  private eliminate(p: number, unary: Float64Array): number {
    const { core, order, scopes, positionOf, arena, reply, sums } = this;
    const { start, edgeStart, edgeTo, edgeTable, table } = core;
    const v = order[p];
    const scope = scopes[p];
    const own = start[v + 1] - start[v];
    const unaryAt = start[v];
    const depth = scope.length;
    if (depth === 0) return this.finishAlone(p, unary);
    const last = scope[depth - 1];
    // Factors that mention the last scope variable, and those that do not.
    const inner: Factor[] = [];
    const outer: Factor[] = [];
    for (let e = edgeStart[v]; e < edgeStart[v + 1]; e++) {
      const u = edgeTo[e];
      if (positionOf[u] <= p) continue;
      const strides = new Int32Array(depth);
      strides[scope.indexOf(u)] = own;
      (u === last ? inner : outer).push({ values: table, at: edgeTable[e], strides });
    }
    for (const q of this.inbox[p]) {
      const strides = new Int32Array(depth);
      const from = scopes[q];
      let stride = own;
      for (let k = from.length - 2; k >= 0; k--) {
        strides[scope.indexOf(from[k])] = stride;
        stride *= start[from[k] + 1] - start[from[k]];
      }
      (strides[depth - 1] > 0 ? inner : outer).push({ values: arena, at: this.tableAt[q], strides });
    }
    const lastSize = start[last + 1] - start[last];
    const digits = new Int32Array(depth);
    let out = this.tableAt[p];
    for (;;) {
      for (let s = 0; s < own; s++) sums[s] = unary[unaryAt + s];
      for (let f = 0; f < outer.length; f++) {
        const { values, at } = outer[f];
        for (let s = 0; s < own; s++) sums[s] += values[at + s];
      }
      if (inner.length === 1) {
        const { values, strides } = inner[0];
        const stride = strides[depth - 1];
        let at = inner[0].at;
        for (let x = 0; x < lastSize; x++, at += stride, out++) {
          let least = Infinity;
          let best = 0;
          for (let s = 0; s < own; s++) {
            const sum = sums[s] + values[at + s];
            if (sum < least) {
              least = sum;
              best = s;
            }
          }
          arena[out] = least;
          reply[out] = best;
        }
      } else {
        const two = inner.length === 2;
        const a = inner[0];
        const b = inner[1];
        for (let x = 0; x < lastSize; x++, out++) {
          let least = Infinity;
          let best = 0;
          const atA = a.at + x * a.strides[depth - 1];
          const atB = b.at + x * b.strides[depth - 1];
          const aValues = a.values;
          const bValues = b.values;
          for (let s = 0; s < own; s++) {
            let sum = sums[s] + aValues[atA + s] + bValues[atB + s];
            if (!two)
              for (let f = 2; f < inner.length; f++) {
                const c = inner[f];
                sum += c.values[c.at + x * c.strides[depth - 1] + s];
              }
            if (sum < least) {
              least = sum;
              best = s;
            }
          }
          arena[out] = least;
          reply[out] = best;
        }
      }
      // The next combination of the outer scope variables.
      let k = depth - 2;
      for (; k >= 0; k--) {
        const size = start[scope[k] + 1] - start[scope[k]];
        const wraps = ++digits[k] === size;
        const step = wraps ? 1 - size : 1;
        for (let f = 0; f < inner.length; f++) inner[f].at += step * inner[f].strides[k];
        for (let f = 0; f < outer.length; f++) outer[f].at += step * outer[f].strides[k];
        if (!wraps) break;
        digits[k] = 0;
      }
      if (k < 0) return 0;
    }
  }

  private finishAlone(p: number, unary: Float64Array): number {
    const { core, arena, reply, sums } = this;
    const v = this.order[p];
    const own = core.start[v + 1] - core.start[v];
    for (let s = 0; s < own; s++) sums[s] = unary[core.start[v] + s];
    for (const q of this.inbox[p]) for (let s = 0; s < own; s++) sums[s] += arena[this.tableAt[q] + s];
    let best = 0;
    for (let s = 1; s < own; s++) if (sums[s] < sums[best]) best = s;
    reply[this.tableAt[p]] = best;
    return sums[best];
  }
}

/** A cost function of the variable being eliminated (whose strategies are contiguous) and some of the scope. */
interface Factor {
  readonly values: Float64Array;
  at: number;
  readonly strides: Int32Array;
}

function remove(list: number[], item: number): void {
  const at = list.indexOf(item);
  if (at < 0) return;
  list[at] = list[list.length - 1];
  list.pop();
}
