/** Where the parameters of a plan lie. */
import type { Graph } from '../graph/types.js';
import { opNames } from './build.js';
import type { TensorLayout } from './holdings.js';
import type { Plan } from './types.js';

/** Layouts of all parameters; one that no operator of a stage reads, through whatever lies between, is left out. */
export function planLayouts(plan: Plan, graph: Graph): TensorLayout[] {
  const rankOfOp = new Map<string, number>();
  for (const { ops, pipelineRank } of plan.stages) for (const op of ops) rankOfOp.set(op, pipelineRank);
  const names = opNames(graph);
  const tensorId = new Map(graph.tensorName.map((name, id) => [name, id]));
  const layouts: TensorLayout[] = [];
  for (const s of plan.shardings) {
    if (s.role !== 'parameter') continue;
    const id = tensorId.get(s.tensor);
    if (id === undefined) continue;
    const pipelineRanks = readers(graph, id, names, rankOfOp);
    if (pipelineRanks.length === 0) continue;
    layouts.push({
      tensor: s.tensor,
      shape: s.shape,
      dims: s.dims,
      blocks: s.blocks ?? s.shape.map(() => 1),
      copies: s.copies ?? s.shape.map(() => 1),
      pipelineRanks,
    });
  }
  return layouts;
}

/** Pipeline ranks of the first operators of stages that read a tensor. */
function readers(
  graph: Graph,
  tensor: number,
  names: readonly string[],
  rankOfOp: ReadonlyMap<string, number>,
): number[] {
  const ranks = new Set<number>();
  const seen = new Set([tensor]);
  const open = [tensor];
  for (let t = open.pop(); t !== undefined; t = open.pop())
    for (let i = graph.useStart[t]; i < graph.useStart[t + 1]; i++) {
      const node = graph.useNode[i];
      const rank = rankOfOp.get(names[node]);
      if (rank !== undefined) {
        ranks.add(rank);
        continue;
      }
      for (let o = graph.outputStart[node]; o < graph.outputStart[node + 1]; o++) {
        const next = graph.outputTensor[o];
        if (!seen.has(next)) {
          seen.add(next);
          open.push(next);
        }
      }
    }
  return [...ranks].sort((a, b) => a - b);
}
