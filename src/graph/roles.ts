/**
 * What each tensor is: weight, constant, input or activation. Decided by structure and element type, never by name.
 *
 * - A float initializer is a weight; so is a large float constant that a product, a convolution or a lookup reads, and the
 *   small-integer payload that is dequantised or multiplied (a weight that training does not change).
 * - Single numbers, the running statistics of a batch normalisation, integer tables, and tables multiplied with nothing but
 *   positions (rotary frequencies) are constants.
 * - A view, cast, transpose or (de)quantisation of a weight is that weight.
 */
import { dtypeBits, DType, isFloat } from '../model/dtype.js';
import type { Inferred, InferredNode } from './inferred.js';
import { TensorRole } from './types.js';

export interface Roles {
  /** TensorRole per value. */
  readonly role: Uint8Array;
  /** 1: needs no computation, its producer (if any) is not part of the computation. */
  readonly isData: Uint8Array;
  readonly frozen: Uint8Array;
  /** Initializer (or constant) a weight is a view of, itself included; -1 for others. */
  readonly weightOf: Int32Array;
}

const WEIGHT_VIEWS: ReadonlySet<string> = new Set([
  'Cast', 'CastLike', 'Transpose', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'QuantizeLinear', 'DequantizeLinear',
]); // prettier-ignore

/** Inputs of an operator that hold statistics or tables, not weights. */
const STATISTICS: Readonly<Record<string, readonly number[]>> = {
  BatchNormalization: [3, 4],
  RotaryEmbedding: [1, 2],
  'com.microsoft::RotaryEmbedding': [2, 3],
  'com.microsoft::GroupQueryAttention': [7, 8],
};

/** A float constant smaller than this in a Constant node is no weight. */
const MIN_WEIGHT_ELEMENTS = 1024;

export function classify(inferred: Inferred): Roles {
  const count = inferred.values.length;
  const role = new Uint8Array(count).fill(TensorRole.ACTIVATION);
  const isData = new Uint8Array(count);
  const frozen = new Uint8Array(count);
  const weightOf = new Int32Array(count).fill(-1);
  for (const v of inferred.graphInputs) role[v] = TensorRole.INPUT;

  const uses: InferredNode[][] = Array.from({ length: count }, () => NO_USES as InferredNode[]);
  for (const node of inferred.nodes)
    for (const v of node.inputs) {
      if (v < 0) continue;
      if (uses[v] === NO_USES) uses[v] = [];
      uses[v].push(node);
    }
  const tables = positionTables(inferred, uses);
  const setWeight = (v: number, of: number, isFrozen: boolean): void => {
    role[v] = TensorRole.PARAMETER;
    isData[v] = 1;
    weightOf[v] = of;
    frozen[v] = isFrozen ? 1 : 0;
  };
  const setConstant = (v: number): void => {
    role[v] = TensorRole.CONSTANT;
    isData[v] = 1;
  };

  for (const [v] of inferred.initializers) {
    const dtype = dtypeOf(inferred, v);
    if (isFloat(dtype) && elementsOf(inferred, v) > 1 && !tables[v] && !isStatistic(v, uses[v]))
      setWeight(v, v, false);
    else if (isPayload(dtype) && uses[v].some((n) => readsPayload(n, v))) setWeight(v, v, true);
    else setConstant(v);
  }
  // Values computed from weights are not folded away, however small.
  const fromWeight = new Uint8Array(count);
  for (let v = 0; v < count; v++) if (role[v] === TensorRole.PARAMETER) fromWeight[v] = 1;
  for (const node of inferred.nodes) {
    const { opType, inputs, outputs } = node;
    if (opType === 'Constant' && node.domain === '') {
      const v = outputs[0];
      const weight =
        isFloat(dtypeOf(inferred, v)) &&
        elementsOf(inferred, v) >= MIN_WEIGHT_ELEMENTS &&
        uses[v].some((n) => readsWeight(n, v));
      if (weight) {
        setWeight(v, v, false);
        fromWeight[v] = 1;
      } else setConstant(v);
      continue;
    }
    const first = inputs[0] ?? -1;
    const isView =
      first >= 0 &&
      role[first] === TensorRole.PARAMETER &&
      WEIGHT_VIEWS.has(opType) &&
      inputs.every((v) => v < 0 || isData[v] === 1);
    if (isView) {
      setWeight(outputs[0], weightOf[first], frozen[first] === 1);
      fromWeight[outputs[0]] = 1;
      continue;
    }
    // The same of a constant too large to be known.
    if (
      first >= 0 &&
      role[first] === TensorRole.CONSTANT &&
      WEIGHT_VIEWS.has(opType) &&
      inputs.every((v) => v < 0 || isData[v] === 1)
    ) {
      setConstant(outputs[0]);
      continue;
    }
    const derived = inputs.some((v) => v >= 0 && fromWeight[v] === 1);
    for (const v of outputs) {
      if (v < 0) continue;
      const isShape = opType === 'Shape' || opType === 'Size';
      if (derived && !isShape) fromWeight[v] = 1;
      if (inferred.known[v] !== null && fromWeight[v] === 0) setConstant(v);
    }
  }
  return { role, isData, frozen, weightOf };
}

