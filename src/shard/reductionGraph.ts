/**
 * The graph that reductions work on: nodes lose strategies and are folded into others; what was folded is remembered, so
 * that a solution of what is left unrolls to one of the whole instance.
 */
import type { ShardInstance } from './instance.js';

/** Usage of a node's strategies while time is in [begin, end). */
export interface Segment {
  begin: number;
  end: number;
  usage: Float64Array;
}

/** Prices of two nodes' strategies together: row-major, strategies of `a` by strategies of `b`. */
export interface Edge {
  a: number;
  b: number;
  table: Float64Array;
  alive: boolean;
  /** Whether it waits to be looked at. */
  waiting: boolean;
}

/** A node that follows others: its strategy as a table over theirs (of the instance's numbering; -1 cannot be). */
interface Follower {
  readonly node: number;
  readonly leaders: readonly number[];
  readonly reply: Int32Array;
}

/** Most cells of a table that a reduction may make. */
export const LARGEST_TABLE = 1 << 18;

export class ReductionGraph {
  readonly nodeCount: number;
  readonly alive: Uint8Array;
  readonly cost: Float64Array[] = [];
  /** Strategies left, in the instance's numbering (of joint nodes: in theirs). */
  readonly label: Int32Array[] = [];
  readonly segments: Segment[][] = [];
  /** Usage of nodes that were minimised out, the same for all their strategies wherever it counts. */
  readonly settled: { begin: number; end: number; usage: number }[] = [];
  readonly edges: Map<number, Edge>[] = [];
  /** Nodes whose costs or edges changed since strategies were last compared. */
  readonly touched: Uint8Array;
  /** Nodes that took over memory which the rows do not show yet. */
  readonly outdated: Uint8Array;
  /** Edges to look at. */
  readonly waiting: Edge[] = [];
  /** Cost of nodes that were minimised out alone. */
  constant = 0;
  /** Set when a node has no strategy left. */
  infeasible = false;
  private readonly originalSize: number[] = [];
  private readonly followers: Follower[] = [];
  private readonly instanceNodes: number;

  constructor(instance: ShardInstance) {
    this.instanceNodes = instance.nodeCount;
    // Joint nodes come on top: one an edge at most.
    this.touched = new Uint8Array(instance.nodeCount + instance.edgeCount).fill(1);
    this.outdated = new Uint8Array(this.touched.length);
    const { strategyStart } = instance;
    for (let i = 0; i < instance.nodeCount; i++) {
      const segments =
        instance.begin[i] < instance.end[i]
          ? [
              {
                begin: instance.begin[i],
                end: instance.end[i],
                usage: instance.usage.slice(strategyStart[i], strategyStart[i + 1]),
              },
            ]
          : [];
      this.addNode(instance.nodeCost.slice(strategyStart[i], strategyStart[i + 1]), segments);
    }
    for (let e = 0; e < instance.edgeCount; e++) {
      const nodes = instance.edgeNode.subarray(instance.edgeStart[e], instance.edgeStart[e + 1]);
      const table = instance.tableCost.subarray(
        instance.tableStart[instance.edgeTable[e]],
        instance.tableStart[instance.edgeTable[e] + 1],
      );
      if (nodes.length === 2 && nodes[0] !== nodes[1]) this.addEdge(nodes[0], nodes[1], table);
      else this.addOddEdge(nodes, table);
    }
    this.nodeCount = this.cost.length;
    this.alive = new Uint8Array(this.nodeCount).fill(1);
  }

  size(node: number): number {
    return this.cost[node].length;
  }

  /** Adds prices to a pair; `table` is row-major by `a`, and is not written to. */
  addEdge(a: number, b: number, table: Float64Array): void {
    const old = this.edges[a].get(b);
    if (old === undefined) {
      const edge = { a, b, table, alive: true, waiting: false };
      this.edges[a].set(b, edge);
      this.edges[b].set(a, edge);
      this.wait(edge);
      return;
    }
    const oriented = old.a === a ? table : transposed(table, this.size(a), this.size(b));
    old.table = old.table.map((cost, cell) => cost + oriented[cell]);
    this.wait(old);
  }

  removeEdge(edge: Edge): void {
    edge.alive = false;
    this.touched[edge.a] = this.touched[edge.b] = 1;
    this.edges[edge.a].delete(edge.b);
    this.edges[edge.b].delete(edge.a);
  }

