/**
 * Dropout. A plan is for training, so a dropout whose ratio is not known to be zero is taken as active whatever
 * `training_mode` the export holds: it keeps a mask of one byte an element. With ratio 0 it is a copy and costs nothing.
 */
import { DType } from '../model/dtype.js';
import { needsGrad, outputElements } from './defaults.js';
import { alignedFactors } from './factor_builder.js';
import { sameAsInput } from './expect.js';
import { onlyNumber } from './value.js';
import type { BackwardRule, OpFamily, OpInstance, OpRule, Work } from './types.js';

/** @param ratioInput index of the ratio input; -1 for the attribute of opsets below 12 */
export function isActive(op: OpInstance, ratioInput: number): boolean {
  if (ratioInput >= 0 && op.inputShape(ratioInput) !== null)
    return onlyNumber(op.inputValue(ratioInput)) !== 0;
  return op.attrs.float('ratio', 0.5) !== 0;
}

/** @param mask output that holds the mask */
export function dropoutBackward(
  op: OpInstance,
  active: boolean,
  inputs: readonly number[],
  mask = 1,
): BackwardRule | null {
  const elements = outputElements(op);
  const grads = inputs
    .filter((i) => needsGrad(op, i))
    .map((input) => ({ input, flop: active ? elements : 0 }));
  if (grads.length === 0) return null;
  if (!active) return { grads, savesInputs: [], savesOutputs: [] };
  if (mask < op.outputCount && op.outputShape(mask) !== null && op.outputDtype(mask) === DType.BOOL)
    return { grads, savesInputs: [], savesOutputs: [mask] };
  return { grads, savesInputs: [], savesOutputs: [], extraSavedBytes: elements };
}

export function dropoutWork(op: OpInstance, active: boolean): Work {
  // A random number, a comparison and a scaling.
  return active ? { flop: 3 * outputElements(op), kernel: 'elementwise' } : { flop: 0, kernel: 'view' };
}

function ratioInput(op: OpInstance): number {
  return op.version >= 12 ? 1 : -1;
}

const dropout: OpRule = {
  infer(ctx) {
    sameAsInput(ctx);
    // Until opset 9 the mask has the data's type.
    if (ctx.hasOutput(1)) ctx.setTensor(1, ctx.version < 10 ? ctx.dtype(0) : DType.BOOL, ctx.shape(0));
  },
  work: (op) => dropoutWork(op, isActive(op, ratioInput(op))),
  factors: (op) => alignedFactors(op, () => 'parallel', true),
  backward: (op) => dropoutBackward(op, isActive(op, ratioInput(op)), [0]),
  nondeterministic: true,
};

export const family: OpFamily = { domain: '', rules: { Dropout: dropout } };
