/**
 * The kernels that do real work and stand alone: attention (with the layout changes and key/value expansion it absorbs),
 * grouped expert products, table lookups, products and convolutions.
 */
import { findAttention } from './attention.js';
import { outputFlags } from './outputs.js';
import { TensorRole, type BlockKind, type Graph } from './types.js';

export interface Anchor {
  readonly kind: BlockKind;
  /** Topological order. */
  readonly nodes: readonly number[];
  readonly causal: boolean;
}

/** Copies that real kernels read through strides instead of making. */
const LAYOUT_OPS: ReadonlySet<string> = new Set(['Transpose', 'Expand', 'Tile']);

/** True for an operator that changes no value: a view, or a permutation that its neighbour reads in place. */
export function isLayout(graph: Graph, n: number): boolean {
  return graph.nodeKernel[n] === 'view' || graph.nodeOp[n] === 'Transpose';
}

export function isActivation(graph: Graph, t: number): boolean {
  return (
    t >= 0 && (graph.tensorRole[t] === TensorRole.ACTIVATION || graph.tensorRole[t] === TensorRole.INPUT)
  );
}

/** Anchors in no particular order; no node is in two. */
export function findAnchors(graph: Graph): Anchor[] {
  const anchors: Anchor[] = [];
  const taken = new Uint8Array(graph.nodeCount);
  const add = (kind: BlockKind, nodes: number[], causal = false): void => {
    for (const n of nodes) taken[n] = 1;
    anchors.push({ kind, nodes: nodes.sort((a, b) => a - b), causal });
  };
  for (const core of findAttention(graph)) {
    const nodes = new Set(core.nodes);
    for (const product of [core.second, core.first]) absorbOperands(graph, product, nodes, taken);
    add('attention', [...nodes], graph.nodeCausal[core.first] === 1);
  }
  for (let n = 0; n < graph.nodeCount; n++) {
    if (taken[n]) continue;
    const kernel = graph.nodeKernel[n];
    if (kernel === 'gemm') {
      const chain = expertChain(graph, n, taken);
      if (chain !== null) add('groupedGemm', [...chain, n]);
    }
  }
  for (let n = 0; n < graph.nodeCount; n++) {
    if (taken[n]) continue;
    const kernel = graph.nodeKernel[n];
    if (kernel === 'attention') add('attention', [n], graph.nodeCausal[n] === 1);
    else if (kernel === 'gemm' || kernel === 'conv') add(kernel, [n]);
    else if (kernel === 'other') add('other', [n]);
    else if (kernel === 'gather' && readsParameter(graph, n)) add('lookup', [n]);
  }
  return anchors;
}

function readsParameter(graph: Graph, n: number): boolean {
  const t = graph.inputTensor[graph.inputStart[n]];
  return t >= 0 && graph.tensorRole[t] === TensorRole.PARAMETER;
}

/** The only activation input of a node, or -1 when it has none or several. */
function onlyActivation(graph: Graph, n: number): number {
  let only = -1;
  for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
    const t = graph.inputTensor[s];
    if (!isActivation(graph, t) || t === only) continue;
    if (only >= 0) return -1;
    only = t;
  }
  return only;
}

/** True when every use of the node's outputs is in the set and none is an output of the model. */
function usedOnlyIn(graph: Graph, n: number, inside: ReadonlySet<number>): boolean {
  for (let s = graph.outputStart[n]; s < graph.outputStart[n + 1]; s++) {
    const t = graph.outputTensor[s];
    if (t < 0) continue;
    if (outputFlags(graph)[t] === 1) return false;
    for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++)
      if (!inside.has(graph.useNode[u])) return false;
  }
  return true;
}

/**
 * Walks back from a product's operands through what a fused attention kernel does itself: layout changes, the repetition
 * of keys and values over grouped query heads, and scaling by a constant.
 */
function absorbOperands(graph: Graph, product: number, nodes: Set<number>, taken: Uint8Array): void {
  for (let s = graph.inputStart[product]; s < graph.inputStart[product] + 2; s++) {
    let n = graph.producer[graph.inputTensor[s]];
    while (n >= 0 && !nodes.has(n) && !taken[n]) {
      const layout = isLayout(graph, n) || LAYOUT_OPS.has(graph.nodeOp[n]);
      if (!layout && !scalesByConstant(graph, n)) break;
      const from = onlyActivation(graph, n);
      if (from < 0 || graph.outputStart[n + 1] - graph.outputStart[n] !== 1 || !usedOnlyIn(graph, n, nodes))
        break;
      nodes.add(n);
      n = graph.producer[from];
    }
  }
}

/** One activation times or divided by a constant of one element. */
function scalesByConstant(graph: Graph, n: number): boolean {
  if (graph.nodeOp[n] !== 'Mul' && graph.nodeOp[n] !== 'Div') return false;
  let constants = 0;
  for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
    const t = graph.inputTensor[s];
    if (t >= 0 && graph.tensorRole[t] === TensorRole.CONSTANT && graph.tensorElements[t] === 1) constants++;
  }
  return constants === 1;
}

/**
 * Operators that fetch a product's weight operand from a table of expert weights by computed indices, and what lies between:
 * a Gather of a parameter of rank >= 3, layout changes; `null` when the product is no such thing.
 */
function expertChain(graph: Graph, product: number, taken: Uint8Array): number[] | null {
  for (
    let s = graph.inputStart[product];
    s < Math.min(graph.inputStart[product] + 2, graph.inputStart[product + 1]);
    s++
  ) {
    const inside = new Set<number>([product]);
    const chain: number[] = [];
    let n = isActivation(graph, graph.inputTensor[s]) ? graph.producer[graph.inputTensor[s]] : -1;
    while (n >= 0 && !taken[n] && usedOnlyIn(graph, n, inside)) {
      inside.add(n);
      chain.push(n);
      if (graph.nodeKernel[n] === 'gather') {
        const table = graph.inputTensor[graph.inputStart[n]];
        const index = graph.inputTensor[graph.inputStart[n] + 1];
        const rank = graph.shapeStart[table + 1] - graph.shapeStart[table];
        if (readsParameter(graph, n) && rank >= 3 && isActivation(graph, index)) return chain;
        break;
      }
      if (!isLayout(graph, n)) break;
      const from = onlyActivation(graph, n);
      n = from < 0 ? -1 : graph.producer[from];
    }
  }
  return null;
}
