/**
 * What a block keeps from its forward to its backward pass, as fused kernels do it:
 *
 * - product, convolution, lookup: the activation operands each operator's backward rule names;
 * - attention: queries, keys, values, the output, and 4 bytes of log-sum-exp per row and head (FlashAttention, Dao et al.
 *   2022, section 3.1); scores are recomputed. What it keeps where scores are written to memory instead stands beside it;
 * - grouped expert product: tokens and indices;
 * - memory-bound group: either the inner tensors that the operators' rules name, or the group's own inputs from which they
 *   are recomputed, whichever is smaller: a norm keeps its input, GELU its input, silu(gate)*up both, a residual addition
 *   nothing. Row statistics of reductions and norms are kept beside them, 4 bytes each, and dropout masks, 1 byte each.
 */
import { isFloat } from '../model/dtype.js';
import type { FactorRule } from '../ops/types.js';
import { isActivation, isLayout } from './anchors.js';
import { TensorRole, type BlockKind, type Graph, type InnerSaved } from './types.js';

export interface Kept {
  /** Tensors, on the border or inside. */
  readonly saved: readonly number[];
  /** Bytes kept inside beside float tensors: masks, statistics, log-sum-exp. */
  readonly extraBytes: number;
  /** Elements of the float tensors among `saved` that lie inside. */
  readonly innerElements: number;
  /** Attention with its scores in memory: what then stands in place of `extraBytes` and `innerElements`. */
  readonly unfused: InnerSaved | null;
}

export function keptForBackward(
  graph: Graph,
  nodes: readonly number[],
  kind: BlockKind,
  inputs: readonly number[],
  outputs: readonly number[],
  partOf: Int32Array,
  part: number,
  rule: FactorRule,
): Kept {
  const named = new Set<number>();
  const hasStatistics = rule.factors.some((f) => f.kind === 'normalized');
  let extraBytes = 0;
  let statistics = 0;
  let scores = 0;
  let keys = 1;
  for (const n of nodes) {
    const from = graph.savedStart[n];
    const to = graph.savedStart[n + 1];
    for (let s = from; s < to; s++) named.add(graph.savedTensor[s]);
    extraBytes += graph.nodeExtraSavedBytes[n];
    const out = graph.outputTensor[graph.outputStart[n]];
    if (hasStatistics && graph.nodeKernel[n] === 'reduce' && graph.tensorNeedsGrad[out])
      statistics += graph.tensorElements[out];
    if (graph.nodeKernel[n] === 'norm' && graph.tensorNeedsGrad[out]) {
      scores = graph.tensorElements[out];
      keys = graph.shapeDim[graph.shapeStart[out + 1] - 1] ?? 1;
    }
  }
  const keeps = (saved: readonly number[], bytes: number): Kept => {
    const inner = innerOf(
      graph,
      saved.filter((t) => inside(graph, t, partOf, part) && !outputs.includes(t)),
    );
    return { saved, extraBytes: bytes + inner.bytes, innerElements: inner.elements, unfused: null };
  };
  if (named.size === 0) return keeps([], extraBytes);
  if (kind === 'attention' && nodes.length > 1) {
    const saved = [...inputs, ...outputs].filter(
      (t) => isActivation(graph, t) && graph.tensorNeedsGrad[t] === 1,
    );
    const unfused = materialisedScores(graph, nodes, outputs);
    return { saved, extraBytes: 4 * (scores / keys), innerElements: 0, unfused };
  }
  if (kind === 'groupedGemm')
    return keeps(
      inputs.filter((t) => isActivation(graph, t)),
      extraBytes,
    );
  if (kind !== 'pointwise')
    return keeps(
      dedupe(
        graph,
        [...named].map((t) => behindLayouts(graph, t, partOf, part)),
      ),
      extraBytes,
    );
  const border = new Set([...inputs, ...outputs]);
  const outer = [...named].filter((t) => border.has(t));
  const inner = [...named].filter((t) => !border.has(t));
  if (inner.length === 0) return keeps(dedupe(graph, outer), extraBytes);
  const sources = dedupe(graph, [
    ...outer.filter((t) => !inside(graph, t, partOf, part)),
    ...sourcesOf(graph, [...inner, ...outer], partOf, part),
  ]);
  const asNamed = dedupe(graph, [...outer, ...inner]);
  if (bytesOf(graph, sources) <= bytesOf(graph, asNamed)) return keeps(sources, extraBytes + 4 * statistics);
  return keeps(asNamed, extraBytes);
}

/**
 * Attention without a fused kernel keeps what its products and its softmax name among the tensors made from the scores
 * (softmax output, dropout output), and the masks; what else is named there is worked out again from those.
 */
