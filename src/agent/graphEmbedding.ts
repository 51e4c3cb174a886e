/**
 * What a block is and where it stands, as a few numbers: a small graph network run once per graph. Two rounds of
 *
 *     H' = tanh(H S + P H A + N H B)        P, N: mean over producers, over consumers, as dense matrices
 *
 * over at most MAX_NODES nodes; longer graphs are first contracted along their topological order, so that the product
 * stays dense and small. The weights are drawn once from a fixed seed and not trained: a random graph network tells
 * neighbourhoods apart nearly as well as a trained one (compare graph echo state networks, Gallicchio and Micheli 2010),
 * and the policy on top learns what to make of it. So embeddings need no gradients, no backend and no checkpoint.
 */
import type { Segmentation } from '../graph/types.js';
import { Random } from '../util/random.js';

/** Numbers of one embedding, of a node or of the whole graph. */
export const EMBEDDING_FEATURES = 8;
/** Numbers of a node between the rounds. */
const HIDDEN = 32;
/** Most nodes that messages pass between. */
export const MAX_NODES = 512;
const WEIGHT_SEED = 20;

/** A DAG with features: nodes in topological order. */
export interface FeatureGraph {
  readonly nodeCount: number;
  readonly featureCount: number;
  /** Row-major [nodeCount, featureCount], of order 1. */
  readonly features: Float32Array;
  readonly edgeFrom: Int32Array;
  readonly edgeTo: Int32Array;
}

export class GraphEmbedding {
  /** Mean over the nodes in the first half, spread between them in the second. */
  readonly pooled: Float32Array;

  private constructor(
    /** Row-major [coarse nodes, EMBEDDING_FEATURES]. */
    private readonly nodes: Float32Array,
    private readonly coarse: (node: number) => number,
    count: number,
  ) {
    this.pooled = pool(nodes, count);
  }

  /** Writes a node's embedding at `at`. */
  writeNode(node: number, out: Float32Array, at: number): void {
    const from = this.coarse(node) * EMBEDDING_FEATURES;
    for (let i = 0; i < EMBEDDING_FEATURES; i++) out[at + i] = this.nodes[from + i];
  }

  static of(graph: FeatureGraph): GraphEmbedding {
    const count = Math.min(MAX_NODES, graph.nodeCount);
    const coarse = (v: number): number => Math.floor((v * count) / graph.nodeCount);
    let h = contract(graph, count, coarse);
    const { producers, consumers } = neighbours(graph, count, coarse);
    const random = new Random(WEIGHT_SEED);
    let width = graph.featureCount;
    for (const m of [HIDDEN, EMBEDDING_FEATURES]) {
      const own = weights(width, m, random);
      const up = weights(width, m, random);
      const down = weights(width, m, random);
      const next = matMul(h, own, count, width, m);
      add(next, matMul(matMul(producers, h, count, count, width), up, count, width, m));
      add(next, matMul(matMul(consumers, h, count, count, width), down, count, width, m));
      for (let i = 0; i < next.length; i++) next[i] = Math.tanh(next[i]);
      h = next;
      width = m;
    }
    return new GraphEmbedding(h, coarse, count);
  }
}

const known = new WeakMap<Segmentation, GraphEmbedding>();

/** The embedding of a graph's blocks; computed once per graph. */
export function embeddingOf(segmentation: Segmentation): GraphEmbedding {
  let embedding = known.get(segmentation);
  if (embedding === undefined)
    known.set(segmentation, (embedding = GraphEmbedding.of(blockGraph(segmentation))));
  return embedding;
}

const KINDS = ['gemm', 'conv', 'attention', 'groupedGemm', 'lookup', 'pointwise', 'other'] as const;

