/**
 * The contract of an operator. One ONNX operator is described in one place, an `OpRule`: its shape rule, its work, its
 * sharding factors and its backward rule stand together in its family's file.
 */
import type { DType } from '../model/dtype.js';
import type { AttributeProto, GraphProto } from '../model/types.js';

// ---------------------------------------------------------------------------------------------------------------
// Types and values, as inferred

/** A symbolic dimension: an integer expression over named symbols. Interned: equal expressions are `===`. */
export interface SymbolicDim {
  readonly kind: 'sym';
  /** Canonical text, e.g. `2*batch*seq + 1`; `unk__7` for a dimension nothing is known of. */
  readonly text: string;
}

/** A dimension: a non-negative integer, or symbolic. Arithmetic in `ops/dim`. */
export type Dim = number | SymbolicDim;
export type Shape = readonly Dim[];

export interface TensorType {
  readonly kind: 'tensor';
  readonly dtype: DType;
  /** `null`: the rank is not known (not the same as rank 0). */
  readonly shape: Shape | null;
}

export type ValueType =
  | TensorType
  | { readonly kind: 'sparse'; readonly dtype: DType; readonly shape: Shape | null }
  | { readonly kind: 'sequence'; readonly elem: ValueType | null }
  | { readonly kind: 'optional'; readonly elem: ValueType | null }
  | { readonly kind: 'map'; readonly key: DType; readonly value: ValueType | null }
  | { readonly kind: 'opaque' };

/**
 * A tensor whose elements are known: small constants and integer tensors computed from shapes. Never more than
 * `MAX_KNOWN_ELEMENTS` elements. Integer and boolean elements may be symbolic; floats are plain numbers.
 */
export interface KnownValue {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly elements: readonly Dim[];
}

export const MAX_KNOWN_ELEMENTS = 4096;

/** Typed access to a node's attributes; defaults as the operator's specification gives them. */
export interface Attributes {
  has(name: string): boolean;
  int(name: string, fallback: number): number;
  optionalInt(name: string): number | null;
  float(name: string, fallback: number): number;
  string(name: string, fallback: string): string;
  ints(name: string): readonly number[] | null;
  floats(name: string): readonly number[] | null;
  strings(name: string): readonly string[] | null;
  graph(name: string): GraphProto | null;
  raw(name: string): AttributeProto | null;
}

// ---------------------------------------------------------------------------------------------------------------
// Shape inference

/** What a shape rule sees of its node, and where it puts its answer. */
export interface InferContext {
  readonly opType: string;
  /** Normalised: `''` for the default domain (`ai.onnx` is an alias). */
  readonly domain: string;
  /** Opset version in force for the node's domain. */
  readonly version: number;
  readonly attrs: Attributes;
  readonly inputCount: number;
  readonly outputCount: number;
  /** False for an omitted (empty-named) optional input or output. */
  hasInput(i: number): boolean;
  hasOutput(i: number): boolean;
  type(i: number): ValueType | null;
  /** Shape of a tensor input; `null` when the rank is unknown or the input is omitted. */
  shape(i: number): Shape | null;
  /** Element type of a tensor input; UNDEFINED when not known. */
  dtype(i: number): DType;
  /** Known elements of an input, when they are constant or computed from shapes. */
  value(i: number): KnownValue | null;
  /** Type the model declares for an output (value_info or graph output), if any: a last resort, e.g. for unknown ops. */
  declared(i: number): ValueType | null;
  setOutput(i: number, type: ValueType, value?: KnownValue | null): void;
  /** Shorthand for a tensor output. */
  setTensor(i: number, dtype: DType, shape: Shape | null, value?: KnownValue | null): void;
  /** A dimension nothing is known of: data-dependent. */
  freshDim(): Dim;
  /** The model contradicts the operator's specification: a PartitionError `input` naming the node. */
  fail(message: string): never;
  warn(message: string): void;
  /** Infers a subgraph attribute's outputs, given its formal inputs' types; outer names are visible inside. */
  subgraph(graph: GraphProto, inputs: readonly (ValueType | null)[]): readonly (ValueType | null)[];
}

// ---------------------------------------------------------------------------------------------------------------
// Work, factors and gradients, on concrete shapes

