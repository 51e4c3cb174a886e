/**
 * Common refinement of factors across blocks. A projection writes one dimension of 4096 columns; the attention that
 * reads it sees 32 heads of 128. Splitting heads is a split of the columns only once the projection's factor is refined
 * into [32, 128] too. Factors are divided at the union of both sides' boundaries until nothing changes.
 */
import type { Layer, LayerBlock } from './layer.js';
import { dimsAt, splitFactor } from './layer.js';

/** Refines every block's factors in place. */
export function refineFactors(layer: Layer): void {
  const pending = new Set<number>(layer.tensors.keys());
  const tensorsOf = layer.blocks.map((b) => [...b.inputs, ...b.outputs]);
  while (pending.size > 0) {
    const t = pending.values().next().value!;
    pending.delete(t);
    const tensor = layer.tensors[t];
    const sides = tensor.consumers.map((c) => ({
      b: c.block,
      dims: dimsAt(layer.blocks[c.block], c.slot, true),
    }));
    if (tensor.producer >= 0) {
      const block = layer.blocks[tensor.producer];
      sides.push({ b: tensor.producer, dims: dimsAt(block, tensor.producerSlot, false) });
    }
    const rank = Math.max(0, ...sides.map((s) => s.dims?.length ?? 0));
    for (let dim = 0; dim < rank; dim++) {
      const boundaries = commonBoundaries(sides.map((s) => suffixes(layer.blocks[s.b], s.dims?.[dim])));
      if (boundaries === null) continue;
      for (const side of sides) {
        const factors = side.dims?.[dim];
        if (factors && cutAt(layer.blocks[side.b], factors, boundaries)) {
          for (const other of tensorsOf[side.b]) pending.add(other);
        }
      }
    }
  }
}

/** Products of the factors from each position to the minor end: [h, d] of 32 x 128 gives 4096 and 128. */
function suffixes(block: LayerBlock, factors: readonly number[] | undefined): number[] {
  const products: number[] = [];
  let product = 1;
  for (let i = (factors?.length ?? 0) - 1; i >= 0; i--) {
    product *= block.sizes[factors![i]];
    products.push(product);
  }
  return products;
}

/** The union of the boundaries, ascending, when they form a chain of divisors of the same total; else `null`. */
function commonBoundaries(sides: readonly number[][]): number[] | null {
  const union = [...new Set(sides.flat())].filter((p) => p > 1).sort((a, b) => a - b);
  for (let i = 1; i < union.length; i++) if (union[i] % union[i - 1] !== 0) return null;
  const totals = new Set(sides.filter((s) => s.length > 0).map((s) => s[s.length - 1]));
  return totals.size > 1 ? null : union;
}

/** Splits the factors of one dimension at the boundaries; true when any was split. */
function cutAt(block: LayerBlock, factors: readonly number[], boundaries: readonly number[]): boolean {
  let changed = false;
  let below = 1;
  // `factors` is the live array: splitFactor inserts the new minor part right after the split one.
  for (let i = factors.length - 1; i >= 0; i--) {
    const f = factors[i];
    const above = below * block.sizes[f];
    const inside = boundaries.filter((p) => p > below && p < above).sort((a, b) => b - a);
    for (const p of inside) {
      // Cut off the part below boundary p: sizes [rest, p / below'] with the rest staying in f.
      splitFactor(block, f, p / below);
      changed = true;
      break;
    }
    if (inside.length > 0) {
      // Start again on this dimension: positions have shifted.
      return cutAt(block, factors, boundaries) || changed;
    }
    below = above;
  }
  return changed;
}
