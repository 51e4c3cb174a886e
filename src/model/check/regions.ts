/**
 * The scopes of a model: the main graph, function bodies, training graphs, and every subgraph in an attribute, found
 * without recursion. A parent always stands before its children.
 */
import { quote } from '../quote.js';
import type { AttributeProto, GraphProto, ModelProto, NodeProto } from '../types.js';

export interface Region {
  readonly kind: 'main' | 'function' | 'training' | 'subgraph';
  readonly nodes: readonly NodeProto[];
  /** Null for a function body, which has formal names only. */
  readonly graph: GraphProto | null;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly parent: Region | null;
  /** Index in the parent of the node that holds this subgraph; -1 for others. */
  readonly holder: number;
  /** Index of the function in the model, for a body and all that is inside; -1 elsewhere. */
  readonly functionIndex: number;
  readonly label: string;
}

/** All regions, parents first. */
export function collectRegions(model: ModelProto): Region[] {
  const regions: Region[] = [];
  if (model.graph !== undefined) regions.push(graphRegion('main', model.graph, 'graph'));
  model.functions.forEach((f, functionIndex) => {
    const { input: inputs, output: outputs, node: nodes } = f;
    const label = `function ${quote(f.name)}`;
    regions.push({
      kind: 'function',
      nodes,
      graph: null,
      inputs,
      outputs,
      parent: null,
      holder: -1,
      functionIndex,
      label,
    });
  });
  model.trainingInfo.forEach((t, i) => {
    if (t.initialization)
      regions.push(graphRegion('training', t.initialization, `training_info ${i} initialization`));
    if (t.algorithm) regions.push(graphRegion('training', t.algorithm, `training_info ${i} algorithm`));
  });
  // The list grows while it is walked: children land behind their parents.
  for (let r = 0; r < regions.length; r++) {
    const region = regions[r];
    for (let holder = 0; holder < region.nodes.length; holder++) {
      for (const attribute of region.nodes[holder].attribute) {
        for (const graph of subgraphs(attribute)) {
          const label = `${quote(attribute.name)} of ${nodeLabel(region, holder)}`;
          regions.push({
            ...graphRegion('subgraph', graph, label),
            parent: region,
            holder,
            functionIndex: region.functionIndex,
          });
        }
      }
    }
  }
  return regions;
}

/** Graphs held directly by an attribute. */
export function subgraphs(attribute: AttributeProto): readonly GraphProto[] {
  if (attribute.g === undefined) return attribute.graphs;
  return attribute.graphs.length === 0 ? [attribute.g] : [attribute.g, ...attribute.graphs];
}

function graphRegion(kind: Region['kind'], graph: GraphProto, label: string): Region {
  const names = (values: readonly { name?: string }[]): string[] => values.map((v) => v.name ?? '');
  const inputs = names(graph.input);
  const outputs = names(graph.output);
  return {
    kind,
    nodes: graph.node,
    graph,
    inputs,
    outputs,
    parent: null,
    holder: -1,
    functionIndex: -1,
    label,
  };
}

/** `node 17 "Relu_3" (Relu)`, with its subgraph's place when it is in one. */
export function nodeLabel(region: Region, index: number): string {
  const node = region.nodes[index];
  const name = node.name === undefined || node.name === '' ? '' : ` ${quote(node.name)}`;
  const inside = region.kind === 'main' ? '' : ` of ${innermost(region.label)}`;
  return `node ${index}${name} (${quote(node.opType).slice(1, -1)})${inside}`;
}

/** Deep nesting would make labels long: the two innermost subgraphs say enough. */
function innermost(label: string): string {
  const parts = label.split(' of ');
  return parts.length <= 4 ? label : `${parts.slice(0, 4).join(' of ')} of ...`;
}
