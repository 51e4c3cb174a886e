/**
 * Runs one operator's rule by itself: shape inference on given input types, and the rules on concrete shapes. Dimensions
 * are numbers or symbol names; `?` stands for an omitted input.
 */
import { DType, dtypeBytes } from '../../src/model/dtype.js';
import type { AttributeProto, GraphProto } from '../../src/model/types.js';
import { NodeAttributes } from '../../src/ops/attributes.js';
import { symbol } from '../../src/ops/dim.js';
import type {
  Dim,
  FactorRule,
  InferContext,
  KnownValue,
  OpFamily,
  OpInstance,
  OpRule,
  Shape,
  ValueType,
} from '../../src/ops/types.js';
import { PartitionError } from '../../src/util/errors.js';

export type AttributeValue = number | string | readonly number[] | GraphProto | { readonly float: number };

/** One input: dimensions (numbers or symbol names), or with an element type or a value. */
export interface Input {
  readonly dims: readonly (number | string)[] | null;
  readonly dtype?: DType;
  readonly value?: readonly Dim[];
  readonly parameter?: boolean;
}

export interface Case {
  readonly inputs: readonly (Input | readonly (number | string)[] | '?')[];
  readonly attrs?: Readonly<Record<string, AttributeValue>>;
  readonly version?: number;
  readonly outputs?: number;
}

const utf8 = new TextEncoder();

function attribute(name: string, value: AttributeValue): AttributeProto {
  const empty = {
    name,
    floats: [],
    ints: [],
    strings: [],
    tensors: [],
    graphs: [],
    typeProtos: [],
    sparseTensors: [],
  };
  if (typeof value === 'number') return { ...empty, i: value, type: 2 };
  if (typeof value === 'string') return { ...empty, s: utf8.encode(value), type: 3 };
  if ('float' in value) return { ...empty, f: value.float, type: 1 };
  if ('node' in value) return { ...empty, g: value, type: 5 };
  if (value.every((v) => Number.isInteger(v))) return { ...empty, ints: [...value], type: 7 };
  return { ...empty, floats: [...value], type: 6 };
}

/** Attributes from plain values; `{ float: x }` for a float, a list with a fraction is FLOATS. */
export function attributes(values: Readonly<Record<string, AttributeValue>> = {}): NodeAttributes {
  return new NodeAttributes(Object.entries(values).map(([name, value]) => attribute(name, value)));
}

function normalized(input: Case['inputs'][number]): Input | null {
  if (input === '?') return null;
  return 'dims' in input ? input : { dims: input };
}

function toShape(dims: readonly (number | string)[] | null): Shape | null {
  return dims === null ? null : dims.map((d) => (typeof d === 'number' ? d : symbol(d)));
}

export interface Inferred {
  readonly types: readonly (ValueType | null)[];
  readonly values: readonly (KnownValue | null)[];
  readonly warnings: readonly string[];
}

/** @throws PartitionError as the rule does */
export function infer(family: OpFamily, opType: string, c: Case): Inferred {
  const rule = ruleOf(family, opType);
  const inputs = c.inputs.map(normalized);
  const outputCount = c.outputs ?? 1;
  const types = new Array<ValueType | null>(outputCount).fill(null);
  const values = new Array<KnownValue | null>(outputCount).fill(null);
  const warnings: string[] = [];
  let fresh = 0;
  const ctx: InferContext = {
    opType,
    domain: family.domain,
    version: c.version ?? 20,
    attrs: attributes(c.attrs),
    inputCount: inputs.length,
    outputCount,
    hasInput: (i) => (inputs[i] ?? null) !== null,
    hasOutput: (i) => i < outputCount,
    type: (i) => {
      const input = inputs[i];
      if (input === undefined || input === null) return null;
      return { kind: 'tensor', dtype: input.dtype ?? DType.FLOAT, shape: toShape(input.dims) };
    },
    shape: (i) => toShape(inputs[i]?.dims ?? null),
    dtype: (i) => (inputs[i] ? (inputs[i].dtype ?? DType.FLOAT) : DType.UNDEFINED),
    value: (i) => {
      const input = inputs[i];
      if (!input?.value) return null;
      return { dtype: input.dtype ?? DType.FLOAT, dims: input.dims as number[], elements: input.value };
    },
    declared: () => null,
    setOutput: (i, type, value = null) => {
      types[i] = type;
      values[i] = value;
    },
    setTensor: (i, dtype, shape, value = null) => {
      types[i] = { kind: 'tensor', dtype, shape };
      values[i] = value;
    },
    freshDim: () => symbol(`unk__${String(fresh++)}`),
    fail: (message) => {
      throw new PartitionError('input', message, opType);
    },
    warn: (message) => {
      warnings.push(message);
    },
    subgraph: () => [],
  };
  rule.infer(ctx);
  return { types, values, warnings };
}

/** Output shapes as text, e.g. `[2, batch]`; `null` where nothing was inferred. */
export function shapes(family: OpFamily, opType: string, c: Case): (readonly (number | string)[] | null)[] {
  return infer(family, opType, c).types.map((t) => {
    if (t?.kind !== 'tensor' || t.shape === null) return null;
    return t.shape.map((d) => (typeof d === 'number' ? d : d.text));
  });
}

