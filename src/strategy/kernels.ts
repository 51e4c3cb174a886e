/**
 * Seconds of a layer's kernels and collectives on one rank: reads matrix extents off the block's factors and asks the
 * cost formulas. One clock per device kind and set of degrees.
 */
import type { Cluster, Device, Topology } from '../cluster/index.js';
import type { CollectiveCurve, CollectiveKind } from '../cost/collective.js';
import { collectiveCurve, curveTimeSec } from '../cost/collective.js';
import {
  attentionTimeSec,
  elementwiseTimeSec,
  gemmTimeSec,
  unfusedAttentionTimeSec,
} from '../cost/compute.js';
import { deviceInJob, levelsInJob, stackOn } from '../cost/stack.js';
import type { StackProfile } from '../cost/stack.js';
import type { Precision, ShardKey } from '../cost/types.js';
import { AXIS_BATCH, AXIS_SEQUENCE } from '../graph/index.js';
import type { Layer, LayerBlock } from './layer.js';
import type { BlockOption } from './options.js';
import { expertFactor, isExpertBlock } from './options.js';
import type { Reshard } from './reshard.js';
import type { RankScale } from './scale.js';
import { localSize, tensorElements, touchedBytes, workScale } from './scale.js';

export interface BlockSeconds {
  forward: number;
  backwardInput: number;
  backwardWeight: number;
  /** All-reduce of row statistics in each direction. */
  statistics: number;
}

/** Extents of a matrix product on one rank. */
interface MatrixExtents {
  batch: number;
  m: number;
  n: number;
  k: number;
}

/** fp32 maximum and sum of a row. */
const STATISTICS_BYTES = 8;

/** Formats of 8 bits and fewer: only matmuls with weights run in them. */
const isNarrow = (precision: Precision | 'int8'): boolean => precision === 'fp8' || precision === 'fp4';

/** Cost of each collective over one axis, made when first asked for. */
type AxisCurves = Partial<Record<CollectiveKind, CollectiveCurve>>;

export class KernelClock {
  /** The profile as it holds on this device. */
  readonly stack: StackProfile;
  private readonly device: Device;
  private readonly topology: Topology;
  private readonly tpCurves: AxisCurves = {};
  private readonly cpCurves: AxisCurves = {};
  private readonly epCurves: AxisCurves = {};

  constructor(
    cluster: Cluster,
    private readonly key: ShardKey,
    private readonly precision: Precision,
    stack: StackProfile,
  ) {
    const group = cluster.groups[key.deviceGroup];
    this.stack = stackOn(stack, group.device);
    this.device = deviceInJob(group.device, this.stack);
    this.topology = { levels: levelsInJob(group.levels, this.stack), deviceCount: cluster.deviceCount };
  }

  /** A collective over the tensor-parallel group; `bytes` of the whole tensor. */
  tensorParallelSec(kind: Exclude<Reshard, 'none' | 'slice'>, bytes: number): number {
    return this.collectiveSec(this.tpCurves, kind, bytes, this.key.tp, 1);
  }

  /** A collective over the context-parallel group; `bytes` of the whole tensor, for all-to-all of one rank's part. */
  contextParallelSec(kind: 'allGather' | 'reduceScatter' | 'allToAll', bytes: number): number {
    return this.collectiveSec(this.cpCurves, kind, bytes, this.key.cp, this.key.tp);
  }

  /** Tokens to experts or back; `bytes` that one rank holds. */
  expertParallelSec(bytes: number): number {
    return this.collectiveSec(this.epCurves, 'allToAll', bytes, this.key.ep, this.key.etp);
  }

  /**
   * Share of a dispatch that travels when a token visits `copies` experts, spread at random: all of it, or of the copies
   * for one fast domain (for one rank where the group stays in a domain) a single one.
   */
  dispatchShare(copies: number): number {
    if (this.stack.expertDispatch === 'per-expert' || copies <= 1) return 1;
    const { ep, etp } = this.key;
    const domains = Math.ceil((ep * etp) / this.topology.levels[0].size);
    const targets = domains > 1 ? domains : ep;
    return (targets * (1 - (1 - 1 / targets) ** copies)) / copies;
  }

