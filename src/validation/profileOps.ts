/**
 * What PyTorch operators work on, from the shapes that its profiler records. Positions of arguments are those of the
 * operators' schemas (aten `native_functions.yaml`; flash-attn 2).
 */
import { PRECISION_BYTES } from '../cost/compute.js';
import type { Precision } from '../cluster/types.js';

/** An operator as the trace has it: shapes and types of its arguments, and the values of those that are no tensors. */
export interface OperatorCall {
  readonly name: string;
  readonly dims: readonly unknown[];
  readonly types: readonly unknown[];
  readonly concrete: readonly unknown[];
}

/** `batch` products of m x k by k x n. */
export interface GemmShape {
  readonly precision: Precision;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export interface AttentionShape {
  readonly precision: Precision;
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly queries: number;
  readonly keys: number;
  readonly headDim: number;
  readonly causal: boolean;
  readonly backward: boolean;
}

const PRECISION_OF: Readonly<Record<string, Precision>> = {
  bfloat16: 'bf16',
  half: 'fp16',
  float16: 'fp16',
  float: 'fp32',
  float32: 'fp32',
  float8e4m3fn: 'fp8',
  float8e5m2: 'fp8',
  float8e4m3fnuz: 'fp8',
  float8e5m2fnuz: 'fp8',
  char: 'int8',
  signedchar: 'int8',
  int8: 'int8',
  byte: 'int8',
  unsignedchar: 'int8',
};

/** `c10::BFloat16`, `float`, `Float8_e4m3fn`; null for what matrix units do not run. */
export function torchPrecision(type: unknown): Precision | null {
  if (typeof type !== 'string') return null;
  return PRECISION_OF[type.toLowerCase().replace(/^c10::|[^a-z0-9]/g, '')] ?? null;
}

/** Position of the first matrix in the arguments. */
const GEMMS: Readonly<Record<string, number>> = {
  'aten::mm': 0,
  'aten::addmm': 1,
  'aten::addmm_': 1,
  'aten::bmm': 0,
  'aten::baddbmm': 1,
  'aten::baddbmm_': 1,
  'aten::_scaled_mm': 0,
  'aten::_int_mm': 0,
};

/** The matrix product of an operator; null when it is none, or its shapes do not match. */
export function gemmOf(call: OperatorCall): GemmShape | null {
  const first = Object.hasOwn(GEMMS, call.name) ? GEMMS[call.name] : -1;
  if (first < 0) return null;
  const a = shape(call.dims[first]);
  const b = shape(call.dims[first + 1]);
  const precision = torchPrecision(call.types[first]);
  if (a === null || b === null || precision === null || a.length !== b.length) return null;
  if (a.length < 2 || a.length > 3) return null;
  const [m, k] = a.slice(-2);
  const [inner, n] = b.slice(-2);
  const batch = a.length === 3 ? a[0] : 1;
  if (k !== inner || (a.length === 3 && b[0] !== batch) || batch * m * n * k === 0) return null;
  return { precision, batch, m, n, k };
}

/** Where an attention operator has its queries and its mask; the order of sequence and heads in its tensors. */
interface AttentionRule {
  readonly query: number;
  readonly causal: number;
  readonly layout: 'bhsd' | 'bshd';
}

const bhsd = (query: number, causal: number): AttentionRule => ({ query, causal, layout: 'bhsd' });
const bshd = (query: number, causal: number): AttentionRule => ({ query, causal, layout: 'bshd' });

const ATTENTIONS: Readonly<Record<string, AttentionRule>> = {
  'aten::_scaled_dot_product_flash_attention': bhsd(0, 4),
  'aten::_scaled_dot_product_flash_attention_backward': bhsd(1, 11),
  'aten::_flash_attention_forward': bshd(0, 8),
  'aten::_flash_attention_backward': bshd(1, 11),
  'aten::_scaled_dot_product_cudnn_attention': bhsd(0, 6),
  'aten::_scaled_dot_product_cudnn_attention_backward': bhsd(1, 14),
  'aten::_cudnn_attention_forward': bhsd(0, 10),
  'aten::_cudnn_attention_backward': bhsd(1, 14),
  'aten::_efficient_attention_forward': bshd(0, 9),
  'aten::_efficient_attention_backward': bshd(1, 14),
  'flash_attn::_flash_attn_forward': bshd(0, 5),
  'flash_attn::_flash_attn_backward': bshd(1, 11),
};

/** The fused attention of an operator; null when it is none, packs its sequences, or does not say whether it is causal. */
export function attentionOf(call: OperatorCall): AttentionShape | null {
  const rule = Object.hasOwn(ATTENTIONS, call.name) ? ATTENTIONS[call.name] : undefined;
  if (rule === undefined) return null;
  const q = shape(call.dims[rule.query]);
  const k = shape(call.dims[rule.query + 1]);
  const precision = torchPrecision(call.types[rule.query]);
  const causal = truth(call.concrete[rule.causal]);
  if (q?.length !== 4 || k?.length !== 4 || precision === null || causal === null) return null;
  const [sequence, heads] = rule.layout === 'bhsd' ? [2, 1] : [1, 2];
  if (q[0] !== k[0] || q.some((d) => d === 0) || k.some((d) => d === 0)) return null;
  return {
    precision,
    batch: q[0],
    heads: q[heads],
    kvHeads: k[heads],
    queries: q[sequence],
    keys: k[sequence],
    headDim: q[3],
    causal,
    backward: call.name.endsWith('_backward'),
  };
}

/** Operators that read their inputs once and write one output of the first one's type, in one kernel. */
const ELEMENTWISE = new Set(
  'add add_ sub sub_ mul mul_ div div_ relu relu_ gelu silu silu_ sigmoid tanh exp neg pow sqrt rsqrt where gelu_backward silu_backward sigmoid_backward tanh_backward threshold_backward'
    .split(' ')
    .map((name) => `aten::${name}`),
);

/** Bytes that an elementwise operator must read and write; 0 when it is none. */
export function elementwiseBytes(call: OperatorCall): number {
  if (call.name === 'aten::copy_') return tensorBytes(call, 0) + tensorBytes(call, 1);
  if (!ELEMENTWISE.has(call.name)) return 0;
  let read = 0;
  let largest = 0;
  call.dims.forEach((_, i) => {
    const bytes = tensorBytes(call, i);
    read += bytes;
    largest = Math.max(largest, bytes);
  });
  // Mixed types widen or narrow the output: its size is not recorded.
  const types = new Set(
    call.types.filter((type, i) => tensorBytes(call, i) > 0 && torchPrecision(type) !== null),
  );
  return types.size === 1 ? read + largest : 0;
}

const OTHER_BYTES: Readonly<Record<string, number>> = { longint: 8, int: 4, bool: 1, double: 8, short: 2 };

/** 0 for what is no tensor, or of a type that is not known. */
function tensorBytes({ dims, types }: OperatorCall, i: number): number {
  const dimensions = shape(dims[i]);
  const type = types[i];
  // A scalar argument is recorded with no dimensions.
  if (dimensions === null || dimensions.length === 0 || typeof type !== 'string') return 0;
  const precision = torchPrecision(type);
  const bytes =
    precision === null
      ? (OTHER_BYTES[type.toLowerCase().replace(/[^a-z]/g, '')] ?? 0)
      : PRECISION_BYTES[precision];
  return dimensions.reduce((product, d) => product * d, bytes);
}

function shape(dims: unknown): number[] | null {
  if (!Array.isArray(dims)) return null;
  return dims.every((d) => Number.isSafeInteger(d) && (d as number) >= 0) ? (dims as number[]) : null;
}

/** `True`, `False`, or a mask type: 0 none, 1 and 2 causal. */
function truth(value: unknown): boolean | null {
  if (value === 'True' || value === '1' || value === '2' || value === true) return true;
  return value === 'False' || value === '0' || value === false ? false : null;
}
