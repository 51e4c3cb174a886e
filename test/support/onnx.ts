/** Small ONNX models by hand, for tests. */
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  TensorProto,
  TypeProto,
  ValueInfoProto,
} from '../../src/model/types.js';

const utf8 = new TextEncoder();

const NO_LISTS = {
  floats: [],
  ints: [],
  strings: [],
  tensors: [],
  graphs: [],
  typeProtos: [],
  sparseTensors: [],
};

type Value = number | string | readonly number[] | GraphProto | TensorProto | { readonly ref: string };

export function attr(name: string, value: Value): AttributeProto {
  const base = { ...NO_LISTS, name };
  if (typeof value === 'number') return { ...base, i: value, type: 2 };
  if (typeof value === 'string') return { ...base, s: utf8.encode(value), type: 3 };
  if ('ref' in value) return { ...base, refAttrName: value.ref };
  if ('node' in value) return { ...base, g: value, type: 5 };
  if ('stringData' in value) return { ...base, t: value, type: 4 };
  return { ...base, ints: [...value], type: 7 };
}

/** `node('Add', 'a b', 'c')`: names separated by spaces, `-` for an omitted one. */
export function node(
  opType: string,
  inputs: string,
  outputs: string,
  attributes: Readonly<Record<string, Value>> = {},
  domain?: string,
): NodeProto {
  const names = (text: string): string[] =>
    text
      .split(' ')
      .filter((n) => n !== '')
      .map((n) => (n === '-' ? '' : n));
  return {
    opType,
    input: names(inputs),
    output: names(outputs),
    attribute: Object.entries(attributes).map(([name, value]) => attr(name, value)),
    metadataProps: [],
    deviceConfigurations: [],
    ...(domain === undefined ? {} : { domain }),
  };
}

export function tensorType(dtype: number, dims: readonly (number | string)[] | null): TypeProto {
  const dim = (dims ?? []).map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d }));
  return { tensorType: { elemType: dtype, ...(dims === null ? {} : { shape: { dim } }) } };
}

/** A float tensor unless another element type is given. */
export function value(name: string, dims: readonly (number | string)[] | null, dtype = 1): ValueInfoProto {
  return { name, type: tensorType(dtype, dims), metadataProps: [] };
}

/** An INT64 tensor with its elements; rank 0 without dims when `dims` is []. */
export function int64s(
  name: string,
  elements: readonly number[],
  dims: readonly number[] = [elements.length],
): TensorProto {
  const bytes = new Uint8Array(new BigInt64Array(elements.map(BigInt)).buffer);
  return {
    name,
    dims: [...dims],
    dataType: 7,
    rawData: { kind: 'bytes', bytes },
    stringData: [],
    externalData: [],
    metadataProps: [],
  };
}

/** A float weight without data. */
export function weight(name: string, dims: readonly number[]): TensorProto {
  return { name, dims: [...dims], dataType: 1, stringData: [], externalData: [], metadataProps: [] };
}

export function graph(
  nodes: readonly NodeProto[],
  inputs: readonly ValueInfoProto[],
  outputs: readonly ValueInfoProto[],
  more: { initializer?: TensorProto[]; valueInfo?: ValueInfoProto[] } = {},
): GraphProto {
  return {
    node: [...nodes],
    input: [...inputs],
    output: [...outputs],
    initializer: more.initializer ?? [],
    valueInfo: more.valueInfo ?? [],
    quantizationAnnotation: [],
    sparseInitializer: [],
    metadataProps: [],
  };
}

export function localFunction(
  name: string,
  inputs: string,
  outputs: string,
  nodes: readonly NodeProto[],
  more: { domain?: string; overload?: string; attribute?: string[]; defaults?: AttributeProto[] } = {},
): FunctionProto {
  return {
    name,
    domain: more.domain ?? 'test',
    input: inputs.split(' ').filter((n) => n !== ''),
    output: outputs.split(' ').filter((n) => n !== ''),
    node: [...nodes],
    attribute: more.attribute ?? [],
    attributeProto: more.defaults ?? [],
    opsetImport: [{ domain: '', version: 20 }],
    valueInfo: [],
    metadataProps: [],
    ...(more.overload === undefined ? {} : { overload: more.overload }),
  };
}

export function model(g: GraphProto, functions: readonly FunctionProto[] = [], opset = 20): ModelProto {
  return {
    irVersion: 10,
    graph: g,
    opsetImport: [{ domain: '', version: opset }],
    metadataProps: [],
    trainingInfo: [],
    functions: [...functions],
    configuration: [],
  };
}
