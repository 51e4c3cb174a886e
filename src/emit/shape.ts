/**
 * Sizes of a transformer, read off the structure of its graph: what launchers ask for as hidden size, heads, feed-forward
 * width, vocabulary, experts. Shapes, operators and the flow between blocks decide; names of tensors and nodes do not.
 */
import { TensorRole } from '../graph/types.js';
import type { Block, Graph, Segmentation } from '../graph/types.js';
import { dimsOf, isBiased, layerFlow } from './shapeFlow.js';
import type { Gemm, LayerFlow } from './shapeFlow.js';
import { attentionShape } from './shapeAttention.js';
import type { AttentionShape } from './shapeAttention.js';
import { attentionSegments } from './stageLayers.js';

export type Normalization = 'LayerNorm' | 'RMSNorm';
/** `gated`: two products whose elementwise product goes on (SwiGLU and its kin). */
export type Activation = 'gated-silu' | 'gated-gelu' | 'gelu' | 'relu' | 'silu' | 'other';
export type Positions = 'learned' | 'rotary' | 'relative' | 'none';

export interface ExpertShape {
  readonly experts: number;
  readonly topk: number | null;
  readonly ffn: number;
  /** Width of the experts that every token goes through; 0 = none. */
  readonly sharedFfn: number;
  /** Per layer, whether it has experts. */
  readonly layers: readonly boolean[];
}

/** What cannot be read off the graph is null. */
export interface ModelShape {
  readonly layers: number;
  readonly hidden: number | null;
  readonly attention: AttentionShape | null;
  readonly ffn: number | null;
  readonly vocab: number | null;
  readonly activation: Activation;
  readonly normalization: Normalization | null;
  readonly mlpBias: boolean;
  readonly queryBias: boolean;
  /** Queries and keys are normed. */
  readonly queryNorm: boolean;
  readonly positions: Positions;
  /** Rows of the table of learned positions. */
  readonly maxPositions: number | null;
  /** The head's weight is the embedding's. */
  readonly tied: boolean;
  readonly experts: ExpertShape | null;
  /** Every attention is masked so that no position sees a later one, and none reads another sequence. */
  readonly decoderOnly: boolean;
}

/** Null where nothing attends. */
export function modelShape(graph: Graph, segmentation: Segmentation): ModelShape | null {
  const segments = attentionSegments(segmentation);
  if (segments.length === 0) return null;
  const end = (i: number): number =>
    segments[i + 1] ??
    Math.min(segmentation.segmentCount, segments[i] + (segments[i] - segments[i - 1] || 1));
  const blocksOf = (i: number): Block[] =>
    segmentation.blocks.slice(segmentation.blockStart[segments[i]], segmentation.blockStart[end(i)]);
  const flows = segments.map((_, i) => layerFlow(graph, blocksOf(i)));
  const hidden = hiddenSize(graph, flows[flows.length - 1]);
  const dense = flows.filter((flow) => flow.expertWeights.length === 0);
  const layer = dense[dense.length - 1] ?? flows[flows.length - 1];
  const mlp = mlpShape(layer, hidden);
  const attention = attentionShape(graph, flows[flows.length - 1], hidden);
  const table = vocabularyTable(graph, segmentation, hidden);
  return {
    layers: segments.length,
    hidden,
    attention,
    ffn: mlp?.ffn ?? null,
    vocab: table === null ? null : dimsOf(graph, table)[0],
    activation: activationOf(graph, flows[flows.length - 1], mlp?.gated ?? false),
    normalization: normalizationOf(graph, layer),
    mlpBias: mlp?.up.some((g) => isBiased(graph, g)) ?? false,
    queryBias: layer.projections.some((g) => isBiased(graph, g)),
    queryNorm: layer.normsQueries,
    ...positionsOf(graph, segmentation, hidden),
    tied: table !== null && isTied(graph, segmentation, table),
    experts: expertShape(graph, flows, hidden),
    decoderOnly: segmentation.blocks.every((b) => b.kind !== 'attention' || b.causal),
  };
}

/** Width of what the last layer hands on. */
function hiddenSize(graph: Graph, { blocks }: LayerFlow): number | null {
  const last = blocks[blocks.length - 1];
  const dims = last === undefined || last.outputs.length === 0 ? [] : dimsOf(graph, last.outputs[0]);
  return dims[dims.length - 1] ?? null;
}

interface MlpShape {
  readonly ffn: number;
  readonly gated: boolean;
  readonly up: readonly Gemm[];
}

/** The products that are neither projections of attention nor a router. */
function mlpShape(flow: LayerFlow, hidden: number | null): MlpShape | null {
  const down = flow.others.filter((g) => g.out === hidden && g.in !== hidden).pop();
  const square = flow.others.length >= 2 && flow.others.every((g) => g.in === hidden && g.out === hidden);
  if (down === undefined && !square) return null;
  const ffn = down?.in ?? hidden!;
  const up = flow.others.filter((g) => g !== down && g.in === hidden && (g.out === ffn || g.out === 2 * ffn));
  return { ffn, gated: up.some((g) => g.out === 2 * ffn) || up.length > 1, up };
}

