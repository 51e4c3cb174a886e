/**
 * Groups operators into the kernels that run them.
 *
 * Anchors (see anchors.ts) stand alone. The memory-bound rest is fused greedily along a topological order into the largest
 * groups that stay convex: every group has a level, edges between groups lead to strictly higher levels, and an operator may
 * join the groups that feed it only when these all lie on the highest level among its inputs. Groups of one level have no
 * path between them, so they may be merged. Linear in the number of operators.
 *
 *     x --+-- norm --- product --+-- add          level of the add's inputs: x 0, product 3: it joins neither
 *         +----------------------+
 *
 * A residual addition ends its group, and so does what feeds a residual stream: it must go to memory for the next addition
 * anyway, and layers are cut there.
 * Layout changes cost nothing; they move to the kernel that reads them when there is one, else stay with the one that writes.
 */
import { findAnchors, isActivation, isLayout, type Anchor } from './anchors.js';
import { makeBlock } from './block.js';
import { depthFirstOrder, sinkSingleReaders, toCsr } from './order.js';
import { streamNodes } from './stream.js';
import type { Block, Graph } from './types.js';

/** Larger groups do not become cheaper, only slower to analyse. */
const MAX_GROUP = 256;

const OPEN = 0;
/** After a residual addition with one reader: only a one-operand elementwise operator may still join. */
const UNARY_ONLY = 1;
const ENDED = 2;

/** Fusion groups of a graph, in a deterministic topological order that keeps layers together. */
export function fuse(graph: Graph): Block[] {
  const anchors = findAnchors(graph);
  const groups = new Grouping(graph, anchors);
  groups.run();
  return groups.blocks();
}

class Grouping {
  /** Unit (anchor or single node) of each node. */
  private readonly unitOf: Int32Array;
  private readonly unitNodes: (readonly number[])[] = [];
  private readonly unitAnchor: (Anchor | null)[] = [];
  private readonly order: Int32Array;
  private readonly stream: Uint8Array;

  // groups, union-find
  private readonly parent: number[] = [];
  private readonly level: number[] = [];
  private readonly state: number[] = [];
  private readonly count: number[] = [];
  private readonly anchor: (Anchor | null)[] = [];
  private readonly groupOf: Int32Array;
  private readonly isGraphOutput: Uint8Array;

  constructor(
    private readonly graph: Graph,
    anchors: readonly Anchor[],
  ) {
    const n = graph.nodeCount;
    this.unitOf = new Int32Array(n).fill(-1);
    for (const anchor of anchors) this.addUnit(anchor.nodes, anchor);
    for (let i = 0; i < n; i++) if (this.unitOf[i] < 0) this.addUnit([i], null);
    this.groupOf = new Int32Array(n).fill(-1);
    this.isGraphOutput = new Uint8Array(graph.tensorCount);
    for (const t of graph.graphOutputs) this.isGraphOutput[t] = 1;
    this.stream = streamNodes(graph);
    this.order = orderOf(graph, this.unitOf, this.unitNodes.length, this.stream);
  }

  private addUnit(nodes: readonly number[], anchor: Anchor | null): void {
    for (const node of nodes) this.unitOf[node] = this.unitNodes.length;
    this.unitNodes.push(nodes);
    this.unitAnchor.push(anchor);
  }

  private find(g: number): number {
    while (this.parent[g] !== g) {
      this.parent[g] = this.parent[this.parent[g]];
      g = this.parent[g];
    }
    return g;
  }

  private newGroup(level: number, anchor: Anchor | null): number {
    const g = this.parent.length;
    this.parent.push(g);
    this.level.push(level);
    this.state.push(anchor === null ? OPEN : ENDED);
    this.count.push(0);
    this.anchor.push(anchor);
    return g;
  }

  run(): void {
    const before: number[] = [];
    for (const unit of this.order) {
      const nodes = this.unitNodes[unit];
      const anchor = this.unitAnchor[unit];
      let highest = -1;
      before.length = 0;
      for (const n of nodes) {
        for (let s = this.graph.inputStart[n]; s < this.graph.inputStart[n + 1]; s++) {
          const t = this.graph.inputTensor[s];
          const p = t < 0 ? -1 : this.graph.producer[t];
          if (p < 0 || this.unitOf[p] === unit) continue;
          const g = this.find(this.groupOf[p]);
          if (!before.includes(g)) before.push(g);
          if (this.level[g] > highest) highest = this.level[g];
        }
      }
      let group: number;
      if (anchor !== null) group = this.newGroup(highest + 1, anchor);
      else if (before.length === 1 && isLayout(this.graph, nodes[0])) group = before[0];
      else group = this.place(nodes[0], before, highest);
      for (const n of nodes) this.groupOf[n] = group;
      this.count[group] += nodes.length;
    }
    this.mergeSources();
    this.moveLayouts();
  }

