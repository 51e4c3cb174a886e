/**
 * How a sharded tensor dimension and an operator's factors correspond. A dimension that is made of factors f0, f1, ... (major
 * to minor) and lies in `blocks` equal runs, each cut over the ranks, is factor fk cut in `inner` runs of its own when the
 * factors before fk count `blocks / inner`:
 *
 *     [q | k | v] of 3*64 columns in 3 blocks = factors [3, 64], the second cut in 1 block
 */
import type { FactorRule } from '../../ops/types.js';
import type { Sharding } from './program.js';

/** A factor that is cut over the ranks, in `inner` equal runs. */
export interface FactorCut {
  readonly factor: number;
  readonly inner: number;
}

type Layout = readonly (readonly number[])[] | null | undefined;

/** The factor that a sharded dimension cuts; `null` when the cut falls inside no single factor. */
export function cutOf(
  rule: FactorRule,
  layout: Layout,
  { axis, blocks }: Sharding,
  tp: number,
): FactorCut | null {
  let before = 1;
  for (const factor of layout?.[axis] ?? []) {
    const { size } = rule.factors[factor];
    if (blocks % before === 0 && size % ((blocks / before) * tp) === 0)
      return { factor, inner: blocks / before };
    before *= size;
  }
  return null;
}

/** How a tensor lies when a factor is cut; `null` when it does not have the factor: then every rank holds all of it. */
export function shardingOf(rule: FactorRule, layout: Layout, cut: FactorCut): Sharding | null {
  for (let axis = 0; axis < (layout?.length ?? 0); axis++) {
    let before = 1;
    for (const factor of layout![axis]) {
      if (factor === cut.factor) return { axis, blocks: before * cut.inner };
      before *= rule.factors[factor].size;
    }
  }
  return null;
}

/** Whether the sizes of a tensor's dimensions are what its layout says: a rule on sizes that we made up may be off. */
export function fits(rule: FactorRule, layout: Layout, shape: readonly number[] | null): boolean {
  if (shape === null || layout === null || layout === undefined) return shape === null;
  if (shape.length !== layout.length) return false;
  return shape.every((size, k) => {
    const product = layout[k].reduce((p, f) => p * rule.factors[f].size, 1);
    return product === size || (layout[k].length === 0 && size === 1);
  });
}

export function sameSharding(a: Sharding | null, b: Sharding | null): boolean {
  if (a === null || b === null) return a === b;
  return a.axis === b.axis && a.blocks === b.blocks;
}
