/** The operators of a model as a weighted graph for partitioners: work on vertices, bytes of tensors on edges. */
import type { Graph } from '../graph/types.js';
import type { WeightedEdge, WeightedGraph } from './weightedGraph.js';
import { graphOf } from './weightedGraph.js';

/** FLOP that count as much as touching one element: operators without FLOP weigh something too. */
const FLOP_PER_ELEMENT = 100;

/** A vertex per node; an edge per tensor from its producer to each of its readers, as heavy as the tensor has elements. */
export function opGraph(graph: Graph): WeightedGraph {
  const producer = new Int32Array(graph.tensorCount).fill(-1);
  for (let v = 0; v < graph.nodeCount; v++)
    for (let i = graph.outputStart[v]; i < graph.outputStart[v + 1]; i++)
      if (graph.outputTensor[i] >= 0) producer[graph.outputTensor[i]] = v;
  const weight = Float64Array.from(
    { length: graph.nodeCount },
    (_, v) => 1 + graph.nodeFlop[v] + FLOP_PER_ELEMENT * graph.nodeTouchedElements[v],
  );
  const edges: WeightedEdge[] = [];
  for (let v = 0; v < graph.nodeCount; v++)
    for (let i = graph.inputStart[v]; i < graph.inputStart[v + 1]; i++) {
      const tensor = graph.inputTensor[i];
      if (tensor < 0 || producer[tensor] < 0) continue;
      edges.push({ from: producer[tensor], to: v, weight: Math.max(1, elements(graph, tensor)) });
    }
  return graphOf(weight, edges);
}

function elements(graph: Graph, tensor: number): number {
  let count = 1;
  for (let i = graph.shapeStart[tensor]; i < graph.shapeStart[tensor + 1]; i++) count *= graph.shapeDim[i];
  return count;
}
