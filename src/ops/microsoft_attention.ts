/**
 * ORT's attention operators over projected queries, keys and values (com.microsoft). Sources: ORT ContribOperators.md
 * and its shape inference (bert_defs). FLOP and saved tensors as in attention_core.
 */
import {
  attentionBackward,
  attentionFactors,
  attentionFlop,
  queryHeads,
  type AttentionFactors,
  type AttentionSizes,
} from './attention_core.js';
import { linearAttention, rotaryRule } from './attention.js';
import { needsGrad, outputElements } from './defaults.js';
import { add, divideExact, max, mul } from './dim.js';
import { dimText, firstDtype, positive, ranked } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { projectedRules } from './microsoft_attention_projected.js';
import { onlyElement, onlyNumber } from './value.js';
import type {
  Attributes,
  BackwardRule,
  Dim,
  FactorRule,
  InferContext,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
} from './types.js';

/** Where an operator keeps its tensors; -1 for none. */
interface Form {
  readonly pastKey: number;
  readonly pastValue: number;
  /** Bias or mask that is added to the scores, [batch or 1, heads or 1, query, total]. */
  readonly scoreBias: number;
  /** Bias of the projections, [all columns]. */
  readonly bias: number;
  /** Number of all tokens so far, when it is a scalar input. */
  readonly totalLength: number;
  /** Given when past and present share one buffer of the longest length. */
  readonly sharedBuffer: (ctx: InferContext) => boolean;
  readonly causal: (attrs: Attributes) => boolean;
}

const NEVER = (): boolean => false;

const MULTI_HEAD: Form = {
  pastKey: 6,
  pastValue: 7,
  scoreBias: 5,
  bias: 3,
  totalLength: -1,
  sharedBuffer: (ctx) => ctx.hasInput(8),
  causal: (attrs) => attrs.int('unidirectional', 0) !== 0,
};

const DECODER_MASKED: Form = {
  pastKey: 5,
  pastValue: 6,
  scoreBias: 4,
  bias: 10,
  totalLength: -1,
  sharedBuffer: (ctx) => ctx.attrs.int('past_present_share_buffer', 0) !== 0,
  causal: NEVER,
};

const GROUP_QUERY: Form = {
  pastKey: 3,
  pastValue: 4,
  scoreBias: 10,
  bias: -1,
  totalLength: 6,
  sharedBuffer: NEVER,
  causal: (attrs) => attrs.int('causal', 1) !== 0,
};

const SPARSE: Form = {
  ...GROUP_QUERY,
  scoreBias: -1,
  totalLength: 7,
  sharedBuffer: () => true,
  causal: () => true,
};

/** Sizes as far as known. `packed`: the query tensor holds keys and values too, or the key tensor the values. */
interface Sizes {
  readonly batch: Dim | null;
  readonly query: Dim | null;
  readonly kv: Dim | null;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: Dim | null;
  readonly valueDim: Dim | null;
  readonly packed: 'none' | 'qkv' | 'kv' | 'qkv columns';
}

/** @param shape shapes of inputs: symbolic while inferring, numbers afterwards */
function sizesOf(shape: (i: number) => Shape | null, attrs: Attributes): Sizes {
  const heads = Math.max(attrs.int('num_heads', 1), 1);
  const kvHeads = Math.max(attrs.int('kv_num_heads', heads), 1);
  const q = shape(0);
  const k = shape(1);
  const v = shape(2);
  const base = { heads, kvHeads, batch: q?.[0] ?? null, query: q?.[1] ?? null };
  if (q?.length === 5) return { ...base, kv: q[1], headDim: q[4], valueDim: q[4], packed: 'qkv' };
  if (k === null) {
    // Query, key and value side by side in the columns.
    const d = q === null ? null : divideExact(q[2], heads + 2 * kvHeads);
    return { ...base, kv: base.query, headDim: d, valueDim: d, packed: 'qkv columns' };
  }
  const headDim = q === null ? null : divideExact(q[2], heads);
  if (k.length === 5) return { ...base, kv: k[1], headDim, valueDim: k[4], packed: 'kv' };
  // Cross attention may take keys and values per head already, [batch, heads, length, headDim].
  const kv = k.length === 4 ? k[2] : k[1];
  const valueDim = v === null ? headDim : v.length === 4 ? v[3] : divideExact(v[2], kvHeads);
  return { ...base, kv, headDim, valueDim, packed: 'none' };
}

