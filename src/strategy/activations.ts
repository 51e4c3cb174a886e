/** What one layer keeps from its forward to its backward pass, what it makes again, and what it needs in passing. */
import { lossMemory } from '../cost/memory.js';
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../cost/types.js';
import type { Pricing } from './pricing.js';
import { innerBytes, isActivation, keptUnder, runsNothing, selectiveRerun } from './rerun.js';
import { reshardKind } from './reshard.js';
import type { RankScale } from './scale.js';
import { tensorBytes, tensorElements } from './scale.js';
import type { LayerStrategy } from './solve.js';
import { REPLICATED } from './spec.js';
import { countTensorParallel } from './tally.js';

/**
 * Bytes kept for the backward pass. `none` keeps what the blocks save. `selective` drops what the stack's rule says and
 * makes it again (see rerun.ts). `full` keeps only what enters the layer and runs its forward pass again. A tensor gathered
 * for its readers is kept as its maker left it and gathered again. The loss keeps its softmax in fp32.
 */
export function countActivations(pricing: Pricing): void {
  const { costs, c, strategy, scale, clock, trains } = pricing;
  const { layer } = strategy;
  const { stack } = clock;
  let working = 0;
  let lossBytes = 0;
  layer.blocks.forEach((block, b) => {
    let bytes = touchedActivationBytes(strategy, b, scale);
    if (trains) {
      // Scores in memory have gradients there too.
      bytes = 2 * bytes + (block.source.kind === 'attention' ? innerBytes(pricing, b) : 0);
      if (block.isLoss) {
        const split = strategy.options[b].ways > 1 && stack.splitLogitBytes > 0;
        // Figures are of 16-bit logits.
        const peakBytes = (split ? stack.splitLogitBytes : stack.logitBytes) + scale.floatBytes - 2;
        const loss = lossMemory(logitElements(strategy, b, scale), peakBytes);
        bytes = loss.transientBytes;
        lossBytes += loss.savedBytes;
      }
    }
    working = Math.max(working, bytes);
  });
  costs.transientBytes[RECOMPUTE_NONE][c] = working;
  costs.transientBytes[RECOMPUTE_SELECTIVE][c] = working;
  costs.transientBytes[RECOMPUTE_FULL][c] = working;
  if (!trains) return;
  const none = keptUnder(pricing, runsNothing(layer));
  const selective = keptUnder(pricing, selectiveRerun(pricing));
  costs.savedBytes[RECOMPUTE_NONE][c] = none.bytes + lossBytes;
  costs.savedBytes[RECOMPUTE_SELECTIVE][c] = selective.bytes + lossBytes;
  costs.recomputeSec[RECOMPUTE_SELECTIVE][c] = selective.rerunSec;
  costs.transientBytes[RECOMPUTE_SELECTIVE][c] += selective.remadeBytes;
  costs.transientBytes[RECOMPUTE_FULL][c] += none.bytes + lossBytes;
  for (const t of stack.gatheredInputs === 'again' ? none.tensors : []) {
    const tensor = layer.tensors[t];
    if (reshardKind(strategy.madeSpecs[t], false, strategy.specs[t]) !== 'allGather') continue;
    const sec = clock.tensorParallelSec('allGather', tensorBytes(tensor, scale));
    costs.tpBackwardSec[c] += sec;
    countTensorParallel(costs, c, 'allGather', sec);
  }
  costs.recomputeSec[RECOMPUTE_FULL][c] =
    costs.forwardSec[c] + costs.tpForwardSec[c] + costs.cpForwardSec[c] + costs.epForwardSec[c];
  layer.tensors.forEach((tensor, t) => {
    if (tensor.producer >= 0 || !isActivation(tensor) || !tensor.carriesGradient) return;
    costs.savedBytes[RECOMPUTE_FULL][c] += tensorBytes(tensor, scale) / strategy.betweenSpecs[t].shards;
  });
}

/** Elements of the logits on this rank: the largest activation that the loss reads. */
function logitElements(strategy: LayerStrategy, b: number, scale: RankScale): number {
  const { layer, options } = strategy;
  return layer.blocks[b].inputs.reduce((most, t, slot) => {
    const tensor = layer.tensors[t];
    if (!tensor.isFloat || !isActivation(tensor)) return most;
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
    if (isActivation(tensor)) bytes += tensorBytes(tensor, scale) / shards;
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
