/**
 * The factor rule of several operators taken as one. Factors of neighbouring operators are matched along the tensors
 * between them: where one side sees 4096 columns and the other 32 heads of 128, the columns are divided into [32, 128] and
 * the parts united. The classes that remain are the factors of the whole.
 *
 * Kind of a class, strongest first:
 * - `whole` when it is whole anywhere;
 * - `normalized` when it is normalized anywhere, or when a small reduction over it (mean of a norm) is used up inside: a
 *   split costs an all-reduce of statistics;
 * - `contraction` or `lookup` when partial sums of it leave through the outputs;
 * - `parallel` else.
 */
import type { Factor, FactorKind, FactorRule } from '../ops/types.js';
import { AXIS_BATCH, AXIS_NONE, type Graph } from './types.js';

export interface Composite {
  readonly rule: FactorRule;
  /** AXIS_* per factor. */
  readonly axis: Uint8Array;
}

/**
 * What partial sums used up inside a group are: small statistics of rows (a split costs their all-reduce), the scores of an
 * attention (too large: no split), or weights fetched from a table (the rows' owners compute: a lookup as before).
 */
export type CompositeUse = 'statistics' | 'scores' | 'weights';

/** Union-find over factors that can be divided: a divided class is the sequence of its two parts. */
class Classes {
  readonly parent: number[] = [];
  readonly size: number[] = [];
  readonly major: number[] = [];
  readonly minor: number[] = [];

  add(size: number): number {
    this.parent.push(this.parent.length);
    this.size.push(size);
    this.major.push(-1);
    this.minor.push(-1);
    return this.parent.length - 1;
  }

  find(x: number): number {
    const p = this.parent;
    while (p[x] !== x) {
      p[x] = p[p[x]];
      x = p[x];
    }
    return x;
  }

  /** Undivided classes that make up the given ones, major to minor, appended to `into`. */
  leaves(ids: readonly number[], into: number[]): number[] {
    const stack: number[] = [];
    for (let i = ids.length - 1; i >= 0; i--) stack.push(ids[i]);
    while (stack.length > 0) {
      const x = this.find(stack.pop()!);
      if (this.major[x] < 0) into.push(x);
      else stack.push(this.minor[x], this.major[x]);
    }
    return into;
  }

  /** Divides an undivided class into [majorSize, rest]. */
  divide(x: number, majorSize: number): void {
    const major = this.add(majorSize);
    const minor = this.add(this.size[x] / majorSize);
    this.major[x] = major;
    this.minor[x] = minor;
  }

  /** Makes two dimensions of one tensor the same. False when their boundaries do not nest. */
  match(a: readonly number[], b: readonly number[]): boolean {
    let x = this.leaves(a, []);
    let y = this.leaves(b, []);
    let i = 0;
    let j = 0;
    while (i < x.length || j < y.length) {
      const p = i < x.length ? x[i] : -1;
      const q = j < y.length ? y[j] : -1;
      if (p === q) {
        i++;
        j++;
        continue;
      }
      const sp = p < 0 ? 0 : this.size[p];
      const sq = q < 0 ? 0 : this.size[q];
      if (sp === 1 && sq !== 1) {
        i++;
        continue;
      }
      if (sq === 1 && sp !== 1) {
        j++;
        continue;
      }
      if (sp === 0 || sq === 0) return false;
      if (sp === sq) this.parent[q] = p;
      else if (sp > sq && sp % sq === 0) this.divide(p, sq);
      else if (sq > sp && sq % sp === 0) this.divide(q, sp);
      else return false;
      // Either may have changed both lists; positions before i and j stand for the same parts as before.
      x = this.leaves(a, []);
      y = this.leaves(b, []);
    }
    return true;
  }
}

/**
 * @param nodes node ids of the block, in topological order
 * @param inputs tensors that enter it
 * @param outputs tensors that leave it
 * @param use what a partial sum used up inside stands for
 */