/** Length of the present cache. */
function presentLength(ctx: InferContext, form: Form, s: Sizes): Dim {
  const past = form.pastKey >= 0 ? ctx.shape(form.pastKey) : null;
  const total = form.totalLength >= 0 ? onlyElement(ctx.value(form.totalLength)) : null;
  if (past === null) {
    if (form.pastKey >= 0 && ctx.hasInput(form.pastKey)) return ctx.freshDim();
    return total ?? s.kv ?? ctx.freshDim();
  }
  if (form.sharedBuffer(ctx)) return past[2];
  if (form.totalLength >= 0) {
    // The total length is at least the past one, unless both share a buffer of the longest length.
    if (total === null) return declaredLength(ctx) ?? ctx.freshDim();
    if (typeof total === 'number' && typeof past[2] === 'number') return max(total, past[2]);
    return declaredLength(ctx) ?? total;
  }
  return s.kv === null ? ctx.freshDim() : add(past[2], s.kv);
}

/** What the model says of the present cache, where the operator's own inputs leave it open. */
function declaredLength(ctx: InferContext): Dim | null {
  const t = ctx.declared(1);
  return t?.kind === 'tensor' && t.shape?.length === 4 ? t.shape[2] : null;
}

function inferCore(form: Form): (ctx: InferContext) => void {
  return (ctx) => {
    const heads = positive(ctx, 'num_heads');
    const kvHeads = ctx.attrs.int('kv_num_heads', heads);
    if (kvHeads <= 0 || heads % kvHeads !== 0)
      ctx.fail(`num_heads ${String(heads)} is not a multiple of kv_num_heads ${String(kvHeads)}`);
    const q = ranked(ctx, 0, 3, 5);
    if (q?.length === 4) ctx.fail('query: expected rank 3, or 5 when packed, found rank 4');
    if (ctx.hasInput(1)) ranked(ctx, 1, 3, 5);
    if (ctx.hasInput(2)) ranked(ctx, 2, 3, 4);
    for (const i of [form.pastKey, form.pastValue]) if (i >= 0 && ctx.hasInput(i)) ranked(ctx, i, 4, 4);
    const s = sizesOf((i) => ctx.shape(i), ctx.attrs);
    if (q?.length === 3 && typeof q[2] === 'number' && s.headDim === null)
      ctx.fail(`query: ${dimText(q[2])} columns are not divisible by ${String(heads)} heads`);
    const dim = (d: Dim | null): Dim => d ?? ctx.freshDim();
    const dtype = ctx.dtype(0);
    if (q === null) ctx.setTensor(0, dtype, null);
    else ctx.setTensor(0, dtype, [q[0], q[1], s.valueDim === null ? ctx.freshDim() : mul(s.valueDim, heads)]);
    const wanted = ctx.hasOutput(1) || ctx.hasOutput(2) || ctx.hasOutput(3);
    if (!wanted) return;
    const length = presentLength(ctx, form, s);
    const cache = (past: number, size: Dim | null): Dim[] => {
      const p = past >= 0 ? ctx.shape(past) : null;
      return [dim(s.batch), kvHeads, length, p?.[3] ?? dim(size)];
    };
    if (ctx.hasOutput(1)) ctx.setTensor(1, firstDtype(ctx, form.pastKey, 0), cache(form.pastKey, s.headDim));
    if (ctx.hasOutput(2))
      ctx.setTensor(2, firstDtype(ctx, form.pastValue, 0), cache(form.pastValue, s.valueDim));
    if (ctx.hasOutput(3)) ctx.setTensor(3, dtype, [dim(s.batch), heads, dim(s.query), length]);
  };
}

/** Concrete sizes. A shared buffer counts in full where the total length is not known: its fill is data. */
function concrete(op: OpInstance, form: Form): AttentionSizes & { readonly packed: Sizes['packed'] } {
  const s = sizesOf((i) => op.inputShape(i), op.attrs);
  const kv = Number(s.kv ?? 1);
  const past = form.pastKey >= 0 ? (op.inputShape(form.pastKey)?.[2] ?? 0) : 0;
  // A buffer of the longest length that past and present share holds this step's tokens too.
  const present = op.outputShape(1)?.[2] ?? past + kv;
  const total = form.totalLength >= 0 ? onlyNumber(op.inputValue(form.totalLength)) : null;
  const window = op.attrs.int('local_window_size', -1);
  return {
    batch: Number(s.batch ?? 1),
    heads: s.heads,
    kvHeads: s.kvHeads,
    queryLength: Number(s.query ?? 1),
    kvLength: kv,
    pastLength: past === 0 ? 0 : Math.max((total ?? present) - kv, 0),
    headDim: Number(s.headDim ?? 1),
    valueDim: Number(s.valueDim ?? 1),
    causal: form.causal(op.attrs),
    window: window > 0 ? window : Number.POSITIVE_INFINITY,
    packed: s.packed,
  };
}

