/**
 * Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): queries and keys/values pass through
 * low-rank bottlenecks; one rotary key is shared by all heads.
 */
import { attrInt, type GraphBuilder } from '../builder.js';
import type { ArchConfig } from '../config.js';
import { mergeHeads, scaledDotProduct, splitHeads, type ScoreBias } from './attention.js';
import { linear } from './linear.js';
import { rmsNorm } from './norms.js';
import { applyRotary, deinterleave, type RotaryTable } from './rotary.js';
import type { Sequence } from './sequence.js';

export function latentAttention(
  b: GraphBuilder,
  x: string,
  name: string,
  config: ArchConfig,
  tokens: Sequence,
  rotary: RotaryTable,
  bias: ScoreBias,
): string {
  const { hidden, heads, normEpsilon, attentionBias } = config;
  const { kvLoraRank, nopeHeadDim, ropeHeadDim, valueHeadDim } = config.mla!;
  const keyDim = nopeHeadDim + ropeHeadDim;

  const q = splitHeads(b, projectQueries(b, x, name, config), tokens, keyDim);
  const [qPlain, qRotary] = splitLast(b, q, nopeHeadDim, ropeHeadDim);

  const compressed = linear(
    b,
    x,
    `${name}.kv_a_proj_with_mqa`,
    hidden,
    kvLoraRank + ropeHeadDim,
    attentionBias,
  );
  const [latent, keyRotary] = splitLast(b, compressed, kvLoraRank, ropeHeadDim);
  const normed = rmsNorm(b, latent, `${name}.kv_a_layernorm`, kvLoraRank, normEpsilon);
  const kvWidth = nopeHeadDim + valueHeadDim;
  const kv = splitHeads(
    b,
    linear(b, normed, `${name}.kv_b_proj`, kvLoraRank, heads * kvWidth, false),
    tokens,
    kvWidth,
  );
  const [kPlain, v] = splitLast(b, kv, nopeHeadDim, valueHeadDim);
  const sharedKey = b.reshape(keyRotary, [tokens.batch, 1, tokens.length, ropeHeadDim]);

  const qTurned = applyRotary(b, deinterleave(b, qRotary, tokens, heads, rotary), rotary);
  const kTurned = applyRotary(b, deinterleave(b, sharedKey, tokens, 1, rotary), rotary);
  const kSpread = b.op('Expand', [kTurned, b.shape([tokens.batch, heads, tokens.length, ropeHeadDim])]);
  const query = b.op('Concat', [qPlain, qTurned], [attrInt('axis', -1)]);
  const key = b.op('Concat', [kPlain, kSpread], [attrInt('axis', -1)]);

  const mixed = mergeHeads(b, scaledDotProduct(b, query, key, v, keyDim ** -0.5, bias), tokens);
  return linear(b, mixed, `${name}.o_proj`, heads * valueHeadDim, hidden, attentionBias);
}

/** [batch, S, heads * keyDim], through the query bottleneck where there is one. */
function projectQueries(b: GraphBuilder, x: string, name: string, config: ArchConfig): string {
  const { hidden, heads, headDim, normEpsilon, attentionBias } = config;
  const { qLoraRank } = config.mla!;
  if (qLoraRank === 0) return linear(b, x, `${name}.q_proj`, hidden, heads * headDim, false);
  const low = linear(b, x, `${name}.q_a_proj`, hidden, qLoraRank, attentionBias);
  const normed = rmsNorm(b, low, `${name}.q_a_layernorm`, qLoraRank, normEpsilon);
  return linear(b, normed, `${name}.q_b_proj`, qLoraRank, heads * headDim, false);
}

function splitLast(b: GraphBuilder, x: string, first: number, second: number): string[] {
  return b.ops('Split', [x, b.ints(first, second)], 2, [attrInt('axis', -1)]);
}
