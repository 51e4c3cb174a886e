/**
 * The computation as a struct of arrays. Nodes and tensors are integer ids; adjacency is CSR; everything concrete
 * (symbols bound). Shape arithmetic that inference folded away is not part of it.
 */
import type { FactorRule, KernelKind } from '../ops/types.js';

/** What a tensor is. */
export enum TensorRole {
  ACTIVATION = 0,
  /** A runtime input of the model. */
  INPUT = 1,
  /** A trainable weight (a float initializer, or a float constant of weight size in a Constant node). */
  PARAMETER = 2,
  /** Known data that is not trained: integer tables, masks, small constants. */
  CONSTANT = 3,
}

export interface Graph {
  readonly name: string;
  /** SHA-256 of the graph's structure (ops, shapes, names), hex. */
  readonly digest: string;

  // nodes, in topological order
  readonly nodeCount: number;
  readonly nodeName: readonly string[];
  /** `op` or `domain::op`, per node. */
  readonly nodeOp: readonly string[];
  readonly nodeKernel: readonly KernelKind[];
  /** Forward work of one execution at the reference batch: FLOP (causal attention halved) and elements touched. */
  readonly nodeFlop: Float64Array;
  readonly nodeTouchedElements: Float64Array;
  /** Node id -> its factor rule (with concrete sizes). */
  readonly nodeFactors: readonly FactorRule[];
  readonly inputStart: Int32Array;
  /** Tensor ids; -1 for an omitted optional input. */
  readonly inputTensor: Int32Array;
  readonly outputStart: Int32Array;
  readonly outputTensor: Int32Array;

  // gradients (see graph/backward): FLOP of the gradient with respect to activations and to parameters
  readonly nodeGradInputFlop: Float64Array;
  readonly nodeGradWeightFlop: Float64Array;
  /** Tensors the node's backward needs, CSR. Activations and inputs only. */
  readonly savedStart: Int32Array;
  readonly savedTensor: Int32Array;
  /** Bytes saved beside tensors (dropout masks, log-sum-exp). */
  readonly nodeExtraSavedBytes: Float64Array;

  // tensors
  readonly tensorCount: number;
  readonly tensorName: readonly string[];
  readonly tensorDtype: Uint8Array;
  readonly tensorRole: Uint8Array;
  readonly shapeStart: Int32Array;
  readonly shapeDim: Float64Array;
  readonly tensorElements: Float64Array;
  /** Bytes as stored in the model; planning replaces float types by the training precision. */
  readonly tensorBytes: Float64Array;
  /** Producing node, -1 for inputs, parameters and constants. */
  readonly producer: Int32Array;
  readonly useStart: Int32Array;
  readonly useNode: Int32Array;
  readonly graphInputs: Int32Array;
  readonly graphOutputs: Int32Array;

  /** Samples in the batch the shapes were inferred at (1 when the batch axis was symbolic and unbound). */
  readonly referenceBatch: number;
  /**
   * Per node factor: which model-wide axis it belongs to, CSR by node parallel to `nodeFactors[n].factors`:
   * AXIS_NONE, AXIS_BATCH or AXIS_SEQUENCE. Found by propagation from the inputs.
   */
  readonly factorAxisStart: Int32Array;
  readonly factorAxis: Uint8Array;
  /** Tokens (or samples where there is no sequence axis) per batch element; the length of the sequence axis, or 1. */
  readonly sequenceLength: number;

  /**
   * Tensor -> the tensor whose memory it is: itself, or the one it is a view of (reshape, split of nothing), or for a
   * weight read under several names (tied, stored twice by the exporter as a view) the first of them. Count memory once
   * per distinct value.
   */
  readonly storage: Int32Array;
  /** Tensor -> 1 when the backward pass computes a gradient with respect to it. */
  readonly tensorNeedsGrad: Uint8Array;
  /** Tensor -> 1 when it is a mask that lets position q see no position k > q (see graph/causal). */
  readonly tensorTriangular: Uint8Array;
  /** Node -> 1 when its FLOP were halved because only the lower triangle of its scores is needed. */
  readonly nodeCausal: Uint8Array;
  /** Node of the loss, -1 for none (inference, or a graph that holds its own training ops). */
  readonly lossNode: number;
  readonly phase: 'train' | 'inference';
  /** True when the graph takes cached keys and values as inputs: a decoding graph. */
  readonly hasCache: boolean;
  /** True when the graph already holds gradients or optimizer steps; its nodes are costed as they stand. */
  readonly isTrainingGraph: boolean;

