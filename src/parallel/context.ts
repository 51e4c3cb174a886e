/**
 * How ranks that share a sequence (context parallelism) see all of it inside attention.
 *
 * `ring`: keys and values travel around the ranks while attention works on what is there (Liu et al. 2023); queries
 * stay. Causal masks are dealt out in zigzag order (rank i holds chunks i and 2 cp - 1 - i), so that every rank has the
 * same work.
 *
 * `all-to-all`: heads are exchanged for sequence before attention and back after it (DeepSpeed-Ulysses, Jacobs et al.
 * 2023): four exchanges forward (queries, keys, values, output) and four backward. Attention waits for them, so nothing
 * hides them; tp * cp must divide the heads.
 */
export type ContextExchange = 'ring' | 'all-to-all';

export const CONTEXT_EXCHANGES: readonly ContextExchange[] = ['ring', 'all-to-all'];

/**
 * Why an exchange cannot run; null when it can. A plan without context parallelism calls itself `ring`.
 *
 * @param heads that an all-to-all may deal out; 1 = the model has none
 */
export function contextFault(
  exchange: ContextExchange,
  tp: number,
  cp: number,
  heads: number,
): string | null {
  if (!CONTEXT_EXCHANGES.includes(exchange))
    return `context exchange ${String(exchange)} is not one of ${CONTEXT_EXCHANGES.join(', ')}`;
  if (exchange === 'ring') return null;
  if (cp === 1) return 'an all-to-all context exchange needs cp > 1';
  if (heads % (tp * cp) !== 0)
    return `an all-to-all context exchange needs heads divisible by tp * cp = ${tp * cp}, found ${heads}`;
  return null;
}
