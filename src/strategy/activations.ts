/** What one layer keeps from its forward to its backward pass, what it makes again, and what it needs in passing. */
import { lossMemory } from '../cost/memory.js';
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../cost/types.js';
import { reshardKind } from './reshard.js';
import type { Pricing } from './price.js';
import { countTensorParallel } from './tally.js';
import type { RankScale } from './scale.js';
import { tensorBytes, tensorElements, workScale } from './scale.js';
import type { LayerStrategy } from './solve.js';
import { boundarySpec } from './solve.js';
import { REPLICATED } from './spec.js';

/**
 * Bytes kept for the backward pass. `none` keeps what the blocks save. `selective` drops what memory-bound blocks made
 * (norms, activations) and makes it again. `full` keeps only what enters the layer and runs its forward pass again.
 * A tensor gathered for its readers is kept as its maker left it and gathered again. The loss keeps its softmax in fp32.
 */
export function countActivations({ costs, c, strategy, scale, clock, trains }: Pricing): void {
  const { layer, options } = strategy;
  const localOf = new Map(layer.tensors.map((t, i) => [t.id, i]));
  const kept = new Set<number>();
  const rebuilt = new Set<number>();
  let working = 0;
  layer.blocks.forEach((block, b) => {
    const option = options[b];
    working = Math.max(working, touchedActivationBytes(strategy, b, scale) * (trains ? 2 : 1));
    if (!trains) return;
    if (block.isLoss) {
      const loss = lossMemory(logitElements(strategy, b, scale), scale.floatBytes);
      working = Math.max(working, loss.transientBytes);
      costs.savedBytes[RECOMPUTE_NONE][c] += loss.savedBytes;
      costs.savedBytes[RECOMPUTE_SELECTIVE][c] += loss.savedBytes;
      return;
    }
    const extra = block.source.extraSavedBytes * workScale(block, option, scale);
    costs.savedBytes[RECOMPUTE_NONE][c] += extra;
    costs.savedBytes[RECOMPUTE_SELECTIVE][c] += extra;
    for (const id of block.source.saved) {
      const t = localOf.get(id);
      if (t === undefined || kept.has(t)) continue;
      kept.add(t);
      const tensor = layer.tensors[t];
      if (tensor.isParameter || tensor.isConstant) continue;
      const spec = strategy.specs[t];
      const made = strategy.madeSpecs[t];
      const gathered = reshardKind(made, false, spec) === 'allGather';
      const bytes = tensorBytes(tensor, scale) / Math.max(made.shards, spec.shards);
      costs.savedBytes[RECOMPUTE_NONE][c] += bytes;
      if (gathered) {
        const sec = clock.tensorParallelSec('allGather', tensorBytes(tensor, scale));
        costs.tpBackwardSec[c] += sec;
        countTensorParallel(costs, c, 'allGather', sec);
      }
      const maker = tensor.producer;
      if (maker >= 0 && layer.blocks[maker].source.kind === 'pointwise' && !tensor.leaves) rebuilt.add(maker);
      else costs.savedBytes[RECOMPUTE_SELECTIVE][c] += bytes;
    }
  });
  costs.transientBytes[RECOMPUTE_NONE][c] = working;
  costs.transientBytes[RECOMPUTE_SELECTIVE][c] = working;
  costs.transientBytes[RECOMPUTE_FULL][c] = working + costs.savedBytes[RECOMPUTE_NONE][c];
  if (!trains) return;
  for (const b of rebuilt) {
    costs.recomputeSec[RECOMPUTE_SELECTIVE][c] += clock.blockSec(
      layer,
      layer.blocks[b],
      options[b],
      scale,
    ).forward;
  }
  costs.recomputeSec[RECOMPUTE_FULL][c] =
    costs.forwardSec[c] + costs.tpForwardSec[c] + costs.cpForwardSec[c] + costs.epForwardSec[c];
  for (const tensor of layer.tensors) {
    if (tensor.producer >= 0 || tensor.isParameter || tensor.isConstant || !tensor.carriesGradient) continue;
    const spec = boundarySpec(tensor, strategy.boundary, strategy.degree);
    costs.savedBytes[RECOMPUTE_FULL][c] += tensorBytes(tensor, scale) / spec.shards;
  }
}

/** Elements of the logits on this rank: the largest activation that the loss reads. */
function logitElements(strategy: LayerStrategy, b: number, scale: RankScale): number {
  const { layer, options } = strategy;
  return layer.blocks[b].inputs.reduce((most, t, slot) => {
    const tensor = layer.tensors[t];
    if (!tensor.isFloat || tensor.isParameter || tensor.isConstant) return most;
    return Math.max(most, tensorElements(tensor, scale) / options[b].inputSpecs[slot].shards);
  }, 0);
}

/** Activations that a block reads and writes, as materialised. */
function touchedActivationBytes(strategy: LayerStrategy, b: number, scale: RankScale): number {
  const { layer, options } = strategy;
  const block = layer.blocks[b];
  let bytes = 0;
  const count = (t: number, shards: number): void => {
    const tensor = layer.tensors[t];
    if (!tensor.isParameter && !tensor.isConstant) bytes += tensorBytes(tensor, scale) / shards;
  };
  block.inputs.forEach((t, slot) => count(t, options[b].inputSpecs[slot].shards));
  block.outputs.forEach((t, slot) => count(t, options[b].outputSpecs[slot].shards));
  return bytes;
}

/** Keys and values kept for later tokens: past inputs where the graph has them, else what attention reads beside queries. */
export function cacheBytes(strategy: LayerStrategy, scale: RankScale): number {
  const { layer, options } = strategy;
  let bytes = 0;
  layer.blocks.forEach((block, b) => {
    if (block.source.kind !== 'attention') return;
    block.inputs.forEach((t, slot) => {
      const tensor = layer.tensors[t];
      if (!tensor.isFloat || tensor.isParameter || tensor.isConstant) return;
      const dims = block.inputDims[slot] ?? [];
      const readsWhole = dims
        .flat()
        .some((f) => !block.outputDims.some((o) => o?.some((d) => d.includes(f))));
      if (tensor.isInput || (readsWhole && tensor.carriesGradient)) {
        bytes +=
          tensorBytes(tensor, { ...scale, cp: 1 }) / (options[b].inputSpecs[slot] ?? REPLICATED).shards;
      }
    });
  });
  return bytes;
}
