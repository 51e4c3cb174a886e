/** Which tensors are outputs of the model, as flags; computed once per graph (models with 20,000 outputs exist). */
import type { Graph } from './types.js';

const cache = new WeakMap<Graph, Uint8Array>();

export function outputFlags(graph: Graph): Uint8Array {
  let flags = cache.get(graph);
  if (flags === undefined) {
    flags = new Uint8Array(graph.tensorCount);
    for (const t of graph.graphOutputs) if (t >= 0) flags[t] = 1;
    cache.set(graph, flags);
  }
  return flags;
}
