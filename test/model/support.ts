/** Small models for tests, and the shared reference data when it is there. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../../src/model/types.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const fixtures = join(root, 'test/fixtures');
export const graphs = join(root, 'graphs');

/** A folder of the shared reference data; skips the test, aloud, when it is not there. */
export function sharedFolder(context: Mocha.Context, name: string): string {
  const path = join(root, '../shared/data/onnx', name);
  if (!existsSync(path)) {
    console.log(`      skipped: no reference data (${name})`);
    context.skip();
  }
  return path;
}

/** Every .onnx file below a folder. */
export function modelFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.onnx'))
    .sort()
    .map((name) => join(folder, name));
}

export function node(
  opType: string,
  input: string[],
  output: string[],
  more: Partial<NodeProto> = {},
): NodeProto {
  return { opType, input, output, attribute: [], metadataProps: [], deviceConfigurations: [], ...more };
}

export function attribute(name: string, more: Partial<AttributeProto>): AttributeProto {
  return {
    name,
    floats: [],
    ints: [],
    strings: [],
    tensors: [],
    graphs: [],
    typeProtos: [],
    sparseTensors: [],
    ...more,
  };
}

export function tensor(
  name: string,
  dataType: number,
  dims: number[],
  more: Partial<TensorProto> = {},
): TensorProto {
  return { name, dataType, dims, stringData: [], externalData: [], metadataProps: [], ...more };
}

export function value(name: string, dims?: (number | string)[]): ValueInfoProto {
  const dim = dims?.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d }));
  const tensorType = dim === undefined ? { elemType: 1 } : { elemType: 1, shape: { dim } };
  return { name, type: { tensorType }, metadataProps: [] };
}

export function graph(more: Partial<GraphProto>): GraphProto {
  return {
    node: [],
    initializer: [],
    input: [],
    output: [],
    valueInfo: [],
    quantizationAnnotation: [],
    sparseInitializer: [],
    metadataProps: [],
    ...more,
  };
}

export function model(graphParts: Partial<GraphProto>, more: Partial<ModelProto> = {}): ModelProto {
  return {
    irVersion: 14,
    opsetImport: [{ version: 21 }],
    metadataProps: [],
    trainingInfo: [],
    functions: [],
    configuration: [],
    graph: graph(graphParts),
    ...more,
  };
}

export function functionOf(
  name: string,
  nodes: NodeProto[],
  more: Partial<FunctionProto> = {},
): FunctionProto {
  return {
    name,
    domain: 'local',
    input: ['a'],
    output: ['b'],
    attribute: [],
    node: nodes,
    opsetImport: [{ version: 21 }],
    attributeProto: [],
    valueInfo: [],
    metadataProps: [],
    ...more,
  };
}

export function bytes(...values: number[]): { kind: 'bytes'; bytes: Uint8Array } {
  return { kind: 'bytes', bytes: Uint8Array.from(values) };
}
