/**
 * Price of one layer under its strategy, for one microbatch on one rank: fills one column of `ClassCosts`.
 */
import { lossMemory } from '../cost/memory.js';
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../cost/types.js';
import type { ClassCosts, Phase, ShardKey } from '../cost/types.js';
import { AXIS_SEQUENCE } from '../graph/index.js';
import type { ExpertTraffic } from './experts.js';
import type { KernelClock } from './kernels.js';
import type { LayerBlock } from './layer.js';
import { expertFactor } from './options.js';
import { reshardKind } from './reshard.js';
import type { RankScale } from './scale.js';
import { tensorBytes, tensorElements, touchedBytes, workScale } from './scale.js';
import type { LayerStrategy } from './solve.js';
import { boundarySpec } from './solve.js';
import { REPLICATED } from './spec.js';

/** One layer being priced: where the figures go, and what they are read off. */
interface Pricing {
  readonly costs: ClassCosts;
  /** Row of the layer's class in every column. */
  readonly c: number;
  readonly strategy: LayerStrategy;
  readonly traffic: ExpertTraffic;
  readonly key: ShardKey;
  readonly scale: RankScale;
  readonly clock: KernelClock;
  readonly trains: boolean;
}

/** Fills row `strategy.layer.classId` of every column but `cutBytes`. */
export function priceLayer(
  costs: ClassCosts,
  strategy: LayerStrategy,
  traffic: ExpertTraffic,
  key: ShardKey,
  scale: RankScale,
  clock: KernelClock,
  phase: Phase,
): void {
  const c = strategy.layer.classId;
  const pricing: Pricing = { costs, c, strategy, traffic, key, scale, clock, trains: phase === 'train' };
  priceKernels(pricing);
  priceCollectives(pricing);
  priceContext(pricing);
  priceExperts(pricing);
  countParameters(pricing);
  countActivations(pricing);
  if (!pricing.trains) costs.cacheBytes[c] = cacheBytes(strategy, scale);
}

function priceKernels({ costs, c, strategy, scale, clock, trains }: Pricing): void {
  const { layer, options } = strategy;
  layer.blocks.forEach((block, b) => {
    const option = options[b];
    const sec = clock.blockSec(layer, block, option, scale);
    const work = workScale(block, option, scale);
    const bytes = touchedBytes(layer, block, option, scale);
    costs.forwardSec[c] += sec.forward;
    costs.forwardFlop[c] += block.source.flop * work;
    costs.memoryTrafficBytes[c] += bytes;
    costs.tpForwardSec[c] += sec.statistics;
    if (!trains) return;
    costs.backwardInputSec[c] += sec.backwardInput;
    costs.backwardWeightSec[c] += sec.backwardWeight;
    costs.tpBackwardSec[c] += sec.statistics;
    costs.backwardFlop[c] += (block.source.gradInputFlop + block.source.gradWeightFlop) * work;
    costs.memoryTrafficBytes[c] += 2 * bytes;
  });
}

function priceCollectives({ costs, c, strategy, scale, clock, trains }: Pricing): void {
  for (const { tensor, kind, pass } of strategy.collectives) {
    if (pass === 'backward' && !trains) continue;
    const bytes = tensorBytes(strategy.layer.tensors[tensor], scale);
    const sec = clock.tensorParallelSec(kind, bytes);
    if (pass === 'forward') costs.tpForwardSec[c] += sec;
    else costs.tpBackwardSec[c] += sec;
    costs.networkBytes[c] += (kind === 'allReduce' ? 2 : 1) * bytes * (1 - 1 / strategy.degree);
  }
}

/** Sequence-indexed inputs that a block needs whole (keys and values) travel around the context-parallel ring. */
function priceContext({ costs, c, strategy, key, scale, clock, trains }: Pricing): void {
  if (key.cp === 1) return;
  strategy.layer.blocks.forEach((block, b) => {
    const option = strategy.options[b];
    block.inputs.forEach((t, slot) => {
      const tensor = strategy.layer.tensors[t];
      if (tensor.isParameter || tensor.isConstant || !tensor.carriesGradient) return;
      if (!needsWholeSequence(block, slot)) return;
      const wholeBytes = (tensorBytes(tensor, scale) * key.cp) / option.inputSpecs[slot].shards;
      const sec = clock.contextParallelSec('allGather', wholeBytes);
      costs.cpForwardSec[c] += sec;
      costs.networkBytes[c] += wholeBytes * (1 - 1 / key.cp) * (trains ? 3 : 1);
      if (trains) costs.cpBackwardSec[c] += sec + clock.contextParallelSec('reduceScatter', wholeBytes);
    });
  });
}

/** True when the slot is indexed by a sequence factor that no output of the block carries. */
function needsWholeSequence(block: LayerBlock, slot: number): boolean {
  const factors = (block.inputDims[slot] ?? []).flat().filter((f) => block.axes[f] === AXIS_SEQUENCE);
  return factors.some((f) => !block.outputDims.some((dims) => dims?.some((d) => d.includes(f))));
}

function priceExperts({ costs, c, strategy, traffic, key, scale, trains, clock }: Pricing): void {
  if (key.ep === 1 || traffic.experts === 1) return;
  for (const t of [...traffic.dispatched, ...traffic.combined]) {
    const bytes = tensorBytes(strategy.layer.tensors[t], scale) / (key.etp < key.tp ? key.tp / key.etp : 1);
    const sec = clock.expertParallelSec(bytes);
    costs.epForwardSec[c] += sec;
    if (trains) costs.epBackwardSec[c] += sec;
    costs.networkBytes[c] += bytes * (1 - 1 / key.ep) * (trains ? 2 : 1);
  }
}

function countParameters({ costs, c, strategy, key }: Pricing): void {
  const { layer, options } = strategy;
  const counted = new Set<number>();
  for (const tensor of layer.tensors) {
    if (!tensor.isParameter || counted.has(tensor.storage)) continue;
    counted.add(tensor.storage);
    let shards = 1;
    let expert = false;
    for (const { block, slot } of tensor.consumers) {
      shards = Math.max(shards, options[block].inputSpecs[slot].shards);
      const reader = layer.blocks[block];
      const lookup = expertFactor(reader);
      if (lookup >= 0 && reader.inputDims[slot]?.some((d) => d.includes(lookup))) expert = true;
    }
    if (expert) costs.expertParameters[c] += tensor.elements / shards / key.ep;
    else costs.denseParameters[c] += tensor.elements / shards;
  }
}

/**
 * Bytes kept for the backward pass. `none` keeps what the blocks save. `selective` drops what memory-bound blocks made
 * (norms, activations) and makes it again. `full` keeps only what enters the layer and runs its forward pass again.
 * A tensor gathered for its readers is kept as its maker left it and gathered again. The loss keeps its softmax in fp32.
 */
function countActivations({ costs, c, strategy, scale, clock, trains }: Pricing): void {
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
      if (gathered)
        costs.tpBackwardSec[c] += clock.tensorParallelSec('allGather', tensorBytes(tensor, scale));
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
function cacheBytes(strategy: LayerStrategy, scale: RankScale): number {
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