export function composeFactors(
  graph: Graph,
  nodes: ArrayLike<number>,
  inputs: ArrayLike<number>,
  outputs: ArrayLike<number>,
  use: CompositeUse = 'statistics',
): Composite {
  const classes = new Classes();
  const base: number[] = [];
  // Where each tensor's dimensions are first described: [node position, slot, is output].
  const layoutOf = new Map<number, readonly (readonly number[])[]>();
  const broken: number[][] = [];
  for (let k = 0; k < nodes.length; k++) {
    const n = nodes[k];
    const rule = graph.nodeFactors[n];
    const from = classes.parent.length;
    base.push(from);
    for (const f of rule.factors) classes.add(f.size);
    const visit = (t: number, layout: readonly (readonly number[])[] | null | undefined): void => {
      if (t < 0 || layout === null || layout === undefined) return;
      const shifted = layout.map((dim) => dim.map((f) => f + from));
      const known = layoutOf.get(t);
      if (known === undefined) {
        layoutOf.set(t, shifted);
        return;
      }
      // Constants and parameters are read independently by each operator; what is computed once is laid out once.
      for (let d = 0; d < shifted.length; d++) {
        if (!classes.match(known[d], shifted[d])) broken.push([...known[d], ...shifted[d]]);
      }
    };
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++)
      visit(graph.inputTensor[s], rule.inputs[s - graph.inputStart[n]]);
    for (let s = graph.outputStart[n]; s < graph.outputStart[n + 1]; s++)
      visit(graph.outputTensor[s], rule.outputs[s - graph.outputStart[n]]);
  }
  const kinds = collectKinds(graph, nodes, outputs, classes, base, use);
  for (const ids of broken) for (const leaf of classes.leaves(ids, [])) kinds.set(leaf, 'whole');
  return emit(graph, nodes, inputs, outputs, classes, base, kinds, layoutOf);
}

const STRENGTH: Readonly<Record<FactorKind, number>> = {
  parallel: 0,
  contraction: 1,
  lookup: 2,
  normalized: 3,
  whole: 4,
};

/** Kind of every class: the strongest of what its operators say, contractions used up inside becoming `normalized`. */
function collectKinds(
  graph: Graph,
  nodes: ArrayLike<number>,
  outputs: ArrayLike<number>,
  classes: Classes,
  base: readonly number[],
  use: CompositeUse,
): Map<number, FactorKind> {
  const kinds = new Map<number, FactorKind>();
  const leaving = new Set<number>();
  for (let i = 0; i < outputs.length; i++) leaving.add(outputs[i]);
  // Tensors that hold partial sums only because every later operator up to the border is linear.
  const passes = linearToBorder(graph, nodes, leaving);
  const inOutputs = new Set<number>();
  for (let k = 0; k < nodes.length; k++) {
    const n = nodes[k];
    const rule = graph.nodeFactors[n];
    for (let s = graph.outputStart[n]; s < graph.outputStart[n + 1]; s++) {
      if (!leaving.has(graph.outputTensor[s])) continue;
      for (const dim of rule.outputs[s - graph.outputStart[n]] ?? [])
        for (const leaf of classes.leaves(
          dim.map((f) => f + base[k]),
          [],
        ))
          inOutputs.add(leaf);
    }
  }
  for (let k = 0; k < nodes.length; k++) {
    const n = nodes[k];
    const rule = graph.nodeFactors[n];
    for (let f = 0; f < rule.factors.length; f++) {
      let kind = rule.factors[f].kind;
      const sums = kind === 'contraction' || kind === 'lookup';
      const leaves = classes.leaves([base[k] + f], []);
      const fetched = use === 'weights' && kind === 'lookup';
      if (sums && !passes[k] && !fetched) kind = use === 'scores' ? 'whole' : 'normalized';
      for (const leaf of leaves) {
        let own = kind;
        // Summed here and yet present in the result: a statistic of it was used.
        if (sums && passes[k] && inOutputs.has(leaf)) own = use === 'scores' ? 'whole' : 'normalized';
        const old = kinds.get(leaf);
        if (old === undefined || STRENGTH[own] > STRENGTH[old]) kinds.set(leaf, own);
      }
    }
  }
  return kinds;
}

