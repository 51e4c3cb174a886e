/** The blocks of one layer by what they are for: projections of attention, products of the feed-forward part, experts. */
import { TensorRole } from '../graph/types.js';
import type { Block, Graph } from '../graph/types.js';

/** A product with a weight. */
export interface Gemm {
  readonly block: Block;
  readonly weight: number;
  readonly in: number;
  readonly out: number;
}

export interface LayerFlow {
  readonly blocks: readonly Block[];
  readonly attention: readonly Block[];
  /** Products whose result reaches an attention of the layer. */
  readonly projections: readonly Gemm[];
  /** Those that first read what an attention made. */
  readonly outputs: readonly Gemm[];
  /** What is left: the feed-forward products (and a router). */
  readonly others: readonly Gemm[];
  /** A vector of weights scales what lies between a projection and attention: queries and keys are normed. */
  readonly normsQueries: boolean;
  /** Nodes of pointwise blocks between products of the feed-forward part. */
  readonly betweenMlp: readonly number[];
  /** Weights of grouped products, `[experts, ..., ...]`. */
  readonly expertWeights: readonly number[];
  /** Half of what the first product of an expert makes gates the other half. */
  readonly expertsGated: boolean;
}

export function dimsOf(graph: Graph, tensor: number): number[] {
  return Array.from(graph.shapeDim.subarray(graph.shapeStart[tensor], graph.shapeStart[tensor + 1]));
}

/** Null for a block that multiplies no matrix of weights. */
export function gemmOf(graph: Graph, block: Block): Gemm | null {
  if (block.kind !== 'gemm') return null;
  const weight = Array.from(block.inputs).find(
    (t) =>
      (graph.tensorRole[t] as TensorRole) === TensorRole.PARAMETER &&
      graph.shapeStart[t + 1] - graph.shapeStart[t] === 2,
  );
  if (weight === undefined) return null;
  const [rows, columns] = dimsOf(graph, weight);
  const product = Array.from(block.nodes).find((n) => graph.nodeKernel[n] === 'gemm') ?? block.nodes[0];
  const made = dimsOf(graph, graph.outputTensor[graph.outputStart[product]]);
  const out = made[made.length - 1];
  return { block, weight, in: out === columns ? rows : columns, out };
}

/** True when a vector of the product's width is added to it, inside the block or right behind it. */
export function isBiased(graph: Graph, { block, out }: Gemm): boolean {
  const isVector = (t: number): boolean =>
    (graph.tensorRole[t] as TensorRole) === TensorRole.PARAMETER &&
    dimsOf(graph, t).length === 1 &&
    graph.tensorElements[t] === out;
  if (Array.from(block.inputs).some(isVector)) return true;
  for (const t of block.outputs)
    for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) {
      const n = graph.useNode[u];
      if (graph.nodeOp[n] !== 'Add') continue;
      for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++)
        if (isVector(graph.inputTensor[s])) return true;
    }
  return false;
}

export function layerFlow(graph: Graph, blocks: readonly Block[]): LayerFlow {
  const maker = new Map<number, number>();
  blocks.forEach((block, b) => block.outputs.forEach((t) => maker.set(t, b)));
  const before = (b: number): number[] =>
    Array.from(blocks[b].inputs, (t) => maker.get(t) ?? -1).filter((m) => m >= 0 && m < b);
  // Blocks are in topological order: one pass backward and one forward suffice.
  const reaches = new Uint8Array(blocks.length);
  const fromAttention = new Uint8Array(blocks.length);
  const fromMlp = new Uint8Array(blocks.length);
  for (let b = blocks.length - 1; b >= 0; b--)
    if (reaches[b] === 1 || blocks[b].kind === 'attention') for (const m of before(b)) reaches[m] = 1;
  const isProduct = (b: number): boolean => blocks[b].kind === 'gemm' || blocks[b].kind === 'groupedGemm';
  const projections: Gemm[] = [];
  const outputs: Gemm[] = [];
  const others: Gemm[] = [];
  const betweenMlp: number[] = [];
  const expertWeights: number[] = [];
  const mlpBlock = new Uint8Array(blocks.length);
  const projected = new Uint8Array(blocks.length);
  let normsQueries = false;
  blocks.forEach((block, b) => {
    if (block.kind === 'attention') {
      fromAttention[b] = 1;
      return;
    }
    const sources = before(b);
    const readsAttention = sources.some((m) => fromAttention[m] === 1);
    if (!isProduct(b)) {
      // The residual stream and norms: a sum with something that no product of this attention made ends its reach.
      const sum = sources.length > 1 && sources.some((m) => fromAttention[m] === 0);
      fromAttention[b] = readsAttention && !sum ? 1 : 0;
      fromMlp[b] = sources.some((m) => mlpBlock[m] === 1) ? 1 : 0;
      if (fromMlp[b] === 1) betweenMlp.push(...block.nodes);
      projected[b] = reaches[b] === 1 && sources.some((m) => projected[m] === 1) ? 1 : 0;
      normsQueries ||= projected[b] === 1 && isScaled(graph, block);
      return;
    }
    if (block.kind === 'groupedGemm') {
      mlpBlock[b] = 1;
      const weight = Array.from(block.inputs).find(
        (t) => (graph.tensorRole[t] as TensorRole) === TensorRole.PARAMETER && dimsOf(graph, t).length === 3,
      );
      if (weight !== undefined) expertWeights.push(weight);
      return;
    }
    const gemm = gemmOf(graph, block);
    if (gemm === null) return;
    if (readsAttention) outputs.push(gemm);
    if (reaches[b] === 1) {
      projections.push(gemm);
      projected[b] = 1;
    } else if (!readsAttention) {
      others.push(gemm);
      mlpBlock[b] = 1;
    }
  });
  return {
    blocks,
    attention: blocks.filter((block) => block.kind === 'attention'),
    projections,
    outputs,
    others,
    normsQueries,
    betweenMlp,
    expertWeights,
    expertsGated: areExpertsGated(graph, expertWeights),
  };
}

/** True when the block multiplies by a vector of weights, or norms with one. */
function isScaled(graph: Graph, block: Block): boolean {
  return Array.from(block.nodes).some((n) => {
    if (graph.nodeOp[n] !== 'Mul' && graph.nodeKernel[n] !== 'norm') return false;
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      const t = graph.inputTensor[s];
      if (
        t >= 0 &&
        (graph.tensorRole[t] as TensorRole) === TensorRole.PARAMETER &&
        dimsOf(graph, t).length === 1
      )
        return true;
    }
    return false;
  });
}

/** [E, 2f, h] and [E, h, f], or two of [E, f, h] and one of [E, h, f]. */
function areExpertsGated(graph: Graph, weights: readonly number[]): boolean {
  if (weights.length >= 3) return true;
  if (weights.length < 2) return false;
  return graph.tensorElements[weights[0]] === 2 * graph.tensorElements[weights[weights.length - 1]];
}