  readonly warnings: readonly string[];
  /** Operators that are not known, costed by bytes: `op` -> count. */
  readonly unknownOps: readonly { readonly op: string; readonly count: number }[];
}

export const AXIS_NONE = 0;
export const AXIS_BATCH = 1;
export const AXIS_SEQUENCE = 2;

/** What a block is as a kernel. */
export type BlockKind =
  | 'gemm'
  | 'conv'
  | 'attention'
  /** Expert weights picked per token, then multiplied: one grouped matrix multiplication. */
  | 'groupedGemm'
  | 'lookup'
  /** A fused chain of memory-bound ops (norms, activations, rotary, masks, residual adds, copies). */
  | 'pointwise'
  | 'other';

/** What is kept inside a block: float elements (their size is the training precision's) and bytes of masks and the like. */
export interface InnerSaved {
  readonly elements: number;
  readonly bytes: number;
}

/**
 * Fusion groups as real kernels see them, in topological order. A block is a small composite operator: external inputs
 * and outputs, one composite factor rule over them.
 */
export interface Block {
  readonly kind: BlockKind;
  /** Node ids, topological order. */
  readonly nodes: Int32Array;
  /** Tensor ids that cross the border, without duplicates; parameters and constants included in inputs. */
  readonly inputs: Int32Array;
  readonly outputs: Int32Array;
  /** Composite rule over `inputs` and `outputs`. */
  readonly factors: FactorRule;
  /** AXIS_* per factor of the composite rule. */
  readonly factorAxis: Uint8Array;
  readonly flop: number;
  readonly gradInputFlop: number;
  readonly gradWeightFlop: number;
  /** Elements moved to and from memory by one forward execution as one kernel. */
  readonly touchedElements: number;
  /** Tensors (block-external, or internal ones that must live) that the backward pass reads, and extra bytes. */
  readonly saved: Int32Array;
  readonly extraSavedBytes: number;
  /** Elements of the float tensors among `saved` that never leave the block; absent: none. */
  readonly innerSavedElements?: number;
  /** Attention written out as operators: what lies inside and is kept where no fused kernel runs it. */
  readonly unfused?: InnerSaved;
  /** True when an attention block's mask is causal (FLOP already halved). */
  readonly causal: boolean;
}

/**
 * The planning chain. Segments follow each other in topological order; equal ones (same structure, shapes, factors)
 * share a class and are planned once. A pipeline stage is a run of consecutive segments.
 */
export interface Segmentation {
  readonly blocks: readonly Block[];
  readonly segmentCount: number;
  /** Class id per segment. */
  readonly segmentClass: Int32Array;
  /** Blocks of segment s: blockStart[s] .. blockStart[s+1]. */
  readonly blockStart: Int32Array;
  readonly classCount: number;
  /** A segment that stands for the class. */
  readonly classSegment: Int32Array;
  /** Number of segments of the class. */
  readonly classSize: Int32Array;
  /**
   * Bytes-free size of what crosses each cut: float elements at the reference batch alive between segment s-1 and s
   * (index s, 1..segmentCount-1), counted once however many consumers, parameters and constants not counted.
   */
  readonly cutElements: Float64Array;
  /** Parameters used by more than one segment: tensor id and the segments, CSR. */
  readonly sharedParameter: Int32Array;
  readonly sharedStart: Int32Array;
  readonly sharedSegment: Int32Array;
  /** Number of layers: segments with attention, else segments of the heaviest repeated class (0 when nothing repeats). */
  readonly layers: number;
}
