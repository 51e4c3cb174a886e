/**
 * Finds attention written out as primitive operators: a product of two activations (queries by keys), what happens to the
 * scores (scale, mask, softmax, NaN guard, dropout, casts), and a product with a third activation (values). Found by
 * structure: the second product's left operand is reached from the first product through tensors of the scores' size only,
 * with exactly one normalisation along the dimension the second product contracts.
 */
import { outputFlags } from './outputs.js';
import { TensorRole, type Graph } from './types.js';

export interface AttentionCore {
  /** Node ids in topological order, both products included. */
  readonly nodes: number[];
  readonly first: number;
  readonly second: number;
  readonly queries: number;
  readonly keys: number;
  /** A mask that enters the scores is causal. */
  readonly triangular: boolean;
}

/** Scores pass through fewer operators than this between the products. */
const MAX_CORE = 64;

export function findAttention(graph: Graph): AttentionCore[] {
  const cores: AttentionCore[] = [];
  const taken = new Uint8Array(graph.nodeCount);
  for (let n = 0; n < graph.nodeCount; n++) {
    if (!isProductOfActivations(graph, n)) continue;
    for (let operand = 0; operand < 2; operand++) {
      const core = coreBehind(graph, n, operand);
      if (core === null || core.nodes.some((m) => taken[m] === 1)) continue;
      for (const m of core.nodes) taken[m] = 1;
      cores.push(core);
      break;
    }
  }
  return cores;
}

function isProductOfActivations(graph: Graph, n: number): boolean {
  if (graph.nodeKernel[n] !== 'gemm') return false;
  const from = graph.inputStart[n];
  if (graph.inputStart[n + 1] - from < 2) return false;
  return isActivation(graph, graph.inputTensor[from]) && isActivation(graph, graph.inputTensor[from + 1]);
}

function isActivation(graph: Graph, t: number): boolean {
  return (
    t >= 0 && (graph.tensorRole[t] === TensorRole.ACTIVATION || graph.tensorRole[t] === TensorRole.INPUT)
  );
}

/** The core that ends in product `second` with its scores at the given operand, or `null`. */
function coreBehind(graph: Graph, second: number, operand: number): AttentionCore | null {
  const scores = graph.inputTensor[graph.inputStart[second] + operand];
  const elements = graph.tensorElements[scores];
  // Back from the scores, through tensors of their size.
  const behind = new Set<number>();
  const stack = [graph.producer[scores]];
  const products: number[] = [];
  while (stack.length > 0) {
    const m = stack.pop()!;
    if (m < 0 || behind.has(m)) continue;
    const out = graph.outputTensor[graph.outputStart[m]];
    if (graph.tensorElements[out] !== elements) continue;
    behind.add(m);
    if (behind.size > MAX_CORE) return null;
    if (graph.nodeKernel[m] === 'gemm') {
      if (isProductOfActivations(graph, m)) products.push(m);
      continue;
    }
    for (let s = graph.inputStart[m]; s < graph.inputStart[m + 1]; s++) {
      const t = graph.inputTensor[s];
      if (t >= 0) stack.push(graph.producer[t]);
    }
  }
  if (products.length !== 1) return null;
  // Forward from the first product within that set: what truly carries scores.
  const nodes = new Set<number>([products[0]]);
  const forward = [products[0]];
  let norms = 0;
  while (forward.length > 0) {
    const m = forward.pop()!;
    for (let s = graph.outputStart[m]; s < graph.outputStart[m + 1]; s++) {
      const t = graph.outputTensor[s];
      if (t < 0) continue;
      for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) {
        const next = graph.useNode[u];
        if (next === second) continue;
        // Scores read elsewhere must be written to memory: no fused kernel.
        if (!behind.has(next)) return null;
        if (nodes.has(next)) continue;
        nodes.add(next);
        if (graph.nodeKernel[next] === 'norm') norms++;
        forward.push(next);
      }
    }
  }
  if (norms !== 1) return null;
  for (const m of nodes) {
    for (let s = graph.outputStart[m]; s < graph.outputStart[m + 1]; s++)
      if (isGraphOutput(graph, graph.outputTensor[s])) return null;
  }
  nodes.add(second);
  const rank = graph.shapeStart[scores + 1] - graph.shapeStart[scores];
  const end = graph.shapeStart[scores + 1];
  return {
    nodes: [...nodes].sort((a, b) => a - b),
    first: products[0],
    second,
    queries: rank >= 2 ? graph.shapeDim[end - 2] : 1,
    keys: graph.shapeDim[end - 1] ?? 1,
    triangular: [...nodes].some((m) => m !== products[0] && m !== second && readsTriangle(graph, m, nodes)),
  };
}

/** True when an operator on the scores reads a causal mask from outside. */
function readsTriangle(graph: Graph, node: number, inside: ReadonlySet<number>): boolean {
  for (let s = graph.inputStart[node]; s < graph.inputStart[node + 1]; s++) {
    const t = graph.inputTensor[s];
    if (t >= 0 && graph.tensorTriangular[t] && !inside.has(graph.producer[t])) return true;
  }
  return false;
}

function isGraphOutput(graph: Graph, t: number): boolean {
  return t >= 0 && outputFlags(graph)[t] === 1;
}