/** Message of the PartitionError that inference ends with. */
export function failure(family: OpFamily, opType: string, c: Case): string {
  try {
    infer(family, opType, c);
  } catch (e) {
    if (e instanceof PartitionError) return e.message;
    throw e;
  }
  throw new Error(`${opType} was accepted`);
}

export function ruleOf(family: OpFamily, opType: string): OpRule {
  const rule = family.rules[opType];
  if (rule === undefined) throw new Error(`no rule of ${opType}`);
  return rule;
}

/** The operator on concrete shapes, its outputs inferred. */
export function instance(family: OpFamily, opType: string, c: Case): OpInstance {
  const inputs = c.inputs.map(normalized);
  const { types } = infer(family, opType, c);
  return {
    opType,
    domain: family.domain,
    version: c.version ?? 20,
    attrs: attributes(c.attrs),
    inputCount: inputs.length,
    outputCount: types.length,
    inputShape: (i) => (inputs[i]?.dims ?? null) as readonly number[] | null,
    outputShape: (i) => {
      const t = types[i];
      return t?.kind === 'tensor' ? (t.shape as readonly number[] | null) : null;
    },
    inputDtype: (i) => (inputs[i] ? (inputs[i].dtype ?? DType.FLOAT) : DType.UNDEFINED),
    outputDtype: (i) => {
      const t = types[i];
      return t?.kind === 'tensor' ? t.dtype : DType.UNDEFINED;
    },
    inputIsParameter: (i) => inputs[i]?.parameter ?? false,
    inputValue: (i) => {
      const input = inputs[i];
      if (!input?.value) return null;
      return { dtype: input.dtype ?? DType.FLOAT, dims: input.dims as number[], elements: input.value };
    },
  };
}

/** What the rules say of a case: FLOP, kernel, factors and gradients. */
export function described(family: OpFamily, opType: string, c: Case) {
  const rule = ruleOf(family, opType);
  const op = instance(family, opType, c);
  const factors = rule.factors?.(op) ?? null;
  if (factors !== null) checkFactors(op, factors);
  return {
    op,
    work: rule.work?.(op) ?? null,
    factors,
    backward: rule.backward?.(op) ?? null,
  };
}

/**
 * The contract of a factor rule: one layout per tensor, one list per dimension, the product of a dimension's factors is
 * the dimension (or it is an unsplit dimension of 1), and no factor twice in one tensor.
 */
export function checkFactors(op: OpInstance, rule: FactorRule): void {
  const check = (
    shape: readonly number[] | null,
    layout: readonly (readonly number[])[] | null,
    what: string,
  ): void => {
    if (shape === null) {
      if (layout !== null) throw new Error(`${op.opType}: ${what} has a layout but is omitted`);
      return;
    }
    if (layout?.length !== shape.length) throw new Error(`${op.opType}: ${what} has no layout of its rank`);
    const seen = new Set<number>();
    layout.forEach((ids, k) => {
      let size = 1;
      for (const id of ids) {
        if (seen.has(id) && rule.factors[id].size > 1 && rule.factors[id].kind !== 'whole')
          throw new Error(`${op.opType}: ${what} uses factor ${String(id)} twice`);
        seen.add(id);
        size *= rule.factors[id].size;
      }
      if (size !== shape[k])
        throw new Error(
          `${op.opType}: ${what} dimension ${String(k)} is ${String(shape[k])}, its factors ${String(size)}`,
        );
    });
  };
  for (let i = 0; i < op.inputCount; i++) check(op.inputShape(i), rule.inputs[i], `input ${String(i)}`);
  for (let i = 0; i < op.outputCount; i++) check(op.outputShape(i), rule.outputs[i], `output ${String(i)}`);
}

/** Factors of one tensor as text: `batch` sizes with their kinds, e.g. `8p | 4c` (p parallel, c contraction, ...). */
export function layoutText(rule: FactorRule | null, layout: readonly (readonly number[])[] | null): string {
  if (rule === null || layout === null) return 'none';
  return layout
    .map((ids) =>
      ids.map((id) => `${String(rule.factors[id].size)}${rule.factors[id].kind[0]}${String(id)}`).join('*'),
    )
    .join(' ');
}

/** Total FLOP of the gradients. */
export function gradFlop(backward: ReturnType<typeof described>['backward']): number {
  return (backward?.grads ?? []).reduce((sum, g) => sum + g.flop, 0);
}

/** Bytes of the saved activations (parameters are there anyway) and of what is saved beside them. */
export function savedBytes(op: OpInstance, backward: ReturnType<typeof described>['backward']): number {
  if (backward === null) return 0;
  const bytes = (shape: readonly number[] | null, dtype: DType): number =>
    shape === null
      ? 0
      : dtypeBytes(
          dtype,
          shape.reduce((p, d) => p * d, 1),
        );
  let sum = backward.extraSavedBytes ?? 0;
  for (const i of backward.savesInputs)
    if (!op.inputIsParameter(i)) sum += bytes(op.inputShape(i), op.inputDtype(i));
  for (const i of backward.savesOutputs) sum += bytes(op.outputShape(i), op.outputDtype(i));
  return sum;
}
