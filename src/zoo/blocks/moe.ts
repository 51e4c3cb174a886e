/**
 * Routed experts in the form that the dynamo exporter leaves: every token is repeated once per chosen expert, the
 * stacked expert weights are gathered per (token, expert) pair, and the experts are batched matrix-vector products.
 */
import { DType } from '../../model/dtype.js';
import { attrFloat, attrInt, type GraphBuilder } from '../builder.js';
import type { ArchConfig, MoeConfig } from '../config.js';
import { activate, gatedMlp } from './mlp.js';
import type { Sequence } from './sequence.js';

/** Chosen experts and their weights, both [tokens, topk]. */
interface Routing {
  readonly experts: string;
  readonly weights: string;
}

/** Feed-forward of one MoE layer on [batch, S, hidden]; parameters under `name`. */
export function moeFeedForward(
  b: GraphBuilder,
  x: string,
  name: string,
  config: ArchConfig,
  tokens: Sequence,
): string {
  const { hidden } = config;
  const moe = config.moe!;
  const rows = b.reshape(x, [-1, hidden]);
  const routing = b.scope('gate', () =>
    moe.router === 'softmax'
      ? softmaxRouter(b, rows, name, hidden, moe)
      : sigmoidRouter(b, rows, name, hidden, moe),
  );
  const mixed = b.scope('experts', () => routedExperts(b, rows, name, config, moe, routing));
  const routed = b.reshape(mixed, [tokens.batch, tokens.length, hidden]);
  if (moe.sharedExperts === 0) return routed;
  const shared = b.scope('shared_experts', () =>
    gatedMlp(b, x, `${name}.shared_experts`, config, moe.sharedExperts * moe.expertFfn),
  );
  return b.op('Add', [routed, shared]);
}

/** Softmax over all experts, then the topk largest (Mixtral, Qwen3-MoE). */
function softmaxRouter(b: GraphBuilder, rows: string, name: string, hidden: number, moe: MoeConfig): Routing {
  const flat = b.reshape(rows, [-1, hidden]);
  const logits = gateLogits(b, flat, b.weight(`${name}.gate.weight`, [moe.experts, hidden]));
  const wide = b.dtype === DType.FLOAT ? logits : b.cast(logits, DType.FLOAT);
  const scores = b.op('Softmax', [wide], [attrInt('axis', -1)]);
  const [weights, experts] = topK(b, scores, moe.topk);
  return { experts: experts, weights: narrow(b, normalised(b, weights, moe, 0)) };
}

/**
 * Sigmoid scores in float32; a per-expert bias and the group limit steer the choice, the plain scores weigh
 * (DeepSeek-V3, arXiv:2412.19437, equations 12 to 16; groups from arXiv:2405.04434, section 2.2.2).
 */
function sigmoidRouter(b: GraphBuilder, rows: string, name: string, hidden: number, moe: MoeConfig): Routing {
  const isHalf = b.dtype !== DType.FLOAT;
  const table = b.weight(`${name}.gate.weight`, [moe.experts, hidden]);
  const logits = gateLogits(
    b,
    isHalf ? b.cast(rows, DType.FLOAT) : rows,
    isHalf ? b.cast(table, DType.FLOAT) : table,
  );
  const scores = b.op('Sigmoid', [logits]);
  const bias = b.weight(`${name}.gate.e_score_correction_bias`, [moe.experts], DType.FLOAT);
  const steered = b.op('Add', [scores, bias]);
  const eligible = moe.groups === 1 ? steered : maskWeakGroups(b, steered, moe);
  const experts = topK(b, eligible, moe.topk)[1];
  const weights = b.op('GatherElements', [scores, experts], [attrInt('axis', 1)]);
  const scaled = b.op('Mul', [normalised(b, weights, moe, 1e-20), b.float(moe.routedScale, DType.FLOAT)]);
  return { experts, weights: narrow(b, scaled) };
}

