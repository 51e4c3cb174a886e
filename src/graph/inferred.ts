/** What shape inference is asked and what it answers. */
import type { GraphProto, NodeProto, TensorProto } from '../model/types.js';
import type { Attributes, KnownValue, OpRule, ValueType } from '../ops/types.js';

export interface InferOptions {
  /** Values of symbolic dimensions, by name or by a whole `dim_param`. */
  readonly bind?: Readonly<Record<string, number>>;
  /** Refuse operators that are not known. */
  readonly strict?: boolean;
  /** The file, for messages. */
  readonly where?: string;
}

export interface InferredNode {
  readonly proto: NodeProto;
  readonly opType: string;
  /** Normalised: `''` for the default domain. */
  readonly domain: string;
  readonly version: number;
  readonly attrs: Attributes;
  /** `null`: not known; its outputs have their declared types. */
  readonly rule: OpRule | null;
  /** Value indices; -1 for an omitted optional input or output. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** Calls this node was inlined from, outermost first, joined by `/`; `''` outside of functions. */
  readonly functionPath: string;
  /** Inferred subgraphs, in the order the rule asked for them (If: then, else). Empty for other nodes. */
  readonly bodies: InferredBody[];
}

export interface InferredBody {
  readonly graph: GraphProto;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly nodes: readonly InferredNode[];
}

/** Everything by value index. */
export interface Inferred {
  /** Names as in the model; inside functions prefixed by the call path. */
  readonly values: string[];
  /** Values 0 .. mainCount - 1 are the main graph's, in order of definition; those of subgraphs and functions follow. */
  readonly mainCount: number;
  readonly type: (ValueType | null)[];
  readonly known: (KnownValue | null)[];
  /** The main graph in execution order, functions inlined. */
  readonly nodes: InferredNode[];
  /** Runtime inputs: those that no initializer gives a value. */
  readonly graphInputs: number[];
  readonly graphOutputs: number[];
  /**
   * Declared types of the outputs whose declaration contradicts what is inferred: what the model promises its callers, for
   * reports. `type` is what the operators compute.
   */
  readonly promised: ReadonlyMap<number, ValueType>;
  readonly initializers: Map<number, TensorProto>;
  readonly warnings: string[];
  readonly unknownOps: { op: string; count: number }[];
  /** Unbound symbols of the inputs, each with the first tensor that has it. */
  readonly symbols: { name: string; firstTensor: string }[];
  /** Values of unknown type, or tensors of unknown rank. */
  readonly notInferred: string[];
  /** Opset version of the default domain. */
  readonly opset: number;
}
