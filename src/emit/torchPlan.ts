/** What a plan means for the modules of a PyTorch model: style of every linear layer and embedding, experts, stage cuts. */
import { TensorRole } from '../graph/types.js';
import type { Graph } from '../graph/types.js';
import type { FactorKind } from '../ops/types.js';
import type { Plan, TensorSharding } from '../plan/types.js';
import type { Notes } from './notes.js';
import { nodeStages } from './tensorStages.js';
import type { EmitModel } from './types.js';

/** `head`: column-wise, and what it makes is an output of the model, gathered. */
export type ModuleStyle = 'colwise' | 'rowwise' | 'head';

export interface TorchPlan {
  /** Module name -> how its weight is split over tp. */
  readonly styles: ReadonlyMap<string, ModuleStyle>;
  /** Modules that hold nothing but vectors of the residual stream's width: norms, which see parts of the sequence. */
  readonly norms: readonly string[];
  /** Parameter name -> the dimension that is split over ep, and over etp (-1: none). */
  readonly experts: ReadonlyMap<string, { ep: number; etp: number }>;
  /** The first module of every stage but the first; null where no name is common to what the stage begins with. */
  readonly cuts: readonly (string | null)[];
}

/** @param width of the residual stream, where it is known */
export function torchPlan(plan: Plan, model: EmitModel, width: number | null, notes: Notes): TorchPlan {
  const { graph } = model;
  const styles = new Map<string, ModuleStyle>();
  const experts = new Map<string, { ep: number; etp: number }>();
  const left: string[] = [];
  const copied: string[] = [];
  const parameters = new Map<string, number>();
  for (let t = 0; t < graph.tensorCount; t++)
    if ((graph.tensorRole[t] as TensorRole) === TensorRole.PARAMETER) parameters.set(graph.tensorName[t], t);
  for (const sharding of plan.shardings) {
    const t = parameters.get(sharding.tensor);
    if (t === undefined) continue;
    const over = (axis: 'tp' | 'ep' | 'etp'): number =>
      sharding.dims.findIndex((axes) => axes.includes(axis));
    if (over('ep') >= 0 || over('etp') >= 0) {
      experts.set(moduleName(graph, t) ?? sharding.tensor, { ep: over('ep'), etp: over('etp') });
      continue;
    }
    const dim = over('tp');
    // A bias follows its layer; what is split beside a layer's weight has no style.
    if (dim < 0 || sharding.shape.length !== 2) continue;
    const style = styleOf(graph, t, dim);
    const name = moduleName(graph, t);
    if (style === null || name === null || isFused(sharding, dim)) left.push(sharding.tensor);
    else {
      styles.set(name, style);
      if ((sharding.copies?.[dim] ?? 1) > 1) copied.push(sharding.tensor);
    }
  }
  noteMany(
    left,
    'split over tp',
    'no style of torch says it (fused, or of no known module): left whole',
    notes,
  );
  if (copied.length > 0)
    notes.blocks(
      `${copied[0]}${more(copied)} split in fewer parts than tp = ${plan.degrees.tp}`,
      'DTensor splits over all ranks of an axis; choose a tp that divides the key-value heads',
    );
  return { styles, norms: normModules(graph, parameters, width), experts, cuts: stageCuts(plan, model) };
}

function more(list: readonly string[]): string {
  return list.length > 1 ? ` and ${list.length - 1} more` : '';
}

function noteMany(list: readonly string[], what: string, instead: string, notes: Notes): void {
  if (list.length > 0) notes.differs(`${list[0]}${more(list)} ${what}`, instead);
}

function isFused({ blocks }: TensorSharding, dim: number): boolean {
  return (blocks?.[dim] ?? 1) > 1;
}

/** Split along what is summed over, or along the rows of a table: row-wise. */
function styleOf(graph: Graph, t: number, dim: number): ModuleStyle | null {
  for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) {
    const n = graph.useNode[u];
    const rule = graph.nodeFactors[n];
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      if (graph.inputTensor[s] !== t) continue;
      const factors = rule.inputs[s - graph.inputStart[n]]?.[dim] ?? [];
      const kinds = factors.map((f): FactorKind => rule.factors[f].kind);
      if (kinds.length === 0) continue;
      return kinds.some((k) => k === 'contraction' || k === 'lookup')
        ? 'rowwise'
        : makesOutput(graph, n)
          ? 'head'
          : 'colwise';
    }
  }
  return null;
}

/** True when a result of the node is an output of the model, a change of shape aside. */
function makesOutput(graph: Graph, n: number): boolean {
  for (let s = graph.outputStart[n]; s < graph.outputStart[n + 1]; s++) {
    const t = graph.outputTensor[s];
    if (graph.graphOutputs.some((o) => graph.storage[o] === graph.storage[t])) return true;
  }
  return false;
}

/** Modules of vectors of a width, and of nothing else. */
function normModules(graph: Graph, parameters: ReadonlyMap<string, number>, width: number | null): string[] {
  const norms = new Map<string, boolean>();
  for (const t of parameters.values()) {
    const name = moduleName(graph, t);
    if (name === null) continue;
    const isVector = graph.shapeStart[t + 1] - graph.shapeStart[t] === 1 && graph.tensorElements[t] === width;
    norms.set(name, isVector && norms.get(name) !== false);
  }
  return [...norms].filter(([, isNorm]) => isNorm).map(([name]) => name);
}

/** `a.b.weight` is of module `a.b`; a weight that the exporter renamed is of the module whose path its reader carries. */
function moduleName(graph: Graph, t: number): string | null {
  const name = graph.tensorName[t];
  if (/^[\w.]+$/.test(name) && name.includes('.')) return name.replace(/\.(weight|bias)$/, '');
  for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++) {
    const path = graph.nodeName[graph.useNode[u]].split('/').filter((part) => part !== '');
    if (path.length > 1) return path.slice(0, -1).join('.');
  }
  return null;
}

/** The deepest module that holds every named weight of a stage's first segment. */
function stageCuts(plan: Plan, model: EmitModel): (string | null)[] {
  const { graph, segmentation } = model;
  const stage = nodeStages(plan, model);
  return plan.stages
    .filter(({ virtualStage }) => virtualStage > 0)
    .sort((a, b) => a.virtualStage - b.virtualStage)
    .map(({ firstSegment, virtualStage }) => {
      let common: string[] | null = null;
      for (let b = segmentation.blockStart[firstSegment]; b < segmentation.blockStart[firstSegment + 1]; b++)
        for (const t of segmentation.blocks[b].inputs) {
          if ((graph.tensorRole[t] as TensorRole) !== TensorRole.PARAMETER) continue;
          if (
            graph.useNode
              .subarray(graph.useStart[t], graph.useStart[t + 1])
              .some((n) => stage[n] !== virtualStage)
          )
            continue;
          const path = moduleName(graph, t)?.split('.') ?? null;
          if (path === null) continue;
          common = common === null ? path : commonPrefix(common, path);
        }
      return common === null || common.length === 0 ? null : common.join('.');
    });
}

function commonPrefix(a: readonly string[], b: readonly string[]): string[] {
  const end = a.findIndex((part, i) => part !== b[i]);
  return a.slice(0, end < 0 ? a.length : end);
}