  private collectiveSec(
    curves: AxisCurves,
    kind: CollectiveKind,
    bytes: number,
    size: number,
    stride: number,
  ): number {
    const curve = (curves[kind] ??= collectiveCurve(kind, { size, stride }, this.topology));
    return curveTimeSec(curve, bytes);
  }

  blockSec(layer: Layer, block: LayerBlock, option: BlockOption, scale: RankScale): BlockSeconds {
    const sec = this.kernelSec(layer, block, option, scale);
    if (block.source.gradInputFlop <= 0 && !this.passesGradient(layer, block)) sec.backwardInput = 0;
    if (option.splitsStatistics) sec.statistics = this.statisticsSec(layer, block, option, scale);
    return sec;
  }

  /** Views and copies have no gradient FLOP but still move bytes backward. */
  private passesGradient(layer: Layer, block: LayerBlock): boolean {
    return block.outputs.some((t) => layer.tensors[t].carriesGradient);
  }

  private kernelSec(layer: Layer, block: LayerBlock, option: BlockOption, scale: RankScale): BlockSeconds {
    const { source } = block;
    if (source.kind === 'gemm' || source.kind === 'groupedGemm') {
      const extents = this.matrixExtents(layer, block, option, scale);
      if (extents !== null) return this.matrixSec(layer, block, extents);
    }
    if (source.kind === 'conv')
      return this.matrixSec(layer, block, this.convExtents(layer, block, option, scale));
    if (source.kind === 'attention') return this.attentionSec(layer, block, option, scale);
    const flop = source.flop * workScale(block, option, scale);
    const bytes =
      source.kind === 'lookup'
        ? this.lookupBytes(layer, block, option, scale)
        : touchedBytes(layer, block, option, scale);
    const forward = isView(layer, block)
      ? 0
      : this.passes(layer, block) * elementwiseTimeSec(this.device, bytes, flop);
    return { forward, backwardInput: 2 * forward, backwardWeight: 0, statistics: 0 };
  }

  /** Rate at which the arithmetic of a matrix kernel would run if nothing but the matrix units held it up; 0 for others. */
  matrixFlopPerSec(layer: Layer, block: LayerBlock): number {
    const { kind } = block.source;
    if (kind !== 'gemm' && kind !== 'groupedGemm' && kind !== 'conv' && kind !== 'attention') return 0;
    return this.device.achievableFlopPerSec[this.matrixPrecision(layer, block)];
  }

  private matrixSec(layer: Layer, block: LayerBlock, e: MatrixExtents): BlockSeconds {
    const precision = this.matrixPrecision(layer, block);
    const { stack, device } = this;
    const rate = block.source.kind === 'groupedGemm' ? stack.groupedEfficiency : 1;
    const castSec = (elements: number): number =>
      isNarrow(device.runsAs[precision])
        ? (stack.fp8Passes * 3 * elements) / (device.memoryBytesPerSec * device.memoryEfficiency)
        : 0;
    // A cast reads 16 bits and writes 8 of each activation that goes in.
    const gemm = (batch: number, m: number, n: number, k: number): number =>
      gemmTimeSec(device, precision, batch, m, n, k) / rate + castSec(batch * m * k);
    return {
      forward: gemm(e.batch, e.m, e.n, e.k),
      backwardInput: block.source.gradInputFlop > 0 ? gemm(e.batch, e.m, e.k, e.n) : 0,
      backwardWeight: block.source.gradWeightFlop > 0 ? gemm(e.batch, e.k, e.n, e.m) : 0,
      statistics: 0,
    };
  }

  private passes(layer: Layer, block: LayerBlock): number {
    const { lossPasses, pointwisePasses, expertPasses } = this.stack;
    if (block.isLoss) return lossPasses;
    return layer.blocks.some(isExpertBlock) ? pointwisePasses * expertPasses : pointwisePasses;
  }

  /** The projection onto the vocabulary stays in 16 bits where the layers run in 8, and so do products of activations. */
  private matrixPrecision(layer: Layer, block: LayerBlock): Precision {
    if (!isNarrow(this.precision)) return this.precision;
    const multipliesWeights = block.inputs.some((t) => layer.tensors[t].isParameter);
    return multipliesWeights && !layer.blocks.some((b) => b.isLoss) ? this.precision : 'bf16';
  }

