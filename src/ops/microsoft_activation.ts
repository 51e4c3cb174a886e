/** ORT's fused activations, dropouts and softmax (com.microsoft). */
import { DType } from '../model/dtype.js';
import { broadcastShapes } from './broadcast.js';
import { needsGrad, outputElements } from './defaults.js';
import { ceilDiv, product } from './dim.js';
import { dropoutBackward, dropoutWork, isActive } from './dropout.js';
import { sameAsInput } from './expect.js';
import { alignedFactors, outputAligned } from './factor_builder.js';
import { SOFTMAX_FLOP } from './softmax.js';
import { wrapAxis } from './axis.js';
import type { OpFamily, OpInstance, OpRule } from './types.js';

const GELU_FLOP = 8;

/** y = f(x + bias): the gradient reads x and bias; that of the bias sums over the rows. */
function biased(flop: number): OpRule {
  return {
    infer(ctx) {
      const bias = ctx.shape(1);
      const x = ctx.shape(0);
      ctx.setTensor(0, ctx.dtype(0), bias === null ? x : broadcastShapes(ctx, x, bias));
    },
    work: (op) => ({
      flop: (flop + (op.inputShape(1) === null ? 0 : 1)) * outputElements(op),
      kernel: 'elementwise',
    }),
    factors: outputAligned,
    backward(op) {
      const inputs = [0, 1].filter((i) => needsGrad(op, i));
      if (inputs.length === 0) return null;
      const grads = inputs.map((input) => ({ input, flop: (input === 0 ? flop : 1) * outputElements(op) }));
      return {
        grads,
        savesInputs: [0, 1].filter((i) => i < op.inputCount && op.inputShape(i) !== null),
        savesOutputs: [],
      };
    },
  };
}

/** data, bias, residual, ratio, training_mode: dropout(data + bias) + residual. */
function biasDropout(bitMask: boolean): OpRule {
  return {
    infer(ctx) {
      sameAsInput(ctx);
      if (!ctx.hasOutput(1)) return;
      const x = ctx.shape(0);
      if (bitMask) ctx.setTensor(1, DType.UINT32, x === null ? [ctx.freshDim()] : [ceilDiv(product(x), 32)]);
      else ctx.setTensor(1, DType.BOOL, x);
    },
    work(op) {
      const work = dropoutWork(op, isActive(op, 3));
      return { flop: work.flop + 2 * outputElements(op), kernel: 'elementwise' };
    },
    factors: (op) => dropoutFactors(op),
    backward: (op) => maskedBackward(op, isActive(op, 3), [0, 1, 2], bitMask),
    nondeterministic: true,
  };
}

/** A packed mask has one bit an element and cannot follow the data's axes. */
function maskedBackward(
  op: OpInstance,
  active: boolean,
  inputs: readonly number[],
  bitMask: boolean,
): ReturnType<NonNullable<OpRule['backward']>> {
  const rule = dropoutBackward(op, active, inputs);
  if (rule === null || !bitMask || !active) return rule;
  const isOutput = op.outputCount > 1 && op.outputShape(1) !== null;
  return {
    grads: rule.grads,
    savesInputs: [],
    savesOutputs: isOutput ? [1] : [],
    ...(isOutput ? {} : { extraSavedBytes: Math.ceil(outputElements(op) / 8) }),
  };
}

function dropoutFactors(op: OpInstance): ReturnType<typeof alignedFactors> {
  const packed = op.outputCount > 1 && op.outputDtype(1) === DType.UINT32;
  return alignedFactors(op, () => (packed ? 'whole' : 'parallel'), true);
}

const bitmaskDropout: OpRule = {
  ...biasDropout(true),
  work: (op) => dropoutWork(op, isActive(op, 1)),
  factors: dropoutFactors,
  backward: (op) => maskedBackward(op, isActive(op, 1), [0], true),
  nondeterministic: true,
};

/** softmax(data + bias); axes from `axis` on are normalised together. */
const biasSoftmax: OpRule = {
  infer: (ctx) => {
    sameAsInput(ctx);
  },
  work: (op) => ({ flop: (SOFTMAX_FLOP + 1) * outputElements(op), kernel: 'norm' }),
  factors(op) {
    const axis = wrapAxis(op.attrs.int('axis', 1), op.inputShape(0)?.length ?? 0);
    return alignedFactors(op, (k) => (k >= axis ? 'normalized' : 'parallel'));
  },
  backward(op) {
    const grads = [0, 1]
      .filter((i) => needsGrad(op, i))
      .map((input) => ({ input, flop: 4 * outputElements(op) }));
    return grads.length === 0 ? null : { grads, savesInputs: [], savesOutputs: [0] };
  },
};

export const family: OpFamily = {
  domain: 'com.microsoft',
  rules: {
    Gelu: biased(GELU_FLOP),
    FastGelu: biased(GELU_FLOP),
    BiasGelu: biased(GELU_FLOP),
    QuickGelu: biased(5),
    BiasDropout: biasDropout(false),
    BitmaskBiasDropout: biasDropout(true),
    BitmaskDropout: bitmaskDropout,
    BiasSoftmax: biasSoftmax,
  },
};
