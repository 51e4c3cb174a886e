/** T5's relative position bias (arXiv:1910.10683): a learned scalar per head and bucket of key-query distance. */
import { DType } from '../../model/dtype.js';
import { attrInt, type GraphBuilder } from '../builder.js';
import type { ArchConfig } from '../config.js';
import type { Sequence } from './sequence.js';

/** [1, heads, S, S]; the encoder looks both ways, the decoder only back. */
export function relativeBias(
  b: GraphBuilder,
  name: string,
  config: ArchConfig,
  tokens: Sequence,
  isBidirectional: boolean,
): string {
  const { relativeBuckets } = config.seqToSeq!;
  const queries = b.op('Unsqueeze', [tokens.positions, b.ints(1)]);
  const keys = b.op('Unsqueeze', [tokens.positions, b.ints(0)]);
  const bucket = distanceBucket(b, b.op('Sub', [keys, queries]), config, isBidirectional);
  const table = b.weight(`${name}.weight`, [relativeBuckets, config.heads]);
  const perPair = b.op('Gather', [table, bucket], [attrInt('axis', 0)]);
  return b.op('Unsqueeze', [b.transpose(perPair, [2, 0, 1]), b.ints(0)]);
}

/** Near distances have a bucket each; from half the buckets on they grow by a constant ratio up to the maximum. */
function distanceBucket(
  b: GraphBuilder,
  distance: string,
  config: ArchConfig,
  isBidirectional: boolean,
): string {
  const { relativeBuckets, relativeMaxDistance } = config.seqToSeq!;
  const buckets = isBidirectional ? relativeBuckets / 2 : relativeBuckets;
  const exact = buckets / 2;
  const size = isBidirectional ? b.op('Abs', [distance]) : b.op('Neg', [b.op('Min', [distance, b.int(0)])]);
  const ratio = b.op('Div', [b.cast(size, DType.FLOAT), b.float(exact, DType.FLOAT)]);
  const logStep = b.op('Div', [
    b.op('Log', [ratio]),
    b.float(Math.log(relativeMaxDistance / exact), DType.FLOAT),
  ]);
  const steps = b.cast(b.op('Mul', [logStep, b.float(buckets - exact, DType.FLOAT)]), DType.INT64);
  const far = b.op('Min', [b.op('Add', [steps, b.int(exact)]), b.int(buckets - 1)]);
  const bucket = b.op('Where', [b.op('Less', [size, b.int(exact)]), size, far]);
  if (!isBidirectional) return bucket;
  const isAhead = b.cast(b.op('Greater', [distance, b.int(0)]), DType.INT64);
  return b.op('Add', [b.op('Mul', [isAhead, b.int(buckets)]), bucket]);
}
