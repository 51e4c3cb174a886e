/** Whether a graph is meant for training or for generating tokens with a cache of keys and values. */
import type { Graph } from '../graph/index.js';
import { TensorRole } from '../graph/index.js';
import type { Phase } from '../cost/types.js';
import { isFloat } from '../model/index.js';
import { PartitionError } from '../util/errors.js';

/**
 * Inputs that hold past keys or values: float inputs of rank 4 or more that are joined to newer ones (Concat) or go
 * straight into an attention operator.
 */
export function cacheInputs(graph: Graph): number[] {
  return [...graph.graphInputs].filter((t) => {
    if (t < 0 || graph.tensorRole[t] !== TensorRole.INPUT || !isFloat(graph.tensorDtype[t])) return false;
    if (graph.shapeStart[t + 1] - graph.shapeStart[t] < 4) return false;
    for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) {
      const op = graph.nodeOp[graph.useNode[u]];
      if (op === 'Concat' || op.includes('Attention')) return true;
    }
    return false;
  });
}

/**
 * The phase to plan for. Graphs with cached keys and values default to inference.
 *
 * @throws PartitionError usage when training is forced on a graph with a cache
 */
export function choosePhase(graph: Graph, asked: Phase | undefined): Phase {
  const cache = cacheInputs(graph);
  if (cache.length === 0) return asked ?? 'train';
  if (asked === 'train') {
    throw new PartitionError(
      'usage',
      `the graph takes cached keys and values (${cache.length} inputs, first ${graph.tensorName[cache[0]]}), so it generates tokens and cannot be trained`,
      '--phase train',
      'export the model without a cache, or plan with --phase inference',
    );
  }
  return 'inference';
}
