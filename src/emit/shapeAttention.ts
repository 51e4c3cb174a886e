/** Heads of an attention and their widths, and the ranks of compressed queries, keys and values (multi-head latent attention). */
import type { Block, Graph } from '../graph/types.js';
import { dimsOf } from './shapeFlow.js';
import type { LayerFlow } from './shapeFlow.js';

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  /** Width of a query head, and of a value head. */
  readonly headDim: number;
  readonly valueDim: number;
  readonly latent: LatentShape | null;
}

/** Ranks as launchers call them. */
export interface LatentShape {
  /** 0 = queries are not compressed. */
  readonly queryRank: number;
  readonly kvRank: number;
  /** Part of a query head that carries positions, and the rest. */
  readonly rotaryDim: number;
  readonly plainDim: number;
}

/** Null where the heads cannot be told from the graph. */
export function attentionShape(graph: Graph, flow: LayerFlow, hidden: number | null): AttentionShape | null {
  const block = flow.attention[0];
  if (block === undefined) return null;
  const products = Array.from(block.nodes).filter((n) => graph.nodeKernel[n] === 'gemm');
  if (products.length < 2) return null;
  const output = (n: number): number[] => dimsOf(graph, graph.outputTensor[graph.outputStart[n]]);
  const scores = output(products[0]);
  const values = output(products[products.length - 1]);
  if (scores.length < 3) return null;
  const heads =
    scores.length === 3
      ? scores[0] / graph.referenceBatch
      : scores.slice(1, -2).reduce((product, size) => product * size, 1);
  const queries = dimsOf(graph, graph.inputTensor[graph.inputStart[products[0]]]);
  const headDim = queries[queries.length - 1];
  const valueDim = values[values.length - 1];
  if (!Number.isInteger(heads) || heads < 1 || !(headDim > 0) || !(valueDim > 0)) return null;
  const latent = headDim === valueDim ? null : latentShape(flow, hidden, heads, headDim, valueDim);
  return {
    heads,
    kvHeads: latent === null ? kvHeadsOf(graph, block, heads, headDim) : heads,
    headDim,
    valueDim,
    latent,
  };
}

/** Heads of the smallest tensor with gradients that the block reads: keys or values. */
function kvHeadsOf(graph: Graph, block: Block, heads: number, headDim: number): number {
  const positions = graph.referenceBatch * graph.sequenceLength;
  let least = heads;
  for (const t of block.inputs) {
    if (graph.tensorNeedsGrad[t] === 0 || graph.tensorTriangular[t] === 1) continue;
    const width = graph.tensorElements[t] / positions / headDim;
    if (width > heads) {
      // Queries, keys and values in one.
      const pair = (width - heads) / 2;
      if (Number.isInteger(pair) && heads % pair === 0) least = Math.min(least, pair);
    } else if (Number.isInteger(width) && width >= 1 && heads % width === 0) least = Math.min(least, width);
  }
  return least;
}

/** A projection that does not read the residual stream reads a compressed form of it, whose width is the rank. */
function latentShape(
  { projections }: LayerFlow,
  hidden: number | null,
  heads: number,
  headDim: number,
  valueDim: number,
): LatentShape | null {
  const queries = projections.find((g) => g.out === heads * headDim);
  const queryRank = queries === undefined || queries.in === hidden ? 0 : queries.in;
  for (const g of projections) {
    if (g.in === hidden || g === queries || g.out % heads !== 0) continue;
    const plainDim = g.out / heads - valueDim;
    if (plainDim <= 0 || plainDim >= headDim) continue;
    return { queryRank, kvRank: g.in, plainDim, rotaryDim: headDim - plainDim };
  }
  return null;
}
