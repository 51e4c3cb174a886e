/**
 * How one tensor is spread over the tensor-parallel axis. A split cuts a dimension into `prefix` equal blocks and each
 * block into `shards` parts, so that a fused [q | k | v] dimension can be split inside each of its three blocks:
 *
 *     dim of 12, prefix 3, shards 2:   rank 0 holds 0 1 . . | 4 5 . . | 8 9 . .     rank 1 the rest
 */
export interface Split {
  readonly dim: number;
  readonly prefix: number;
  readonly shards: number;
}

export interface Spec {
  /** Canonical text; equal layouts have equal keys. `r` = replicated. */
  readonly key: string;
  readonly splits: readonly Split[];
  /** Product of the splits' shards: the share of the tensor that one rank holds is 1/shards. */
  readonly shards: number;
}

export const REPLICATED: Spec = { key: 'r', splits: [], shards: 1 };

export function makeSpec(splits: readonly Split[]): Spec {
  if (splits.length === 0) return REPLICATED;
  const key = splits.map((s) => `${s.dim}:${s.prefix}/${s.shards}`).join(',');
  return { key, splits, shards: splits.reduce((product, s) => product * s.shards, 1) };
}

/**
 * Layout of a tensor whose dimensions are indexed by factors of which some are split.
 *
 * @param dims factor ids per dimension, major to minor
 * @param sizes size per factor
 * @param shards parts per factor, 1 = not split
 */
export function specOf(
  dims: readonly (readonly number[])[],
  sizes: ArrayLike<number>,
  shards: ArrayLike<number>,
): Spec {
  const splits: { dim: number; prefix: number; shards: number }[] = [];
  dims.forEach((factors, dim) => {
    let prefix = 1;
    // The last split so far reaches down to the current factor without a gap: a split here continues it.
    let open: { dim: number; prefix: number; shards: number } | null = null;
    for (const f of factors) {
      const size = sizes[f];
      const parts = shards[f];
      if (parts > 1) {
        if (open) open.shards *= parts;
        else splits.push((open = { dim, prefix, shards: parts }));
        if (parts !== size) {
          prefix *= size;
          open = null;
        }
      } else if (size > 1) {
        prefix *= size;
        open = null;
      }
    }
  });
  return makeSpec(splits);
}
