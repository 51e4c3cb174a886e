/** On which virtual stages the tensors and nodes of a model are used. */
import type { Plan } from '../plan/types.js';
import type { EmitModel } from './types.js';

/** Virtual stage of every node; -1 for a node of no segment. */
export function nodeStages(plan: Plan, { graph, segmentation }: EmitModel): Int32Array {
  const stage = new Int32Array(graph.nodeCount).fill(-1);
  for (const { virtualStage, firstSegment, lastSegment } of plan.stages)
    for (let b = segmentation.blockStart[firstSegment]; b < segmentation.blockStart[lastSegment]; b++)
      for (const n of segmentation.blocks[b].nodes) stage[n] = virtualStage;
  return stage;
}

/** Stages that read or make a tensor, ascending. */
export function tensorStages(plan: Plan, model: EmitModel): Map<string, number[]> {
  const { graph } = model;
  const stage = nodeStages(plan, model);
  const found = new Map<string, number[]>();
  for (let t = 0; t < graph.tensorCount; t++) {
    const stages = new Set<number>();
    if (graph.producer[t] >= 0) stages.add(stage[graph.producer[t]]);
    for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) stages.add(stage[graph.useNode[u]]);
    stages.delete(-1);
    if (stages.size > 0)
      found.set(
        graph.tensorName[t],
        [...stages].sort((a, b) => a - b),
      );
  }
  return found;
}
