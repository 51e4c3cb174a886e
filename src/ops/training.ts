/** Domain ai.onnx.preview.training: optimizer steps, and Gradient. Recognised so that a training graph is not expanded twice. */
import { outputElements } from './defaults.js';
import type { OpFamily, OpRule } from './types.js';

/**
 * Inputs are learning rate, step count, then n tensors, n gradients and the state; outputs are the updated tensors and state.
 * @param states state tensors per optimised tensor
 * @param flop per element
 */
const optimizer = (states: number, flop: number): OpRule => ({
  infer(ctx) {
    const n = Math.floor((ctx.inputCount - 2) / (2 + states));
    for (let i = 0; i < ctx.outputCount; i++) {
      // Updated tensors mirror the tensors; updated states mirror the states, which follow the gradients.
      const from = i < n ? 2 + i : 2 + n + i;
      ctx.setTensor(i, ctx.dtype(from), ctx.shape(from));
    }
  },
  work(op) {
    let elements = 0;
    for (let i = 0; i < op.outputCount; i++) elements += outputElements(op, i);
    return { flop: (flop * elements) / (1 + states), kernel: 'elementwise' };
  },
  backward: () => null,
});

/** One gradient per name in `xs`, shaped like it: the inputs come in that order. */
const gradient: OpRule = {
  infer(ctx) {
    const count = ctx.attrs.strings('xs')?.length ?? ctx.outputCount;
    for (let i = 0; i < Math.min(count, ctx.outputCount); i++) ctx.setTensor(i, ctx.dtype(i), ctx.shape(i));
  },
  backward: () => null,
};

export const family: OpFamily = {
  domain: 'ai.onnx.preview.training',
  rules: { Adam: optimizer(2, 12), Adagrad: optimizer(1, 7), Momentum: optimizer(1, 5), Gradient: gradient },
};
