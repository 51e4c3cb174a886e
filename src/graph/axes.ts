/**
 * Which factors are the batch and which the sequence. Both axes start at the dimensions of the model's inputs and are
 * carried forward along factors, through flattened dimensions too. Exported graphs bake a batch of one into Reshape
 * constants and lose it among dimensions of 1; where an operator's own rule drops it, it is put back by position, or the
 * graph is refused when real work no longer scales with the batch.
 */
import { PartitionError } from '../util/errors.js';
import type { Factor, FactorRule, KernelKind } from '../ops/types.js';
import { indexes, piecesOf, refineRule, regroupRule, type PieceShape, type RefinedRule } from './pieces.js';
import type { GraphSpec, NodeSpec } from './spec.js';
import { AXIS_BATCH, AXIS_NONE } from './types.js';

export interface NodeAxes {
  readonly rule: FactorRule;
  readonly axis: Uint8Array;
}

const HEAVY: ReadonlySet<KernelKind> = new Set<KernelKind>(['gemm', 'conv', 'attention']);

/** Operators that only regroup dimensions in row-major order. */
const REGROUPING: ReadonlySet<string> = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity']);

/**
 * Refined factor rule and axes of every node.
 *
 * @param rules factor rule per node as its operator states it
 * @param order node ids in topological order
 * @param flop work per node, and its kernel: whether a lost batch matters is judged by products and convolutions
 * @throws PartitionError infeasible, naming the tensor, when more than 1 % of the work has lost the batch
 */
export function propagateAxes(
  spec: GraphSpec,
  rules: readonly FactorRule[],
  order: Int32Array,
  flop: Float64Array,
  kernels: readonly KernelKind[],
): NodeAxes[] {
  const pieces: (PieceShape | null)[] = new Array<PieceShape | null>(spec.tensors.length).fill(null);
  seed(spec, pieces);
  // 1: computed from an input's data, so it should grow with the batch.
  const fromData = new Uint8Array(spec.tensors.length);
  for (const t of spec.graphInputs) fromData[t] = 1;
  const lostAt = new Int32Array(spec.tensors.length).fill(-1);
  const result: NodeAxes[] = new Array<NodeAxes>(spec.nodes.length);
  let total = 0;
  let unscaled = 0;
  let culprit = -1;
  for (const n of order) {
    const node = spec.nodes[n];
    const inputs = node.inputs.map((t) => (t < 0 ? null : pieces[t]));
    const plain = refineRule(rules[n], inputs);
    const refined = restoreBatch(spec, node, plain, inputs);
    result[n] = { rule: refined.rule, axis: refined.axis };
    let data = false;
    let carries = false;
    let lost = -1;
    for (const t of node.inputs) {
      if (t < 0) continue;
      if (fromData[t]) data = true;
      if (indexes(pieces[t], AXIS_BATCH)) carries = true;
      if (lostAt[t] >= 0) lost = lostAt[t];
    }
    node.outputs.forEach((t, o) => {
      if (t < 0) return;
      pieces[t] = refined.outputs[o] ?? null;
      if (data) fromData[t] = 1;
      if (indexes(pieces[t], AXIS_BATCH)) return;
      if (carries) lostAt[t] = t;
      else if (lost >= 0) lostAt[t] = lost;
    });
    total += flop[n];
    if (!data || carries || lost < 0) continue;
    if (culprit < 0) culprit = lost;
    if (HEAVY.has(kernels[n])) unscaled += flop[n];
  }
  // Gradients of weights lose the batch by nature: a graph that holds its own training is taken as it is.
  if (!spec.isTrainingGraph && unscaled > 0.01 * total && culprit >= 0) {
    throw new PartitionError(
      'infeasible',
      `the batch axis is lost at tensor '${spec.tensors[culprit].name}': what follows cannot be scaled to other batch sizes`,
      spec.where,
      'export the model with a symbolic batch dimension',
    );
  }
  if (culprit >= 0)
    spec.warnings.push(
      `the batch axis is lost at tensor '${spec.tensors[culprit].name}'; the little that follows is counted once`,
    );
  return result;
}

function seed(spec: GraphSpec, pieces: (PieceShape | null)[]): void {
  for (const { tensor, dim, axis } of spec.seeds) {
    const dims = spec.tensors[tensor].dims;
    if (dims === null || dim >= dims.length) continue;
    const shape = pieces[tensor] ?? dims.map((size) => (size === 1 ? [] : [{ size, axis: AXIS_NONE }]));
    pieces[tensor] = shape.map((p, d) => (d === dim ? [{ size: dims[d], axis }] : p));
  }
}

/**
 * Puts the batch back into outputs of an operator whose rule dropped it on the way. Where dimensions are merely regrouped a
 * batch of one has its place by position, which the operator's rule, seeing a 1, cannot tell.
 */
