/** From a model as written to the computation it stands for: concrete shapes, roles of tensors, dead and folded code gone. */
import type { ModelProto } from '../model/types.js';
import type { Dim } from '../ops/types.js';
import { PartitionError } from '../util/errors.js';
import { readNumbers } from '../model/tensor.js';
import { assemble } from './assemble.js';
import { chooseBinding, type Binding, type BindingOptions } from './binding.js';
import { bodyFlop, capturedBy } from './bodies.js';
import { findTriangular } from './causal.js';
import { inferModel, type Inferred } from './infer.js';
import { attachLoss } from './loss.js';
import { classify } from './roles.js';
import { Sizes } from './sizes.js';
import type { GraphSpec, NodeSpec, TensorSpec } from './spec.js';
import { TensorRole, type Graph } from './types.js';

export interface BuildOptions extends BindingOptions {
  /** Refuse operators that are not known. */
  readonly strict?: boolean;
  /** Default: inference for graphs with cached keys and values among their inputs, else training. */
  readonly phase?: 'train' | 'inference';
}

/** Constant tables up to this size are read to see whether they are causal masks. */
const MAX_MASK_ELEMENTS = 1 << 22;

/**
 * @throws PartitionError usage for an unbound symbol that a cost depends on, input for a contradictory model, infeasible
 *   when the batch axis is lost
 */
export function buildGraph(model: ModelProto, options: BuildOptions = {}): Graph {
  const binding = chooseBinding(model, options);
  const inferred = inferModel(binding.model, {
    bind: binding.bind,
    ...(options.strict === undefined ? {} : { strict: options.strict }),
    ...(options.where === undefined ? {} : { where: options.where }),
  });
  const spec = makeSpec(inferred, binding, options, model.graph?.name ?? 'graph');
  const lossNode = spec.phase === 'train' && !spec.isTrainingGraph ? attachLoss(spec) : -1;
  return assemble(spec, lossNode);
}

function makeSpec(inferred: Inferred, binding: Binding, options: BuildOptions, name: string): GraphSpec {
  const where = options.where ?? null;
  const { nodes, graphOutputs } = inferred;
  const roles = classify(inferred);
  const producer = new Int32Array(inferred.values.length).fill(-1);
  nodes.forEach((node, n) => {
    for (const v of node.outputs) if (v >= 0) producer[v] = n;
  });
  const reads = nodes.map((node) =>
    node.bodies.length === 0 ? node.inputs : [...node.inputs, ...capturedBy(node)],
  );
  const live = liveNodes(inferred, reads, producer, roles.isData);
  const sizes = new Sizes(inferred, producer);
  const warnings = [...inferred.warnings];
  const triangular = findTriangular({
    valueCount: inferred.values.length,
    nodes,
    shape: (v) => {
      const type = inferred.type[v];
      return type !== null && type.kind === 'tensor' ? type.shape : null;
    },
    dtype: (v) => {
      const type = inferred.type[v];
      return type !== null && type.kind === 'tensor' ? type.dtype : 0;
    },
    known: (v) => inferred.known[v],
    table: (v) => {
      const tensor = inferred.initializers.get(v);
      return tensor === undefined ? null : (readNumbers(tensor, MAX_MASK_ELEMENTS) ?? undefined);
    },
  });

  const tensors: TensorSpec[] = [];
  const tensorOf = new Int32Array(inferred.values.length).fill(-1);
  const tensor = (v: number): number => {
    if (v < 0) return -1;
    if (tensorOf[v] >= 0) return tensorOf[v];
    const type = inferred.type[v];
    const size = sizes.of(v);
    const role = roles.role[v];
    tensorOf[v] =
      tensors.push({
        name: inferred.values[v],
        dtype: type !== null && type.kind === 'tensor' ? type.dtype : 0,
        dims: size.dims,
        role,
        frozen: roles.frozen[v] === 1,
        value: role === TensorRole.PARAMETER ? null : inferred.known[v],
        dataDependentDim: size.dataDependentDim,
        triangular: triangular[v] === 1,
        aliasOf: roles.weightOf[v],
      }) - 1;
    return tensorOf[v];
  };
  const graphInputs = inferred.graphInputs.map(tensor);
  const specNodes: NodeSpec[] = [];
  const names = new NodeNames();
  for (let n = 0; n < nodes.length; n++) {
    if (!live[n]) continue;
    const node = nodes[n];
    const inputs = reads[n].map(tensor);
    const label = node.domain === '' ? node.opType : `${node.domain}::${node.opType}`;
    specNodes.push({
      name: names.unique(node.proto.name ?? '', node.functionPath, label),
      label,
      opType: node.opType,
      domain: node.domain,
      version: node.version,
      attrs: node.attrs,
      rule: node.rule,
      inputs,
      outputs: node.outputs.map(tensor),
      bodyFlop: node.bodies.length === 0 ? 0 : bodyFlop(node, inferred, sizes, warnings),
    });
  }
  const unresolved = sizes.unbound();
  if (unresolved !== null) throw unboundSymbol(unresolved, binding, where);
  warnings.push(...sizes.warnings);
  const isTrainingGraph = specNodes.some(isTrainingOp);
  const phase = options.phase ?? (binding.hasCache ? 'inference' : 'train');
  if (isTrainingGraph)
    warnings.push('the graph already holds gradients or optimizer steps: it is costed as it stands');
  const inputByName = new Map(graphInputs.map((t) => [tensors[t].name, t]));
  const seeds = binding.seeds.flatMap(({ input, dim, axis }) => {
    const t = inputByName.get(input);
    return t === undefined ? [] : [{ tensor: t, dim, axis }];
  });
  const sequence = binding.sequenceOf === null ? undefined : inputByName.get(binding.sequenceOf.input);
  const outputs = graphOutputs.filter((v) => producer[v] >= 0 && live[producer[v]]).map(tensor);
  return {
    name,
    where,
    tensors,
    nodes: specNodes,
    graphInputs,
    graphOutputs: outputs,
    seeds,
    referenceBatch: binding.referenceBatch,
    sequenceLength: sequence === undefined ? 1 : (tensors[sequence].dims?.[binding.sequenceOf!.dim] ?? 1),
    phase,
    hasCache: binding.hasCache,
    isTrainingGraph,
    warnings,
    unknownOps: inferred.unknownOps,
  };
}

