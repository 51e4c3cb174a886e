/** Parameter counts, read off the graph: every weight in the external file once, shared ones not twice. */
import type { ModelProto, TensorProto } from '../model/types.js';
import type { ArchConfig } from './config.js';
import { buildZoo } from './zoo.js';

export interface ParameterCount {
  /** All parameters. */
  readonly total: number;
  /** Those that one token meets: of the routed experts only the chosen ones. */
  readonly active: number;
}

export function parameterCount(config: ArchConfig): ParameterCount {
  const model = buildZoo(config);
  const stacked = expertTables(model);
  const activeShare = config.moe === null ? 1 : config.moe.topk / config.moe.experts;
  let total = 0;
  let active = 0;
  for (const tensor of model.graph!.initializer) {
    if (tensor.externalData.length === 0) continue;
    const count = elementCount(tensor);
    total += count;
    active += stacked.has(tensor.name!) ? count * activeShare : count;
  }
  return { total, active };
}

/** Weights of which a token reads only the slices that its routing names: data of GatherND nodes. */
function expertTables(model: ModelProto): Set<string> {
  const tables = new Set<string>();
  for (const node of model.graph!.node) {
    if (node.opType === 'GatherND') tables.add(node.input[0]);
  }
  return tables;
}

function elementCount(tensor: TensorProto): number {
  return tensor.dims.reduce<number>((count, size) => count * Number(size), 1);
}
