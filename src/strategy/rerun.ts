/**
 * Which blocks of a layer run again in the backward pass under selective recomputation, and what is kept then. Three rules:
 *
 * - `attention` (Korthikanti et al. 2022, section 5; Megatron's `core_attn`): the inside of attention is dropped and made
 *   again from queries, keys and values;
 * - `pointwise` (Megatron's output-discarding modules): what memory-bound blocks made is dropped where the inputs that must
 *   be kept for it are smaller;
 * - `matmul` (torchtitan's per-operator policy): every second product and what attention made is kept, all else is made
 *   again.
 */
import type { Layer, LayerTensor } from './layer.js';
import { attentionScores } from './kernels.js';
import type { Pricing } from './pricing.js';
import { tensorBytes, workScale } from './scale.js';

/** Kept: the block's saved tensors are held. */
const KEPT = 0;
/** The inside of the block is made again, what leaves it is kept. */
const INSIDE = 1;
/** The block runs again from its inputs whenever something needs what it made. */
const AGAIN = 2;

/** How each block of a layer is treated, and outputs that are kept whether needed or not. */
export interface Rerun {
  readonly treatment: Uint8Array;
  readonly alwaysKept: readonly number[];
}

export interface KeptBytes {
  readonly bytes: number;
  /** Tensors of the layer that are held. */
  readonly tensors: readonly number[];
  /** Seconds of the blocks that run again. */
  readonly rerunSec: number;
  /** Bytes made again that are held at one time while the layer runs backward. */
  readonly remadeBytes: number;
}

export function isActivation(tensor: LayerTensor): boolean {
  return !tensor.isParameter && !tensor.isConstant;
}

export function runsNothing(layer: Layer): Rerun {
  return { treatment: new Uint8Array(layer.blocks.length), alwaysKept: [] };
}

/** Bytes of a tensor as one rank holds it: one gathered for its readers is kept as its maker left it, or as they read it. */
export function heldBytes({ strategy, scale, clock }: Pricing, t: number): number {
  const read = strategy.specs[t].shards;
  const shards = clock.stack.gatheredInputs === 'kept' ? read : Math.max(strategy.madeSpecs[t].shards, read);
  return tensorBytes(strategy.layer.tensors[t], scale) / shards;
}

/** Bytes that block b keeps inside: masks, statistics, and where attention is not fused its scores. */
export function innerBytes({ strategy, scale, clock }: Pricing, b: number): number {
  const block = strategy.layer.blocks[b];
  const option = strategy.options[b];
  const { source } = block;
  const work = workScale(block, option, scale);
  if (source.kind === 'attention' && clock.stack.attention === 'unfused') {
    if (source.unfused !== undefined)
      return (source.unfused.elements * scale.floatBytes + source.unfused.bytes) * work;
    // One operator does not say what it holds: the softmax's output.
    return attentionScores(strategy.layer, block, option, scale) * scale.floatBytes;
  }
  return (source.extraSavedBytes + (source.innerSavedElements ?? 0) * scale.floatBytes) * work;
}

/** The stack's rule, applied to a layer. A layer that holds the loss keeps everything: its backward pass comes at once. */
export function selectiveRerun(pricing: Pricing): Rerun {
  const { layer } = pricing.strategy;
  if (layer.blocks.some((block) => block.isLoss)) return runsNothing(layer);
  switch (pricing.clock.stack.selectiveRecompute) {
    case 'attention':
      return attentionRule(layer);
    case 'matmul':
      return matmulRule(layer);
    case 'pointwise':
      return pointwiseRule(pricing);
  }
}

function attentionRule(layer: Layer): Rerun {
  const treatment = Uint8Array.from(layer.blocks, (b) => (b.source.kind === 'attention' ? INSIDE : KEPT));
  return { treatment, alwaysKept: [] };
}

function matmulRule(layer: Layer): Rerun {
  let products = 0;
  const treatment = Uint8Array.from(layer.blocks, ({ source }) => {
    if (source.kind === 'attention' || source.kind === 'groupedGemm') return KEPT;
    return source.kind === 'gemm' && products++ % 2 === 0 ? KEPT : AGAIN;
  });
  const alwaysKept = layer.blocks.flatMap((block, b) => (treatment[b] === KEPT ? block.outputs : []));
  return { treatment, alwaysKept };
}

