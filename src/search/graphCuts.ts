/**
 * `multilevel` and `gpmetis`: stages from partitions of the weighted block graph. Vertices are the segments of the chain
 * with their seconds, edges the tensors that one segment makes and another reads; the parts then become stages.
 *
 * A stage is a run of consecutive segments, so the partition is decoded: parts are put in the order of the mean position
 * of their segments, and stage after stage takes segments until it has the weight of its part.
 */
import type { Segmentation } from '../graph/types.js';
import type { PlanProblem } from '../simulate/types.js';
import { sweepAndPolish } from './cellSweep.js';
import type { Balancer } from './cutRules.js';
import { Cutter } from './cutRules.js';
import { gpmetisPartition, requireGpmetis } from './gpmetis.js';
import { partitionGraph } from './multilevel.js';
import type { Decisions } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';
import type { WeightedEdge, WeightedGraph } from './weightedGraph.js';
import { graphOf, partWeights } from './weightedGraph.js';

/** Stages may weigh this much more than the mean: whole layers cannot be shared more evenly. */
const IMBALANCE = 0.05;
const TRIES = 4;

type Partitioner = (g: WeightedGraph, parts: number, seed: number) => Int32Array;

export const multilevelSolver: Solver = graphCutSolver(
  'multilevel',
  (g, parts, seed) => partitionGraph(g, parts, { imbalance: IMBALANCE, seed, tries: TRIES }).part,
);

export const gpmetisSolver: Solver = graphCutSolver(
  'gpmetis',
  (g, parts, seed) => gpmetisPartition(g, parts, { imbalance: IMBALANCE, seed }).part,
);

function graphCutSolver(name: string, partition: Partitioner): Solver {
  return {
    name,
    solve(context: SearchContext): SearchResult {
      if (name === 'gpmetis') requireGpmetis();
      const seed = context.random.uint32() & 0xffff;
      return sweepAndPolish(
        context,
        name,
        new PartitionCutter(context.problem, (g, parts) => partition(g, parts, seed)),
      );
    },
  };
}

/** Cuts by partitioning; remembers the cuts of equal weights. */
class PartitionCutter implements Balancer {
  private readonly cutter: Cutter;
  private readonly edges: readonly WeightedEdge[];
  private readonly known = new Map<string, Int32Array>();

  constructor(
    private readonly problem: PlanProblem,
    private readonly partition: (g: WeightedGraph, parts: number) => Int32Array,
  ) {
    this.cutter = new Cutter(problem);
    this.edges = segmentEdges(problem.segmentation);
  }

  balanced(d: Decisions): Int32Array {
    const { segmentCount } = this.problem.segmentation;
    const stages = d.pp * d.vpp;
    if (stages === 1) return Int32Array.of(0, segmentCount);
    if (stages === segmentCount) return Int32Array.from({ length: stages + 1 }, (_, v) => v);
    const { tp, cp, ep, etp, microbatch, contextExchange, leanness = 0, recompute } = d;
    const key = [stages, tp, cp, ep, etp, microbatch, contextExchange, leanness, ...recompute].join();
    const known = this.known.get(key);
    if (known !== undefined) return known;
    this.cutter.model.take(d);
    const weight = Float64Array.from({ length: segmentCount }, (_, s) =>
      this.cutter.model.timeSec(0, s, s + 1),
    );
    const graph = graphOf(weight, this.edges);
    const cuts = decodeParts(graph, this.partition(graph, stages), stages);
    this.known.set(key, cuts);
    return cuts;
  }
}

/**
 * Edges between segments: a tensor from the segment that makes it to each that reads it, as heavy as it has elements. A
 * hair joins neighbours that share nothing, so that the order of the chain is never lost.
 */
export function segmentEdges(segmentation: Segmentation): WeightedEdge[] {
  const { blocks, blockStart, segmentCount, cutElements } = segmentation;
  const producer = new Map<number, { segment: number; elements: number }>();
  const edges: WeightedEdge[] = [];
  for (let s = 0; s < segmentCount; s++) {
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++) {
      const read = new Set<number>();
      for (const tensor of blocks[b].inputs) {
        const made = producer.get(tensor);
        if (made === undefined || made.segment === s || read.has(tensor)) continue;
        read.add(tensor);
        edges.push({ from: made.segment, to: s, weight: made.elements });
      }
      blocks[b].outputs.forEach((tensor, i) => {
        const { factors, outputs } = blocks[b].factors;
        let elements = 1;
        for (const dim of outputs[i] ?? []) for (const f of dim) elements *= factors[f].size;
        producer.set(tensor, { segment: s, elements });
      });
    }
    if (s > 0) edges.push({ from: s - 1, to: s, weight: Math.max(1, 1e-3 * cutElements[s]) });
  }
  return edges;
}

/** Cuts with the weights of the parts, in the order of their mean position; no stage is left empty. */
export function decodeParts(g: WeightedGraph, part: Int32Array, stages: number): Int32Array {
  const segments = g.vertexCount;
  const count = new Int32Array(stages);
  const position = new Float64Array(stages);
  for (let s = 0; s < segments; s++) {
    count[part[s]]++;
    position[part[s]] += s;
  }
  const mean = (p: number): number => (count[p] === 0 ? Infinity : position[p] / count[p]);
  const order = Array.from({ length: stages }, (_, p) => p).sort((a, b) => mean(a) - mean(b) || a - b);
  const weights = partWeights(g, part, stages);
  const start = new Int32Array(stages + 1);
  start[stages] = segments;
  let wanted = 0;
  let before = 0;
  let s = 0;
  for (let v = 1; v < stages; v++) {
    wanted += weights[order[v - 1]];
    const first = start[v - 1] + 1;
    const last = segments - (stages - v);
    while (s < last && (s < first || before + g.vertexWeight[s] / 2 < wanted)) before += g.vertexWeight[s++];
    start[v] = s;
  }
  return start;
}