  wait(edge: Edge): void {
    this.touched[edge.a] = this.touched[edge.b] = 1;
    if (edge.waiting) return;
    edge.waiting = true;
    this.waiting.push(edge);
  }

  /** The edge's table with the strategies of `node` as rows; may be the edge's own. */
  rowsOf(edge: Edge, node: number): Float64Array {
    return edge.a === node ? edge.table : transposed(edge.table, this.size(edge.a), this.size(edge.b));
  }

  /** Keeps the strategies at the positions given. */
  restrict(node: number, keep: Int32Array): void {
    if (keep.length === 0) this.infeasible = true;
    for (const edge of this.edges[node].values()) {
      const rows = this.size(edge.a);
      const columns = this.size(edge.b);
      const table = new Float64Array((rows * columns * keep.length) / this.size(node));
      let at = 0;
      if (edge.a === node) {
        for (const row of keep) {
          table.set(edge.table.subarray(row * columns, (row + 1) * columns), at);
          at += columns;
        }
      } else
        for (let row = 0; row < rows; row++)
          for (const column of keep) table[at++] = edge.table[row * columns + column];
      edge.table = table;
      this.wait(edge);
    }
    this.cost[node] = Float64Array.from(keep, (s) => this.cost[node][s]);
    this.label[node] = Int32Array.from(keep, (s) => this.label[node][s]);
    for (const segment of this.segments[node])
      segment.usage = Float64Array.from(keep, (s) => segment.usage[s]);
  }

  /** `node` takes the strategy `reply[s]` (a position) whenever `leader` takes its s-th: it becomes part of the leader. */
  fold(node: number, leader: number, reply: Int32Array): void {
    const size = this.size(leader);
    const between = this.edges[leader].get(node);
    const cost = Float64Array.from(this.cost[leader]);
    const shared = between === undefined ? null : this.rowsOf(between, leader);
    for (let s = 0; s < size; s++) {
      cost[s] += this.cost[node][reply[s]];
      if (shared !== null) cost[s] += shared[s * this.size(node) + reply[s]];
    }
    this.cost[leader] = cost;
    this.touched[leader] = 1;
    if (between !== undefined) this.removeEdge(between);
    for (const edge of [...this.edges[node].values()]) {
      const other = edge.a === node ? edge.b : edge.a;
      const rows = this.rowsOf(edge, node);
      const columns = this.size(other);
      const table = new Float64Array(size * columns);
      for (let s = 0; s < size; s++)
        table.set(rows.subarray(reply[s] * columns, (reply[s] + 1) * columns), s * columns);
      this.removeEdge(edge);
      this.addEdge(leader, other, table);
    }
    if (this.segments[node].length > 0) this.outdated[leader] = 1;
    for (const { begin, end, usage } of this.segments[node])
      this.segments[leader].push({ begin, end, usage: Float64Array.from(reply, (s) => usage[s]) });
    const table = new Int32Array(this.originalSize[leader]).fill(-1);
    for (let s = 0; s < size; s++) table[this.label[leader][s]] = this.label[node][reply[s]];
    this.drop({ node, leaders: [leader], reply: table });
  }

  /** Takes a node without memory and with at most two neighbours out; its best reply is priced into their edge. */
  eliminate(node: number): void {
    for (const { begin, end, usage } of this.segments[node])
      this.settled.push({ begin, end, usage: usage.reduce((x, y) => Math.max(x, y)) });
    const neighbours = [...this.edges[node].keys()];
    const [a, b] = neighbours;
    if (neighbours.length === 0) {
      this.constant += this.cost[node][leastAt(this.cost[node])];
      this.drop({ node, leaders: [], reply: Int32Array.of(this.label[node][leastAt(this.cost[node])]) });
      return;
    }
    const own = this.size(node);
    const first = this.rowsOf(this.edges[node].get(a)!, a);
    const second = b === undefined ? null : this.rowsOf(this.edges[node].get(b)!, b);
    const columns = b === undefined ? 1 : this.size(b);
    const table = new Float64Array(this.size(a) * columns);
    const reply = new Int32Array(this.originalSize[a] * (b === undefined ? 1 : this.originalSize[b])).fill(
      -1,
    );
    const cost = this.cost[node];
    for (let i = 0; i < this.size(a); i++) {
      for (let j = 0; j < columns; j++) {
        let least = Infinity;
        let best = 0;
        for (let s = 0; s < own; s++) {
          const sum = cost[s] + first[i * own + s] + (second === null ? 0 : second[j * own + s]);
          if (sum < least) {
            least = sum;
            best = s;
          }
        }
        table[i * columns + j] = least;
        const row = this.label[a][i];
        const at = b === undefined ? row : row * this.originalSize[b] + this.label[b][j];
        reply[at] = this.label[node][best];
      }
    }
    for (const edge of [...this.edges[node].values()]) this.removeEdge(edge);
    if (b === undefined) this.addCost(a, table);
    else this.addEdge(a, b, table);
    this.drop({ node, leaders: neighbours, reply });
  }

