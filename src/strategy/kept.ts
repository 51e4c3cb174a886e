/** What lives from a layer's forward to its backward pass under one sharding, with nothing recomputed. */
import type { Layer } from './layer.js';
import type { RankScale } from './scale.js';
import { tensorBytes } from './scale.js';
import type { LayerStrategy } from './solve.js';
import type { Spec } from './spec.js';

/** A layer's tensors that some block's backward pass reads; of tensors that share memory the first. */
export function keptTensors(layer: Layer): Uint8Array {
  const saved = new Set<number>();
  for (const block of layer.blocks) if (!block.isLoss) for (const id of block.source.saved) saved.add(id);
  const seen = new Set<number>();
  return Uint8Array.from(layer.tensors, ({ id, storage, isParameter, isConstant }) => {
    if (!saved.has(id) || isParameter || isConstant || seen.has(storage)) return 0;
    seen.add(storage);
    return 1;
  });
}

/**
 * Parts that a tensor is kept in: as it was made, or as it is read where that is in more parts.
 *
 * @param gathered what the stack does with a tensor gathered for its readers
 */
export function keptShards(made: Spec, read: Spec, gathered: 'again' | 'kept'): number {
  return gathered === 'kept' ? read.shards : Math.max(made.shards, read.shards);
}

/** Bytes that one layer keeps on a rank. */
export function keptBytes(
  { layer, specs, madeSpecs }: LayerStrategy,
  kept: Uint8Array,
  scale: RankScale,
  gathered: 'again' | 'kept',
): number {
  return layer.tensors.reduce(
    (bytes, tensor, t) =>
      kept[t] === 0
        ? bytes
        : bytes + tensorBytes(tensor, scale) / keptShards(madeSpecs[t], specs[t], gathered),
    0,
  );
}