/** An operator instance with concrete shapes, after inference. */
export interface OpInstance {
  readonly opType: string;
  readonly domain: string;
  readonly version: number;
  readonly attrs: Attributes;
  readonly inputCount: number;
  readonly outputCount: number;
  /** Shape of input i; `null` for an omitted input or one that is not a tensor. */
  inputShape(i: number): readonly number[] | null;
  outputShape(i: number): readonly number[] | null;
  inputDtype(i: number): DType;
  outputDtype(i: number): DType;
  /** True when input i is a trainable weight or derived from one by views only. */
  inputIsParameter(i: number): boolean;
  /** True when a gradient with respect to input i is wanted. Absent: taken as true of every float input that is not known. */
  inputNeedsGrad?(i: number): boolean;
  inputValue(i: number): KnownValue | null;
}

/** How a kernel spends its time; selects the cost formula. */
export type KernelKind =
  /** Matrix multiplication on the matrix units; its M, N, K and batch are read off its factors. */
  | 'gemm'
  | 'conv'
  /** Fused scaled-dot-product attention. */
  | 'attention'
  /** Memory bound, reads its inputs and writes its outputs once. */
  | 'elementwise'
  | 'reduce'
  /** Normalisations and softmax: memory bound, with row statistics. */
  | 'norm'
  /** Indexed reads or writes: bytes of what is touched, not of the table. */
  | 'gather'
  /** A copy (transpose, concat, ...). */
  | 'move'
  /** Changes no byte (reshape, squeeze, ...): free. */
  | 'view'
  | 'other';

export interface Work {
  /** Floating-point operations of one execution; a multiply-add is 2. */
  readonly flop: number;
  readonly kernel: KernelKind;
  /** Elements read and written where that is not simply all inputs and outputs (e.g. a gather's table). */
  readonly touchedElements?: number;
}

export type FactorKind =
  /** Indexes every output it touches: may be split freely. */
  | 'parallel'
  /** Summed over: splitting it leaves partial sums in the outputs. */
  | 'contraction'
  /** Row axis of a table read by index: splitting it leaves partial sums (absent rows add zero), or tokens travel. */
  | 'lookup'
  /** Carries row statistics (softmax, norm): splitting it costs a small all-reduce of statistics, outputs stay split. */
  | 'normalized'
  /** May not be split. */
  | 'whole';

/** An iteration axis of an operator (Shardy's factor). */
export interface Factor {
  readonly size: number;
  readonly kind: FactorKind;
}

/**
 * Maps every tensor dimension to the factors that index it, major to minor; `[]` for a dimension of size 1 that is
 * broadcast. Example, `[b,m,k] x [k,n] -> [b,m,n]`: factors b,m,n parallel and k contraction;
 * inputs `[[[0],[1],[3]], [[3],[2]]]`, outputs `[[[0],[1],[2]]]`. A reshape `[b, s, h*d] -> [b, s, h, d]`: input
 * `[[0],[1],[2,3]]`, output `[[0],[1],[2],[3]]`. Product of a dimension's factor sizes = the dimension.
 */
export interface FactorRule {
  readonly factors: readonly Factor[];
  /** Per input (an omitted input or non-tensor: `null`), per dimension, factor ids. */
  readonly inputs: readonly (readonly (readonly number[])[] | null)[];
  readonly outputs: readonly (readonly (readonly number[])[] | null)[];
  /** True when every output is linear in the activations, so a partial sum may pass through unreduced. */
  readonly linear?: boolean;
}

/** Gradient operation with respect to one input. */
export interface GradOp {
  readonly input: number;
  readonly flop: number;
}

/** What the backward pass of an operator does and what it must keep from the forward pass. */
export interface BackwardRule {
  readonly grads: readonly GradOp[];
  /** Inputs and outputs that must be saved (indices). */
  readonly savesInputs: readonly number[];
  readonly savesOutputs: readonly number[];
  /** Saved beside them, e.g. a dropout mask (1 byte an element) or log-sum-exp rows. */
  readonly extraSavedBytes?: number;
}

export interface OpRule {
  infer(ctx: InferContext): void;
  /** Default: memory bound, one FLOP an output element. */
  work?(op: OpInstance): Work;
  /** Default: every dimension `whole`. */
  factors?(op: OpInstance): FactorRule;
  /** Default: as much FLOP as forward per float activation or parameter input, saving all float inputs. `null`: no gradient passes. */
  backward?(op: OpInstance): BackwardRule | null;
  /** True for operators whose result differs each time (dropout, random): never replicated without a shared seed. */
  readonly nondeterministic?: boolean;
}

/** A family's operators by type name, for one domain (`''` = default). */
export interface OpFamily {
  readonly domain: string;
  readonly rules: Readonly<Record<string, OpRule>>;
}
