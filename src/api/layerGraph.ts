/** The layers of a plan as a small graph: runs of equal segments in the same virtual stage, and what flows between. */
import type { Graph, Segmentation } from '../graph/index.js';
import { TensorRole } from '../graph/types.js';
import { isFloat } from '../model/dtype.js';
import type { Block } from '../graph/types.js';
import { RECOMPUTE_POLICIES } from '../parallel/recompute.js';
import type { Candidate } from '../plan/types.js';
import type { LayerGraph, LayerNode } from '../report/page/facts.js';

/** Sequences of classes up to this long are looked for: an attention half, a feed-forward half, an expert layer, ... */
const LONGEST_PERIOD = 8;
/** Kernels named of a node. */
const SHOWN_KERNELS = 3;

export function layerGraph(graph: Graph, segmentation: Segmentation, c: Candidate): LayerGraph {
  const nodes: LayerNode[] = [];
  const nodeOfSegment = new Int32Array(segmentation.segmentCount);
  for (let v = 0; v < c.pp * c.vpp; v++)
    for (const [first, last] of runs(segmentation, c.stageStart[v], c.stageStart[v + 1])) {
      nodeOfSegment.fill(nodes.length, first, last);
      nodes.push(nodeOf(graph, segmentation, c, v, first, last));
    }
  return { nodes, edges: edgesOf(graph, segmentation, nodeOfSegment) };
}

/** Segments [from, to) cut into runs that repeat a sequence of classes, longest run first come. */
function* runs({ segmentClass }: Segmentation, from: number, to: number): Generator<[number, number]> {
  for (let at = from; at < to;) {
    let end = at + 1;
    for (let period = 1; period <= LONGEST_PERIOD && at + 2 * period <= to; period++) {
      let next = at + period;
      while (next < to && segmentClass[next] === segmentClass[next - period]) next++;
      const whole = at + Math.floor((next - at) / period) * period;
      if (whole - at >= 2 * period && whole > end) end = whole;
    }
    yield [at, end];
    at = end;
  }
}

function nodeOf(
  graph: Graph,
  { blocks, blockStart, segmentClass }: Segmentation,
  c: Candidate,
  virtualStage: number,
  first: number,
  last: number,
): LayerNode {
  const work = new Map<string, { flop: number; count: number }>();
  let flop = 0;
  const weights = new Set<number>();
  for (let b = blockStart[first]; b < blockStart[last]; b++) {
    const block = blocks[b];
    flop += block.flop;
    const kind = work.get(block.kind) ?? { flop: 0, count: 0 };
    work.set(block.kind, { flop: kind.flop + block.flop, count: kind.count + 1 });
    for (const t of weightsOf(graph, block)) weights.add(t);
  }
  const kernels = [...work]
    .filter(([kind]) => work.size === 1 || kind !== 'pointwise')
    .sort(([, a], [, b]) => b.flop - a.flop)
    .slice(0, SHOWN_KERNELS)
    .map(([kind, { count }]) => ({ kind, count }));
  const policies = [...new Set(segmentClass.slice(first, last))].map((k) => c.recompute[k]);
  return {
    virtualStage,
    pipelineRank: virtualStage % c.pp,
    first,
    last,
    kernels,
    flop,
    parameters: [...weights].reduce((sum, t) => sum + graph.tensorElements[t], 0),
    recompute: [...new Set(policies)].map((p) => RECOMPUTE_POLICIES[p]).join(' / '),
  };
}

/** Memory of the weights that a block reads, each once. */
function weightsOf(graph: Graph, block: Block): number[] {
  return Array.from(block.inputs)
    .filter((t) => graph.tensorRole[t] === TensorRole.PARAMETER)
    .map((t) => graph.storage[t]);
}

/** Masks, positions and tables that are worked out once and read by every layer: no part of the flow. */
function isAside(graph: Graph, t: number): boolean {
  if (!isFloat(graph.tensorDtype[t]) || graph.tensorTriangular[t] === 1) return true;
  return graph.phase === 'train' && graph.tensorNeedsGrad[t] === 0;
}

function edgesOf(
  graph: Graph,
  { blocks, blockStart, segmentCount }: Segmentation,
  nodeOfSegment: Int32Array,
): LayerGraph['edges'] {
  const madeIn = new Map<number, number>();
  const edges = new Map<string, { from: number; to: number; bytes: number; tensors: Set<number> }>();
  for (let s = 0; s < segmentCount; s++)
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++) {
      const to = nodeOfSegment[s];
      for (const t of blocks[b].inputs) {
        const from = madeIn.get(t);
        if (from === undefined || from === to || isAside(graph, t)) continue;
        const key = `${from} ${to}`;
        const edge = edges.get(key) ?? { from, to, bytes: 0, tensors: new Set<number>() };
        edges.set(key, edge);
        if (edge.tensors.has(t)) continue;
        edge.tensors.add(t);
        edge.bytes += graph.tensorBytes[t];
      }
      for (const t of blocks[b].outputs) madeIn.set(t, to);
    }
  return [...edges.values()].map(({ from, to, bytes }) => ({ from, to, bytes }));
}