  /** Adds to a node's costs; what was looked at around it stays as it was, but for new Infinities. */
  addCost(node: number, more: Float64Array): void {
    this.cost[node] = this.cost[node].map((cost, s) => cost + more[s]);
    this.touched[node] = 1;
    if (more.includes(Infinity)) {
      const keep: number[] = [];
      this.cost[node].forEach((cost, s) => {
        if (cost < Infinity) keep.push(s);
      });
      this.restrict(node, Int32Array.from(keep));
    }
  }

  /**
   * Strategies of all the instance's nodes, in its numbering.
   *
   * @param strategyOf position of the strategy of a node that is left
   */
  unroll(strategyOf: (node: number) => number): Int32Array {
    const solution = new Int32Array(this.nodeCount);
    for (let i = 0; i < this.nodeCount; i++)
      if (this.alive[i] === 1) solution[i] = this.label[i][strategyOf(i)];
    for (let f = this.followers.length - 1; f >= 0; f--) {
      const { node, leaders, reply } = this.followers[f];
      let cell = 0;
      for (const leader of leaders) cell = cell * this.originalSize[leader] + solution[leader];
      solution[node] = reply[cell];
    }
    return solution.slice(0, this.instanceNodes);
  }

  private drop(follower: Follower): void {
    this.followers.push(follower);
    this.alive[follower.node] = 0;
    this.edges[follower.node].clear();
    this.segments[follower.node] = [];
  }

  private addNode(cost: Float64Array, segments: Segment[]): number {
    this.cost.push(cost);
    this.label.push(Int32Array.from(cost, (_, s) => s));
    this.originalSize.push(cost.length);
    this.segments.push(segments);
    this.edges.push(new Map());
    return this.cost.length - 1;
  }

  /**
   * One node, one node twice, or more than two nodes. Of the last a joint node is made whose strategies are the legal
   * combinations; each of its nodes follows it.
   */
  private addOddEdge(nodes: Int32Array, table: Float64Array): void {
    const distinct = [...new Set(nodes)];
    const combinations: number[][] = [];
    const costs: number[] = [];
    const digits = new Int32Array(nodes.length);
    for (let cell = 0; cell < table.length; cell++) {
      for (let k = nodes.length - 1, rest = cell; k >= 0; k--) {
        digits[k] = rest % this.size(nodes[k]);
        rest = Math.floor(rest / this.size(nodes[k]));
      }
      if (table[cell] === Infinity || nodes.some((node, k) => digits[nodes.indexOf(node)] !== digits[k]))
        continue;
      combinations.push(distinct.map((node) => digits[nodes.indexOf(node)]));
      costs.push(table[cell]);
    }
    if (distinct.length <= 2) {
      const columns = distinct.length === 2 ? this.size(distinct[1]) : 1;
      const summed = new Float64Array(this.size(distinct[0]) * columns).fill(Infinity);
      combinations.forEach(([row, column], c) => (summed[row * columns + (column ?? 0)] = costs[c]));
      if (distinct.length === 2) this.addEdge(distinct[0], distinct[1], summed);
      else this.cost[distinct[0]] = this.cost[distinct[0]].map((cost, s) => cost + summed[s]);
      return;
    }
    const joint = this.addNode(Float64Array.from(costs), []);
    distinct.forEach((node, k) => {
      const size = this.size(node);
      const follows = new Float64Array(costs.length * size).fill(Infinity);
      combinations.forEach((combination, c) => (follows[c * size + combination[k]] = 0));
      this.addEdge(joint, node, follows);
    });
  }
}

export function transposed(table: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(table.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = table[row * columns + column];
  return result;
}

export function leastAt(values: Float64Array): number {
  let best = 0;
  for (let s = 1; s < values.length; s++) if (values[s] < values[best]) best = s;
  return best;
}
