/**
 * A strategy told in the model's own names: for every parameter and every tensor between kernels, the mesh axes that
 * split each of its dimensions.
 */
import type { ShardKey } from '../cost/types.js';
import type { Graph, Segmentation } from '../graph/index.js';
import { TensorRole } from '../graph/index.js';
import { expertFactor } from './options.js';
import { segmentTensors } from './segmentTensors.js';
import type { LayerStrategy } from './solve.js';
import type { Spec } from './spec.js';

/** Mesh axes a tensor dimension may be split over; data-parallel sharding of state (ZeRO) is not a split of a tensor. */
export type ShardingAxis = 'dp' | 'cp' | 'tp' | 'ep' | 'etp';

export interface TensorLayout {
  /** Tensor id in the graph. */
  readonly tensor: number;
  /** Per dimension, axes that split it, major to minor. */
  readonly dims: ShardingAxis[][];
  /** Per dimension, equal blocks that are each split on their own (1: split as a whole). */
  readonly blocks: number[];
  /** Per dimension, ranks of its axes that hold the same part. */
  readonly copies: number[];
}

/**
 * Layouts of all parameters and all activations between blocks, in tensor order.
 *
 * @param dp data-parallel degree; batch dimensions carry `dp` when it is above 1
 */
export function tensorLayouts(
  graph: Graph,
  segmentation: Segmentation,
  strategies: readonly LayerStrategy[],
  key: ShardKey,
  dp: number,
): TensorLayout[] {
  const found = new Map<number, TensorLayout>();
  for (let s = 0; s < segmentation.segmentCount; s++) {
    const strategy = strategies[segmentation.segmentClass[s]];
    const ids = segmentTensors(segmentation, s, strategy.layer);
    strategy.layer.tensors.forEach((tensor, t) => {
      const id = ids[t];
      if (tensor.isConstant || found.has(id)) return;
      const rank = graph.shapeStart[id + 1] - graph.shapeStart[id];
      const dims: ShardingAxis[][] = Array.from({ length: rank }, () => []);
      const blocks = new Array<number>(rank).fill(1);
      const copies = new Array<number>(rank).fill(1);
      if (tensor.isParameter) placeParameter(strategy, t, key, dims, blocks, copies);
      else {
        if (tensor.batchDim >= 0 && tensor.batchDim < rank && dp > 1) dims[tensor.batchDim].push('dp');
        if (tensor.sequenceDim >= 0 && tensor.sequenceDim < rank && key.cp > 1)
          dims[tensor.sequenceDim].push('cp');
        placeSpec(strategy.specs[t], 'tp', key.tp, dims, blocks, copies);
      }
      found.set(id, { tensor: id, dims, blocks, copies });
    });
  }
  return [...found.values()].sort((a, b) => a.tensor - b.tensor);
}

function placeSpec(
  spec: Spec,
  axis: ShardingAxis,
  degree: number,
  dims: ShardingAxis[][],
  blocks: number[],
  copies: number[],
): void {
  for (const split of spec.splits) {
    const dim = dims[split.dim];
    if (!dim) continue;
    if (!dim.includes(axis)) dim.push(axis);
    blocks[split.dim] = Math.max(blocks[split.dim], split.prefix);
    copies[split.dim] = degree / split.shards;
  }
}

function placeParameter(
  strategy: LayerStrategy,
  t: number,
  key: ShardKey,
  dims: ShardingAxis[][],
  blocks: number[],
  copies: number[],
): void {
  const { layer, options } = strategy;
  for (const { block, slot } of layer.tensors[t].consumers) {
    const reader = layer.blocks[block];
    const lookup = expertFactor(reader);
    const expertDim = lookup >= 0 ? (reader.inputDims[slot]?.findIndex((d) => d.includes(lookup)) ?? -1) : -1;
    if (expertDim >= 0 && key.ep > 1 && dims[expertDim] && !dims[expertDim].includes('ep'))
      dims[expertDim].push('ep');
    const [axis, degree] = expertDim >= 0 ? (['etp', key.etp] as const) : (['tp', key.tp] as const);
    placeSpec(options[block].inputSpecs[slot], axis, degree, dims, blocks, copies);
  }
}

/** One line on how a class is split: each block's kind and option, runs of equal ones counted. */
export function describeStrategy(strategy: LayerStrategy): string {
  const parts: { text: string; count: number }[] = [];
  strategy.layer.blocks.forEach((block, b) => {
    const text = `${block.source.kind}:${strategy.options[b].label}`;
    const last = parts[parts.length - 1];
    if (last && last.text === text) last.count++;
    else parts.push({ text, count: 1 });
  });
  return `${strategy.boundary}; ${parts.map((p) => (p.count > 1 ? `${p.text} x${p.count}` : p.text)).join(' ')}`;
}

/** Tensors of role PARAMETER, INPUT and the rest, as plan.json names roles. */
export function roleName(graph: Graph, tensor: number): 'parameter' | 'input' | 'output' | 'activation' {
  const role: TensorRole = graph.tensorRole[tensor];
  if (role === TensorRole.PARAMETER) return 'parameter';
  if (role === TensorRole.INPUT) return 'input';
  return graph.graphOutputs.includes(tensor) ? 'output' : 'activation';
}
