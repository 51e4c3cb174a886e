/**
 * FlexAttention of domain ai.onnx.preview: attention over rank-4 queries, keys and values whose scores and probabilities
 * subgraphs may change. The subgraphs are pointwise and are not costed; whether they mask is not looked into.
 */
import { family as standard } from './attention.js';
import { ranked, unify } from './expect.js';
import type { OpFamily, OpRule } from './types.js';

const flexAttention: OpRule = {
  ...standard.rules.Attention,
  infer(ctx) {
    const q = ranked(ctx, 0, 4, 4);
    const k = ranked(ctx, 1, 4, 4);
    const v = ranked(ctx, 2, 4, 4);
    if (q !== null && k !== null) unify(ctx, q[3], k[3], 'head size of query and key');
    if (k !== null && v !== null) unify(ctx, k[2], v[2], 'length of key and value');
    ctx.setTensor(0, ctx.dtype(0), q === null || v === null ? null : [q[0], q[1], q[2], v[3]]);
  },
};

export const family: OpFamily = { domain: 'ai.onnx.preview', rules: { FlexAttention: flexAttention } };
