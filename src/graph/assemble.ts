/** Lays a GraphSpec out as a Graph: live nodes in a canonical order, rules evaluated, axes and gradients filled in. */
import { createHash } from 'node:crypto';
import { dtypeBytes } from '../model/dtype.js';
import { factorsOf, wholeFactors, workOf } from '../ops/defaults.js';
import type { Factor, FactorRule, KernelKind, Work } from '../ops/types.js';
import { findAttention } from './attention.js';
import { propagateAxes } from './axes.js';
import { computeGradients } from './backward.js';
import { depthFirstOrder, toCsr } from './order.js';
import { SpecInstance, type GraphSpec } from './spec.js';
import { TensorRole, type Graph } from './types.js';

/**
 * @param lossNode node of the loss in `spec.nodes`, -1 for none
 * @throws PartitionError infeasible when the batch axis is lost where it matters
 */
export function assemble(spec: GraphSpec, lossNode: number): Graph {
  const { nodes, tensors } = spec;
  const order = canonicalOrder(spec, lossNode);
  const parameterLike = new Uint8Array(tensors.length);
  tensors.forEach((t, i) => {
    if (t.role === TensorRole.PARAMETER) parameterLike[i] = 1;
  });

  const rules: FactorRule[] = new Array<FactorRule>(nodes.length);
  const kernels: KernelKind[] = new Array<KernelKind>(nodes.length);
  const flop = new Float64Array(nodes.length);
  const touched = new Float64Array(nodes.length);
  for (const n of order) {
    const node = nodes[n];
    const instance = new SpecInstance(node, tensors, parameterLike);
    const work = isIdleCast(spec, n) ? IDLE : workOf(node.rule, instance);
    kernels[n] = work.kernel;
    flop[n] = work.flop + node.bodyFlop;
    touched[n] = work.touchedElements ?? (work.kernel === 'view' ? 0 : elementsAround(spec, n));
    rules[n] = fittingRule(spec, n, factorsOf(node.rule, instance)) ?? wholeFactors(instance);
  }
  const axes = propagateAxes(spec, rules, order, flop, kernels);
  const gradients = computeGradients(spec, order, parameterLike, lossNode);

  // Compact ids: live nodes in order, tensors in order of first mention after the model's inputs.
  const nodeCount = order.length;
  const tensorId = new Int32Array(tensors.length).fill(-1);
  const kept: number[] = [];
  const keep = (t: number): number => {
    if (t < 0) return -1;
    if (tensorId[t] < 0) tensorId[t] = kept.push(t) - 1;
    return tensorId[t];
  };
  spec.graphInputs.forEach(keep);
  const inputStart = new Int32Array(nodeCount + 1);
  const outputStart = new Int32Array(nodeCount + 1);
  const savedStart = new Int32Array(nodeCount + 1);
  const inputTensor: number[] = [];
  const outputTensor: number[] = [];
  const savedTensor: number[] = [];
  order.forEach((n, k) => {
    for (const t of nodes[n].inputs) inputTensor.push(keep(t));
    for (const t of nodes[n].outputs) outputTensor.push(keep(t));
    for (const t of gradients.saved[n]) savedTensor.push(keep(t));
    inputStart[k + 1] = inputTensor.length;
    outputStart[k + 1] = outputTensor.length;
    savedStart[k + 1] = savedTensor.length;
  });
  const graphOutputs = [...spec.graphOutputs, ...(lossNode < 0 ? [] : nodes[lossNode].outputs)];
  graphOutputs.forEach(keep);

  const tensorCount = kept.length;
  const producer = new Int32Array(tensorCount).fill(-1);
  const useNode: number[] = [];
  const useTensor: number[] = [];
  for (let k = 0; k < nodeCount; k++) {
    for (let s = outputStart[k]; s < outputStart[k + 1]; s++)
      if (outputTensor[s] >= 0) producer[outputTensor[s]] = k;
    const from = useTensor.length;
    for (let s = inputStart[k]; s < inputStart[k + 1]; s++) {
      const t = inputTensor[s];
      if (t < 0 || useTensor.indexOf(t, from) >= 0) continue;
      useTensor.push(t);
      useNode.push(k);
    }
  }
  const uses = toCsr(tensorCount, useTensor, useNode);
  const shapeStart = new Int32Array(tensorCount + 1);
  const shapeDim: number[] = [];
  const tensorElements = new Float64Array(tensorCount);
  const tensorBytes = new Float64Array(tensorCount);
  kept.forEach((t, i) => {
    const { dims, dtype } = tensors[t];
    let count = dims === null ? 0 : 1;
    for (const d of dims ?? []) {
      shapeDim.push(d);
      count *= d;
    }
    shapeStart[i + 1] = shapeDim.length;
    tensorElements[i] = count;
    tensorBytes[i] = dtypeBytes(dtype, count);
  });
  const factorAxisStart = new Int32Array(nodeCount + 1);
  order.forEach((n, k) => (factorAxisStart[k + 1] = factorAxisStart[k] + axes[n].axis.length));
  const factorAxis = new Uint8Array(factorAxisStart[nodeCount]);
  order.forEach((n, k) => factorAxis.set(axes[n].axis, factorAxisStart[k]));

  const pick = (values: Float64Array): Float64Array => Float64Array.from(order, (n) => values[n]);
  const at = (ids: readonly number[]): Int32Array => Int32Array.from(ids, (t) => tensorId[t]);
  const graph: Graph = {
    name: spec.name,
    digest: digestOf(spec, order),
    nodeCount,
    nodeName: Array.from(order, (n) => nodes[n].name),
    nodeOp: Array.from(order, (n) => nodes[n].label),
    nodeKernel: Array.from(order, (n) => kernels[n]),
    nodeFlop: pick(flop),
    nodeTouchedElements: pick(touched),
    nodeFactors: Array.from(order, (n) => axes[n].rule),
    inputStart,
    inputTensor: Int32Array.from(inputTensor),
    outputStart,
    outputTensor: Int32Array.from(outputTensor),
    nodeGradInputFlop: pick(gradients.inputFlop),
    nodeGradWeightFlop: pick(gradients.weightFlop),
    savedStart,
    savedTensor: Int32Array.from(savedTensor),
    nodeExtraSavedBytes: pick(gradients.extraSavedBytes),
    tensorCount,
    tensorName: kept.map((t) => tensors[t].name),
    tensorDtype: Uint8Array.from(kept, (t) => tensors[t].dtype),
    tensorRole: Uint8Array.from(kept, (t) => tensors[t].role),
    shapeStart,
    shapeDim: Float64Array.from(shapeDim),
    tensorElements,
    tensorBytes,
    producer,
    useStart: uses.start,
    useNode: uses.items,
    graphInputs: at(spec.graphInputs),
    graphOutputs: Int32Array.from(new Set(at(graphOutputs))),
    referenceBatch: spec.referenceBatch,
    factorAxisStart,
    factorAxis,
    sequenceLength: spec.sequenceLength,
    storage: storageOf(spec, order, kernels, kept, tensorId),
    tensorNeedsGrad: Uint8Array.from(kept, (t) => gradients.needsGrad[t]),
    tensorTriangular: Uint8Array.from(kept, (t) => (tensors[t].triangular ? 1 : 0)),
    nodeCausal: new Uint8Array(nodeCount),
    lossNode: lossNode < 0 ? -1 : order.indexOf(lossNode),
    phase: spec.phase,
    hasCache: spec.hasCache,
    isTrainingGraph: spec.isTrainingGraph,
    warnings: spec.warnings,
    unknownOps: spec.unknownOps,
  };
  markCausal(graph, spec, order);
  return graph;
}

