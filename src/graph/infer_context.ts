/** What an operator's shape rule sees of its node. One context per nesting depth, entered anew for every node. */
import { DType } from '../model/dtype.js';
import type { AttributeProto, GraphProto, NodeProto } from '../model/types.js';
import { NO_ATTRIBUTES } from '../ops/attributes.js';
import type { Attributes, Dim, InferContext, KnownValue, Shape, ValueType } from '../ops/types.js';
import type { InferredNode } from './inferred.js';
import type { PartitionError } from '../util/errors.js';
import type { ValueTable } from './value_table.js';

/** Names visible in a graph or function body. */
export interface Scope {
  readonly names: Map<string, number>;
  readonly parent: Scope | null;
  readonly versions: ReadonlyMap<string, number>;
  /** What `ref_attr_name` refers to; `null` outside of functions. */
  readonly passed: ReadonlyMap<string, AttributeProto> | null;
  /** A function's formal outputs: values of the caller that the body may produce. */
  readonly formalOutputs: ReadonlySet<number> | null;
  readonly functionPath: string;
  readonly depth: number;
}

/** The run that a context belongs to. */
export interface RuleHost {
  readonly table: ValueTable;
  /** The user's error for a node that contradicts its operator's specification. */
  fault(proto: NodeProto, scope: Scope, message: string): PartitionError;
  /** Infers a subgraph attribute of a node. */
  subgraph(
    node: InferredNode,
    graph: GraphProto,
    inputs: readonly (ValueType | null)[],
    outer: Scope,
  ): readonly (ValueType | null)[];
}

export class RuleContext implements InferContext {
  opType = '';
  domain = '';
  version = 0;
  attrs: Attributes = NO_ATTRIBUTES;
  inputCount = 0;
  outputCount = 0;
  private inputs: readonly number[] = [];
  private outputs: readonly number[] = [];
  private node!: InferredNode;
  private scope!: Scope;
  /** Fresh symbols of this node: the only dimensions that a declaration may replace. */
  private made: Dim[] = [];

  private readonly table: ValueTable;

  constructor(private readonly run: RuleHost) {
    this.table = run.table;
  }

  enter(node: InferredNode, scope: Scope): void {
    this.node = node;
    this.scope = scope;
    this.opType = node.opType;
    this.domain = node.domain;
    this.version = node.version;
    this.attrs = node.attrs;
    this.inputs = node.inputs;
    this.outputs = node.outputs;
    this.inputCount = node.inputs.length;
    this.outputCount = node.outputs.length;
    if (this.made.length > 0) this.made = [];
  }

  hasInput(i: number): boolean {
    return i < this.inputCount && this.inputs[i] >= 0;
  }

  hasOutput(i: number): boolean {
    return i < this.outputCount && this.outputs[i] >= 0;
  }

  type(i: number): ValueType | null {
    return this.hasInput(i) ? this.table.type[this.inputs[i]] : null;
  }

  shape(i: number): Shape | null {
    const t = this.type(i);
    return t !== null && (t.kind === 'tensor' || t.kind === 'sparse') ? t.shape : null;
  }

  dtype(i: number): DType {
    const t = this.type(i);
    return t !== null && (t.kind === 'tensor' || t.kind === 'sparse') ? t.dtype : DType.UNDEFINED;
  }

  value(i: number): KnownValue | null {
    return this.hasInput(i) ? this.table.known[this.inputs[i]] : null;
  }

  declared(i: number): ValueType | null {
    return this.hasOutput(i) ? this.table.declared(this.outputs[i]) : null;
  }

  setOutput(i: number, type: ValueType, value: KnownValue | null = null): void {
    if (!this.hasOutput(i)) return;
    const v = this.outputs[i];
    let settled = type;
    if (this.table.isDeclared(v) && (this.made.length > 0 || hasUnknown(type))) {
      const declared = this.table.declared(v);
      if (declared !== null) settled = fillUnknown(type, declared, this.made);
    }
    this.table.type[v] = this.table.outputs.has(v) ? this.table.settleOutput(v, settled) : settled;
    this.table.known[v] = value;
  }

  setTensor(i: number, dtype: DType, shape: Shape | null, value: KnownValue | null = null): void {
    this.setOutput(i, { kind: 'tensor', dtype, shape }, value);
  }

  freshDim(): Dim {
    const d = this.table.types.fresh();
    this.made.push(d);
    return d;
  }

  fail(message: string): never {
    throw this.run.fault(this.node.proto, this.scope, message);
  }

  warn(message: string): void {
    this.table.warn(this.run.fault(this.node.proto, this.scope, message).line());
  }

  subgraph(graph: GraphProto, inputs: readonly (ValueType | null)[]): readonly (ValueType | null)[] {
    return this.run.subgraph(this.node, graph, inputs, this.scope);
  }
}

function hasUnknown(type: ValueType): boolean {
  if (type.kind === 'tensor') return type.shape === null || type.dtype === DType.UNDEFINED;
  return (
    (type.kind === 'sequence' || type.kind === 'optional') && (type.elem === null || hasUnknown(type.elem))
  );
}

/** `type` with what is not known (rank, element type, fresh dimensions) taken from the declaration where it fits. */
export function fillUnknown(type: ValueType, declared: ValueType, made: readonly Dim[]): ValueType {
  if (type.kind === 'tensor' && declared.kind === 'tensor') {
    const dtype = type.dtype === DType.UNDEFINED ? declared.dtype : type.dtype;
    const { shape } = type;
    if (shape === null) return { kind: 'tensor', dtype, shape: declared.shape };
    if (declared.shape?.length !== shape.length) return { kind: 'tensor', dtype, shape };
    const better = declared.shape;
    return { kind: 'tensor', dtype, shape: shape.map((d, k) => (made.includes(d) ? better[k] : d)) };
  }
  if (
    (type.kind === 'sequence' && declared.kind === 'sequence') ||
    (type.kind === 'optional' && declared.kind === 'optional')
  ) {
    if (type.elem === null || declared.elem === null)
      return { kind: type.kind, elem: type.elem ?? declared.elem };
    return { kind: type.kind, elem: fillUnknown(type.elem, declared.elem, made) };
  }
  return type;
}
