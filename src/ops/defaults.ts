/** What holds for an operator that does not say otherwise, and for one that is not known at all. */
import { isFloat } from '../model/dtype.js';
import type { BackwardRule, Factor, FactorRule, OpInstance, OpRule, Work } from './types.js';
import { countOf } from './value.js';

/** Elements of output i; 0 for one that is omitted or no tensor. */
export function outputElements(op: OpInstance, i = 0): number {
  const shape = op.outputShape(i);
  return shape === null ? 0 : countOf(shape);
}

/** Elements of input i; 0 for one that is omitted or no tensor. */
export function inputElements(op: OpInstance, i = 0): number {
  const shape = op.inputShape(i);
  return shape === null ? 0 : countOf(shape);
}

/** Memory bound, one FLOP an output element. */
export function defaultWork(op: OpInstance): Work {
  let flop = 0;
  for (let i = 0; i < op.outputCount; i++) flop += outputElements(op, i);
  return { flop, kernel: 'other' };
}

/** Every dimension of every tensor is its own factor that may not be split. */
export function wholeFactors(op: OpInstance): FactorRule {
  const factors: Factor[] = [];
  const whole = (shape: readonly number[] | null): number[][] | null =>
    shape === null ? null : shape.map((size) => [factors.push({ size, kind: 'whole' }) - 1]);
  const inputs: (number[][] | null)[] = [];
  for (let i = 0; i < op.inputCount; i++) inputs.push(whole(op.inputShape(i)));
  const outputs: (number[][] | null)[] = [];
  for (let i = 0; i < op.outputCount; i++) outputs.push(whole(op.outputShape(i)));
  return { factors, inputs, outputs };
}

/** True when input i is a float tensor whose gradient is wanted. */
export function needsGrad(op: OpInstance, i: number): boolean {
  if (i >= op.inputCount || op.inputShape(i) === null || !isFloat(op.inputDtype(i))) return false;
  return op.inputNeedsGrad === undefined ? op.inputValue(i) === null : op.inputNeedsGrad(i);
}

/** Float tensor inputs, whether a gradient is wanted or not. */
export function floatInputs(op: OpInstance): number[] {
  const list: number[] = [];
  for (let i = 0; i < op.inputCount; i++)
    if (op.inputShape(i) !== null && isFloat(op.inputDtype(i))) list.push(i);
  return list;
}

/** Inputs whose gradient is wanted. */
export function gradInputs(op: OpInstance): number[] {
  return floatInputs(op).filter((i) => needsGrad(op, i));
}

/** As much FLOP as forward for every float input, all of which are saved. No gradient when the output is not float. */
export function defaultBackward(op: OpInstance, flop: number): BackwardRule | null {
  const inputs = gradInputs(op);
  if (inputs.length === 0 || op.outputCount === 0 || !isFloat(op.outputDtype(0))) return null;
  return { grads: inputs.map((input) => ({ input, flop })), savesInputs: floatInputs(op), savesOutputs: [] };
}

/** Work of an operator by its rule, or the default (also for an unknown operator, `rule` null). */
export function workOf(rule: OpRule | null, op: OpInstance): Work {
  return rule?.work === undefined ? defaultWork(op) : rule.work(op);
}

export function factorsOf(rule: OpRule | null, op: OpInstance): FactorRule {
  return rule?.factors === undefined ? wholeFactors(op) : rule.factors(op);
}

/** Gradient rule by the operator's rule, or the default. */
export function backwardOf(rule: OpRule | null, op: OpInstance): BackwardRule | null {
  return rule?.backward === undefined ? defaultBackward(op, workOf(rule, op).flop) : rule.backward(op);
}