function coreFactors(op: OpInstance, form: Form): FactorRule {
  const b = new FactorBuilder(op);
  const s = concrete(op, form);
  const sharedSequence = s.packed === 'qkv' || s.packed === 'qkv columns';
  const f0 = attentionFactors(b, s);
  // One tensor holds queries and keys: its token axis cannot be split for one without the other.
  const token = sharedSequence ? b.whole(s.queryLength) : -1;
  const f: AttentionFactors = sharedSequence ? { ...f0, query: token, kv: token } : f0;
  const heads = queryHeads(f);
  const inputs: Layout[] = [...operandLayouts(op, b, s, f)];
  const total = op.outputShape(1)?.[2] ?? s.pastLength + s.kvLength;
  const present = total === s.kvLength && !sharedSequence ? f.kv : b.whole(total);
  const cache = (length: number, dim: number): Layout => [[f.batch], [f.kvHead], [length], [dim]];
  if (form.pastKey >= 0) {
    const past = b.whole(op.inputShape(form.pastKey)?.[2] ?? 1);
    inputs[form.pastKey] = cache(past, f.headDim);
    inputs[form.pastValue] = cache(past, f.valueDim);
  }
  if (form.scoreBias >= 0) inputs[form.scoreBias] = [[f.batch], heads, [f.query], [present]];
  if (form.bias >= 0 && s.heads === s.kvHeads && s.headDim === s.valueDim)
    inputs[form.bias] = [[b.whole(3), ...heads, f.headDim]];
  return b.rule(inputs, [
    [[f.batch], [f.query], [...heads, f.valueDim]],
    cache(present, f.headDim),
    cache(present, f.valueDim),
    [[f.batch], heads, [f.query], [present]],
  ]);
}

/**
 * Layouts of query, key and value. Fused columns are [parts, kvHead, headDim]: exact for multi-head attention; with
 * grouped heads the columns are to be laid out again by key/value head, as launchers do when they shard heads.
 */
function operandLayouts(
  op: OpInstance,
  b: FactorBuilder,
  s: AttentionSizes & { readonly packed: Sizes['packed'] },
  f: AttentionFactors,
): Layout[] {
  const heads = queryHeads(f);
  if (s.packed === 'qkv') return [[[f.batch], [f.query], heads, [b.whole(3)], [f.headDim]]];
  if (s.packed === 'qkv columns')
    return [[[f.batch], [f.query], [b.whole(s.heads / s.kvHeads + 2), f.kvHead, f.headDim]]];
  const query: Layout = [[f.batch], [f.query], [...heads, f.headDim]];
  if (s.packed === 'kv') return [query, [[f.batch], [f.kv], [f.kvHead], [b.whole(2)], [f.headDim]]];
  const kv = (i: number, dim: number): Layout =>
    op.inputShape(i)?.length === 4
      ? [[f.batch], [f.kvHead], [f.kv], [dim]]
      : [[f.batch], [f.kv], [f.kvHead, dim]];
  return [query, kv(1, f.headDim), kv(2, f.valueDim)];
}

function coreBackward(op: OpInstance, form: Form): BackwardRule | null {
  const extra = [form.scoreBias, form.bias].filter((i) => i >= 0 && i < op.inputCount);
  return attentionBackward(op, concrete(op, form), [0, 1, 2], extra);
}

function core(form: Form): OpRule {
  return {
    infer: inferCore(form),
    work: (op) => ({ flop: attentionFlop(concrete(op, form)), kernel: 'attention' }),
    factors: (op) => coreFactors(op, form),
    backward: (op) => coreBackward(op, form),
  };
}

/** Block-sparse pattern: no more pairs than the layout's blocks hold. */
function sparseFlop(op: OpInstance): number {
  const s = concrete(op, SPARSE);
  const columns = op.inputShape(6);
  const block = op.attrs.int('sparse_block_size', 1);
  const dense = attentionFlop(s);
  if (columns === null) return dense;
  const pairs = columns[columns.length - 1] * block * block;
  return Math.min(dense, 2 * s.batch * s.heads * pairs * (s.headDim + s.valueDim));
}

