/**
 * A concrete computation before it is laid out as a struct of arrays: what `build` makes of an inferred model and
 * `assemble` turns into a Graph. Object per node and tensor, so hand-made graphs are easy to write in tests.
 */
import { DType } from '../model/dtype.js';
import type { Attributes, KnownValue, OpInstance, OpRule } from '../ops/types.js';
import type { TensorRole } from './types.js';

export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  /** `null` for what is no tensor (sequence, optional). */
  readonly dims: readonly number[] | null;
  readonly role: TensorRole;
  /** True for a weight that training does not change (quantised payload); counted as a parameter, has no gradient. */
  readonly frozen: boolean;
  readonly value: KnownValue | null;
  /** Dimension whose size depends on the data and was estimated; -1 for none. */
  readonly dataDependentDim: number;
  /** The tensor is an attention mask that lets a query see no later key (see causal.ts). */
  readonly triangular: boolean;
  /** Weight this one is derived from by views and casts only: a tied weight stored twice under two names. -1 for none. */
  readonly aliasOf: number;
}

export interface NodeSpec {
  readonly name: string;
  /** `op` or `domain::op`. */
  readonly label: string;
  readonly opType: string;
  readonly domain: string;
  readonly version: number;
  readonly attrs: Attributes;
  readonly rule: OpRule | null;
  /** Tensor ids, -1 for an omitted one. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** FLOP of subgraph bodies, where the node has any. */
  readonly bodyFlop: number;
}

/** A dimension of an input that is a model-wide axis. */
export interface AxisSeed {
  readonly tensor: number;
  readonly dim: number;
  readonly axis: number;
}

export interface GraphSpec {
  readonly name: string;
  readonly where: string | null;
  readonly tensors: TensorSpec[];
  readonly nodes: NodeSpec[];
  readonly graphInputs: number[];
  readonly graphOutputs: number[];
  readonly seeds: readonly AxisSeed[];
  readonly referenceBatch: number;
  readonly sequenceLength: number;
  readonly phase: 'train' | 'inference';
  readonly hasCache: boolean;
  readonly isTrainingGraph: boolean;
  readonly warnings: string[];
  readonly unknownOps: readonly { readonly op: string; readonly count: number }[];
}

const NO_SHAPE: readonly number[] | null = null;

/** A node of a spec as its operator's rules see it. */
export class SpecInstance implements OpInstance {
  readonly opType: string;
  readonly domain: string;
  readonly version: number;
  readonly attrs: Attributes;
  readonly inputCount: number;
  readonly outputCount: number;

  /** @param needsGrad per tensor, 1 when a gradient with respect to it is wanted; `null` while that is not known */
  constructor(
    private readonly node: NodeSpec,
    private readonly tensors: readonly TensorSpec[],
    private readonly parameterLike: Uint8Array,
    private readonly needsGrad: Uint8Array | null = null,
  ) {
    this.opType = node.opType;
    this.domain = node.domain;
    this.version = node.version;
    this.attrs = node.attrs;
    this.inputCount = node.inputs.length;
    this.outputCount = node.outputs.length;
  }

  inputShape(i: number): readonly number[] | null {
    const t = this.node.inputs[i];
    return t === undefined || t < 0 ? NO_SHAPE : this.tensors[t].dims;
  }

  outputShape(i: number): readonly number[] | null {
    const t = this.node.outputs[i];
    return t === undefined || t < 0 ? NO_SHAPE : this.tensors[t].dims;
  }

  inputDtype(i: number): DType {
    const t = this.node.inputs[i];
    return t === undefined || t < 0 ? DType.UNDEFINED : this.tensors[t].dtype;
  }

  outputDtype(i: number): DType {
    const t = this.node.outputs[i];
    return t === undefined || t < 0 ? DType.UNDEFINED : this.tensors[t].dtype;
  }

  inputIsParameter(i: number): boolean {
    const t = this.node.inputs[i];
    return t !== undefined && t >= 0 && this.parameterLike[t] === 1;
  }

  inputNeedsGrad(i: number): boolean {
    const t = this.node.inputs[i];
    if (t === undefined || t < 0) return false;
    return this.needsGrad === null ? this.tensors[t].value === null : this.needsGrad[t] === 1;
  }

  inputValue(i: number): KnownValue | null {
    const t = this.node.inputs[i];
    return t === undefined || t < 0 ? null : this.tensors[t].value;
  }
}