function activationOf(graph: Graph, flow: LayerFlow, gated: boolean): Activation {
  const ops = new Set(flow.betweenMlp.map((n) => graph.nodeOp[n].replace(/^.*::/, '')));
  const has = (...names: string[]): boolean => names.some((n) => ops.has(n));
  const isGated = gated || flow.expertsGated;
  if (has('Gelu', 'FastGelu', 'BiasGelu', 'QuickGelu', 'Erf', 'Tanh')) return isGated ? 'gated-gelu' : 'gelu';
  if (has('Sigmoid', 'Swish', 'Silu', 'HardSwish')) return isGated ? 'gated-silu' : 'silu';
  return has('Relu') && !isGated ? 'relu' : 'other';
}

function normalizationOf(graph: Graph, { blocks }: LayerFlow): Normalization | null {
  for (const block of blocks) {
    if (block.kind !== 'pointwise') continue;
    const ops = Array.from(block.nodes, (n) => graph.nodeOp[n].replace(/^.*::/, ''));
    if (ops.some((op) => op === 'LayerNormalization' || op === 'SkipLayerNormalization')) return 'LayerNorm';
    if (ops.some((op) => /^(Skip)?(RMS|SimplifiedLayer)Normalization$/.test(op))) return 'RMSNorm';
    const means = ops.filter((op) => op === 'ReduceMean').length;
    // The mean of the squares alone, or less the mean first.
    if (means > 0) return ops.includes('Sub') ? 'LayerNorm' : 'RMSNorm';
  }
  return null;
}

/** Rows of the widest table that is read by tokens of the input. */
function vocabularyTable(graph: Graph, segmentation: Segmentation, hidden: number | null): number | null {
  let found: number | null = null;
  for (const { table, byInput } of lookups(graph, segmentation)) {
    const dims = dimsOf(graph, table);
    if (!byInput || dims.length !== 2 || (hidden !== null && dims[1] !== hidden)) continue;
    if (found === null || dims[0] > dimsOf(graph, found)[0]) found = table;
  }
  return found;
}

function* lookups(graph: Graph, segmentation: Segmentation): Generator<{ table: number; byInput: boolean }> {
  for (const block of segmentation.blocks) {
    if (block.kind !== 'lookup') continue;
    const isRole = (role: TensorRole) => (t: number) => (graph.tensorRole[t] as TensorRole) === role;
    const table = Array.from(block.inputs).find(isRole(TensorRole.PARAMETER));
    if (table !== undefined)
      yield { table, byInput: Array.from(block.inputs).some(isRole(TensorRole.INPUT)) };
  }
}

function positionsOf(
  graph: Graph,
  segmentation: Segmentation,
  hidden: number | null,
): Pick<ModelShape, 'positions' | 'maxPositions'> {
  const isRotary = graph.nodeOp.some((op) => /(^|::)(Cos|RotaryEmbedding)$/.test(op));
  let relative = false;
  for (const { table, byInput } of lookups(graph, segmentation)) {
    const dims = dimsOf(graph, table);
    if (byInput || dims.length !== 2) continue;
    if (dims[1] === hidden) return { positions: 'learned', maxPositions: dims[0] };
    relative = true;
  }
  return { positions: isRotary ? 'rotary' : relative ? 'relative' : 'none', maxPositions: null };
}

/** True when a product reads the table too. */
function isTied(graph: Graph, { blocks }: Segmentation, table: number): boolean {
  return blocks.some(
    (block) =>
      block.kind === 'gemm' &&
      Array.from(block.inputs).some((t) => graph.storage[t] === graph.storage[table]),
  );
}

function expertShape(graph: Graph, flows: readonly LayerFlow[], hidden: number | null): ExpertShape | null {
  const layers = flows.map((flow) => flow.expertWeights.length > 0);
  const flow = flows.filter((f) => f.expertWeights.length > 0).pop();
  if (flow === undefined) return null;
  const last = dimsOf(graph, flow.expertWeights[flow.expertWeights.length - 1]);
  const wide = last.slice(1).find((size) => size !== hidden) ?? last[last.length - 1];
  const shared = mlpShape(flow, hidden);
  return {
    experts: last[0],
    topk: topk(graph, flow),
    ffn: wide,
    sharedFfn: shared?.ffn ?? 0,
    layers,
  };
}

/** Experts that a token is sent to: what the last selection of the layer keeps. */
function topk(graph: Graph, { blocks }: LayerFlow): number | null {
  let found: number | null = null;
  for (const block of blocks)
    for (const n of block.nodes) {
      if (graph.nodeOp[n] !== 'TopK') continue;
      const dims = dimsOf(graph, graph.outputTensor[graph.outputStart[n]]);
      found = dims[dims.length - 1] ?? found;
    }
  return found;
}
