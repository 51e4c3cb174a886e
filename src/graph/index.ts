/** The computation: from a model to a graph with work, factors and gradients, to fusion blocks, to the planning chain. */
import type { ModelProto } from '../model/types.js';
import { buildGraph, type BuildOptions } from './build.js';
import { fuse } from './fuse.js';
import { segment } from './repeat.js';
import { TensorRole, type Graph, type Segmentation } from './types.js';

export * from './types.js';
export { buildGraph, type BuildOptions } from './build.js';
export { fuse } from './fuse.js';
export { segment } from './repeat.js';
export { inferModel, type Inferred, type InferredNode, type InferOptions } from './infer.js';

/** @throws PartitionError as `buildGraph` */
export function analyze(
  model: ModelProto,
  options: BuildOptions = {},
): { graph: Graph; segmentation: Segmentation } {
  const graph = buildGraph(model, options);
  return { graph, segmentation: segment(graph, fuse(graph)) };
}

/** Trainable and frozen weights, in elements, each piece of memory once. */
export function parameterCount(graph: Graph): number {
  let count = 0;
  for (let t = 0; t < graph.tensorCount; t++) {
    if (graph.tensorRole[t] === TensorRole.PARAMETER && graph.storage[t] === t)
      count += graph.tensorElements[t];
  }
  return count;
}
