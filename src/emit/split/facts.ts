/**
 * A model as the splitter sees it: the top-level nodes in execution order, what each reads (captures of its subgraphs
 * included) and writes, and what is inferred of every value. Nodes are kept as written: nothing is inlined or fused.
 */
import { inferModel } from '../../graph/index.js';
import type { Inferred, InferredNode } from '../../graph/index.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '../../model/index.js';
import { functionKey } from '../../model/index.js';
import { subgraphs } from '../../model/check/regions.js';
import { capturedNames, executionOrder } from '../../graph/infer_order.js';
import { bind, symbolsOf } from '../../ops/dim.js';
import type { Dim, KnownValue, OpInstance, Shape, ValueType } from '../../ops/types.js';
import { invariant } from '../../util/errors.js';

export interface SplitNode {
  readonly proto: NodeProto;
  /** Position in the model's own list. */
  readonly index: number;
  /** Names read: inputs as written (no empty ones) and names that subgraphs capture, each once. */
  readonly reads: readonly string[];
  /** Names captured by subgraphs; also among `reads`. */
  readonly captures: readonly string[];
  /** Names written. */
  readonly writes: readonly string[];
  /** `null` for a call of a local function. */
  readonly inferred: InferredNode | null;
}

export interface SplitFacts {
  readonly model: ModelProto;
  readonly graph: GraphProto;
  readonly inferred: Inferred;
  /** In execution order. */
  readonly nodes: readonly SplitNode[];
  readonly initializers: ReadonlyMap<string, TensorProto>;
  /** Runtime inputs. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Index in `nodes` by value name. */
  readonly producer: ReadonlyMap<string, number>;
  /** Per node: 1 when its outputs may differ from run to run, 0 when they follow from weights and constants alone. */
  readonly varies: Uint8Array;
  type(name: string): ValueType | null;
  known(name: string): KnownValue | null;
}

/** @throws PartitionError input when the model contradicts itself */
export function splitFacts(model: ModelProto, where: string): SplitFacts {
  const graph = model.graph;
  invariant(graph !== undefined, 'a model without a graph reached the splitter');
  const inferred = inferModel(model, { where });
  const valueOf = new Map<string, number>();
  // Main values come first; functions and subgraphs define theirs behind them.
  for (let v = inferred.mainCount - 1; v >= 0; v--) valueOf.set(inferred.values[v], v);
  const byProto = new Map<NodeProto, InferredNode>();
  for (const node of inferred.nodes) if (node.functionPath === '') byProto.set(node.proto, node);
  const order = topLevelOrder(graph);
  const nodes = order.map((index): SplitNode => {
    const proto = graph.node[index];
    const captures = [...new Set(capturedNames(proto))];
    const reads = new Set(proto.input.filter((name) => name !== ''));
    for (const name of captures) reads.add(name);
    return {
      proto,
      index,
      reads: [...reads],
      captures,
      writes: proto.output.filter((name) => name !== ''),
      inferred: byProto.get(proto) ?? null,
    };
  });
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name ?? '', tensor]));
  const sparse = new Set(graph.sparseInitializer.map((tensor) => tensor.values?.name ?? ''));
  const producer = new Map<string, number>();
  nodes.forEach((node, n) => node.writes.forEach((name) => producer.set(name, n)));
  const inputs = graph.input
    .map((info) => info.name ?? '')
    .filter((name) => !initializers.has(name) && !sparse.has(name));
  return {
    model,
    graph,
    inferred,
    nodes,
    initializers,
    inputs,
    varies: varyingNodes(nodes, inputs, producer),
    outputs: graph.output.map((info) => info.name ?? ''),
    producer,
    type: (name) => inferred.type[valueOf.get(name) ?? -1] ?? null,
    known: (name) => inferred.known[valueOf.get(name) ?? -1] ?? null,
  };
}

