/**
 * A fusion group as one composite operator: its border, factor rule, work, memory traffic and what its
 * backward pass keeps (see kept.ts).
 */
import { isFloat } from '../model/dtype.js';
import type { Anchor } from './anchors.js';
import { composeFactors, type CompositeUse } from './compose.js';
import { keptForBackward } from './kept.js';
import { outputFlags } from './outputs.js';
import { TensorRole, type Block, type BlockKind, type Graph } from './types.js';

const USE: Readonly<Partial<Record<BlockKind, CompositeUse>>> = {
  attention: 'scores',
  groupedGemm: 'weights',
};

/**
 * @param nodes of the group, in topological order
 * @param anchor the kernel at its core, `null` for a memory-bound group
 * @param partOf group per node, and this group's number in it
 */
export function makeBlock(
  graph: Graph,
  nodes: readonly number[],
  anchor: Anchor | null,
  partOf: Int32Array,
  part: number,
): Block {
  const kind: BlockKind = anchor === null ? 'pointwise' : anchor.kind;
  const inputs = borderInputs(graph, nodes, partOf, part);
  const outputs = borderOutputs(graph, nodes, partOf, part);
  const { rule, axis } = composeFactors(graph, nodes, inputs, outputs, USE[kind]);
  const work = sumWork(graph, nodes, kind);
  const kept = keptForBackward(graph, nodes, kind, inputs, outputs, partOf, part, rule);
  return {
    kind,
    nodes: Int32Array.from(nodes),
    inputs: Int32Array.from(inputs),
    outputs: Int32Array.from(outputs),
    factors: rule,
    factorAxis: axis,
    ...work,
    touchedElements: touchedElements(graph, nodes, kind, inputs, outputs, anchor?.causal === true),
    saved: Int32Array.from(kept.saved),
    extraSavedBytes: kept.extraBytes,
    innerSavedElements: kept.innerElements,
    ...(kept.unfused === null ? {} : { unfused: kept.unfused }),
    causal: anchor?.causal === true,
  };
}

function borderInputs(graph: Graph, nodes: readonly number[], partOf: Int32Array, part: number): number[] {
  const inputs = new Set<number>();
  for (const n of nodes) {
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      const t = graph.inputTensor[s];
      if (t >= 0 && (graph.producer[t] < 0 || partOf[graph.producer[t]] !== part) && !isArgument(graph, t))
        inputs.add(t);
    }
  }
  return [...inputs];
}

/** Single numbers, and lists of shapes, axes and bounds: arguments of an operator rather than data. */
function isArgument(graph: Graph, t: number): boolean {
  if (graph.tensorRole[t] !== TensorRole.CONSTANT) return false;
  const rank = graph.shapeStart[t + 1] - graph.shapeStart[t];
  return graph.tensorElements[t] <= 1 || (rank <= 1 && !isFloat(graph.tensorDtype[t]));
}

function borderOutputs(graph: Graph, nodes: readonly number[], partOf: Int32Array, part: number): number[] {
  const outputs: number[] = [];
  for (const n of nodes) {
    for (let s = graph.outputStart[n]; s < graph.outputStart[n + 1]; s++) {
      const t = graph.outputTensor[s];
      if (t < 0) continue;
      let leaves = outputFlags(graph)[t] === 1;
      for (let u = graph.useStart[t]; u < graph.useStart[t + 1] && !leaves; u++)
        if (partOf[graph.useNode[u]] !== part) leaves = true;
      if (leaves) outputs.push(t);
    }
  }
  return outputs;
}

function sumWork(
  graph: Graph,
  nodes: readonly number[],
  kind: BlockKind,
): { flop: number; gradInputFlop: number; gradWeightFlop: number } {
  let flop = 0;
  let gradInputFlop = 0;
  let gradWeightFlop = 0;
  for (const n of nodes) {
    if (kind === 'groupedGemm') {
      if (graph.nodeKernel[n] !== 'gemm') continue;
      // To the product the fetched weights look like an activation; their half of the gradient is the weights' own.
      flop += graph.nodeFlop[n];
      const grads = graph.nodeGradInputFlop[n] + graph.nodeGradWeightFlop[n];
      gradWeightFlop += Math.min(grads, graph.nodeFlop[n]);
      gradInputFlop += Math.max(0, grads - graph.nodeFlop[n]);
      continue;
    }
    flop += graph.nodeFlop[n];
    gradInputFlop += graph.nodeGradInputFlop[n];
    gradWeightFlop += graph.nodeGradWeightFlop[n];
  }
  return { flop, gradInputFlop, gradWeightFlop };
}

/** Memory traffic of the group run as one kernel: what crosses its border, each piece of memory once. */
function touchedElements(
  graph: Graph,
  nodes: readonly number[],
  kind: BlockKind,
  inputs: readonly number[],
  outputs: readonly number[],
  causal: boolean,
): number {
  if (kind === 'lookup') {
    let sum = 0;
    for (const n of nodes) sum += graph.nodeTouchedElements[n];
    return sum;
  }
  if (nodes.every((n) => graph.nodeKernel[n] === 'view')) return 0;
  const fetched = fetchedElements(graph, nodes);
  const seen = new Set<number>();
  let sum = 0;
  for (const t of inputs) {
    // A causal kernel knows its mask and reads none.
    if (causal && graph.tensorTriangular[t]) continue;
    if (seen.has(graph.storage[t])) continue;
    seen.add(graph.storage[t]);
    sum += Math.min(graph.tensorElements[t], fetched.get(t) ?? Infinity);
  }
  for (const t of outputs) {
    if (seen.has(graph.storage[t])) continue;
    seen.add(graph.storage[t]);
    sum += graph.tensorElements[t];
  }
  return sum;
}

/** Rows fetched, in elements, from inputs that the group reads by index alone; other inputs are not in the map. */
function fetchedElements(graph: Graph, nodes: readonly number[]): Map<number, number> {
  const fetched = new Map<number, number>();
  const whole = new Set<number>();
  for (const n of nodes) {
    const from = graph.inputStart[n];
    for (let s = from; s < graph.inputStart[n + 1]; s++) {
      const t = graph.inputTensor[s];
      if (t < 0) continue;
      if (s !== from || graph.nodeKernel[n] !== 'gather') whole.add(t);
      else
        fetched.set(
          t,
          (fetched.get(t) ?? 0) + graph.tensorElements[graph.outputTensor[graph.outputStart[n]]],
        );
    }
  }
  for (const t of whole) fetched.delete(t);
  return fetched;
}
