/** One run of shape inference: scopes, execution order, calls of local functions, subgraphs. See infer.ts. */
import { DType } from '../model/dtype.js';
import { elementCount } from '../model/tensor.js';
import type {
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../model/types.js';
import { NodeAttributes, NO_ATTRIBUTES, resolveReferences } from '../ops/attributes.js';
import { tensorValue } from '../ops/constant.js';
import { lookupOp, normalizeDomain } from '../ops/registry.js';
import type { ValueType } from '../ops/types.js';
import { oneLine, PartitionError } from '../util/errors.js';
import { contradicts, typeText } from './declared.js';
import type { Inferred, InferredBody, InferredNode, InferOptions } from './inferred.js';
import { RuleContext, type RuleHost, type Scope } from './infer_context.js';
import { executionOrder } from './infer_order.js';
import { callAttributes, FunctionTable, opsetVersions } from './inline.js';
import { bindMap, TypeReader } from './type_proto.js';
import { ValueTable } from './value_table.js';

/** Nodes after inlining and repeated bodies; more is a bomb, not a model. */
const MAX_NODES = 1_000_000;
const MAX_DEPTH = 256;
/** Assumed when a model imports no version of the default domain. */
const NEWEST_OPSET = 28;

export class Inference implements RuleHost {
  readonly table: ValueTable;
  private readonly types: TypeReader;
  private readonly functions: FunctionTable;
  private readonly initializers = new Map<number, TensorProto>();
  private readonly unknown = new Map<string, number>();
  private readonly contexts: RuleContext[] = [];
  private nodeCount = 0;
  private readonly where: string | null;

  constructor(
    private readonly model: ModelProto,
    private readonly options: InferOptions,
  ) {
    this.where = options.where ?? null;
    this.types = new TypeReader(bindMap(options.bind ?? {}), this.where);
    this.table = new ValueTable(this.types);
    this.functions = new FunctionTable(model);
  }

  run(): Inferred {
    const { table } = this;
    const graph = this.model.graph;
    if (graph === undefined) throw new PartitionError('input', 'the model has no graph', this.where);
    for (const list of [graph.input, graph.valueInfo, graph.output]) this.avoidNames(list);
    const versions = opsetVersions(this.model.opsetImport);
    if (!versions.has('')) versions.set('', NEWEST_OPSET);
    const scope: Scope = {
      names: new Map(),
      parent: null,
      versions,
      passed: null,
      formalOutputs: null,
      functionPath: '',
      depth: 0,
    };
    const graphInputs = this.enterGraph(graph, scope, null).filter((v) => !this.initializers.has(v));
    this.table.setInputs(graphInputs);
    const nodes: InferredNode[] = [];
    this.body(graph.node, scope, nodes, graph.output, graph.valueInfo);
    const graphOutputs = graph.output.map((o) => this.resolveOutput(scope, o.name ?? ''));
    table.compareDeclared();
    for (const name of this.types.unusedBindings())
      table.warn(`no dimension is called "${oneLine(name)}"; its value is not used`);
    return {
      values: table.names,
      mainCount: scope.names.size,
      type: table.type,
      known: table.known,
      nodes,
      graphInputs,
      graphOutputs,
      promised: table.promised,
      initializers: this.initializers,
      warnings: table.warnings(),
      unknownOps: [...this.unknown].map(([op, count]) => ({ op, count })),
      symbols: table.symbolsOf(graphInputs),
      notInferred: table.notInferred(),
      opset: versions.get('') ?? 0,
    };
  }

  // -------------------------------------------------------------------------------------------------------------
  // Values, scopes, declarations

  private define(scope: Scope, name: string): number {
    const v = this.table.add(scope.functionPath === '' ? name : `${scope.functionPath}/${name}`);
    scope.names.set(name, v);
    return v;
  }

  /** Value index of a name; -1 for a call's omitted input, -2 when nobody defines it. */
  private resolve(scope: Scope, name: string): number {
    for (let s: Scope | null = scope; s !== null; s = s.parent) {
      const v = s.names.get(name);
      if (v !== undefined) return v;
    }
    return -2;
  }

  private resolveOutput(scope: Scope, name: string): number {
    const v = this.resolve(scope, name);
    if (v >= 0) return v;
    throw new PartitionError('input', `output "${oneLine(name)}" is produced by no node`, this.where);
  }

  /** Fresh symbols must not meet symbols of the same name in the model. */
  private avoidNames(list: readonly ValueInfoProto[]): void {
    for (const v of list)
      for (const d of v.type?.tensorType?.shape?.dim ?? [])
        if (d.dimParam?.startsWith('unk__') === true) this.types.avoid(d.dimParam);
  }

  /** Defines a graph's inputs and initializers. Returns the inputs. */
  private enterGraph(
    graph: GraphProto,
    scope: Scope,
    formal: readonly (ValueType | null)[] | null,
  ): number[] {
    const inputs: number[] = [];
    graph.input.forEach((info, i) => {
      const name = info.name ?? '';
      const v = this.define(scope, name);
      this.table.type[v] = formal?.[i] ?? this.types.type(info.type, name);
      inputs.push(v);
    });
    for (const tensor of graph.initializer) this.enterInitializer(tensor, scope);
    for (const sparse of graph.sparseInitializer) {
      const name = sparse.values?.name ?? '';
      const v = scope.names.get(name) ?? this.define(scope, name);
      const dtype: DType = sparse.values?.dataType ?? DType.UNDEFINED;
      this.table.type[v] = { kind: 'tensor', dtype, shape: sparse.dims.map(Number) };
      if (sparse.values !== undefined) this.initializers.set(v, sparse.values);
    }
    return inputs;
  }

  private enterInitializer(tensor: TensorProto, scope: Scope): void {
    const name = tensor.name ?? '';
    const count = elementCount(tensor.dims);
    if (count === null) {
      const dims = tensor.dims.map(String).join(', ');
      throw new PartitionError('input', `"${oneLine(name)}" has impossible dimensions [${dims}]`, this.where);
    }
    const shape = tensor.dims as readonly number[];
    const type: ValueType = { kind: 'tensor', dtype: tensor.dataType ?? DType.UNDEFINED, shape };
    const given = scope.names.get(name);
    const declared = given === undefined ? null : this.table.type[given];
    if (declared !== null && contradicts(type, declared)) {
      throw new PartitionError(
        'input',
        `input "${oneLine(name)}" is declared ${typeText(declared)} but its initializer is ${typeText(type)}`,
        this.where,
      );
    }
    const v = given ?? this.define(scope, name);
    this.table.type[v] = type;
    this.table.known[v] = tensorValue(tensor);
    this.initializers.set(v, tensor);
  }

  // -------------------------------------------------------------------------------------------------------------
  // Bodies

  /** Infers a list of nodes in execution order, appending to `out`. */
  private body(
    protos: readonly NodeProto[],
    scope: Scope,
    out: InferredNode[],
    ...declarations: readonly (readonly ValueInfoProto[])[]
  ): void {
    if (scope.depth > MAX_DEPTH) {
      throw new PartitionError('input', `graphs nest deeper than ${String(MAX_DEPTH)}`, this.where);
    }
    const count = protos.length;
    const outputs = new Array<number[]>(count);
    const producer = new Map<number, number>();
    for (let n = 0; n < count; n++) outputs[n] = this.defineOutputs(protos[n], scope, producer, n);
    for (const list of declarations)
      for (const info of list) {
        const v = scope.names.get(info.name ?? '');
        if (v === undefined || !producer.has(v)) continue;
        this.table.declare(v, info, scope.depth === 0 && list === this.model.graph?.output);
      }
    const inputs = protos.map((proto) => this.resolveInputs(proto, scope));
    const order = executionOrder(protos, inputs, producer, (name) => this.resolve(scope, name));
    if (order === 'cycle') throw new PartitionError('input', 'the graph has a cycle', this.where);
    if (order !== null && scope.depth === 0) {
      this.table.warn('nodes are not in topological order');
    }
    for (let k = 0; k < count; k++) {
      const n = order === null ? k : order[k];
      this.node(protos[n], inputs[n], outputs[n], scope, out);
    }
  }

  private defineOutputs(proto: NodeProto, scope: Scope, producer: Map<number, number>, n: number): number[] {
    const list: number[] = [];
    for (const name of proto.output) {
      if (name === '') {
        list.push(-1);
        continue;
      }
      let v = scope.names.get(name);
      if (v !== undefined && (producer.has(v) || scope.formalOutputs?.has(v) !== true)) {
        throw this.fault(proto, scope, `output "${oneLine(name)}" is already defined`);
      }
      v ??= this.define(scope, name);
      producer.set(v, n);
      list.push(v);
    }
    return list;
  }

  private resolveInputs(proto: NodeProto, scope: Scope): number[] {
    const list = new Array<number>(proto.input.length);
    for (let i = 0; i < list.length; i++) {
      const name = proto.input[i];
      list[i] = name === '' ? -1 : this.resolve(scope, name);
      if (list[i] === -2) {
        throw this.fault(proto, scope, `input "${oneLine(name)}" has no producer`);
      }
    }
    return list;
  }

  private node(
    proto: NodeProto,
    inputs: number[],
    outputs: number[],
    scope: Scope,
    out: InferredNode[],
  ): void {
    if (++this.nodeCount > MAX_NODES) {
      const limit = String(MAX_NODES);
      throw new PartitionError('input', `more than ${limit} nodes after inlining functions`, this.where);
    }
    if (this.functions.size > 0) {
      const f = this.functions.find(proto);
      if (f !== undefined) return this.call(proto, f, inputs, outputs, scope, out);
    }
    const domain = normalizeDomain(proto.domain);
    const opType = proto.opType ?? '';
    const version = scope.versions.get(domain) ?? 1;
    const list = scope.passed === null ? proto.attribute : resolveReferences(proto.attribute, scope.passed);
    const attrs = list.length === 0 ? NO_ATTRIBUTES : new NodeAttributes(list);
    const rule = lookupOp(domain, opType, version);
    const { functionPath } = scope;
    const bodies: InferredBody[] = [];
    const node = { proto, opType, domain, version, attrs, rule, inputs, outputs, functionPath, bodies };
    out.push(node);
    if (rule === null) return this.unknownOp(node, scope);
    const ctx = (this.contexts[scope.depth] ??= new RuleContext(this));
    ctx.enter(node, scope);
    try {
      rule.infer(ctx);
    } catch (e) {
      if (e instanceof PartitionError) throw e;
      const text = e instanceof Error ? e.message : String(e);
      throw new Error(`internal: the shape rule of ${opType} failed: ${text}`, { cause: e });
    }
    // What a rule leaves open is taken as declared.
    for (const v of outputs)
      if (v >= 0 && this.table.type[v] === null) this.table.type[v] = this.table.declared(v);
  }

  private unknownOp(node: InferredNode, scope: Scope): void {
    const op = node.domain === '' ? node.opType : `${node.domain}::${node.opType}`;
    if (this.options.strict === true) {
      const fault = this.fault(node.proto, scope, 'this operator is not known');
      throw new PartitionError(
        'input',
        fault.message,
        fault.where,
        'without --strict it takes its declared shapes',
      );
    }
    this.unknown.set(op, (this.unknown.get(op) ?? 0) + 1);
    for (const v of node.outputs) if (v >= 0) this.table.type[v] = this.table.declared(v);
  }

  /** A call of a local function: its body runs in a scope of its own and writes straight into the caller's values. */
  private call(
    proto: NodeProto,
    f: FunctionProto,
    inputs: readonly number[],
    outputs: readonly number[],
    scope: Scope,
    out: InferredNode[],
  ): void {
    const name = f.name ?? '';
    if (inputs.length > f.input.length) {
      const counts = `takes ${String(f.input.length)} inputs, the call passes ${String(inputs.length)}`;
      throw this.fault(proto, scope, `function ${oneLine(name)} ${counts}`);
    }
    const label = proto.name !== undefined && proto.name !== '' ? proto.name : name;
    const list = scope.passed === null ? proto.attribute : resolveReferences(proto.attribute, scope.passed);
    const versions = opsetVersions(f.opsetImport);
    for (const [domain, version] of scope.versions) if (!versions.has(domain)) versions.set(domain, version);
    const names = new Map<string, number>();
    const formalOutputs = new Set<number>();
    f.input.forEach((formal, i) => names.set(formal, inputs[i] ?? -1));
    const passedThrough: [number, number][] = [];
    f.output.forEach((formal, i) => {
      const target = outputs[i] ?? -1;
      const from = names.get(formal);
      if (target < 0) return;
      if (from !== undefined) passedThrough.push([from, target]);
      else {
        names.set(formal, target);
        formalOutputs.add(target);
      }
    });
    const inner: Scope = {
      names,
      parent: null,
      versions,
      passed: callAttributes(f, list),
      formalOutputs,
      functionPath: scope.functionPath === '' ? label : `${scope.functionPath}/${label}`,
      depth: scope.depth + 1,
    };
    this.body(f.node, inner, out, f.valueInfo);
    // A formal output that is a formal input (or the same as another output).
    for (const [from, target] of passedThrough) this.node(IDENTITY, [from], [target], inner, out);
  }

  /** Infers a subgraph attribute of a node; called back by control-flow rules. */
  subgraph(
    node: InferredNode,
    graph: GraphProto,
    formal: readonly (ValueType | null)[],
    outer: Scope,
  ): (ValueType | null)[] {
    this.avoidNames(graph.valueInfo);
    this.avoidNames(graph.output);
    const scope: Scope = {
      ...outer,
      names: new Map(),
      parent: outer,
      formalOutputs: null,
      depth: outer.depth + 1,
    };
    const inputs = this.enterGraph(graph, scope, formal);
    const nodes: InferredNode[] = [];
    this.body(graph.node, scope, nodes, graph.valueInfo, graph.output);
    const outputs = graph.output.map((o) => this.resolveOutput(scope, o.name ?? ''));
    const body: InferredBody = { graph, inputs, outputs, nodes };
    // A second pass over the same body (Loop) replaces the first.
    const again = node.bodies.findIndex((b) => b.graph === graph);
    if (again >= 0) node.bodies[again] = body;
    else node.bodies.push(body);
    return outputs.map((v) => this.table.type[v]);
  }

  // -------------------------------------------------------------------------------------------------------------
  // Reports

  /** The user's error for a node. */
  fault(proto: NodeProto, scope: Scope, message: string): PartitionError {
    const name = proto.name !== undefined && proto.name !== '' ? proto.name : (proto.output[0] ?? '');
    const at = `node "${oneLine(scope.functionPath === '' ? name : `${scope.functionPath}/${name}`)}"`;
    const where = this.where === null ? at : `${this.where}: ${at}`;
    return new PartitionError('input', `${oneLine(proto.opType ?? '')}: ${message}`, where);
  }
}

const IDENTITY: NodeProto = {
  input: [],
  output: [],
  opType: 'Identity',
  attribute: [],
  metadataProps: [],
  deviceConfigurations: [],
};