  /** M indexes the first operand and the output, N the second and the output, K both operands; the rest is a batch. */
  private matrixExtents(
    layer: Layer,
    block: LayerBlock,
    option: BlockOption,
    scale: RankScale,
  ): MatrixExtents | null {
    const k = block.kinds.flatMap((kind, f) => (kind === 'contraction' ? [f] : []));
    const operands = block.inputs
      .map((_, slot) => slot)
      .filter((slot) => k.length > 0 && k.every((f) => block.inputDims[slot]?.some((d) => d.includes(f))));
    if (operands.length < 2) return null;
    const [a, b] = operands as [number, number];
    const inA = (f: number): boolean => block.inputDims[a]!.some((d) => d.includes(f));
    const inB = (f: number): boolean => block.inputDims[b]!.some((d) => d.includes(f));
    const e: MatrixExtents = { batch: 1, m: 1, n: 1, k: 1 };
    let sampled = false;
    let experts = 1;
    const expertAxis = expertFactor(block);
    for (let f = 0; f < block.sizes.length; f++) {
      const size = localSize(block, option, f, scale);
      if (size !== Math.ceil(block.sizes[f] / option.shards[f]) && block.axes[f] !== AXIS_SEQUENCE)
        sampled = true;
      if (f === expertAxis) experts = Math.max(1, Math.ceil(block.sizes[f] / this.key.ep));
      else if (k.includes(f)) e.k *= size;
      else if (inA(f) && inB(f)) e.batch *= size;
      else if (inB(f)) e.n *= size;
      else e.m *= size;
    }
    if (block.perSample && !sampled && scale.batch !== 1) e.m *= scale.batch;
    if (isExpertBlock(block)) {
      // Which operand holds the tokens is told by the parameter: tokens are spread evenly over the experts of a rank.
      if (layer.tensors[block.inputs[a]].isParameter) [e.m, e.n] = [e.n, e.m];
      e.m = Math.max(1, (e.m * e.batch * this.stack.expertImbalance) / experts);
      e.batch = experts;
    }
    return e;
  }

  private convExtents(layer: Layer, block: LayerBlock, option: BlockOption, scale: RankScale): MatrixExtents {
    const output = layer.tensors[block.outputs[0]];
    const outElements = Math.max(1, tensorElements(output, scale) / option.outputSpecs[0].shards);
    const flop = block.source.flop * workScale(block, option, scale);
    const weight = block.inputs.map((t) => layer.tensors[t]).find((t) => t.isParameter);
    const k = Math.max(1, flop / (2 * outElements));
    const n = weight ? Math.max(1, Math.min(outElements, weight.elements / k / option.ways)) : 1;
    return { batch: 1, m: Math.max(1, outElements / n), n, k };
  }

  private attentionSec(layer: Layer, block: LayerBlock, option: BlockOption, scale: RankScale): BlockSeconds {
    const shape = attentionShape(layer, block, option, scale);
    const args = [shape.batch, shape.heads, shape.kvHeads, shape.queries, shape.keys, shape.headDim] as const;
    if (this.stack.attention === 'unfused') {
      const { batch, heads, queries, keys, headDim } = shape;
      const sec = (backward: boolean): number =>
        unfusedAttentionTimeSec(this.device, this.precision, batch, heads, queries, keys, headDim, backward);
      return { forward: sec(false), backwardInput: sec(true), backwardWeight: 0, statistics: 0 };
    }
    const causal = block.source.causal;
    return {
      forward: attentionTimeSec(this.device, this.precision, ...args, causal),
      backwardInput: attentionTimeSec(this.device, this.precision, ...args, causal, true),
      backwardWeight: 0,
      statistics: 0,
    };
  }

  /** A table is read only where it is indexed. */
  private lookupBytes(layer: Layer, block: LayerBlock, option: BlockOption, scale: RankScale): number {
    let bytes = 0;
    block.outputs.forEach((t, slot) => {
      bytes +=
        (2 * tensorElements(layer.tensors[t], scale) * scale.floatBytes) / option.outputSpecs[slot].shards;
    });
    return bytes;
  }

  private statisticsSec(layer: Layer, block: LayerBlock, option: BlockOption, scale: RankScale): number {
    const normalized = block.kinds.reduce(
      (size, kind, f) => (kind === 'normalized' && option.shards[f] > 1 ? size * block.sizes[f] : size),
      1,
    );
    const widest = [...block.inputs, ...block.outputs].reduce((most, t) => {
      const tensor = layer.tensors[t];
      return tensor.isParameter || tensor.isConstant ? most : Math.max(most, tensorElements(tensor, scale));
    }, 0);
    return this.tensorParallelSec('allReduce', (widest / normalized) * STATISTICS_BYTES);
  }
}

