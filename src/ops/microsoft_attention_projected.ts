/**
 * ORT's attention operators that project their input to queries, keys and values themselves: Attention, QAttention,
 * PackedAttention, DecoderMaskedSelfAttention, LongformerAttention and DecoderAttention (com.microsoft).
 * FLOP = projection 2*tokens*in*(q + k + v columns) + attention.
 */
import { dtypeBytes } from '../model/dtype.js';
import { attendedPairs, attentionFlop, logSumExpBytes, type AttentionSizes } from './attention_core.js';
import { needsGrad } from './defaults.js';
import { add, divideExact } from './dim.js';
import { firstDtype, positive, ranked, unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import type { BackwardRule, Dim, FactorRule, InferContext, OpInstance, OpRule, Shape } from './types.js';

/** Where an operator keeps its tensors; -1 for none. */
interface Form {
  readonly mask: number;
  readonly past: number;
  readonly scoreBias: number;
  /** Input whose type the output has. */
  readonly result: number;
  /** Further inputs that are vectors over the projected columns, or matrices like the weight. */
  readonly columnVectors: readonly number[];
  readonly weights: readonly number[];
  /** Input [batch, longest] of the packed form, whose tokens have no batch axis. */
  readonly tokenOffset: number;
  readonly quantized: boolean;
}

const ATTENTION: Form = {
  mask: 3,
  past: 4,
  scoreBias: 5,
  result: 0,
  columnVectors: [2],
  weights: [1],
  tokenOffset: -1,
  quantized: false,
};
const Q_ATTENTION: Form = {
  ...ATTENTION,
  mask: 5,
  past: 8,
  scoreBias: -1,
  result: 3,
  columnVectors: [2, 4, 7],
  quantized: true,
};
const PACKED: Form = { ...ATTENTION, mask: -1, past: -1, tokenOffset: 3 };
const LONGFORMER: Form = {
  ...ATTENTION,
  past: -1,
  scoreBias: -1,
  columnVectors: [2, 5],
  weights: [1, 4],
};

interface Columns {
  readonly q: Dim | null;
  readonly k: Dim | null;
  readonly v: Dim | null;
}

/** Columns of the fused weight: stated, or three equal parts. */
function columnsOf(weight: Shape | null, sizes: readonly number[] | null): Columns {
  if (sizes?.length === 3) return { q: sizes[0], k: sizes[1], v: sizes[2] };
  const third = weight === null ? null : divideExact(weight[1], 3);
  return { q: third, k: third, v: third };
}

function inferProjected(form: Form): (ctx: InferContext) => void {
  return (ctx) => {
    const heads = positive(ctx, 'num_heads');
    const packed = form.tokenOffset >= 0;
    const x = packed ? ranked(ctx, 0, 2, 2) : ranked(ctx, 0, 3, 3);
    const w = ranked(ctx, 1, 2, 2);
    if (x !== null && w !== null)
      unify(ctx, w[0], x[x.length - 1], 'input hidden size and rows of the weight');
    const columns = columnsOf(w, ctx.attrs.ints('qkv_hidden_sizes'));
    const dtype = firstDtype(ctx, form.result, 0);
    // A model without the weight's shape: ORT's own convention is that hidden sizes agree.
    const width = columns.v ?? x?.[x.length - 1] ?? ctx.freshDim();
    ctx.setTensor(0, dtype, x === null ? null : [...x.slice(0, -1), width]);
    if (!ctx.hasOutput(1)) return;
    const past = form.past >= 0 ? ctx.shape(form.past) : null;
    if (past !== null && ctx.attrs.int('past_present_share_buffer', 0) !== 0) {
      ctx.setTensor(1, dtype, past);
      return;
    }
    const size = columns.k === null ? null : divideExact(columns.k, heads);
    const length = x === null ? ctx.freshDim() : past === null ? x[1] : add(past[3], x[1]);
    const unknownPast = form.past >= 0 && ctx.hasInput(form.past) && past === null;
    ctx.setTensor(1, dtype, [
      2,
      x?.[0] ?? past?.[1] ?? ctx.freshDim(),
      heads,
      unknownPast ? ctx.freshDim() : length,
      size ?? past?.[4] ?? ctx.freshDim(),
    ]);
  };
}

interface Concrete extends AttentionSizes {
  readonly tokens: number;
  readonly inner: number;
  readonly columns: number;
  readonly equalParts: boolean;
}

function concrete(op: OpInstance, form: Form): Concrete {
  const heads = Math.max(op.attrs.int('num_heads', 1), 1);
  const x = op.inputShape(0) ?? [1, 1, 1];
  const w = op.inputShape(1) ?? [1, 3];
  const c = columnsOf(w, op.attrs.ints('qkv_hidden_sizes'));
  const q = Number(c.q ?? w[1] / 3);
  const v = Number(c.v ?? w[1] / 3);
  const offsets = form.tokenOffset >= 0 ? op.inputShape(form.tokenOffset) : null;
  const batch = offsets === null ? x[0] : 1;
  const length = offsets === null ? x[1] : x[0];
  // Longformer: a token sees `window` others on either side.
  const window = op.attrs.int('window', 0);
  return {
    batch,
    heads,
    kvHeads: heads,
    queryLength: length,
    kvLength: window > 0 ? Math.min(2 * window + 1, length) : (offsets?.[1] ?? length),
    pastLength: form.past >= 0 ? (op.inputShape(form.past)?.[3] ?? 0) : 0,
    headDim: q / heads,
    valueDim: v / heads,
    causal: op.attrs.int('unidirectional', 0) !== 0,
    window: Number.POSITIVE_INFINITY,
    tokens: batch * length,
    inner: x[x.length - 1],
    columns: w[1],
    equalParts: q === v && 3 * q === w[1],
  };
}

function projectionFlop(s: Concrete, form: Form): number {
  return 2 * s.tokens * s.inner * s.columns * form.weights.length;
}

/**
 * Batch and heads parallel; tokens are queries and keys at once and stay whole, and so does the input's hidden axis,
 * whose partial sums would meet the softmax. Columns of the weight are [q|k|v, head, headDim].
 */
function projectedFactors(op: OpInstance, form: Form): FactorRule {
  const b = new FactorBuilder(op);
  const s = concrete(op, form);
  const packed = form.tokenOffset >= 0;
  const batch = b.parallel(s.batch);
  const token = b.whole(s.queryLength);
  const inner = b.whole(s.inner);
  const head = s.equalParts ? b.parallel(s.heads) : b.whole(s.heads);
  const dim = b.whole(s.headDim);
  const valueDim = s.equalParts ? dim : b.whole(s.valueDim);
  const column = s.equalParts ? [b.whole(3), head, dim] : [b.whole(s.columns)];
  const tokens: Layout = packed ? [[token]] : [[batch], [token]];
  const total = op.outputShape(1)?.[3] ?? s.pastLength + s.kvLength;
  const present = b.whole(total);
  const inputs: Layout[] = [[...tokens, [inner]]];
  for (const i of form.weights) inputs[i] = [[inner], column];
  for (const i of form.columnVectors) inputs[i] = [column];
  if (form.scoreBias >= 0) inputs[form.scoreBias] = [[batch], [head], [token], [present]];
  const mask = form.mask >= 0 ? op.inputShape(form.mask) : null;
  if (mask !== null && mask.length > 1)
    inputs[form.mask] = [[batch], ...b.each(mask.slice(1), 'whole').map((f) => [f])];
  if (form.past >= 0)
    inputs[form.past] = [[b.whole(2)], [batch], [head], [b.whole(op.inputShape(form.past)?.[3] ?? 1)], [dim]];
  return b.rule(inputs, [
    [...tokens, [head, valueDim]],
    [[b.whole(2)], [batch], [head], [present], [dim]],
  ]);
}

/** Saves the input, the output, and beside them the projected q, k, v and the log-sum-exp. */
function projectedBackward(op: OpInstance, form: Form): BackwardRule | null {
  if (form.quantized) return null;
  const s = concrete(op, form);
  const projection = projectionFlop(s, form);
  const grads: { input: number; flop: number }[] = [];
  // The attention's own gradient lies on every path.
  if (needsGrad(op, 0)) grads.push({ input: 0, flop: projection + 2 * attentionFlop(s) });
  for (const input of form.weights)
    if (needsGrad(op, input)) grads.push({ input, flop: projection / form.weights.length });
  for (const input of form.columnVectors)
    if (needsGrad(op, input)) grads.push({ input, flop: s.tokens * s.columns });
  if (form.scoreBias >= 0 && needsGrad(op, form.scoreBias))
    grads.push({ input: form.scoreBias, flop: s.batch * s.heads * attendedPairs(s) });
  if (grads.length === 0) return null;
  const kept = [0, ...form.weights, form.mask, form.scoreBias, form.past];
  return {
    grads,
    savesInputs: kept
      .filter((i) => i >= 0 && i < op.inputCount && op.inputShape(i) !== null)
      .sort((p, q) => p - q),
    savesOutputs: [0],
    extraSavedBytes: dtypeBytes(op.outputDtype(0), s.tokens * s.columns) + logSumExpBytes(s),
  };
}

function projected(form: Form): OpRule {
  return {
    infer: inferProjected(form),
    work(op) {
      const s = concrete(op, form);
      return { flop: projectionFlop(s, form) + attentionFlop(s), kernel: 'attention' };
    },
    factors: (op) => projectedFactors(op, form),
    backward: (op) => projectedBackward(op, form),
  };
}

/**
 * Sequence first: query [S, B, H], key [T, B, H], q_weight [H, H], kv_weight [H, 2H], bias [3H], key_padding_mask,
 * key_cache, value_cache [B, heads, length, headDim] -> [S, B, H] and the new caches, whose length depends on run-time
 * flags.
 */
const decoderAttention: OpRule = {
  infer(ctx) {
    const q = ranked(ctx, 0, 3, 3);
    const heads = positive(ctx, 'num_heads');
    ctx.setTensor(0, ctx.dtype(0), q);
    const size = q === null ? null : divideExact(q[2], heads);
    for (const o of [1, 2])
      if (ctx.hasOutput(o))
        ctx.setTensor(o, ctx.dtype(0), [
          q?.[1] ?? ctx.freshDim(),
          heads,
          ctx.freshDim(),
          size ?? ctx.freshDim(),
        ]);
  },
  work(op) {
    const s = decoderSizes(op);
    const hidden = s.heads * s.headDim;
    const projection = 2 * s.batch * hidden * hidden * (s.queryLength + 2 * s.kvLength);
    return { flop: projection + attentionFlop(s), kernel: 'attention' };
  },
  factors(op) {
    const b = new FactorBuilder(op);
    const s = decoderSizes(op);
    const batch = b.parallel(s.batch);
    const head = b.parallel(s.heads);
    const [query, kv, dim] = [b.parallel(s.queryLength), b.whole(s.kvLength), b.whole(s.headDim)];
    const inner = b.whole(s.heads * s.headDim);
    const cache: Layout = [[batch], [head], [b.whole(op.outputShape(1)?.[2] ?? 1)], [dim]];
    return b.rule(
      [
        [[query], [batch], [inner]],
        [[kv], [batch], [inner]],
        [[inner], [head, dim]],
        [[inner], [b.whole(2), head, dim]],
        [[b.whole(3), head, dim]],
      ],
      [[[query], [batch], [head, dim]], cache, cache],
    );
  },
};

function decoderSizes(op: OpInstance): AttentionSizes {
  const q = op.inputShape(0) ?? [1, 1, 1];
  const k = op.inputShape(1) ?? q;
  const heads = Math.max(op.attrs.int('num_heads', 1), 1);
  return {
    batch: q[1],
    heads,
    kvHeads: heads,
    queryLength: q[0],
    kvLength: k[0],
    pastLength: 0,
    headDim: q[2] / heads,
    valueDim: q[2] / heads,
    causal: false,
    window: Number.POSITIVE_INFINITY,
  };
}

export const projectedRules: Readonly<Record<string, OpRule>> = {
  Attention: projected(ATTENTION),
  QAttention: projected(Q_ATTENTION),
  PackedAttention: projected(PACKED),
  DecoderMaskedSelfAttention: projected(ATTENTION),
  LongformerAttention: projected(LONGFORMER),
  DecoderAttention: decoderAttention,
};