/** Per node: 1 when its outputs reach the border through linear operators only. */
function linearToBorder(graph: Graph, nodes: ArrayLike<number>, leaving: ReadonlySet<number>): Uint8Array {
  const position = new Map<number, number>();
  for (let k = 0; k < nodes.length; k++) position.set(nodes[k], k);
  const passes = new Uint8Array(nodes.length);
  for (let k = nodes.length - 1; k >= 0; k--) {
    let ok = 1;
    for (let s = graph.outputStart[nodes[k]]; s < graph.outputStart[nodes[k] + 1]; s++) {
      const t = graph.outputTensor[s];
      if (t < 0) continue;
      let used = leaving.has(t);
      for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) {
        const j = position.get(graph.useNode[u]);
        if (j === undefined) continue;
        used = true;
        if (graph.nodeFactors[graph.useNode[u]].linear !== true || passes[j] === 0) ok = 0;
      }
      if (!used) continue;
    }
    passes[k] = ok;
  }
  return passes;
}

function emit(
  graph: Graph,
  nodes: ArrayLike<number>,
  inputs: ArrayLike<number>,
  outputs: ArrayLike<number>,
  classes: Classes,
  base: readonly number[],
  kinds: ReadonlyMap<number, FactorKind>,
  layoutOf: ReadonlyMap<number, readonly (readonly number[])[]>,
): Composite {
  // Axis of a class: that of the node factor it came from; of a divided factor the major part keeps it.
  const axisOf = new Map<number, number>();
  for (let k = 0; k < nodes.length; k++) {
    const n = nodes[k];
    for (let f = 0; f < graph.nodeFactors[n].factors.length; f++) {
      const axis = graph.factorAxis[graph.factorAxisStart[n] + f];
      if (axis === AXIS_NONE) continue;
      const leaf = classes.leaves([base[k] + f], [])[0];
      const old = axisOf.get(leaf) ?? AXIS_NONE;
      axisOf.set(leaf, old === AXIS_BATCH || axis === AXIS_BATCH ? AXIS_BATCH : axis);
    }
  }
  const ids = new Map<number, number>();
  const factors: Factor[] = [];
  const axes: number[] = [];
  const layoutFor = (t: number): number[][] | null => {
    const layout = layoutOf.get(t);
    if (layout === undefined) return null;
    return layout.map((dim) =>
      classes.leaves(dim, []).map((leaf) => {
        let id = ids.get(leaf);
        if (id === undefined) {
          id = factors.push({ size: classes.size[leaf], kind: kinds.get(leaf) ?? 'parallel' }) - 1;
          ids.set(leaf, id);
          axes.push(axisOf.get(leaf) ?? AXIS_NONE);
        }
        return id;
      }),
    );
  };
  // Outputs first: their factors come in the order a reader expects.
  const outLayouts = Array.from(outputs, layoutFor);
  const inLayouts = Array.from(inputs, layoutFor);
  for (const layout of [...outLayouts, ...inLayouts]) {
    if (layout === null) continue;
    // A factor on two dimensions of one tensor (a product of a tensor with itself) cannot be split.
    const seen = new Set<number>();
    for (const dim of layout)
      for (const f of dim) {
        if (seen.has(f)) factors[f] = { size: factors[f].size, kind: 'whole' };
        seen.add(f);
      }
  }
  let linear = true;
  for (let k = 0; k < nodes.length; k++) if (graph.nodeFactors[nodes[k]].linear !== true) linear = false;
  return {
    rule: { factors, inputs: inLayouts, outputs: outLayouts, ...(linear ? { linear } : {}) },
    axis: Uint8Array.from(axes),
  };
}
