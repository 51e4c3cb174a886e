/**
 * ORT's mixture of experts (com.microsoft MoE, QMoE). FLOP = 2*tokens*k*(hidden*fc1 columns + inner*hidden [+ fc3]), as
 * every token meets k experts. Experts are a `lookup` factor: splitting them sends tokens to their experts. The inner
 * dimension is a contraction of fc2: splitting it within experts leaves partial sums.
 */
import { dtypeBytes } from '../model/dtype.js';
import { needsGrad } from './defaults.js';
import { ranked, unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { countOf } from './value.js';
import { present } from './product_rule.js';
import type { BackwardRule, FactorRule, OpFamily, OpInstance, OpRule } from './types.js';

/** Inputs by expert layer; weights [E, columns, rows], biases and scales [E, columns, ...]. */
interface Form {
  readonly fc1: readonly number[];
  readonly fc2: readonly number[];
  readonly fc3: readonly number[];
  readonly quantized: boolean;
}

const MOE: Form = { fc1: [2, 3], fc2: [4, 5], fc3: [6, 7], quantized: false };
const QMOE: Form = { fc1: [2, 3, 4, 11], fc2: [5, 6, 7, 12], fc3: [8, 9, 10, 13], quantized: true };

interface Sizes {
  readonly tokens: number;
  readonly hidden: number;
  readonly experts: number;
  readonly inner: number;
  /** 2 where gate and up projections share fc1. */
  readonly fusion: number;
  readonly k: number;
  readonly gated: boolean;
}

function sizesOf(op: OpInstance, form: Form): Sizes {
  const x = op.inputShape(0) ?? [1, 1];
  const fc1 = op.inputShape(form.fc1[0]) ?? [1, 1, 1];
  const fusion = op.attrs.int('swiglu_fusion', 0) !== 0 ? 2 : 1;
  return {
    tokens: countOf(x.slice(0, -1)),
    hidden: x[x.length - 1],
    experts: fc1[0],
    inner: fc1[1] / fusion,
    fusion,
    k: op.attrs.int('k', 1),
    gated: op.inputShape(form.fc3[0]) !== null,
  };
}

function moeFlop(op: OpInstance, form: Form): number {
  const s = sizesOf(op, form);
  const projections = s.fusion + 1 + (s.gated ? 1 : 0);
  return 2 * s.tokens * s.k * s.hidden * s.inner * projections;
}

function moeFactors(op: OpInstance, form: Form): FactorRule {
  const b = new FactorBuilder(op);
  const s = sizesOf(op, form);
  const x = op.inputShape(0) ?? [1, 1];
  const rows = b.each(x.slice(0, -1), 'parallel');
  const experts = b.add(s.experts, 'lookup');
  // Packed weights hold `pack` inner elements in one.
  const packed = op.inputShape(form.fc2[0])?.[2] ?? s.inner;
  const pack = s.inner % packed === 0 ? s.inner / packed : 1;
  const inner = [b.add(s.inner / pack, 'contraction'), ...(pack > 1 ? [b.whole(pack)] : [])];
  const input = b.whole(s.hidden);
  const output = b.parallel(s.hidden);
  // Interleaved gate and up rows are [inner, 2]; side by side they are [2, inner].
  const pair = s.fusion === 2 ? [b.whole(2)] : [];
  const fc1 = op.attrs.int('swiglu_fusion', 0) === 2 ? [...pair, ...inner] : [...inner, ...pair];
  const inputs: Layout[] = [];
  const matrix = (ids: readonly number[], column: readonly number[], row: number): void => {
    for (const i of ids)
      inputs[i] = (op.inputShape(i)?.length ?? 0) === 3 ? [[experts], column, [row]] : [[experts], column];
  };
  matrix(form.fc1, fc1, input);
  matrix(form.fc2, [output], inner[0]);
  matrix(form.fc3, inner, input);
  inputs[0] = [...rows.map((f) => [f]), [input]];
  // The router's rows are tokens, flattened.
  inputs[1] = [rows, [experts]];
  if (form.quantized) inputs[14] = [rows, [experts]];
  return b.rule(inputs, [[...rows.map((f) => [f]), [output]]]);
}

function moeBackward(op: OpInstance, form: Form): BackwardRule | null {
  const s = sizesOf(op, form);
  const flop = moeFlop(op, form);
  const grads: { input: number; flop: number }[] = [];
  if (needsGrad(op, 0)) grads.push({ input: 0, flop });
  if (needsGrad(op, 1)) grads.push({ input: 1, flop: 2 * s.tokens * s.k * s.hidden });
  const perMatrix = 2 * s.tokens * s.k * s.hidden * s.inner;
  for (const [ids, times] of [
    [form.fc1, s.fusion],
    [form.fc2, 1],
    [form.fc3, 1],
  ] as const) {
    if (needsGrad(op, ids[0])) grads.push({ input: ids[0], flop: times * perMatrix });
    for (const i of ids.slice(1))
      if (needsGrad(op, i)) grads.push({ input: i, flop: s.tokens * s.k * s.inner });
  }
  if (grads.length === 0) return null;
  const weights = [form.fc1[0], form.fc2[0], form.fc3[0]].filter((i) => op.inputShape(i) !== null);
  // Beside input and routing: each routed token's projections before and after the activation, and its output.
  const projections = s.fusion + (s.gated ? 1 : 0) + 1;
  const perToken = projections * s.inner + s.hidden;
  return {
    grads,
    savesInputs: present(op, [0, 1, ...weights]),
    savesOutputs: [],
    extraSavedBytes: dtypeBytes(op.inputDtype(0), s.tokens * s.k * perToken),
  };
}

function moe(form: Form): OpRule {
  return {
    infer(ctx) {
      const x = ranked(ctx, 0, 2, 3);
      const router = ranked(ctx, 1, 2, 2);
      const fc1 = ranked(ctx, form.fc1[0], 2);
      const fc2 = ranked(ctx, form.fc2[0], 2);
      if (router !== null && fc1 !== null) unify(ctx, fc1[0], router[1], 'number of experts');
      if (fc1 !== null && fc2 !== null) unify(ctx, fc1[0], fc2[0], 'number of experts in fc1 and fc2');
      if (!form.quantized && x !== null && fc1?.length === 3)
        unify(ctx, fc1[2], x[x.length - 1], 'hidden size of fc1 and the input');
      ctx.setTensor(0, ctx.dtype(0), x);
    },
    work: (op) => ({ flop: moeFlop(op, form), kernel: 'gemm' }),
    factors: (op) => moeFactors(op, form),
    backward: (op) => moeBackward(op, form),
  };
}

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: { MoE: moe(MOE), QMoE: moe(QMOE) },
};
