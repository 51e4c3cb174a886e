/**
 * Gradients: which operators have a backward pass, its FLOP, and which tensors it needs kept. A gradient exists along paths
 * that lead from a trainable weight to the loss; masks, indices and frozen weights have none. No executable gradient graph
 * is built: costs are all that planning needs.
 */
import { isFloat } from '../model/dtype.js';
import { backwardOf } from '../ops/defaults.js';
import type { BackwardRule } from '../ops/types.js';
import { SpecInstance, type GraphSpec } from './spec.js';
import { TensorRole } from './types.js';

export interface Gradients {
  readonly inputFlop: Float64Array;
  readonly weightFlop: Float64Array;
  /** Tensors saved per node. */
  readonly saved: readonly (readonly number[])[];
  readonly extraSavedBytes: Float64Array;
  /** Per tensor: 1 when a gradient with respect to it is computed. */
  readonly needsGrad: Uint8Array;
}

const NONE: readonly number[] = [];

/**
 * @param order node ids in topological order
 * @param lossNode node the gradient starts at; -1: no gradients at all
 */
export function computeGradients(
  spec: GraphSpec,
  order: Int32Array,
  parameterLike: Uint8Array,
  lossNode: number,
): Gradients {
  const { nodes, tensors } = spec;
  const inputFlop = new Float64Array(nodes.length);
  const weightFlop = new Float64Array(nodes.length);
  const extraSavedBytes = new Float64Array(nodes.length);
  const saved: (readonly number[])[] = new Array<readonly number[]>(nodes.length).fill(NONE);
  // Depends on a trainable weight, differentiably.
  const differentiable = new Uint8Array(tensors.length);
  const wanted = new Uint8Array(tensors.length);
  if (lossNode < 0) return { inputFlop, weightFlop, saved, extraSavedBytes, needsGrad: wanted };
  tensors.forEach((t, i) => {
    if (t.role === TensorRole.PARAMETER && !t.frozen && isFloat(t.dtype)) differentiable[i] = 1;
  });
  const rules: (BackwardRule | null)[] = new Array<BackwardRule | null>(nodes.length).fill(null);
  for (const n of order) {
    const node = nodes[n];
    let any = false;
    for (const t of node.inputs) if (t >= 0 && differentiable[t]) any = true;
    if (!any) continue;
    const rule = backwardOf(node.rule, new SpecInstance(node, tensors, parameterLike, differentiable));
    if (rule === null) continue;
    if (!rule.grads.some((g) => isSet(differentiable, node.inputs[g.input]))) continue;
    rules[n] = rule;
    for (const t of node.outputs) if (t >= 0 && isFloat(tensors[t].dtype)) differentiable[t] = 1;
  }
  for (const t of nodes[lossNode].outputs) if (t >= 0) wanted[t] = 1;
  for (let k = order.length - 1; k >= 0; k--) {
    const n = order[k];
    const rule = rules[n];
    const node = nodes[n];
    if (rule === null || !node.outputs.some((t) => isSet(wanted, t))) continue;
    for (const { input, flop } of rule.grads) {
      const t = node.inputs[input];
      if (!isSet(differentiable, t)) continue;
      wanted[t] = 1;
      if (parameterLike[t]) weightFlop[n] += flop;
      else inputFlop[n] += flop;
    }
    const keep = new Set<number>();
    for (const i of rule.savesInputs) keep.add(node.inputs[i] ?? -1);
    for (const o of rule.savesOutputs) keep.add(node.outputs[o] ?? -1);
    saved[n] = [...keep].filter((t) => t >= 0 && isKept(tensors[t].role));
    extraSavedBytes[n] = rule.extraSavedBytes ?? 0;
  }
  return { inputFlop, weightFlop, saved, extraSavedBytes, needsGrad: wanted };
}

function isSet(flags: Uint8Array, t: number | undefined): boolean {
  return t !== undefined && t >= 0 && flags[t] === 1;
}

/** Weights and constants are in memory anyway. */
function isKept(role: TensorRole): boolean {
  return role === TensorRole.ACTIVATION || role === TensorRole.INPUT;
}
