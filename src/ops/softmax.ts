/**
 * Softmax and its kin. Until opset 12 the tensor is flattened at `axis` (default 1) and all later axes are normalised
 * together; from opset 13 on `axis` (default -1) alone. FLOP per element: maximum, subtraction, exponential, sum and
 * division, 5 in all; the gradient y*(dy - sum(dy*y)) costs 4 and reads the output only.
 */
import { needsGrad, outputElements } from './defaults.js';
import { normalizeAxis, wrapAxis } from './axis.js';
import { alignedFactors } from './factor_builder.js';
import { sameAsInput } from './expect.js';
import type { FactorRule, InferContext, OpFamily, OpInstance, OpRule } from './types.js';

export const SOFTMAX_FLOP = 5;

function defaultAxis(version: number): number {
  return version < 13 ? 1 : -1;
}

function inferSoftmax(ctx: InferContext): void {
  const x = ctx.shape(0);
  // A vector under the old default axis of 1 flattens to [n, 1]: legal there.
  const highest = ctx.version < 13 ? 1 : 0;
  const axis = ctx.attrs.int('axis', defaultAxis(ctx.version));
  if (x !== null && !(highest === 1 && axis === x.length)) normalizeAxis(ctx, axis, Math.max(x.length, 1));
  sameAsInput(ctx);
}

export function softmaxFactors(op: OpInstance): FactorRule {
  const rank = op.inputShape(0)?.length ?? 0;
  const axis = wrapAxis(op.attrs.int('axis', defaultAxis(op.version)), rank);
  const flattened = op.version < 13;
  return alignedFactors(op, (k) => ((flattened ? k >= axis : k === axis) ? 'normalized' : 'parallel'));
}

const softmax: OpRule = {
  infer: inferSoftmax,
  work: (op) => ({ flop: SOFTMAX_FLOP * outputElements(op), kernel: 'norm' }),
  factors: softmaxFactors,
  backward: (op) =>
    needsGrad(op, 0)
      ? { grads: [{ input: 0, flop: 4 * outputElements(op) }], savesInputs: [], savesOutputs: [0] }
      : null,
};

/** One-hot of the maximum: no gradient. */
const hardmax: OpRule = {
  infer: inferSoftmax,
  work: (op) => ({ flop: outputElements(op), kernel: 'norm' }),
  factors: softmaxFactors,
  backward: () => null,
};

export const family: OpFamily = {
  domain: '',
  rules: { Softmax: softmax, LogSoftmax: softmax, Hardmax: hardmax },
};
