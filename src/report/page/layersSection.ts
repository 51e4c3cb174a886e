/** The layer graph, coloured by stage: laid out from left to right by dagre. */
import { curveBasis, line } from 'd3-shape';
import { formatBytes, formatSi } from '../../util/format.js';
import { arrange } from './arrange.js';
import type { Point } from './arrange.js';
import { stageColour } from './colours.js';
import type { LayerGraph, LayerNode } from './facts.js';
import type { Markup, Section } from './markup.js';
import { html, tableBehind } from './markup.js';

const NODE = { width: 184, height: 58 };
/** Lines past a neighbour that carry less than this share of the heaviest into the same box are left out. */
const LEAST_SHARE = 0.05;
/** Lines of odd graphs are many; the heaviest are drawn. */
const MOST_EDGES = 1200;

export function layersSection({ nodes, edges }: LayerGraph, ranks: number): Section {
  const drawn = heavy(edges);
  return {
    id: 'layers',
    title: 'The layers',
    body: html`
      <p>
        ${nodes.length} runs of equal layers, in the colour of the stage that holds them; lines are
        activations; masks and tables are not drawn.
        ${drawn.length < edges.length ? `${edges.length - drawn.length} lines that carry little are left out.` : ''}
      </p>
      <div class="scroll graph" tabindex="0" role="region" aria-label="Layer graph, to be scrolled sideways">
        ${picture(nodes, drawn, ranks)}
      </div>
      ${tableBehind(
        'The layers',
        [
          'layers',
          'stage',
          'virtual stage',
          'made of',
          'parameters',
          'forward FLOP of a sample',
          'recompute',
        ],
        nodes.map((node) => [
          segmentsOf(node),
          String(node.pipelineRank),
          String(node.virtualStage),
          kernelsOf(node),
          formatSi(node.parameters),
          formatSi(node.flop),
          node.recompute,
        ]),
      )}
    `,
  };
}

/** The lines that are drawn, in model order: those between neighbours, and all that carry something. */
function heavy(edges: LayerGraph['edges']): LayerGraph['edges'] {
  const most = new Map<number, number>();
  for (const { to, bytes } of edges) most.set(to, Math.max(bytes, most.get(to) ?? 0));
  return [...edges]
    .filter(({ from, to, bytes }) => to === from + 1 || bytes >= LEAST_SHARE * most.get(to)!)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, MOST_EDGES)
    .sort((a, b) => a.from - b.from || a.to - b.to);
}

function picture(nodes: LayerGraph['nodes'], edges: LayerGraph['edges'], ranks: number): Markup {
  const { width, height, boxes: places, lines: ways } = arrange(nodes.length, edges, NODE);
  const curve = line<Point>()
    .x((p) => round(p.x))
    .y((p) => round(p.y))
    .curve(curveBasis);
  const lines = edges.map(({ from, to, bytes }, i) => {
    const crosses = nodes[from].pipelineRank !== nodes[to].pipelineRank;
    return html`<path class="${crosses ? 'edge crosses' : 'edge'}" d="${curve([...ways[i]])}"
      ><title>${formatBytes(bytes)} a sample${crosses ? ', between stages' : ''}</title></path
    >`;
  });
  const boxes = nodes.map((node, i) => {
    const { x, y } = places[i];
    return box(node, x - NODE.width / 2, y - NODE.height / 2, ranks);
  });
  return html`<svg
    width="${width}"
    height="${height}"
    viewBox="0 0 ${width} ${height}"
    role="img"
    aria-label="Graph of ${nodes.length} runs of layers; the table below tells the same"
  >
    ${lines}${boxes}
  </svg>`;
}

function box(node: LayerNode, x: number, y: number, ranks: number): Markup {
  const title = `stage ${node.pipelineRank}`;
  return html`<g transform="translate(${round(x)} ${round(y)})">
    <rect class="box" width="${NODE.width}" height="${NODE.height}" rx="6" />
    <rect width="6" height="${NODE.height}" rx="3" fill="${stageColour(node.pipelineRank, ranks)}" />
    <text x="14" y="17" class="strong">${title} · ${segmentsOf(node)}</text>
    <text x="14" y="33">${cut(kernelsOf(node), 27)}</text>
    <text x="14" y="49">${formatSi(node.parameters)} parameters</text>
    <title>
      ${title}, ${segmentsOf(node)}: ${kernelsOf(node)}, ${formatSi(node.flop)}FLOP forward of a sample,
      recompute ${node.recompute}
    </title>
  </g>`;
}

function segmentsOf({ first, last }: LayerNode): string {
  return last - first === 1 ? `segment ${first}` : `segments ${first}–${last - 1}`;
}

function kernelsOf({ kernels }: LayerNode): string {
  return kernels.map(({ kind, count }) => (count > 1 ? `${count} ${kind}` : kind)).join(', ');
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
