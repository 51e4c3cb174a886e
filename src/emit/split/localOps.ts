/**
 * Which operators give a shard of their result when they are run on shards of their inputs, and what must change in them
 * first: sizes and head counts that exporters bake in. An operator that is not listed runs whole on every rank, which is
 * always right.
 */
import type { NodeProto } from '../../model/index.js';
import type { Attributes, FactorRule, KnownValue } from '../../ops/types.js';
import { numbersOf } from '../../ops/value.js';
import type { Sharding } from './program.js';
import type { FactorCut } from './sharding.js';

/** A node about to run on shards. */
export interface LocalContext {
  readonly opType: string;
  readonly domain: string;
  readonly version: number;
  readonly attrs: Attributes;
  readonly rule: FactorRule;
  readonly cut: FactorCut;
  readonly tp: number;
  readonly inputCount: number;
  /** Inferred sizes, primes for symbols. */
  inputShape(i: number): readonly number[] | null;
  outputShape(i: number): readonly number[] | null;
  known(i: number): KnownValue | null;
  /** How the cut leaves an input or output; `null`: whole. */
  input(i: number): Sharding | null;
  output(i: number): Sharding | null;
  hasInput(i: number): boolean;
}

export type InputChange =
  /** In its place the same integers on every rank. */
  | { readonly kind: 'constant'; readonly values: readonly number[] }
  /** Divided element by element, when the program runs. */
  | { readonly kind: 'divide'; readonly by: readonly number[] }
  /** Zeros on all ranks but the first. */
  | { readonly kind: 'firstRank' };

export interface LocalForm {
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
  readonly inputs?: ReadonlyMap<number, InputChange>;
}

const AS_IT_IS: LocalForm = {};

const set = (names: string): ReadonlySet<string> => new Set(names.trim().split(/\s+/));

/** Run on shards as they are: what they do follows from the sizes of their inputs. */
const PLAIN = set(`
  Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
  CastLike Ceil Celu Clip Concat Cos Cosh CumSum DequantizeLinear Div Einsum Elu Equal Erf Exp Flatten Floor Gather GatherND Gelu Greater
  GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul
  MatMulInteger Max Mean Min Mish Mod Mul Neg Not Or Pow PRelu QuantizeLinear RMSNormalization Reciprocal ReduceL1 ReduceL2
  ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Round Selu Sigmoid Sign
  SimplifiedLayerNormalization Sin Sinh Softmax Softplus Softsign Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile
  Transpose Unsqueeze Where Xor
`);

const PLAIN_MICROSOFT = set(`
  BiasGelu BiasSplitGelu DequantizeLinear FastGelu FusedMatMul Gelu QuantizeLinear QuickGelu SkipLayerNormalization
  SkipSimplifiedLayerNormalization TransposeMatMul
`);

/** Sums of products: cut along the contraction they leave partial sums; the input that is added once, or -1. */
const SUMMING: ReadonlyMap<string, number> = new Map([
  ['MatMul', -1],
  ['MatMulInteger', -1],
  ['Einsum', -1],
  ['ReduceSum', -1],
  ['Gemm', 2],
  ['Conv', 2],
  ['com.microsoft::FusedMatMul', -1],
  ['com.microsoft::TransposeMatMul', -1],
  ['com.microsoft::MatMulNBits', 5],
]);

/** Attributes that count heads. */
const HEAD_COUNTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['com.microsoft::GroupQueryAttention', ['num_heads', 'kv_num_heads']],
  ['com.microsoft::MultiHeadAttention', ['num_heads']],
  ['com.microsoft::RotaryEmbedding', ['num_heads']],
  ['RotaryEmbedding', ['num_heads']],
  ['Attention', ['q_num_heads', 'kv_num_heads']],
]);

export function opKey(domain: string, opType: string): string {
  return domain === '' ? opType : `${domain}::${opType}`;
}

/** Whether an operator may run on shards at all. */
export function mayRunOnShards(domain: string, opType: string): boolean {
  const key = opKey(domain, opType);
  if (SUMMING.has(key) || HEAD_COUNTS.has(key)) return true;
  if (domain === 'com.microsoft') return PLAIN_MICROSOFT.has(opType);
  return domain === '' && (PLAIN.has(opType) || RESIZED.has(opType));
}

const RESIZED: ReadonlyMap<string, (c: LocalContext) => LocalForm | null> = new Map([
  ['Reshape', resized],
  ['Expand', resized],
  ['Split', localSplit],
  ['Slice', localSlice],
]);

/** How to run a node on shards; `null` when it cannot be. The kinds of factors are checked here too. */
export function localForm(c: LocalContext): LocalForm | null {
  const key = opKey(c.domain, c.opType);
  const { kind } = c.rule.factors[c.cut.factor];
  if (kind === 'contraction') return localSum(c, key);
  if (kind !== 'parallel') return null;
  if (key === 'com.microsoft::MatMulNBits') return nBitsSizes(c, 'N');
  if (key === 'Conv' && c.attrs.int('group', 1) !== 1) return null;
  const counts = HEAD_COUNTS.get(key);
  if (counts !== undefined) return localHeads(c, counts);
  const resize = c.domain === '' ? RESIZED.get(c.opType) : undefined;
  if (resize !== undefined) return resize(c);
  return mayRunOnShards(c.domain, c.opType) ? AS_IT_IS : null;
}