/** A block of nothing but views costs nothing. */
function isView(layer: Layer, block: LayerBlock): boolean {
  return block.source.touchedElements === 0 && block.outputs.every((t) => layer.tensors[t].elements >= 0);
}

/** Elements of the scores of an attention block on one rank. */
export function attentionScores(
  layer: Layer,
  block: LayerBlock,
  option: BlockOption,
  scale: RankScale,
): number {
  const { batch, heads, queries, keys } = attentionShape(layer, block, option, scale);
  return batch * heads * queries * keys;
}

interface AttentionShape {
  batch: number;
  heads: number;
  kvHeads: number;
  queries: number;
  keys: number;
  headDim: number;
}

/**
 * Reads extents off the factors. Keys are normalised over and index no output; operands that they index are keys and
 * values, the others queries. Of the output's factors, those in values alone are the head dimension, those in queries alone
 * the query positions (sequence axis) or the heads that share a key head, those in both the key-value heads.
 */
function attentionShape(
  layer: Layer,
  block: LayerBlock,
  option: BlockOption,
  scale: RankScale,
): AttentionShape {
  const inOutput = (f: number): boolean => block.outputDims.some((dims) => dims?.some((d) => d.includes(f)));
  const operands = block.inputs
    .map((t, slot) => ({ tensor: layer.tensors[t], dims: (block.inputDims[slot] ?? []).flat() }))
    .filter(({ tensor }) => tensor.isFloat && tensor.carriesGradient && !tensor.isParameter)
    .map(({ dims }) => dims);
  const isKeys = (f: number): boolean => block.kinds[f] === 'normalized' && !inOutput(f);
  const keyed = operands.filter((dims) => dims.some(isKeys));
  const queried = operands.filter((dims) => !dims.some(isKeys));
  const shape: AttentionShape = { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 1, headDim: 1 };
  let sampled = false;
  for (let f = 0; f < block.sizes.length; f++) {
    const size = localSize(block, option, f, scale);
    if (block.axes[f] === AXIS_BATCH) {
      shape.batch *= size;
      sampled = true;
    } else if (isKeys(f)) shape.keys *= size;
    else if (!inOutput(f)) continue;
    else if (block.axes[f] === AXIS_SEQUENCE) shape.queries *= size;
    else if (!queried.some((dims) => dims.includes(f))) shape.headDim *= size;
    else if (keyed.some((dims) => dims.includes(f))) {
      shape.heads *= size;
      shape.kvHeads *= size;
    } else if (block.axes.includes(AXIS_SEQUENCE)) shape.heads *= size;
    else shape.queries *= size;
  }
  if (block.perSample && !sampled) shape.batch *= scale.batch;
  return keyed.length > 0 ? shape : fusedAttentionShape(block, option, scale);
}

/**
 * One fused operator may hold queries, keys and values in one operand and never tell the keys apart. Its first output does
 * tell batch, heads (split freely) and head dimension (whole); the number of keys follows from the FLOP.
 */
function fusedAttentionShape(block: LayerBlock, option: BlockOption, scale: RankScale): AttentionShape {
  const shape: AttentionShape = { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 1, headDim: 1 };
  let sampled = false;
  for (const f of new Set((block.outputDims[0] ?? []).flat())) {
    const size = localSize(block, option, f, scale);
    if (block.axes[f] === AXIS_BATCH) {
      shape.batch *= size;
      sampled = true;
    } else if (block.axes[f] === AXIS_SEQUENCE) shape.queries *= size;
    else if (block.kinds[f] === 'whole') shape.headDim *= size;
    else shape.heads *= size;
  }
  if (block.perSample && !sampled) shape.batch *= scale.batch;
  shape.kvHeads = shape.heads;
  const flop = block.source.flop * workScale(block, option, scale);
  const share = block.source.causal && shape.queries > 1 ? 0.5 : 1;
  const perKey = 4 * shape.batch * shape.heads * shape.queries * shape.headDim * share;
  shape.keys = Math.max(1, Math.round(flop / perKey));
  return shape;
}
