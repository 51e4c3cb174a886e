/**
 * Collectives that turn one layout of a tensor into another over the tensor-parallel axis. With reduce-scatter (RS),
 * all-gather (AG), all-reduce (AR), all-to-all (A2A); a local slice is free:
 *
 *     from \ to     replicated   split s      other split
 *     replicated    -            slice        slice
 *     split s       AG           -            A2A
 *     partial sum   AR           RS           RS
 */
import type { Spec } from './spec.js';

export type Reshard = 'none' | 'slice' | 'allGather' | 'allReduce' | 'reduceScatter' | 'allToAll';

export function reshardKind(from: Spec, partial: boolean, to: Spec): Reshard {
  if (partial) return to.shards > 1 ? 'reduceScatter' : 'allReduce';
  if (from.key === to.key) return 'none';
  if (from.shards === 1) return 'slice';
  if (to.shards === 1 || refines(from, to)) return 'allGather';
  if (refines(to, from)) return 'slice';
  return 'allToAll';
}

/** True when every split of `coarse` is a split of `fine` too, so that `fine` only cuts further. */
function refines(fine: Spec, coarse: Spec): boolean {
  return coarse.splits.every((c) =>
    fine.splits.some((f) => f.dim === c.dim && f.prefix === c.prefix && f.shards % c.shards === 0),
  );
}