/** Smallest share of what a block made that dropping it must save. */
const WORTH_DROPPING = 0.5;

function pointwiseRule(pricing: Pricing): Rerun {
  const { layer } = pricing.strategy;
  const treatment = new Uint8Array(layer.blocks.length);
  const needed = neededBy(pricing, { treatment, alwaysKept: [] });
  for (let b = layer.blocks.length - 1; b >= 0; b--) {
    const block = layer.blocks[b];
    if (block.source.kind !== 'pointwise') continue;
    const dropped = block.outputs.filter((t) => needed.has(t) && !layer.tensors[t].leaves);
    if (dropped.length === 0) continue;
    const made = dropped.reduce((sum, t) => sum + heldBytes(pricing, t), 0) + innerBytes(pricing, b);
    const added = rerunInputs(layer, b).filter((t) => !needed.has(t));
    const price = added.reduce((sum, t) => sum + heldBytes(pricing, t), 0);
    if (made - price < WORTH_DROPPING * made) continue;
    treatment[b] = AGAIN;
    for (const t of added) needed.add(t);
  }
  return { treatment, alwaysKept: [] };
}

/** Activations that a block needs to run again. */
function rerunInputs(layer: Layer, b: number): number[] {
  return layer.blocks[b].inputs.filter(
    (t) => isActivation(layer.tensors[t]) && layer.tensors[t].carriesGradient,
  );
}

/** Tensors of the layer that must be at hand in the backward pass, whether kept or made again. */
function neededBy(pricing: Pricing, { treatment, alwaysKept }: Rerun): Set<number> {
  const { layer } = pricing.strategy;
  const localOf = new Map(layer.tensors.map((t, i) => [t.id, i]));
  const needed = new Set<number>(alwaysKept);
  const folds = pricing.clock.stack.expertWeights === 'folded';
  for (const block of layer.blocks) {
    if (block.isLoss) continue;
    for (const id of block.source.saved) {
      const t = localOf.get(id);
      if (t === undefined || !isActivation(layer.tensors[t])) continue;
      // What comes out of the experts is kept only for the gradient of the weights that it is mixed with.
      if (!folds || !pricing.traffic.combined.includes(t)) needed.add(t);
    }
  }
  // Blocks are in topological order: what runs again asks for what comes before it.
  for (let b = layer.blocks.length - 1; b >= 0; b--) {
    const runs =
      treatment[b] === INSIDE ||
      (treatment[b] === AGAIN && layer.blocks[b].outputs.some((t) => needed.has(t)));
    if (runs) for (const t of rerunInputs(layer, b)) needed.add(t);
  }
  return needed;
}

/** What a layer holds, and what it does again, when blocks are treated so. */
export function keptUnder(pricing: Pricing, rerun: Rerun): KeptBytes {
  const { strategy, scale, clock } = pricing;
  const { layer, options } = strategy;
  const { treatment } = rerun;
  const needed = neededBy(pricing, rerun);
  const tensors: number[] = [];
  let bytes = 0;
  let rerunSec = 0;
  let largest = 0;
  let together = 0;
  const held = new Set<number>();
  for (const t of needed) {
    const { producer, leaves, storage } = layer.tensors[t];
    if (producer >= 0 && treatment[producer] === AGAIN && !leaves) continue;
    if (held.has(storage)) continue;
    held.add(storage);
    tensors.push(t);
    bytes += heldBytes(pricing, t);
  }
  layer.blocks.forEach((block, b) => {
    if (block.isLoss) return;
    if (treatment[b] === KEPT) {
      bytes += innerBytes(pricing, b);
      return;
    }
    const made = block.outputs.filter((t) => needed.has(t) && !layer.tensors[t].leaves);
    if (treatment[b] === AGAIN && made.length === 0) return;
    const remade =
      innerBytes(pricing, b) +
      (treatment[b] === AGAIN ? made.reduce((sum, t) => sum + heldBytes(pricing, t), 0) : 0);
    largest = Math.max(largest, remade);
    together += remade;
    const sec = clock.blockSec(layer, block, options[b], scale);
    rerunSec += sec.forward + sec.statistics;
  });
  // One rule runs a whole layer again before its backward pass, the others each block where it is needed.
  const remadeBytes = clock.stack.selectiveRecompute === 'matmul' ? together : largest;
  return { bytes, tensors, rerunSec, remadeBytes };
}