/** Nodes that an output needs and that compute something: walks back, stopping at data. */
function liveNodes(
  inferred: Inferred,
  reads: readonly (readonly number[])[],
  producer: Int32Array,
  isData: Uint8Array,
): Uint8Array {
  const live = new Uint8Array(reads.length);
  const stack: number[] = [];
  const need = (v: number): void => {
    if (v < 0 || isData[v] || producer[v] < 0 || live[producer[v]]) return;
    live[producer[v]] = 1;
    stack.push(producer[v]);
  };
  inferred.graphOutputs.forEach(need);
  while (stack.length > 0) reads[stack.pop()!].forEach(need);
  return live;
}

/** Names for nodes: their own where they have one, else the operator's, numbered. */
class NodeNames {
  private readonly taken = new Set<string>();
  private readonly counters = new Map<string, number>();

  unique(own: string, path: string, label: string): string {
    const base = own === '' ? label : path === '' ? own : `${path}/${own}`;
    let name = base;
    let i = this.counters.get(base) ?? 0;
    while (this.taken.has(name)) name = `${base}_${String(++i)}`;
    this.counters.set(base, i);
    this.taken.add(name);
    return name;
  }
}

function unboundSymbol(
  at: { symbol: string; tensor: string; dim: Dim },
  binding: Binding,
  where: string | null,
): PartitionError {
  const isSequence = at.symbol === binding.sequenceSymbol;
  return new PartitionError(
    'usage',
    `dimension '${at.symbol}' of tensor '${at.tensor}' has no value`,
    where,
    isSequence
      ? `give it with --seq <length> or --bind ${at.symbol}=<value>`
      : `give it with --bind ${at.symbol}=<value>`,
  );
}

/** Operators of training graphs: gradients and optimizer steps. */
function isTrainingOp(node: NodeSpec): boolean {
  if (node.domain === 'ai.onnx.preview.training') return true;
  return (
    node.domain === 'com.microsoft' &&
    /(Grad|Gradient|GradV2|Grad_13|Optimizer|OptimizerV2|InPlaceAccumulator(V2)?|YieldOp)$/.test(node.opType)
  );
}