const sparseAttention: OpRule = {
  ...core(SPARSE),
  work: (op) => ({ flop: sparseFlop(op), kernel: 'attention' }),
};

/**
 * Unpadded tokens of several sequences in one axis. Lengths are data: every token is taken to see as many keys as the
 * longest sequence has (`token_offset` [batch, longest]), or all of them where that is not an input.
 */
function packedSizes(op: OpInstance, offsets: number): AttentionSizes {
  const heads = Math.max(op.attrs.int('num_heads', 1), 1);
  const kvHeads = Math.max(op.attrs.int('kv_num_heads', heads), 1);
  const q = op.inputShape(0) ?? [1, 1];
  const v = op.inputShape(2);
  const separate = op.inputShape(1) !== null;
  const headDim = q.length === 4 ? q[3] : separate ? q[1] / heads : q[1] / (heads + 2 * kvHeads);
  const latent = op.attrs.int('v_head_size', 0);
  return {
    batch: 1,
    heads,
    kvHeads,
    queryLength: q[0],
    kvLength: offsets >= 0 ? (op.inputShape(offsets)?.[1] ?? q[0]) : q[0],
    pastLength: 0,
    headDim,
    valueDim: latent > 0 ? latent : v === null ? headDim : v[1] / kvHeads,
    causal: offsets < 0 && op.attrs.int('is_causal', 1) !== 0,
    window: Number.POSITIVE_INFINITY,
  };
}

function packedFactors(op: OpInstance, offsets: number): FactorRule {
  const b = new FactorBuilder(op);
  const s = packedSizes(op, offsets);
  const f = attentionFactors(b, s);
  // Sequences are cut out of the token axis at run time.
  const token = b.whole(s.queryLength);
  const heads = queryHeads(f);
  const q = op.inputShape(0) ?? [1, 1];
  const query: Layout =
    q.length === 4
      ? [[token], heads, [b.whole(3)], [f.headDim]]
      : op.inputShape(1) === null
        ? [[token], [b.whole(s.heads / s.kvHeads + 2), f.kvHead, f.headDim]]
        : [[token], [...heads, f.headDim]];
  const inputs: Layout[] = [query, [[token], [f.kvHead, f.headDim]], [[token], [f.kvHead, f.valueDim]]];
  const outputs: Layout[] = [[[token], [...heads, f.valueDim]]];
  if (offsets < 0) {
    const shape = op.inputShape(3) ?? [1, 1, 1, 1];
    const cache: Layout = [[b.whole(shape[0])], [b.whole(shape[1] ?? 1)], [f.kvHead], [f.headDim]];
    inputs[3] = cache;
    inputs[4] = cache;
    outputs.push(cache, cache);
  }
  return b.rule(inputs, outputs);
}

function packedCore(offsets: number): OpRule {
  return {
    infer(ctx) {
      const heads = positive(ctx, 'num_heads');
      const kvHeads = ctx.attrs.int('kv_num_heads', heads);
      const q = ranked(ctx, 0, 2, 4);
      if (q?.length === 3) ctx.fail('query: expected rank 2, or 4 when packed, found rank 3');
      const v = ctx.hasInput(2) ? ranked(ctx, 2, 2, 2) : null;
      const latent = ctx.attrs.int('v_head_size', 0);
      let columns: Dim | null = null;
      if (latent > 0) columns = heads * latent;
      else if (q?.length === 4) columns = mul(q[1], q[3]);
      else if (v !== null) columns = mul(divideExact(v[1], kvHeads) ?? ctx.freshDim(), heads);
      else if (q !== null && !ctx.hasInput(1)) {
        const d = divideExact(q[1], heads + 2 * kvHeads);
        columns = d === null ? null : mul(d, heads);
      } else if (q !== null) columns = q[1];
      ctx.setTensor(0, ctx.dtype(0), q === null ? null : [q[0], columns ?? ctx.freshDim()]);
      if (offsets >= 0) return;
      for (const [o, i] of [
        [1, 3],
        [2, 4],
      ])
        if (ctx.hasOutput(o)) ctx.setTensor(o, ctx.dtype(i), ctx.shape(i));
    },
    work: (op) => ({ flop: attentionFlop(packedSizes(op, offsets)), kernel: 'attention' }),
    factors: (op) => packedFactors(op, offsets),
    backward: (op) => attentionBackward(op, packedSizes(op, offsets), [0, 1, 2]),
  };
}