function varyingNodes(
  nodes: readonly SplitNode[],
  inputs: readonly string[],
  producer: ReadonlyMap<string, number>,
): Uint8Array {
  const varies = new Uint8Array(nodes.length);
  const given = new Set(inputs);
  nodes.forEach((node, n) => {
    if (node.inferred?.rule?.nondeterministic === true) varies[n] = 1;
    for (const name of node.reads)
      if (given.has(name) || varies[producer.get(name) ?? -1] === 1) varies[n] = 1;
  });
  return varies;
}

/** Indices of the main graph's nodes, producers first; the order as written where that already holds. */
function topLevelOrder(graph: GraphProto): number[] {
  const ids = new Map<string, number>();
  const idOf = (name: string): number => {
    const id = ids.get(name) ?? ids.size;
    ids.set(name, id);
    return id;
  };
  const producer = new Map<number, number>();
  graph.node.forEach((node, n) => node.output.forEach((name) => name !== '' && producer.set(idOf(name), n)));
  const inputs = graph.node.map((node) => node.input.map((name) => (name === '' ? -1 : idOf(name))));
  const order = executionOrder(graph.node, inputs, producer, idOf);
  invariant(order !== 'cycle', 'a cycle passed shape inference');
  return order === null ? graph.node.map((_, n) => n) : Array.from(order);
}

/** Local functions that some nodes call, directly or through one another. */
export function calledFunctions(model: ModelProto, nodes: readonly NodeProto[]): ModelProto['functions'] {
  if (model.functions.length === 0) return [];
  const byKey = new Map(model.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]));
  const used = new Set<ModelProto['functions'][number]>();
  const stack = [...nodes];
  while (stack.length > 0) {
    const node = stack.pop()!;
    const f = byKey.get(functionKey(node.domain, node.opType, node.overload));
    if (f !== undefined && !used.has(f)) {
      used.add(f);
      stack.push(...f.node);
    }
    for (const attribute of node.attribute) for (const body of subgraphs(attribute)) stack.push(...body.node);
  }
  return model.functions.filter((f) => used.has(f));
}

/**
 * Stands for every symbol while factors are worked out: a prime of its own, so that no two sizes that are not the same
 * for all inputs look the same.
 */
export class SymbolSizes {
  private readonly sizes = new Map<string, Dim>();
  private next = 101;

  of(d: Dim): number {
    if (typeof d === 'number') return d;
    for (const name of symbolsOf(d)) {
      if (this.sizes.has(name)) continue;
      this.sizes.set(name, this.next);
      do this.next += 2;
      while (!isPrime(this.next));
    }
    const size = bind(d, this.sizes);
    return typeof size === 'number' ? size : Number.NaN;
  }

  shape(shape: Shape | null): readonly number[] | null {
    return shape === null ? null : shape.map((d) => this.of(d));
  }
}

function isPrime(n: number): boolean {
  for (let d = 3; d * d <= n; d += 2) if (n % d === 0) return false;
  return true;
}

/** A node as its operator's rules see it, symbols replaced by primes. */
export function instanceOf(facts: SplitFacts, node: InferredNode, sizes: SymbolSizes): OpInstance {
  const { inferred } = facts;
  const tensor = (v: number | undefined): Extract<ValueType, { kind: 'tensor' }> | null => {
    const type = v === undefined || v < 0 ? null : inferred.type[v];
    return type !== null && type.kind === 'tensor' ? type : null;
  };
  return {
    opType: node.opType,
    domain: node.domain,
    version: node.version,
    attrs: node.attrs,
    inputCount: node.inputs.length,
    outputCount: node.outputs.length,
    inputShape: (i) => sizes.shape(tensor(node.inputs[i])?.shape ?? null),
    outputShape: (i) => sizes.shape(tensor(node.outputs[i])?.shape ?? null),
    inputDtype: (i) => tensor(node.inputs[i])?.dtype ?? 0,
    outputDtype: (i) => tensor(node.outputs[i])?.dtype ?? 0,
    inputIsParameter: (i) => inferred.initializers.has(node.inputs[i]),
    inputValue: (i) => (node.inputs[i] >= 0 ? inferred.known[node.inputs[i]] : null),
  };
}