  /** A group that nothing computed feeds, read by one memory-bound group only, becomes part of it. */
  private mergeSources(): void {
    const { graph } = this;
    const fed = new Uint8Array(this.parent.length);
    // Reader of each group: -1 none, -2 several or an output of the model.
    const reader = new Int32Array(this.parent.length).fill(-1);
    for (let n = 0; n < graph.nodeCount; n++) {
      const g = this.find(this.groupOf[n]);
      for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
        const t = graph.inputTensor[s];
        const p = t < 0 ? -1 : graph.producer[t];
        if (p < 0) continue;
        const from = this.find(this.groupOf[p]);
        if (from === g) continue;
        fed[g] = 1;
        reader[from] = reader[from] === -1 || reader[from] === g ? g : -2;
      }
    }
    for (const t of graph.graphOutputs)
      if (graph.producer[t] >= 0) reader[this.find(this.groupOf[graph.producer[t]])] = -2;
    for (let g = 0; g < this.parent.length; g++) {
      const into = reader[g];
      if (this.parent[g] !== g || fed[g] || into < 0 || this.anchor[g] !== null || this.anchor[into] !== null)
        continue;
      if (this.count[g] + this.count[into] > MAX_GROUP || this.find(into) === g) continue;
      this.parent[g] = this.find(into);
      this.count[this.find(into)] += this.count[g];
    }
  }

  /** Group for a memory-bound operator: joins all the highest-level groups that feed it, or starts one above them. */
  private place(n: number, before: readonly number[], highest: number): number {
    let joined = -1;
    let size = 0;
    let allowed = highest >= 0;
    for (const g of before) {
      if (this.level[g] < highest) continue;
      size += this.count[g];
      if (
        this.anchor[g] !== null ||
        this.state[g] === ENDED ||
        (this.state[g] === UNARY_ONLY && !this.isUnary(n))
      )
        allowed = false;
    }
    if (allowed && size < MAX_GROUP) {
      for (const g of before) {
        if (this.level[g] < highest) continue;
        if (joined < 0) joined = g;
        else {
          this.parent[g] = joined;
          this.count[joined] += this.count[g];
        }
      }
    }
    const group = joined < 0 ? this.newGroup(highest + 1, null) : joined;
    if (this.state[group] === UNARY_ONLY || this.joinsStreams(n))
      this.state[group] = this.readersOf(n).length === 1 ? UNARY_ONLY : ENDED;
    else if (this.feedsStream(n)) this.state[group] = ENDED;
    return group;
  }

  /** One activation in, elementwise, and no change of type (that belongs to what reads it). */
  private isUnary(n: number): boolean {
    if (this.graph.nodeKernel[n] !== 'elementwise' || this.graph.nodeOp[n] === 'Cast') return false;
    let activations = 0;
    for (let s = this.graph.inputStart[n]; s < this.graph.inputStart[n + 1]; s++)
      if (isActivation(this.graph, this.graph.inputTensor[s])) activations++;
    return activations === 1;
  }

  /**
   * A linear elementwise operator on two or more full-size activations that come from different kernels. A tensor and what a
   * memory-bound group makes of that very tensor (x + c x^3 inside a GELU) are one kernel's business.
   */
  private joinsStreams(n: number): boolean {
    const { graph } = this;
    if (graph.nodeKernel[n] !== 'elementwise' || graph.nodeFactors[n].linear !== true) return false;
    const out = graph.outputTensor[graph.outputStart[n]];
    let first = -1;
    let firstTensor = -1;
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      const t = graph.inputTensor[s];
      if (!isActivation(graph, t) || graph.tensorElements[t] !== graph.tensorElements[out]) continue;
      const p = graph.producer[t];
      const from = p < 0 ? -2 - t : this.find(this.groupOf[p]);
      if (first === -1) {
        first = from;
        firstTensor = t;
      } else if (first !== from && !this.reads(from, firstTensor) && !this.reads(first, t)) return true;
    }
    return false;
  }

  /** A memory-bound group has this tensor among its inputs. */
  private reads(group: number, t: number): boolean {
    if (group < 0 || this.anchor[group] !== null) return false;
    const { useStart, useNode } = this.graph;
    for (let u = useStart[t]; u < useStart[t + 1]; u++) {
      const g = this.groupOf[useNode[u]];
      if (g >= 0 && this.find(g) === group) return true;
    }
    return false;
  }

  /**
   * The output is read more than once, by a linear elementwise operator on two full-size activations among others: it starts
   * or continues a residual stream and must be written to memory.
   */
  private feedsStream(n: number): boolean {
    const readers = this.readersOf(n);
    if (readers.length < 2) return false;
    const size = this.graph.tensorElements[this.graph.outputTensor[this.graph.outputStart[n]]];
    return readers.some((m) => m >= 0 && this.addsFullSize(m, size));
  }

  /** A linear elementwise operator on two activations of a size. */
  private addsFullSize(n: number, size: number): boolean {
    const { graph } = this;
    if (graph.nodeKernel[n] !== 'elementwise' || graph.nodeFactors[n].linear !== true) return false;
    let count = 0;
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      const x = graph.inputTensor[s];
      if (isActivation(graph, x) && graph.tensorElements[x] === size) count++;
    }
    return count >= 2;
  }

  /** Nodes that read what a node writes, seen through layout changes; -1 for the model's outputs. */
  private readersOf(n: number): number[] {
    const { graph } = this;
    const readers: number[] = [];
    const stack = [n];
    while (stack.length > 0) {
      const m = stack.pop()!;
      for (let s = graph.outputStart[m]; s < graph.outputStart[m + 1]; s++) {
        const t = graph.outputTensor[s];
        if (t < 0) continue;
        if (this.isGraphOutput[t]) readers.push(-1);
        for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) {
          if (isLayout(graph, graph.useNode[u])) stack.push(graph.useNode[u]);
          else readers.push(graph.useNode[u]);
        }
      }
    }
    return readers;
  }

  /**
   * Hands each layout change to the one group that reads it. Safe: its only input comes from the group it leaves, which
   * already feeds the group it goes to.
   */
  private moveLayouts(): void {
    const { graph } = this;
    for (let k = this.order.length - 1; k >= 0; k--) {
      const unit = this.order[k];
      const n = this.unitNodes[unit][0];
      if (this.unitAnchor[unit] !== null || !isLayout(graph, n) || this.countProducers(n) > 1) continue;
      let reader = -1;
      for (let s = graph.outputStart[n]; s < graph.outputStart[n + 1] && reader !== -2; s++) {
        const t = graph.outputTensor[s];
        if (t < 0) continue;
        if (this.isGraphOutput[t]) reader = -2;
        for (let u = graph.useStart[t]; u < graph.useStart[t + 1] && reader !== -2; u++) {
          const g = this.find(this.groupOf[graph.useNode[u]]);
          reader = reader === -1 || reader === g ? g : -2;
        }
      }
      if (reader >= 0) this.groupOf[n] = reader;
    }
  }

  /** Number of different groups that feed a node. */
  private countProducers(n: number): number {
    let first = -1;
    let count = 0;
    for (let s = this.graph.inputStart[n]; s < this.graph.inputStart[n + 1]; s++) {
      const t = this.graph.inputTensor[s];
      const p = t < 0 ? -1 : this.graph.producer[t];
      if (p < 0) continue;
      const g = this.find(this.groupOf[p]);
      if (g === first) continue;
      first = g;
      count++;
    }
    return count;
  }

  blocks(): Block[] {
    const { graph } = this;
    const idOf = new Map<number, number>();
    const nodesOf: number[][] = [];
    const anchorOf: (Anchor | null)[] = [];
    for (let n = 0; n < graph.nodeCount; n++) {
      const g = this.find(this.groupOf[n]);
      let id = idOf.get(g);
      if (id === undefined) {
        id = nodesOf.push([]) - 1;
        idOf.set(g, id);
        anchorOf.push(this.anchor[g]);
      }
      nodesOf[id].push(n);
    }
    const blockOf = new Int32Array(graph.nodeCount);
    nodesOf.forEach((nodes, b) => {
      for (const n of nodes) blockOf[n] = b;
    });
    const order = orderOf(graph, blockOf, nodesOf.length, this.stream);
    return Array.from(order, (b) => makeBlock(graph, nodesOf[b], anchorOf[b], blockOf, b));
  }
}