/** num_buckets table [buckets, heads], lengths as scalar inputs -> [1, heads, query, key]. */
const relativePositionBias: OpRule = {
  infer(ctx) {
    const table = ranked(ctx, 0, 2, 2);
    const length = (i: number): Dim => onlyElement(ctx.value(i)) ?? ctx.freshDim();
    ctx.setTensor(0, ctx.dtype(0), [1, table?.[1] ?? ctx.freshDim(), length(1), length(2)]);
  },
  work: (op) => ({ flop: outputElements(op), kernel: 'gather' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const table = op.inputShape(0) ?? [1, 1];
    const y = op.outputShape(0) ?? [1, 1, 1, 1];
    const heads = b.parallel(table[1]);
    return b.rule(
      [[[b.add(table[0], 'lookup')], [heads]]],
      [[[], [heads], [b.parallel(y[2])], [b.parallel(y[3])]]],
    );
  },
  backward: (op) =>
    needsGrad(op, 0)
      ? { grads: [{ input: 0, flop: outputElements(op) }], savesInputs: [], savesOutputs: [] }
      : null,
};

/** query [B, S, H*D], bias, rel_pos [1, H, S, S], weight [D, D'], bias, eco_a, token_offset -> [B, H, S, S]. */
const gatedRelativePositionBias: OpRule = {
  infer(ctx) {
    const q = ranked(ctx, 0, 2, 3);
    const rel = ctx.shape(2);
    const offset = ctx.shape(6);
    const heads = positive(ctx, 'num_heads');
    const batch = q?.length === 3 ? q[0] : offset?.[0];
    const length = q?.length === 3 ? q[1] : (offset?.[1] ?? rel?.[2]);
    const s = length ?? ctx.freshDim();
    ctx.setTensor(0, ctx.dtype(0), [batch ?? ctx.freshDim(), heads, s, s]);
  },
  work(op) {
    const q = op.inputShape(0) ?? [1];
    const gate = op.inputShape(3)?.[1] ?? 1;
    const rows = q.reduce((p, d) => p * d, 1);
    return { flop: 2 * rows * gate + 3 * outputElements(op), kernel: 'elementwise' };
  },
};

/** q, k rotated with tables of angles; emb [B, S, D], q, q_rot, k, k_rot [B, H, S, D]. */
const gemmaRotaryEmbedding: OpRule = {
  infer(ctx) {
    ctx.setTensor(0, firstDtype(ctx, 1), ctx.shape(1));
    if (ctx.hasOutput(1)) ctx.setTensor(1, firstDtype(ctx, 3, 1), ctx.shape(3));
  },
  work: (op) => ({ flop: 3 * (outputElements(op) + outputElements(op, 1)), kernel: 'elementwise' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const q = op.inputShape(1) ?? [1, 1, 1, 1];
    const k = op.inputShape(3) ?? q;
    const [batch, seq, dim] = [b.parallel(q[0]), b.parallel(q[2]), b.whole(q[3])];
    const layout = (heads: number): Layout => [[batch], [heads], [seq], [dim]];
    const [hq, hk] = [b.parallel(q[1]), b.parallel(k[1])];
    return b.rule(
      [[[batch], [seq], [dim]], layout(hq), layout(hq), layout(hk), layout(hk)],
      [layout(hq), layout(hk)],
    );
  },
};

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: {
    ...projectedRules,
    MultiHeadAttention: core(MULTI_HEAD),
    DecoderMaskedMultiHeadAttention: core(DECODER_MASKED),
    GroupQueryAttention: core(GROUP_QUERY),
    SparseAttention: sparseAttention,
    PackedMultiHeadAttention: packedCore(4),
    PagedAttention: packedCore(-1),
    LinearAttention: linearAttention,
    RotaryEmbedding: rotaryRule(flatHeads),
    MRotaryEmbedding: rotaryRule(flatHeads),
    GemmaRotaryEmbedding: gemmaRotaryEmbedding,
    RelativePositionBias: relativePositionBias,
    GatedRelativePositionBias: gatedRelativePositionBias,
  },
};

/** Heads of a flat input: the attribute, else by the width of the cosine table (half a head). */
function flatHeads(op: OpInstance): number {
  const given = op.attrs.int('num_heads', 0);
  if (given > 0) return given;
  const x = op.inputShape(0) ?? [1, 1, 1];
  const table = op.inputShape(2);
  const head = table === null ? 0 : 2 * table[table.length - 1];
  return head > 0 && x.length === 3 && x[2] % head === 0 ? x[2] / head : 1;
}