/**
 * The rule when it fits the node's shapes: every dimension the product of its factors. A model whose declared shapes
 * contradict its operators (tolerated, with a warning, by inference) can make a rule that does not.
 */
function fittingRule(spec: GraphSpec, n: number, rule: FactorRule): FactorRule | null {
  const { inputs, outputs } = spec.nodes[n];
  const fits = (list: readonly number[], layouts: FactorRule['inputs']): boolean =>
    list.every((t, i) => {
      const layout = layouts[i] ?? null;
      const dims = t < 0 ? null : spec.tensors[t].dims;
      if (layout === null || dims === null) return true;
      return layout.length === dims.length && layout.every((ids, d) => sizeOf(rule, ids) === dims[d]);
    });
  return fits(inputs, rule.inputs) && fits(outputs, rule.outputs) ? rule : null;
}

/** Product of factor sizes; NaN for a factor that does not exist. */
function sizeOf(rule: FactorRule, ids: readonly number[]): number {
  let size = 1;
  for (const f of ids) size *= (rule.factors as readonly (Factor | undefined)[])[f]?.size ?? NaN;
  return size;
}

const IDLE: Work = { flop: 0, kernel: 'view' };

/** A cast to the type that its input has already, as exporters leave behind. */
function isIdleCast(spec: GraphSpec, n: number): boolean {
  const { opType, domain, inputs, outputs } = spec.nodes[n];
  if (domain !== '' || (opType !== 'Cast' && opType !== 'CastLike')) return false;
  return spec.tensors[inputs[0]].dtype === spec.tensors[outputs[0]].dtype;
}

