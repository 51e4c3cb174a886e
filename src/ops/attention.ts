/**
 * Attention operators of the default domain: Attention (opset 23 on), RotaryEmbedding (23 on), LinearAttention (27 on).
 * Sources: ONNX operator specifications.
 */
import { DType } from '../model/dtype.js';
import { needsGrad, outputElements } from './defaults.js';
import { add, mul } from './dim.js';
import { divided, firstDtype, positive, ranked, unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import {
  attentionBackward,
  attentionFactors,
  attentionFlop,
  queryHeads,
  type AttentionSizes,
} from './attention_core.js';
import type {
  BackwardRule,
  Dim,
  FactorRule,
  InferContext,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
} from './types.js';

const Q = 0;
const K = 1;
const V = 2;
const MASK = 3;
const PAST_K = 4;
const PAST_V = 5;

/** [batch, heads, length, headDim] of a 3-D [batch, length, heads*headDim] or a 4-D tensor. */
function perHead(ctx: InferContext, i: number, headsAttribute: string, what: string): Dim[] | null {
  const shape = ranked(ctx, i, 3, 4);
  if (shape === null) return null;
  if (shape.length === 4) return shape.slice();
  const heads = positive(ctx, headsAttribute);
  return [
    shape[0],
    heads,
    shape[1],
    divided(ctx, shape[2], heads, `${what} hidden size over heads`) ?? ctx.freshDim(),
  ];
}

function inferAttention(ctx: InferContext): void {
  const q = perHead(ctx, Q, 'q_num_heads', 'query');
  const k = perHead(ctx, K, 'kv_num_heads', 'key');
  const v = perHead(ctx, V, 'kv_num_heads', 'value');
  const flat = ctx.shape(Q)?.length === 3;
  const dtype = ctx.dtype(Q);
  if (q !== null && k !== null) {
    unify(ctx, q[0], k[0], 'batch of query and key');
    unify(ctx, q[3], k[3], 'head size of query and key');
    if (typeof q[1] === 'number' && typeof k[1] === 'number' && q[1] % k[1] !== 0)
      ctx.fail(`${String(q[1])} query heads are not a multiple of ${String(k[1])} key/value heads`);
  }
  if (k !== null && v !== null) unify(ctx, k[2], v[2], 'length of key and value');
  if (q === null || v === null) ctx.setTensor(0, dtype, null);
  else if (!flat) ctx.setTensor(0, dtype, [q[0], q[1], q[2], v[3]]);
  else ctx.setTensor(0, dtype, [q[0], q[2], mul(q[1], v[3])]);
  const pastK = ctx.shape(PAST_K);
  const pastV = ctx.shape(PAST_V);
  const total = k === null ? null : pastK === null ? k[2] : add(k[2], pastK[2]);
  if (ctx.hasOutput(1))
    ctx.setTensor(
      1,
      firstDtype(ctx, PAST_K, K),
      k === null ? null : [k[0], k[1], presentLength(pastK, k[2]), k[3]],
    );
  if (ctx.hasOutput(2))
    ctx.setTensor(
      2,
      firstDtype(ctx, PAST_V, V),
      v === null ? null : [v[0], v[1], presentLength(pastV, v[2]), v[3]],
    );
  if (ctx.hasOutput(3))
    ctx.setTensor(
      3,
      dtype,
      q === null || total === null
        ? null
        : [q[0], q[1], q[2], ctx.hasInput(PAST_K) && pastK === null ? ctx.freshDim() : total],
    );
}

function presentLength(past: Shape | null, length: Dim): Dim {
  return past === null ? length : add(past[2], length);
}

function sizesOf(op: OpInstance): AttentionSizes {
  const head = (i: number, attribute: string): number[] => {
    const s = op.inputShape(i) ?? [1, 1, 1, 1];
    if (s.length === 4) return s.slice();
    const heads = op.attrs.int(attribute, 1);
    return [s[0], heads, s[1], s[2] / heads];
  };
  const q = head(Q, 'q_num_heads');
  const k = head(K, 'kv_num_heads');
  const v = head(V, 'kv_num_heads');
  return {
    batch: q[0],
    heads: q[1],
    kvHeads: k[1],
    queryLength: q[2],
    kvLength: k[2],
    pastLength: op.inputShape(PAST_K)?.[2] ?? 0,
    headDim: q[3],
    valueDim: v[3],
    causal: op.attrs.int('is_causal', 0) !== 0,
    window: Number.POSITIVE_INFINITY,
  };
}

function attentionFactorRule(op: OpInstance): FactorRule {
  const b = new FactorBuilder(op);
  const s = sizesOf(op);
  const f = attentionFactors(b, s);
  const heads = queryHeads(f);
  const flat = (i: number): boolean => op.inputShape(i)?.length === 3;
  const q: Layout = flat(Q)
    ? [[f.batch], [f.query], [...heads, f.headDim]]
    : [[f.batch], heads, [f.query], [f.headDim]];
  const kv = (i: number, dim: number): Layout =>
    flat(i) ? [[f.batch], [f.kv], [f.kvHead, dim]] : [[f.batch], [f.kvHead], [f.kv], [dim]];
  const out: Layout = flat(Q)
    ? [[f.batch], [f.query], [...heads, f.valueDim]]
    : [[f.batch], heads, [f.query], [f.valueDim]];
  // With a cache the key axis joins old and new entries, which no split of either respects.
  const total = s.pastLength > 0 ? b.whole(s.kvLength + s.pastLength) : f.kv;
  const past = b.whole(s.pastLength);
  const cache = (length: number, dim: number): Layout => [[f.batch], [f.kvHead], [length], [dim]];
  return b.rule(
    [
      q,
      kv(K, f.headDim),
      kv(V, f.valueDim),
      [[f.batch], heads, [f.query], [total]],
      cache(past, f.headDim),
      cache(past, f.valueDim),
      [[f.batch]],
    ],
    [out, cache(total, f.headDim), cache(total, f.valueDim), [[f.batch], heads, [f.query], [total]]],
  );
}

const attention: OpRule = {
  infer: inferAttention,
  work: (op) => ({ flop: attentionFlop(sizesOf(op)), kernel: 'attention' }),
  factors: attentionFactorRule,
  backward: (op) => attentionBackward(op, sizesOf(op), [Q, K, V], [MASK]),
};

/**
 * Rotates pairs of channels by an angle per position: x*cos + rotate(x)*sin, 3 FLOP an element. Input [B, S, H*D] or
 * [B, H, S, D]; the gradient is the inverse rotation and reads the tables only.
 * @param numHeads heads of a flat input
 */
export function rotaryRule(numHeads: (op: OpInstance) => number): OpRule {
  return {
    infer(ctx) {
      ctx.setTensor(0, ctx.dtype(0), ranked(ctx, 0, 3, 4));
    },
    work: (op) => ({ flop: 3 * outputElements(op), kernel: 'elementwise' }),
    factors: (op) => rotaryFactors(op, numHeads(op)),
    backward(op) {
      if (!needsGrad(op, 0)) return null;
      const tables = [1, 2, 3].filter((i) => i < op.inputCount && op.inputShape(i) !== null);
      return { grads: [{ input: 0, flop: 3 * outputElements(op) }], savesInputs: tables, savesOutputs: [] };
    },
  };
}

/** Batch, heads and positions parallel, the head dimension whole; per-token tables follow batch and positions. */
function rotaryFactors(op: OpInstance, numHeads: number): FactorRule {
  const b = new FactorBuilder(op);
  const x = op.inputShape(0) ?? [1, 1, 1];
  const flat = x.length === 3;
  const headsAt = flat ? Math.max(numHeads, 1) : x[1];
  const batch = b.parallel(x[0]);
  const head = b.parallel(headsAt);
  const seq = b.parallel(flat ? x[1] : x[2]);
  const dim = b.whole(flat ? x[2] / headsAt : x[3]);
  const layout: Layout = flat ? [[batch], [seq], [head, dim]] : [[batch], [head], [seq], [dim]];
  const inputs: Layout[] = [layout];
  for (let i = 1; i < op.inputCount; i++) {
    const shape = op.inputShape(i);
    // Tables per token [B, S, D/2] or position ids [B, S]; a table by position [max, D/2] is read by index.
    if (
      shape !== null &&
      shape.length >= 2 &&
      shape[0] === x[0] &&
      shape[1] === (flat ? x[1] : x[2]) &&
      (shape.length === 3 || op.inputDtype(i) === DType.INT64)
    )
      inputs[i] = [[batch], [seq], ...b.each(shape.slice(2), 'whole').map((f) => [f])];
  }
  return b.rule(inputs, [layout]);
}

/** X, cos_cache, sin_cache, position_ids. */
const rotaryEmbedding = rotaryRule((op) => op.attrs.int('num_heads', 1));

/**
 * Recurrent linear attention: query, key [B, T, H*dk], value [B, T, Hkv*dv], past_state [B, Hkv, dk, dv], decay, beta.
 * Each token updates and reads a dk x dv state: 2 products of 2*dk*dv FLOP, one more for the delta rules.
 */
function linearSizes(op: OpInstance): {
  batch: number;
  length: number;
  heads: number;
  kvHeads: number;
  dk: number;
  dv: number;
} {
  const q = op.inputShape(0) ?? [1, 1, 1];
  const v = op.inputShape(2) ?? [1, 1, 1];
  const heads = op.attrs.int('q_num_heads', 1);
  const kvHeads = op.attrs.int('kv_num_heads', 1);
  return { batch: q[0], length: q[1], heads, kvHeads, dk: q[2] / heads, dv: v[2] / kvHeads };
}

function linearFlop(op: OpInstance): number {
  const s = linearSizes(op);
  const rule = op.attrs.string('update_rule', 'gated_delta');
  const stateProducts = rule.includes('delta') ? 2 : 1;
  return 2 * s.batch * s.length * s.dk * s.dv * (s.kvHeads * stateProducts + Math.max(s.heads, s.kvHeads));
}

export const linearAttention: OpRule = {
  infer(ctx) {
    const q = ranked(ctx, 0, 3, 3);
    const v = ranked(ctx, 2, 3, 3);
    const heads = positive(ctx, 'q_num_heads');
    const kvHeads = positive(ctx, 'kv_num_heads');
    const dk = q === null ? null : divided(ctx, q[2], heads, 'query hidden size over heads');
    const dv = v === null ? null : divided(ctx, v[2], kvHeads, 'value hidden size over heads');
    const batch = q?.[0] ?? v?.[0] ?? ctx.freshDim();
    ctx.setTensor(0, ctx.dtype(0), [
      batch,
      q?.[1] ?? ctx.freshDim(),
      dv === null ? ctx.freshDim() : mul(dv, Math.max(heads, kvHeads)),
    ]);
    if (!ctx.hasOutput(1)) return;
    const state: Dim[] = [batch, kvHeads, dk ?? ctx.freshDim(), dv ?? ctx.freshDim()];
    const window = ctx.attrs.int('state_window', 0);
    ctx.setTensor(1, firstDtype(ctx, 3, 0), ctx.shape(3) ?? (window > 0 ? [window, ...state] : state));
  },
  work: (op) => ({ flop: linearFlop(op), kernel: 'attention' }),
  factors: linearFactors,
  backward(op) {
    const flop = linearFlop(op);
    const inputs = [0, 1, 2, 4, 5].filter((i) => i < op.inputCount && op.inputShape(i) !== null);
    const grads = inputs.filter((i) => needsGrad(op, i)).map((input) => ({ input, flop: (2 * flop) / 3 }));
    return grads.length === 0 ? null : linearSaved(op, grads, inputs);
  },
};

/** Chunked kernels keep the state at chunk borders. */
function linearSaved(op: OpInstance, grads: BackwardRule['grads'], inputs: number[]): BackwardRule {
  const s = linearSizes(op);
  const chunks = Math.ceil(s.length / Math.max(op.attrs.int('chunk_size', 64), 1));
  return {
    grads,
    savesInputs: inputs,
    savesOutputs: [],
    extraSavedBytes: 4 * s.batch * s.kvHeads * s.dk * s.dv * chunks,
  };
}

/** The recurrence runs along the sequence, which therefore stays whole. */
function linearFactors(op: OpInstance): FactorRule {
  const b = new FactorBuilder(op);
  const s = linearSizes(op);
  const batch = b.parallel(s.batch);
  const shared = Math.min(s.heads, s.kvHeads);
  const head = b.parallel(shared);
  const queryGroup = b.parallel(s.heads / shared);
  const kvGroup = b.parallel(s.kvHeads / shared);
  const length = b.whole(s.length);
  const dk = b.whole(s.dk);
  const dv = b.whole(s.dv);
  const kv = (...dims: number[]): Layout => [[batch], [length], [head, kvGroup, ...dims]];
  const state: Layout = [[batch], [head, kvGroup], [dk], [dv]];
  const perKey = (op.inputShape(4)?.[2] ?? 0) > s.kvHeads;
  const out = s.heads >= s.kvHeads ? queryGroup : kvGroup;
  return b.rule(
    [[[batch], [length], [head, queryGroup, dk]], kv(dk), kv(dv), state, perKey ? kv(dk) : kv(), kv()],
    [[[batch], [length], [head, out, dv]], state],
  );
}

export const family: OpFamily = {
  domain: '',
  rules: {
    Attention: attention,
    RotaryEmbedding: rotaryEmbedding,
    LinearAttention: linearAttention,
  },
};
