/**
 * What all matrix products share: numpy's shape rule, FLOP, factors (batch, rows, columns, contraction) and gradients.
 * FLOP = 2*batch*M*N*K, a multiply-add counted as two; the gradient of each operand is a product of the same size.
 */
import { broadcastShapes } from './broadcast.js';
import { needsGrad, outputElements } from './defaults.js';
import { shapeText } from './dim.js';
import { unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import type { BackwardRule, FactorRule, InferContext, OpInstance, Shape, Work } from './types.js';

/** How an operand is stored. */
export interface OperandForm {
  /** The last two dimensions are swapped. */
  readonly transposed?: boolean;
  /** The first dimension stands in for the row dimension: [M, batch..., K] (ORT's transBatchA/B). */
  readonly batchTransposed?: boolean;
}

const PLAIN: OperandForm = {};

/** An operand brought to [batch..., rows, columns]. */
export function canonical<T>(shape: readonly T[], form: OperandForm): T[] {
  const out = shape.slice();
  if (form.batchTransposed === true && out.length > 2) out.splice(out.length - 2, 0, out.shift() as T);
  if (form.transposed === true && out.length >= 2) {
    const last = out.length - 1;
    const row = out[last - 1];
    out[last - 1] = out[last];
    out[last] = row;
  }
  return out;
}

/** numpy.matmul of two shapes. @throws PartitionError when they cannot be multiplied */
export function matmulShape(
  ctx: InferContext,
  a: Shape | null,
  b: Shape | null,
  formA = PLAIN,
  formB = PLAIN,
): Shape | null {
  if (a === null || b === null) return null;
  if (a.length === 0 || b.length === 0)
    ctx.fail(`cannot multiply ${shapeText(a)} by ${shapeText(b)}: an operand is a scalar`);
  const left = a.length === 1 ? [1, a[0]] : canonical(a, formA);
  const right = b.length === 1 ? [b[0], 1] : canonical(b, formB);
  unify(
    ctx,
    left[left.length - 1],
    right[right.length - 2],
    `contraction of ${shapeText(a)} with ${shapeText(b)}`,
  );
  const batch = broadcastShapes(ctx, left.slice(0, -2), right.slice(0, -2)) ?? [];
  const shape = [...batch];
  if (a.length > 1) shape.push(left[left.length - 2]);
  if (b.length > 1) shape.push(right[right.length - 1]);
  return shape;
}

/** Length of the contraction of a product whose left operand is input `a`. */
function contraction(op: OpInstance, a: number, form: OperandForm): number {
  const shape = op.inputShape(a) ?? [1];
  const c = canonical(shape, form);
  return c[c.length - 1] ?? 1;
}

export function productWork(op: OpInstance, a = 0, formA = PLAIN): Work {
  return { flop: 2 * outputElements(op) * contraction(op, a, formA), kernel: 'gemm' };
}

export interface ProductLayouts {
  readonly builder: FactorBuilder;
  readonly left: Layout;
  readonly right: Layout;
  readonly out: Layout;
  /** Factor of the output columns, for biases and scales of length N. */
  readonly column: readonly number[];
  readonly contraction: number;
}

/** Factors of a product: batch and rows parallel, columns parallel, contraction. */
export function productLayouts(
  op: OpInstance,
  a: number,
  b: number,
  formA = PLAIN,
  formB = PLAIN,
): ProductLayouts {
  const builder = new FactorBuilder(op);
  const sizeA = op.inputShape(a) ?? [];
  const sizeB = op.inputShape(b) ?? [];
  const left = sizeA.length === 1 ? [1, sizeA[0]] : canonical(sizeA, formA);
  const right = sizeB.length === 1 ? [sizeB[0], 1] : canonical(sizeB, formB);
  const rankBatch = Math.max(left.length, right.length) - 2;
  const batch: number[][] = [];
  for (let k = 0; k < rankBatch; k++) {
    const x = left[k - rankBatch + left.length - 2] ?? 1;
    const y = right[k - rankBatch + right.length - 2] ?? 1;
    batch.push([builder.parallel(Math.max(x, y))]);
  }
  const k = builder.add(left[left.length - 1] ?? 1, 'contraction');
  const row = sizeA.length > 1 ? [builder.parallel(left[left.length - 2])] : null;
  const column = sizeB.length > 1 ? [builder.parallel(right[right.length - 1])] : null;
  const leftBatch = batch.slice(rankBatch - Math.max(left.length - 2, 0));
  const rightBatch = batch.slice(rankBatch - Math.max(right.length - 2, 0));
  return {
    builder,
    left: row === null ? [[k]] : restored([...leftBatch, row, [k]], formA),
    right: column === null ? [[k]] : restored([...rightBatch, [k], column], formB),
    out: [...batch, ...(row === null ? [] : [row]), ...(column === null ? [] : [column])],
    column: column ?? [],
    contraction: k,
  };
}

/** Inverse of `canonical`. */
function restored(layout: number[][], form: OperandForm): number[][] {
  const out = layout.slice();
  if (form.transposed === true && out.length >= 2) {
    const last = out.length - 1;
    const row = out[last - 1];
    out[last - 1] = out[last]!;
    out[last] = row;
  }
  if (form.batchTransposed === true && out.length > 2) out.unshift(...out.splice(out.length - 2, 1));
  return out;
}

/** A product is linear in its activations when exactly one operand is one. */
export function oneActivation(op: OpInstance, a: number, b: number): boolean {
  return op.inputIsParameter(a) !== op.inputIsParameter(b);
}

export function productFactors(op: OpInstance, a = 0, b = 1, formA = PLAIN, formB = PLAIN): FactorRule {
  const p = productLayouts(op, a, b, formA, formB);
  const inputs: Layout[] = [];
  inputs[a] = p.left;
  inputs[b] = p.right;
  return p.builder.rule(inputs, [p.out], oneActivation(op, a, b));
}

/**
 * dA needs B and dB needs A, each a product of the forward size.
 * @param bias input whose gradient is a sum over the output, if any
 */
export function productBackward(op: OpInstance, flop: number, a = 0, b = 1, bias = -1): BackwardRule | null {
  const grads: { input: number; flop: number }[] = [];
  const saves: number[] = [];
  if (needsGrad(op, a)) {
    grads.push({ input: a, flop });
    saves.push(b);
  }
  if (needsGrad(op, b)) {
    grads.push({ input: b, flop });
    saves.push(a);
  }
  if (bias >= 0 && needsGrad(op, bias)) grads.push({ input: bias, flop: outputElements(op) });
  if (grads.length === 0) return null;
  return { grads, savesInputs: present(op, saves), savesOutputs: [] };
}

/** Those of the inputs that are there, in order. */
export function present(op: OpInstance, inputs: readonly number[]): number[] {
  return [...new Set(inputs)]
    .filter((i) => i >= 0 && i < op.inputCount && op.inputShape(i) !== null)
    .sort((x, y) => x - y);
}
