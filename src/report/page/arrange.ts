/** Places of a directed graph's boxes, from left to right, and the lines between them: dagre's layered layout. */
import * as dagre from '@dagrejs/dagre';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Arrangement {
  readonly width: number;
  readonly height: number;
  /** Centre of every box. */
  readonly boxes: readonly Point[];
  /** Corners of every line, in the order of the edges. */
  readonly lines: readonly (readonly Point[])[];
}

/** What is used of the library, whose own types do not resolve under Node's module rules. */
interface Layouter {
  readonly Graph: new () => LayoutGraph;
  readonly layout: (graph: LayoutGraph) => void;
}
interface LayoutGraph {
  setGraph(options: object): void;
  setNode(id: string, size: object): void;
  setEdge(from: string, to: string, label: object): void;
  graph(): { readonly width: number; readonly height: number };
  node(id: string): Point;
  edge(from: string, to: string): { readonly points: readonly Point[] };
}

const { Graph, layout } = dagre as unknown as Layouter;

/** @param edges pairs of different boxes, each pair once */
export function arrange(
  boxCount: number,
  edges: readonly { readonly from: number; readonly to: number }[],
  size: { readonly width: number; readonly height: number },
): Arrangement {
  const graph = new Graph();
  graph.setGraph({ rankdir: 'LR', nodesep: 14, ranksep: 34, marginx: 8, marginy: 8 });
  for (let i = 0; i < boxCount; i++) graph.setNode(String(i), { ...size });
  for (const { from, to } of edges) graph.setEdge(String(from), String(to), {});
  layout(graph);
  const { width, height } = graph.graph();
  return {
    width: Math.ceil(width),
    height: Math.ceil(height),
    boxes: Array.from({ length: boxCount }, (_, i) => graph.node(String(i))),
    lines: edges.map(({ from, to }) => graph.edge(String(from), String(to)).points),
  };
}