function restoreBatch(
  spec: GraphSpec,
  node: NodeSpec,
  refined: RefinedRule,
  inputs: readonly (PieceShape | null)[],
): RefinedRule {
  const from = inputs.findIndex((p) => indexes(p, AXIS_BATCH));
  if (from < 0) return refined;
  const inShape = spec.tensors[node.inputs[from]].dims ?? [];
  if (node.domain === '' && REGROUPING.has(node.opType) && from === 0 && sameCount(spec, node)) {
    const outShape = spec.tensors[node.outputs[0]].dims ?? [];
    const r = regroupRule(inShape, outShape, inputs[0]);
    const factors = [...r.factors];
    const axes = [...r.axis];
    // The other inputs are shapes and axes.
    const argument = (size: number): number[] => {
      if (size === 1) return [];
      axes.push(AXIS_NONE);
      return [factors.push({ size, kind: 'whole' }) - 1];
    };
    const others = node.inputs.map((t) => (t < 0 ? null : (spec.tensors[t].dims?.map(argument) ?? null)));
    const axis = Uint8Array.from(axes);
    const rule: FactorRule = {
      factors,
      inputs: [r.input, ...others.slice(1)],
      outputs: [r.output],
      linear: true,
    };
    return { rule, axis, outputs: [piecesOf(r.output, factors, axis)] };
  }
  const missing = node.outputs.some((t, o) => t >= 0 && !indexes(refined.outputs[o], AXIS_BATCH));
  return missing ? attachBatch(spec, node, refined, from, inputs) : refined;
}

/** False in a model that contradicts itself. */
function sameCount(spec: GraphSpec, node: NodeSpec): boolean {
  const count = (t: number): number => (spec.tensors[t].dims ?? []).reduce((p, d) => p * d, 1);
  return count(node.inputs[0]) === count(node.outputs[0]);
}

/**
 * Gives each output that lost the batch a dimension to carry it: the data-dependent one, else the one in the same place
 * with the same size, else the leading one where the sizes agree, else (a gather of rows) the one in the same place. Reductions over the batch keep none.
 */
function attachBatch(
  spec: GraphSpec,
  node: NodeSpec,
  refined: RefinedRule,
  from: number,
  inputs: readonly (PieceShape | null)[],
): RefinedRule {
  const shape = inputs[from]!;
  const dim = shape.findIndex((d) => d.some((p) => p.axis === AXIS_BATCH));
  const size = shape[dim].find((p) => p.axis === AXIS_BATCH)!.size;
  const factors: Factor[] = [...refined.rule.factors];
  const axis: number[] = [...refined.axis];
  let batch = axis.indexOf(AXIS_BATCH);
  if (batch >= 0 && factors[batch].kind === 'contraction') return refined;
  const layouts = refined.rule.inputs.map((l) => (l === null ? null : l.map((d) => [...d])));
  const outputs = refined.rule.outputs.map((l) => (l === null ? null : l.map((d) => [...d])));
  let changed = false;
  node.outputs.forEach((t, o) => {
    const out = outputs[o];
    if (t < 0 || out === null || out === undefined || indexes(refined.outputs[o], AXIS_BATCH)) return;
    const dims = spec.tensors[t].dims!;
    const dependent = spec.tensors[t].dataDependentDim;
    const place =
      dependent >= 0
        ? dependent
        : dims[dim] === spec.tensors[node.inputs[from]].dims![dim]
          ? dim
          : dims.length > 0 && dims[0] === size
            ? 0
            : dims.length === shape.length
              ? dim
              : -1;
    if (place < 0) return;
    if (size !== 1 && dependent < 0) {
      // A batch of several samples is a factor of its own on both sides: make them one.
      const ids = out[place];
      if (batch < 0 || ids.length !== 1 || factors[ids[0]].size !== factors[batch].size) return;
      out[place] = [batch];
      factors[batch] = { size: factors[batch].size, kind: 'parallel' };
      changed = true;
      return;
    }
    if (size !== 1) return;
    if (batch < 0) {
      batch = factors.push({ size: 1, kind: 'parallel' }) - 1;
      axis.push(AXIS_BATCH);
    }
    if (layouts[from] !== null && layouts[from] !== undefined && !layouts[from][dim].includes(batch))
      layouts[from][dim].unshift(batch);
    out[place].unshift(batch);
    changed = true;
  });
  if (!changed) return refined;
  const kinds = Uint8Array.from(axis);
  const rule: FactorRule = { ...refined.rule, factors, inputs: layouts, outputs };
  return { rule, axis: kinds, outputs: outputs.map((l) => piecesOf(l, factors, kinds)) };
}