function localSum(c: LocalContext, key: string): LocalForm | null {
  const once = SUMMING.get(key);
  if (once === undefined || (key === 'Conv' && c.attrs.int('group', 1) !== 1)) return null;
  const sized = key === 'com.microsoft::MatMulNBits' ? nBitsSizes(c, 'K') : AS_IT_IS;
  if (sized === null || once < 0 || !c.hasInput(once)) return sized;
  return { ...sized, inputs: new Map([[once, { kind: 'firstRank' }]]) };
}

/** Quantised columns (N) or rows (K) of a weight in blocks; a row is cut between blocks only, and between bytes. */
function nBitsSizes(c: LocalContext, name: 'N' | 'K'): LocalForm | null {
  const local = c.attrs.int(name, 0) / c.tp;
  if (!Number.isInteger(local)) return null;
  if (name === 'K') {
    const block = c.attrs.int('block_size', 32);
    const blocks = local / block;
    // Zero points of two blocks share a byte.
    const packed = (blocks * c.attrs.int('bits', 4)) % 8 === 0;
    if (!Number.isInteger(blocks) || (c.hasInput(3) && !packed) || c.hasInput(4) || c.cut.inner !== 1)
      return null;
  }
  return { attributes: { [name]: local } };
}

/** Fused attention: its key/value heads are cut, its queries with them. */
function localHeads(c: LocalContext, counts: readonly string[]): LocalForm | null {
  const attributes: Record<string, number> = {};
  const isAttention = c.opType !== 'RotaryEmbedding';
  if (isAttention && (!c.hasInput(1) || c.input(0) === null || c.input(1) === null || c.input(2) === null))
    return null;
  if (c.cut.inner !== 1) return null;
  for (const name of counts) {
    const count = c.attrs.int(name, 0);
    if (count % c.tp !== 0) return null;
    if (count > 0) attributes[name] = count / c.tp;
  }
  return { attributes };
}

/** Reshape and Expand: the target sizes are those of a shard; -1 and 0 stand for sizes that follow by themselves. */
function resized(c: LocalContext): LocalForm | null {
  const out = c.output(0);
  if (out === null) return null;
  const target = c.known(1);
  if (target === null || c.inputCount < 2) return null;
  const lead = (c.outputShape(0)?.length ?? 0) - target.elements.length;
  const at = out.axis - lead;
  if (at < 0) return AS_IT_IS;
  const element = target.elements[at];
  if (element === -1) return AS_IT_IS;
  // A copied size must be the size of the same cut.
  if (element === 0)
    return c.input(0)?.axis === out.axis && c.input(0)?.blocks === out.blocks ? AS_IT_IS : null;
  if (element === 1) return AS_IT_IS;
  const by = target.elements.map((_, k) => (k === at ? c.tp : 1));
  const values = numbersOf(target);
  const change: InputChange =
    values === null
      ? { kind: 'divide', by }
      : { kind: 'constant', values: values.map((value, k) => value / by[k]) };
  return { inputs: new Map([[1, change]]) };
}

function localSplit(c: LocalContext): LocalForm | null {
  const input = c.input(0);
  const rank = c.inputShape(0)?.length ?? 0;
  const axis = c.attrs.int('axis', 0);
  if (input === null || input.axis !== (axis < 0 ? axis + rank : axis)) return AS_IT_IS;
  const given = c.hasInput(1) ? numbersOf(c.known(1)) : c.attrs.ints('split');
  if (c.hasInput(1) && given === null) return null;
  if (given === null || given.length === 0) return AS_IT_IS;
  const values = given.map((size) => size / c.tp);
  if (!values.every(Number.isInteger)) return null;
  return c.hasInput(1)
    ? { inputs: new Map([[1, { kind: 'constant', values }]]) }
    : { attributes: { split: values } };
}

/** A slice that takes some of the equal chunks of the cut dimension: its bounds count local elements. */
function localSlice(c: LocalContext): LocalForm | null {
  const input = c.input(0);
  const from = c.inputShape(0);
  const to = c.outputShape(0);
  if (input === null || from === null || to === null || !c.hasInput(1)) return null;
  const size = from[input.axis];
  const axes = c.hasInput(3) ? numbersOf(c.known(3)) : from.map((_, k) => k);
  if (axes === null) return null;
  const position = axes.findIndex((axis) => (axis < 0 ? axis + from.length : axis) === input.axis);
  if (position < 0) return AS_IT_IS;
  const steps = c.hasInput(4) ? numbersOf(c.known(4)) : null;
  if (c.hasInput(4) && (steps === null || steps[position] !== 1)) return null;
  if (size === to[input.axis]) return AS_IT_IS;
  const starts = numbersOf(c.known(1));
  const ends = numbersOf(c.known(2));
  if (starts === null || ends === null) return null;
  const local = (value: number): number => {
    const wrapped = value < 0 ? value + size : value;
    return Math.min(Math.max(wrapped, 0), size) / c.tp;
  };
  const scaled = (values: readonly number[]): number[] =>
    values.map((value, k) => (k === position ? local(value) : value));
  if (!Number.isInteger(local(starts[position])) || !Number.isInteger(local(ends[position]))) return null;
  return {
    inputs: new Map([
      [1, { kind: 'constant', values: scaled(starts) }],
      [2, { kind: 'constant', values: scaled(ends) }],
    ]),
  };
}

/** The node with some integer attributes replaced. */
export function withAttributes(
  proto: NodeProto,
  changes: Readonly<Record<string, number | readonly number[]>> | undefined,
): NodeProto {
  if (changes === undefined) return proto;
  const attribute = proto.attribute.map((a) => {
    const value = changes[a.name ?? ''];
    if (value === undefined) return a;
    return typeof value === 'number' ? { ...a, i: value } : { ...a, ints: [...value] };
  });
  return { ...proto, attribute };
}