function materialisedScores(graph: Graph, nodes: readonly number[], outputs: readonly number[]): InnerSaved {
  const members = new Set(nodes);
  const made = new Set<number>();
  let products = 0;
  for (const n of nodes) {
    const isProduct = graph.nodeKernel[n] === 'gemm';
    if (isProduct) products++;
    const carries = isProduct ? products === 1 : inputsOf(graph, n).some((t) => made.has(t));
    if (carries)
      for (let s = graph.outputStart[n]; s < graph.outputStart[n + 1]; s++) made.add(graph.outputTensor[s]);
  }
  const kept = new Set<number>();
  const others = new Set<number>();
  let bytes = 0;
  for (const n of nodes) {
    const major = graph.nodeKernel[n] === 'gemm' || graph.nodeKernel[n] === 'norm';
    bytes += graph.nodeExtraSavedBytes[n];
    for (let s = graph.savedStart[n]; s < graph.savedStart[n + 1]; s++) {
      const t = sameValues(graph, graph.savedTensor[s], made);
      if (!made.has(t) || outputs.includes(t)) continue;
      // An operator that keeps its own output (a dropout its mask) could not make it again.
      if (major || graph.producer[t] === n) kept.add(t);
      else others.add(t);
    }
  }
  for (const t of others) if (!isDerived(graph, t, kept, made, members)) kept.add(t);
  const inner = innerOf(graph, dedupe(graph, [...kept]));
  return { elements: inner.elements, bytes: bytes + inner.bytes };
}

function inputsOf(graph: Graph, n: number): number[] {
  return Array.from(graph.inputTensor.subarray(graph.inputStart[n], graph.inputStart[n + 1])).filter(
    (t) => t >= 0,
  );
}

/** The tensor whose values `t` holds: behind layout changes, and behind a guard that replaces NaN by a constant. */
function sameValues(graph: Graph, tensor: number, made: ReadonlySet<number>): number {
  let t = tensor;
  for (;;) {
    const n = graph.producer[t];
    if (n < 0 || !made.has(t)) return t;
    if (isLayout(graph, n)) t = graph.inputTensor[graph.inputStart[n]];
    else if (graph.nodeOp[n] === 'Where') {
      const [condition, , otherwise] = inputsOf(graph, n);
      const test = condition === undefined ? -1 : graph.producer[condition];
      if (otherwise === undefined || test < 0 || graph.nodeOp[test] !== 'IsNaN') return t;
      if (graph.inputTensor[graph.inputStart[test]] !== otherwise) return t;
      t = otherwise;
    } else return t;
  }
}

/** Every path back from `t` inside the block ends at a kept tensor before it reaches a product. */
function isDerived(
  graph: Graph,
  t: number,
  kept: ReadonlySet<number>,
  made: ReadonlySet<number>,
  members: ReadonlySet<number>,
): boolean {
  const stack = [t];
  const seen = new Set<number>();
  while (stack.length > 0) {
    const at = stack.pop()!;
    if (seen.has(at) || kept.has(at) || !made.has(at)) continue;
    seen.add(at);
    const n = graph.producer[at];
    if (!members.has(n) || graph.nodeKernel[n] === 'gemm') return false;
    stack.push(...inputsOf(graph, n));
  }
  return true;
}

/** Float elements, and bytes of the rest. */
function innerOf(graph: Graph, tensors: readonly number[]): InnerSaved {
  let elements = 0;
  let bytes = 0;
  for (const t of tensors) {
    if (isFloat(graph.tensorDtype[t])) elements += graph.tensorElements[t];
    else bytes += graph.tensorBytes[t];
  }
  return { elements, bytes };
}

/** The tensor that enters the group and of which `t` is but another layout; `t` itself when it is computed inside. */
function behindLayouts(graph: Graph, t: number, partOf: Int32Array, part: number): number {
  let at = t;
  while (inside(graph, at, partOf, part)) {
    const n = graph.producer[at];
    if (!isLayout(graph, n)) return t;
    at = graph.inputTensor[graph.inputStart[n]];
  }
  return at;
}

function inside(graph: Graph, t: number, partOf: Int32Array, part: number): boolean {
  return graph.producer[t] >= 0 && partOf[graph.producer[t]] === part;
}

/** Activations outside the group from which the given tensors inside it are computed. */
function sourcesOf(graph: Graph, tensors: readonly number[], partOf: Int32Array, part: number): number[] {
  const sources = new Set<number>();
  const seen = new Set<number>();
  const stack = tensors.filter((t) => inside(graph, t, partOf, part));
  while (stack.length > 0) {
    const n = graph.producer[stack.pop()!];
    if (seen.has(n)) continue;
    seen.add(n);
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      const t = graph.inputTensor[s];
      if (!isActivation(graph, t)) continue;
      if (inside(graph, t, partOf, part)) stack.push(t);
      else sources.add(t);
    }
  }
  return [...sources];
}

/** One tensor per piece of memory. */
function dedupe(graph: Graph, tensors: readonly number[]): number[] {
  const seen = new Set<number>();
  return tensors.filter((t) => {
    const root = graph.storage[t];
    if (seen.has(root)) return false;
    seen.add(root);
    return graph.tensorRole[t] !== TensorRole.PARAMETER && graph.tensorRole[t] !== TensorRole.CONSTANT;
  });
}

function bytesOf(graph: Graph, tensors: readonly number[]): number {
  let sum = 0;
  for (const t of tensors) sum += graph.tensorBytes[t];
  return sum;
}
