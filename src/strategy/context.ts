/**
 * What context parallelism moves. A block that needs a whole sequence (attention needs all keys and values) but makes
 * only a part of one either lets the others' parts travel past it (ring), or exchanges heads for sequence first and
 * back afterwards (all-to-all): between the exchanges a rank holds some heads of the whole sequence.
 *
 *     ring          keys, values: all-gathered forward; again, and their gradients reduced, backward
 *     all-to-all    queries, keys, values in, output out; backward the same for their gradients
 */
import { AXIS_NONE, AXIS_SEQUENCE } from '../graph/index.js';
import type { Layer, LayerBlock } from './layer.js';
import type { BlockOption } from './options.js';
import type { Pricing } from './pricing.js';
import { tensorBytes } from './scale.js';

/** Fills the context-parallel seconds and bytes of a layer. */
export function priceContext(pricing: Pricing): void {
  const { cp, contextExchange } = pricing.key;
  if (cp === 1) return;
  if (contextExchange === 'ring') priceRing(pricing);
  else priceAllToAll(pricing);
}

/** Sequence-indexed inputs that a block needs whole travel around the ring. */
function priceRing({ costs, c, strategy, key, scale, clock, trains }: Pricing): void {
  const { layer, options } = strategy;
  layer.blocks.forEach((block, b) => {
    block.inputs.forEach((t, slot) => {
      if (!travels(layer, t) || !needsWholeSequence(block, slot)) return;
      const wholeBytes = (tensorBytes(layer.tensors[t], scale) * key.cp) / options[b].inputSpecs[slot].shards;
      const sec = clock.contextParallelSec('allGather', wholeBytes);
      costs.cpForwardSec[c] += sec;
      costs.networkBytes[c] += wholeBytes * (1 - 1 / key.cp) * (trains ? 3 : 1);
      if (trains) costs.cpBackwardSec[c] += sec + clock.contextParallelSec('reduceScatter', wholeBytes);
    });
  });
}

/** Everything sequence-indexed that enters or leaves the blocks that need whole sequences is exchanged once a pass. */
function priceAllToAll({ costs, c, strategy, key, scale, clock, trains }: Pricing): void {
  const { layer, options } = strategy;
  const inside = layer.blocks.map(mixesSequence);
  const exchanged = new Set<number>();
  const exchange = (t: number, shards: number, heads: number): void => {
    const tensor = layer.tensors[t];
    if (exchanged.has(t) || !travels(layer, t) || tensor.sequenceDim < 0) return;
    exchanged.add(t);
    // Fewer key-value heads than ranks: each is sent to several.
    const copies = Math.max(1, (key.cp * shards) / heads);
    const bytes = (copies * tensorBytes(tensor, scale)) / shards;
    const sec = clock.contextParallelSec('allToAll', bytes);
    costs.cpForwardSec[c] += sec;
    if (trains) costs.cpBackwardSec[c] += sec;
    costs.networkBytes[c] += bytes * (1 - 1 / key.cp) * (trains ? 2 : 1);
  };
  layer.blocks.forEach((block, b) => {
    if (!inside[b]) return;
    const option: BlockOption = options[b];
    const heads = headFactors(block);
    block.inputs.forEach((t, slot) => {
      const maker = layer.tensors[t].producer;
      if (maker >= 0 && inside[maker]) return;
      exchange(t, option.inputSpecs[slot].shards, product(block, heads, block.inputDims[slot]));
    });
    block.outputs.forEach((t, slot) => {
      if (
        layer.tensors[t].consumers.length > 0 &&
        layer.tensors[t].consumers.every((use) => inside[use.block])
      )
        return;
      exchange(t, option.outputSpecs[slot].shards, product(block, heads, block.outputDims[slot]));
    });
  });
}

/**
 * Heads that an all-to-all may deal out: what divides the heads of every block that needs whole sequences; 1 when some
 * such block has none.
 */
export function contextHeads(layers: readonly Layer[]): number {
  let common = 0;
  for (const layer of layers)
    for (const block of layer.blocks) {
      if (!mixesSequence(block) || !block.inputs.some((t) => travels(layer, t))) continue;
      common = greatestCommonDivisor(
        product(
          block,
          headFactors(block),
          block.outputDims.find((dims) => dims !== null),
        ),
        common,
      );
    }
  return Math.max(1, common);
}

/** Activations that a gradient flows back through: what context parallelism has to move. */
function travels(layer: Layer, t: number): boolean {
  const { isParameter, isConstant, carriesGradient } = layer.tensors[t];
  return !isParameter && !isConstant && carriesGradient;
}

function mixesSequence(block: LayerBlock): boolean {
  return block.inputs.some((_, slot) => needsWholeSequence(block, slot));
}

/** True when the slot is indexed by a sequence factor that no output of the block carries. */
function needsWholeSequence(block: LayerBlock, slot: number): boolean {
  const factors = (block.inputDims[slot] ?? []).flat().filter((f) => block.axes[f] === AXIS_SEQUENCE);
  return factors.some((f) => !block.outputDims.some((dims) => dims?.some((d) => d.includes(f))));
}

/**
 * Factors along which parts of the block never meet: neither batch nor sequence, carried by every output and by the
 * inputs whose part of the sequence suffices (the queries).
 */
function headFactors(block: LayerBlock): number[] {
  const carries = (dims: number[][] | null, f: number): boolean => dims?.some((d) => d.includes(f)) ?? false;
  const queries = block.inputDims.filter(
    (dims, slot) =>
      dims !== null &&
      !needsWholeSequence(block, slot) &&
      dims.flat().some((f) => block.axes[f] === AXIS_SEQUENCE),
  );
  return block.sizes.flatMap((_, f) =>
    block.axes[f] === AXIS_NONE &&
    queries.length > 0 &&
    block.outputDims.every((dims) => carries(dims, f)) &&
    queries.some((dims) => carries(dims, f))
      ? [f]
      : [],
  );
}

/** Product of the sizes of those factors that index a slot. */
function product(
  block: LayerBlock,
  factors: readonly number[],
  dims: readonly (readonly number[])[] | null | undefined,
): number {
  const found = new Set((dims ?? []).flat());
  return factors.reduce((size, f) => (found.has(f) ? size * block.sizes[f] : size), 1);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