/** Zeroes the scores outside each token's best `topkGroups` groups; a group is worth its two best experts. */
function maskWeakGroups(b: GraphBuilder, scores: string, moe: MoeConfig): string {
  const perGroup = moe.experts / moe.groups;
  const best = topK(b, b.reshape(scores, [-1, moe.groups, perGroup]), Math.min(2, perGroup))[0];
  const worth = b.op('ReduceSum', [best, b.ints(-1)], reduceAttributes(0));
  const chosen = topK(b, worth, moe.topkGroups)[1];
  const zeros = b.op('Expand', [b.float(0, DType.FLOAT), b.op('Shape', [worth], [attrInt('start', 0)])]);
  const ones = b.op('Expand', [b.float(1, DType.FLOAT), b.op('Shape', [chosen], [attrInt('start', 0)])]);
  const groupMask = b.op('ScatterElements', [zeros, chosen, ones], [attrInt('axis', 1)]);
  const tokenCount = b.dimOf(scores, 0);
  const spread = b.op('Expand', [
    b.op('Unsqueeze', [groupMask, b.ints(-1)]),
    b.shape([tokenCount, moe.groups, perGroup]),
  ]);
  const isEligible = b.cast(b.reshape(spread, [-1, moe.experts]), DType.BOOL);
  return b.op('Where', [isEligible, scores, b.float(0, DType.FLOAT)]);
}

/** gate_up [E, 2F, H] and down [E, H, F], gathered per pair, applied as batched products, weighed and summed. */
function routedExperts(
  b: GraphBuilder,
  rows: string,
  name: string,
  config: ArchConfig,
  moe: MoeConfig,
  routing: Routing,
): string {
  const { hidden } = config;
  const { experts, topk, expertFfn } = moe;
  const last = b.ints(-1);
  const copies = b.op('Expand', [b.op('Unsqueeze', [rows, b.ints(1)]), b.shape([1, topk, 1])]);
  const pairs = b.reshape(copies, [-1, hidden]);
  const ids = b.op('Unsqueeze', [b.reshape(routing.experts, [-1]), last]);
  const gathered = (table: string): string => b.op('GatherND', [table, ids], [attrInt('batch_dims', 0)]);
  const applied = (table: string, x: string): string => {
    const weights = gathered(table);
    return b.op('Squeeze', [b.op('MatMul', [weights, b.op('Unsqueeze', [x, last])]), last]);
  };

  const gateUp = applied(b.weight(`${name}.experts.gate_up_proj`, [experts, 2 * expertFfn, hidden]), pairs);
  const [gate, up] = b.ops('Split', [gateUp], 2, [attrInt('axis', 1), attrInt('num_outputs', 2)]);
  const inner = b.op('Mul', [activate(b, gate, config.activation), up]);
  const out = applied(b.weight(`${name}.experts.down_proj`, [experts, hidden, expertFfn]), inner);
  const weighed = b.op('Mul', [out, b.op('Unsqueeze', [b.reshape(routing.weights, [-1]), last])]);
  return b.op('ReduceSum', [b.reshape(weighed, [-1, topk, hidden]), b.ints(1)], reduceAttributes(0));
}

function gateLogits(b: GraphBuilder, rows: string, table: string): string {
  const attributes = [
    attrFloat('alpha', 1),
    attrFloat('beta', 1),
    attrInt('transA', 0),
    attrInt('transB', 1),
  ];
  return b.op('Gemm', [rows, table], attributes);
}

function normalised(b: GraphBuilder, weights: string, moe: MoeConfig, epsilon: number): string {
  if (!moe.normaliseTopk) return weights;
  const sum = b.op('ReduceSum', [weights, b.ints(-1)], reduceAttributes(1));
  return b.op('Div', [weights, epsilon === 0 ? sum : b.op('Add', [sum, b.float(epsilon, DType.FLOAT)])]);
}

/** Values and int64 indices of the k largest along the last axis. */
function topK(b: GraphBuilder, x: string, k: number): string[] {
  return b.ops('TopK', [x, b.ints(k)], 2, [attrInt('axis', -1), attrInt('largest', 1), attrInt('sorted', 1)]);
}

function narrow(b: GraphBuilder, x: string): string {
  return b.dtype === DType.FLOAT ? x : b.cast(x, b.dtype);
}

function reduceAttributes(keepdims: 0 | 1): ReturnType<typeof attrInt>[] {
  return [attrInt('keepdims', keepdims), attrInt('noop_with_empty_axes', 0)];
}