/**
 * Topological order of a partition of the nodes, walked back from the loss and the outputs. What is no part of the stream
 * (masks, positions, rotary tables) comes first: it serves all layers.
 */
function orderOf(graph: Graph, partOf: Int32Array, partCount: number, stream: Uint8Array): Int32Array {
  const rows: number[] = [];
  const items: number[] = [];
  const late = new Uint8Array(partCount);
  for (let n = 0; n < graph.nodeCount; n++) {
    if (stream[n]) late[partOf[n]] = 1;
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      const t = graph.inputTensor[s];
      const p = t < 0 ? -1 : graph.producer[t];
      if (p < 0 || partOf[p] === partOf[n]) continue;
      rows.push(partOf[n]);
      items.push(partOf[p]);
    }
  }
  const roots: number[] = [];
  if (graph.lossNode >= 0) roots.push(partOf[graph.lossNode]);
  for (const t of graph.graphOutputs) if (graph.producer[t] >= 0) roots.push(partOf[graph.producer[t]]);
  const before = toCsr(partCount, rows, items);
  const order = depthFirstOrder(before, roots);
  // A part that mixes both makes all that follows late, too.
  for (const p of order)
    for (let k = before.start[p]; k < before.start[p + 1]; k++) if (late[before.items[k]]) late[p] = 1;
  const early = order.filter((p) => !late[p]);
  const stages = sinkSingleReaders(
    order.filter((p) => late[p] === 1),
    before,
  );
  const all = new Int32Array(order.length);
  all.set(early);
  all.set(stages, early.length);
  return all;
}