const NO_USES: readonly InferredNode[] = [];

function dtypeOf(inferred: Inferred, v: number): DType {
  const type = inferred.type[v];
  return type !== null && type.kind !== 'sequence' && 'dtype' in type ? type.dtype : DType.UNDEFINED;
}

function elementsOf(inferred: Inferred, v: number): number {
  const type = inferred.type[v];
  if (type === null || type.kind !== 'tensor' || type.shape === null) return 0;
  let count = 1;
  for (const d of type.shape) count *= typeof d === 'number' ? d : 1;
  return count;
}

function isStatistic(v: number, uses: readonly InferredNode[]): boolean {
  if (uses.length === 0) return false;
  return uses.every((n) => {
    const label = n.domain === '' ? n.opType : `${n.domain}::${n.opType}`;
    const slots = Object.hasOwn(STATISTICS, label) ? STATISTICS[label] : undefined;
    return slots !== undefined && slots.some((i) => n.inputs[i] === v) && n.inputs[0] !== v;
  });
}

/** Integers of at most 8 bits: what quantised weights are stored in. */
function isPayload(dtype: DType): boolean {
  return (
    !isFloat(dtype) &&
    dtype !== DType.BOOL &&
    dtype !== DType.STRING &&
    dtypeBits(dtype) > 0 &&
    dtypeBits(dtype) <= 8
  );
}

/** The operator dequantises or multiplies this input (and does not merely take it as a zero point). */
function readsPayload(node: InferredNode, v: number): boolean {
  const slot = node.inputs.indexOf(v);
  if (node.opType === 'DequantizeLinear') return slot === 0;
  if (node.opType === 'GatherBlockQuantized') return slot === 0;
  return /^(MatMul|Conv|QLinear|QGemm|QAttention|QMoE|DynamicQuantize|Gemm)/.test(node.opType) && slot <= 3;
}

/** Operators through which a table of numbers is trained. */
function readsWeight(node: InferredNode, v: number): boolean {
  const slot = node.inputs.indexOf(v);
  if (node.opType === 'Gather' || node.opType === 'GatherND') return slot === 0;
  return /^(MatMul|Gemm|FusedMatMul|FusedGemm|Conv|ConvTranspose|Einsum)$/.test(node.opType);
}

/**
 * Initializers that are only ever multiplied, element by element or as an outer product, with numbers made from integers:
 * rotary frequencies times positions. They look like weights and are not.
 */
function positionTables(inferred: Inferred, uses: readonly (readonly InferredNode[])[]): Uint8Array {
  const count = inferred.values.length;
  const tables = new Uint8Array(count);
  // Floats cast from integers, and what is computed from such and constants alone.
  const fromIntegers = new Uint8Array(count);
  const carriers = new Set(['Unsqueeze', 'Squeeze', 'Reshape', 'Expand', 'Transpose', 'Identity', 'Cast']);
  for (const node of inferred.nodes) {
    const first = node.inputs[0] ?? -1;
    if (first < 0 || !carriers.has(node.opType) || !isFloat(dtypeOf(inferred, node.outputs[0]))) continue;
    const cast =
      node.opType === 'Cast' && !isFloat(dtypeOf(inferred, first)) && dtypeOf(inferred, first) !== DType.BOOL;
    if (cast || fromIntegers[first]) fromIntegers[node.outputs[0]] = 1;
  }
  for (const [v] of inferred.initializers) {
    if (!isFloat(dtypeOf(inferred, v)) || elementsOf(inferred, v) > 4096 || uses[v].length === 0) continue;
    if (reachesPositionsOnly(inferred, uses, fromIntegers, v)) tables[v] = 1;
  }
  return tables;
}

function reachesPositionsOnly(
  inferred: Inferred,
  uses: readonly (readonly InferredNode[])[],
  fromIntegers: Uint8Array,
  table: number,
): boolean {
  const stack = [table];
  let multiplied = false;
  for (let steps = 0; stack.length > 0; steps++) {
    if (steps > 64) return false;
    const v = stack.pop()!;
    for (const node of uses[v]) {
      if (
        ['Unsqueeze', 'Squeeze', 'Reshape', 'Expand', 'Transpose', 'Identity', 'Cast'].includes(
          node.opType,
        ) &&
        node.inputs[0] === v
      ) {
        stack.push(node.outputs[0]);
        continue;
      }
      if (!['Mul', 'MatMul', 'Einsum', 'Div'].includes(node.opType)) return false;
      const other = node.inputs.find((x) => x !== v) ?? -1;
      if (other < 0 || !fromIntegers[other]) return false;
      // An outer product has a contraction of 1: as many outputs as products.
      if (node.opType === 'MatMul' && elementsOf(inferred, v) > 1) {
        const type = inferred.type[node.inputs[0]];
        const last = type !== null && type.kind === 'tensor' ? type.shape?.at(-1) : undefined;
        if (last !== 1) return false;
      }
      multiplied = true;
    }
  }
  return multiplied;
}
