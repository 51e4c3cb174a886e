/**
 * Attention masks from index grids, as PyTorch's masking utilities export them: `true` where a query may look.
 * A grid compares query positions [1, 1, Q, 1] with key positions [1, 1, 1, K]; padding comes from `attention_mask`
 * by gathering at (batch, key).
 */
import { DType } from '../../model/dtype.js';
import { attrInt, type GraphBuilder } from '../builder.js';
import { LOWEST } from '../encode.js';
import { positionRow, range, type Sequence } from './sequence.js';

/** [1, 1, S, S], or [batch, 1, S, S] with an int64 padding mask [batch, S]. `window` 0 looks back without limit. */
export function causalMask(
  b: GraphBuilder,
  tokens: Sequence,
  padding: string | null,
  window: number,
): string {
  const row = positionRow(b, tokens);
  const query = b.op('Unsqueeze', [row, b.ints(3)]);
  const key = b.op('Unsqueeze', [row, b.ints(2)]);
  let seen = b.op('And', [b.bool(true), b.op('LessOrEqual', [key, query])]);
  if (window > 0) {
    const oldest = b.op('Sub', [query, b.int(window)]);
    seen = b.op('And', [seen, b.op('Greater', [key, oldest])]);
  }
  return padding === null ? seen : b.op('And', [seen, paddingGrid(b, tokens.batch, key, padding)]);
}

/** [batch, 1, Q, K]: every query sees every key that is not padding. */
export function paddingMask(b: GraphBuilder, queries: Sequence, keys: Sequence, padding: string): string {
  const key = b.op('Unsqueeze', [positionRow(b, keys), b.ints(2)]);
  const grid = paddingGrid(b, queries.batch, key, padding);
  return b.op('Expand', [grid, b.shape([queries.batch, 1, queries.length, keys.length])]);
}

/** The padding mask at every (batch, key): [batch, 1, 1, K]. */
function paddingGrid(b: GraphBuilder, batchSize: string, key: string, padding: string): string {
  const isToken = b.once(`bool ${padding}`, () => b.cast(padding, DType.BOOL));
  const batch = b.op('Unsqueeze', [b.op('Unsqueeze', [range(b, batchSize), b.ints(1, 2)]), b.ints(3)]);
  const gridShape = b.op('Shape', [b.op('Max', [batch, key])], [attrInt('start', 0)]);
  const last = b.ints(-1);
  const index = b.op(
    'Concat',
    [
      b.op('Unsqueeze', [b.op('Expand', [batch, gridShape]), last]),
      b.op('Unsqueeze', [b.op('Expand', [key, gridShape]), last]),
    ],
    [attrInt('axis', -1)],
  );
  return b.op('GatherND', [isToken, index], [attrInt('batch_dims', 0)]);
}

/** What is added to attention scores: 0 where `mask` holds, the lowest finite number elsewhere. */
export function additiveMask(b: GraphBuilder, mask: string): string {
  return b.op('Where', [mask, b.float(0), b.float(LOWEST[b.dtype])]);
}