/** Live nodes, in an order that depends on the structure only: a depth-first walk back from the loss and the outputs. */
function canonicalOrder(spec: GraphSpec, lossNode: number): Int32Array {
  const producer = new Int32Array(spec.tensors.length).fill(-1);
  spec.nodes.forEach((node, n) => {
    for (const t of node.outputs) if (t >= 0) producer[t] = n;
  });
  const rows: number[] = [];
  const items: number[] = [];
  spec.nodes.forEach((node, n) => {
    for (const t of node.inputs) {
      if (t < 0 || producer[t] < 0) continue;
      rows.push(n);
      items.push(producer[t]);
    }
  });
  const roots = lossNode < 0 ? [] : [lossNode];
  for (const t of spec.graphOutputs) if (producer[t] >= 0) roots.push(producer[t]);
  return depthFirstOrder(toCsr(spec.nodes.length, rows, items), roots);
}

function elementsAround(spec: GraphSpec, n: number): number {
  let sum = 0;
  for (const t of [...spec.nodes[n].inputs, ...spec.nodes[n].outputs]) {
    if (t < 0) continue;
    const dims = spec.tensors[t].dims;
    if (dims === null) continue;
    let count = 1;
    for (const d of dims) count *= d;
    sum += count;
  }
  return sum;
}

/** Views share their input's memory; weights read under several names share the first one's. */
function storageOf(
  spec: GraphSpec,
  order: Int32Array,
  kernels: readonly KernelKind[],
  kept: readonly number[],
  tensorId: Int32Array,
): Int32Array {
  const storage = Int32Array.from(kept, (_, i) => i);
  const firstOf = new Map<number, number>();
  kept.forEach((t, i) => {
    const root = spec.tensors[t].aliasOf < 0 ? t : spec.tensors[t].aliasOf;
    if (spec.tensors[t].role !== TensorRole.PARAMETER) return;
    const first = firstOf.get(root);
    if (first === undefined) firstOf.set(root, i);
    else storage[i] = first;
  });
  for (const n of order) {
    const node = spec.nodes[n];
    if (
      kernels[n] !== 'view' ||
      node.outputs.length !== 1 ||
      node.inputs[0] === undefined ||
      node.inputs[0] < 0
    )
      continue;
    const from = tensorId[node.inputs[0]];
    const to = tensorId[node.outputs[0]];
    const a = spec.tensors[node.inputs[0]];
    const b = spec.tensors[node.outputs[0]];
    if (to < 0 || a.dtype !== b.dtype || countOf(a.dims) !== countOf(b.dims)) continue;
    storage[to] = storage[from];
  }
  return storage;
}

function countOf(dims: readonly number[] | null): number {
  return (dims ?? []).reduce((p, d) => p * d, 1);
}

/**
 * Halves the work of attention whose mask is causal: with q queries and k >= q keys of which the last q are the queries'
 * own, a share 1 - q/(2k) of the scores is needed (one half for q = k).
 */
function markCausal(graph: Graph, spec: GraphSpec, order: Int32Array): void {
  for (const core of findAttention(graph)) {
    if (!core.triangular) continue;
    const share = core.queries > 1 && core.keys >= core.queries ? 1 - core.queries / (2 * core.keys) : 1;
    for (const n of core.nodes) {
      graph.nodeCausal[n] = 1;
      graph.nodeFlop[n] *= share;
      graph.nodeGradInputFlop[n] *= share;
      graph.nodeGradWeightFlop[n] *= share;
    }
  }
  for (let k = 0; k < graph.nodeCount; k++) {
    if (graph.nodeKernel[k] !== 'attention') continue;
    const { attrs, opType } = spec.nodes[order[k]];
    const own =
      attrs.int('is_causal', 0) === 1 || attrs.int('unidirectional', 0) === 1 || ALWAYS_CAUSAL.has(opType);
    // The operator's own work formula has halved it already.
    if (own) graph.nodeCausal[k] = 1;
    else if (hasTriangularInput(graph, k)) {
      graph.nodeCausal[k] = 1;
      graph.nodeFlop[k] *= 0.5;
      graph.nodeGradInputFlop[k] *= 0.5;
    }
  }
}

/** Operators that are causal by definition. */
const ALWAYS_CAUSAL: ReadonlySet<string> = new Set([
  'GroupQueryAttention',
  'PagedAttention',
  'SparseAttention',
]);

function hasTriangularInput(graph: Graph, node: number): boolean {
  for (let s = graph.inputStart[node]; s < graph.inputStart[node + 1]; s++) {
    const t = graph.inputTensor[s];
    if (t >= 0 && graph.tensorTriangular[t]) return true;
  }
  return false;
}

/** SHA-256 over operators, names and shapes of the live computation. */
function digestOf(spec: GraphSpec, order: Int32Array): string {
  const hash = createHash('sha256');
  const text = (t: number): string => {
    if (t < 0) return '-';
    const { name, dtype, dims } = spec.tensors[t];
    return `${name}:${String(dtype)}[${dims === null ? '?' : dims.join(',')}]`;
  };
  for (const n of order) {
    const { name, label, inputs, outputs } = spec.nodes[n];
    hash.update(`${label} ${name} (${inputs.map(text).join(' ')}) ${outputs.map(text).join(' ')}\n`);
  }
  return hash.digest('hex');
}