/** Blocks with their kind, work and traffic; an edge where one's output is another's input. */
export function blockGraph({ blocks }: Segmentation): FeatureGraph {
  const featureCount = KINDS.length + 5;
  const features = new Float32Array(blocks.length * featureCount);
  let flop = 0;
  let touched = 0;
  for (const b of blocks) {
    flop += b.flop;
    touched += b.touchedElements;
  }
  const producer = new Map<number, number>();
  const from: number[] = [];
  const to: number[] = [];
  blocks.forEach((b, i) => {
    for (const t of b.inputs) {
      const p = producer.get(t);
      if (p === undefined) continue;
      from.push(p);
      to.push(i);
    }
    for (const t of b.outputs) producer.set(t, i);
    let k = i * featureCount;
    features[k + KINDS.indexOf(b.kind)] = 1;
    k += KINDS.length;
    features[k++] = share(b.flop, flop, blocks.length);
    features[k++] = share(b.touchedElements, touched, blocks.length);
    features[k++] = Math.log2((1 + b.flop) / (1 + b.touchedElements)) / 8;
    features[k++] = Math.log2(1 + b.saved.length) / 2;
    features[k] = b.inputs.length > 0 ? Math.log2(b.inputs.length) / 2 : -1;
  });
  return {
    nodeCount: blocks.length,
    featureCount,
    features,
    edgeFrom: Int32Array.from(from),
    edgeTo: Int32Array.from(to),
  };
}

/** log2 of a node's part over the mean part. */
function share(part: number, all: number, count: number): number {
  return part > 0 && all > 0 ? Math.max(-4, Math.min(4, Math.log2((part * count) / all))) / 4 : -1;
}

/** Features of the contracted nodes: means of their members. */
function contract(graph: FeatureGraph, count: number, coarse: (v: number) => number): Float32Array {
  const { nodeCount, featureCount: f, features } = graph;
  const out = new Float32Array(count * f);
  const size = new Int32Array(count);
  for (let v = 0; v < nodeCount; v++) {
    const c = coarse(v);
    size[c]++;
    for (let k = 0; k < f; k++) out[c * f + k] += features[v * f + k];
  }
  for (let c = 0; c < count; c++) for (let k = 0; k < f; k++) out[c * f + k] /= size[c];
  return out;
}

/** Dense [count, count] means over producers and over consumers. */
function neighbours(
  { edgeFrom, edgeTo }: FeatureGraph,
  count: number,
  coarse: (v: number) => number,
): { producers: Float32Array; consumers: Float32Array } {
  const producers = new Float32Array(count * count);
  const consumers = new Float32Array(count * count);
  for (let e = 0; e < edgeFrom.length; e++) {
    const a = coarse(edgeFrom[e]);
    const b = coarse(edgeTo[e]);
    if (a === b) continue;
    producers[b * count + a]++;
    consumers[a * count + b]++;
  }
  for (const m of [producers, consumers])
    for (let r = 0; r < count; r++) {
      let sum = 0;
      for (let c = 0; c < count; c++) sum += m[r * count + c];
      if (sum > 0) for (let c = 0; c < count; c++) m[r * count + c] /= sum;
    }
  return { producers, consumers };
}

/** [width, m], scaled so that the three terms of a round keep their size. */
function weights(width: number, m: number, random: Random): Float32Array {
  const scale = Math.sqrt(1 / width);
  return Float32Array.from({ length: width * m }, () => scale * random.normal());
}

/** a [n, k] times b [k, m]; rows of a may be mostly 0. */
function matMul(a: Float32Array, b: Float32Array, n: number, k: number, m: number): Float32Array {
  const out = new Float32Array(n * m);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < k; j++) {
      const x = a[i * k + j];
      if (x === 0) continue;
      for (let c = 0; c < m; c++) out[i * m + c] += x * b[j * m + c];
    }
  return out;
}

function add(to: Float32Array, from: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i] += from[i];
}

/** Half of the numbers as means, the other half as standard deviations, over the nodes. */
function pool(nodes: Float32Array, count: number): Float32Array {
  const out = new Float32Array(EMBEDDING_FEATURES);
  const half = EMBEDDING_FEATURES / 2;
  if (count === 0) return out;
  for (let i = 0; i < EMBEDDING_FEATURES; i++) {
    let sum = 0;
    let squares = 0;
    for (let v = 0; v < count; v++) {
      const x = nodes[v * EMBEDDING_FEATURES + i];
      sum += x / count;
      squares += (x * x) / count;
    }
    out[i] = i < half ? sum : Math.sqrt(Math.max(0, squares - sum * sum));
  }
  return out;
}
