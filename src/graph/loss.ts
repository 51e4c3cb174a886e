/**
 * The loss that training adds and exported graphs lack: a softmax cross entropy on the main output, so that the time and
 * memory of the logits stand where they really are, at the end.
 */
import { DType, isFloat } from '../model/dtype.js';
import { NO_ATTRIBUTES } from '../ops/attributes.js';
import type { BackwardRule, FactorRule, OpInstance, OpRule, Work } from '../ops/types.js';
import type { GraphSpec } from './spec.js';
import { TensorRole } from './types.js';

/** Operators that are a loss. */
const LOSS_OPS: ReadonlySet<string> = new Set(['SoftmaxCrossEntropyLoss', 'NegativeLogLikelihoodLoss']);

const elements = (shape: readonly number[] | null): number => (shape ?? []).reduce((p, d) => p * d, 1);

/**
 * Inputs: logits [..., classes]; output: one loss per row. Maximum, subtraction, exponential, sum, logarithm: 5 FLOP an
 * element forward; backward is softmax minus one-hot, 2 FLOP an element, from the saved logits.
 */
const crossEntropy: OpRule = {
  infer: () => undefined,
  work(op: OpInstance): Work {
    return { flop: 5 * elements(op.inputShape(0)), kernel: 'norm' };
  },
  factors(op: OpInstance): FactorRule {
    const shape = op.inputShape(0) ?? [];
    const last = shape.length - 1;
    return {
      factors: shape.map((size, d) => ({ size, kind: d === last ? 'normalized' : 'parallel' })),
      inputs: [shape.map((_, d) => [d])],
      outputs: [shape.slice(0, last).map((_, d) => [d])],
    };
  },
  backward(op: OpInstance): BackwardRule {
    return {
      grads: [{ input: 0, flop: 2 * elements(op.inputShape(0)) }],
      savesInputs: [0],
      savesOutputs: [],
    };
  },
};

/**
 * Adds the loss to a training spec. A loss that is part of the graph is used as it is.
 * @returns node id of the loss, -1 when no output can carry one
 */
export function attachLoss(spec: GraphSpec): number {
  for (let n = spec.nodes.length - 1; n >= 0; n--)
    if (spec.nodes[n].domain === '' && LOSS_OPS.has(spec.nodes[n].opType)) return n;
  const logits = mainOutput(spec);
  if (logits < 0) return -1;
  const { dims, dtype } = spec.tensors[logits];
  const name = uniqueName(spec, 'loss');
  const output =
    spec.tensors.push({
      name,
      dtype: dtype === DType.UNDEFINED ? DType.FLOAT : dtype,
      dims: dims!.slice(0, -1),
      role: TensorRole.ACTIVATION,
      frozen: false,
      value: null,
      dataDependentDim: -1,
      triangular: false,
      aliasOf: -1,
    }) - 1;
  spec.nodes.push({
    name,
    label: 'SoftmaxCrossEntropyLoss',
    opType: 'SoftmaxCrossEntropyLoss',
    domain: '',
    version: 13,
    attrs: NO_ATTRIBUTES,
    rule: crossEntropy,
    inputs: [logits],
    outputs: [output],
    bodyFlop: 0,
  });
  return spec.nodes.length - 1;
}

/** The float output of rank >= 2 that no node uses, the largest; failing that, the largest of all. */
function mainOutput(spec: GraphSpec): number {
  const used = new Uint8Array(spec.tensors.length);
  for (const node of spec.nodes) for (const t of node.inputs) if (t >= 0) used[t] = 1;
  let best = -1;
  let bestSize = -1;
  let bestFree = false;
  for (const t of spec.graphOutputs) {
    const { dims, dtype, role } = spec.tensors[t];
    if (dims === null || dims.length < 2 || !isFloat(dtype) || role !== TensorRole.ACTIVATION) continue;
    const free = used[t] === 0;
    const size = elements(dims);
    if (best >= 0 && ((bestFree && !free) || (bestFree === free && size <= bestSize))) continue;
    best = t;
    bestSize = size;
    bestFree = free;
  }
  return best;
}

function uniqueName(spec: GraphSpec, base: string): string {
  const names = new Set<string>();
  for (const t of spec.tensors) names.add(t.name);
  for (const n of spec.nodes) names.add(n.name);
  let name = base;
  for (let i = 1; names.has(name); i++) name = `${base}_${String(i)}`;
  return name;
}
