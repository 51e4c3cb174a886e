/**
 * Writes one ONNX graph node by node: hierarchical unique names, small constants inline and shared, weights as
 * references into an external data file whose bytes are laid end to end in the order the weights are first used.
 */
import { DType, dtypeBytes } from '../model/dtype.js';
import type {
  AttributeProto,
  DimensionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../model/types.js';
import { PartitionError } from '../util/errors.js';
import { encodeFloats, encodeInt64, type WeightDType } from './encode.js';

/** AttributeProto.AttributeType. */
const ATTRIBUTE = { FLOAT: 1, INT: 2, INTS: 7 } as const;
/** TensorProto.DataLocation.EXTERNAL. */
const EXTERNAL = 1;
/** What the dynamo exporter writes by default. */
const DEFAULT_OPSET = 20;
const IR_VERSION = 10;

/** A dimension of a graph input: a number, or the name of a symbol. */
export type DimSpec = number | string;

/** Slice's "to the end" and "from the start". */
export const INT64_MAX = 2n ** 63n - 1n;
export const INT64_MIN = -(2n ** 63n);

export class GraphBuilder {
  private readonly nodes: NodeProto[] = [];
  private readonly initializers: TensorProto[] = [];
  private readonly inputs: ValueInfoProto[] = [];
  private readonly outputs: ValueInfoProto[] = [];
  private readonly weightDims = new Map<string, string>();
  private readonly constants = new Map<string, string>();
  private readonly shared = new Map<string, string>();
  private readonly nameUses = new Map<string, number>();
  private scopePath = '/model';
  private dataBytes = 0;
  private opset = DEFAULT_OPSET;

  /**
   * @param modelName names the external data file, `<modelName>.onnx.data`
   * @param dtype element type of weights and activations
   * @param dropProbability of dropout where the architecture has it; 0 leaves it out
   */
  constructor(
    private readonly modelName: string,
    readonly dtype: WeightDType,
    readonly dropProbability = 0,
  ) {}

  /** Runs `body` with node names under `path`, nested in the current scope. */
  scope<T>(path: string, body: () => T): T {
    const outer = this.scopePath;
    this.scopePath = `${outer}/${path}`;
    const result = body();
    this.scopePath = outer;
    return result;
  }

  /** Raises the graph's opset where an operator needs a newer one. */
  requireOpset(version: number): void {
    this.opset = Math.max(this.opset, version);
  }

  input(name: string, dtype: DType, dims: readonly DimSpec[]): string {
    this.inputs.push(valueInfo(name, dtype, dims));
    return name;
  }

  /** Declares a graph output; `value` was produced by a node called with this name. */
  output(value: string, dtype: DType, dims: readonly DimSpec[]): void {
    this.outputs.push(valueInfo(value, dtype, dims));
  }

  /** A weight in the external file. The same name twice is the same tensor: that is how weights are tied. */
  weight(name: string, dims: readonly number[], dtype: DType = this.dtype): string {
    const known = this.weightDims.get(name);
    const shape = `${dims.join('x')}:${dtype}`;
    if (known !== undefined) {
      if (known !== shape) throw new Error(`internal: weight ${name} is ${known} and ${shape}`);
      return name;
    }
    this.weightDims.set(name, shape);
    const lengthBytes = dtypeBytes(dtype, product(dims));
    this.initializers.push({
      ...emptyTensor(name, dims, dtype),
      dataLocation: EXTERNAL,
      externalData: [
        { key: 'location', value: `${this.modelName}.onnx.data` },
        { key: 'offset', value: String(this.dataBytes) },
        { key: 'length', value: String(lengthBytes) },
      ],
    });
    this.dataBytes += lengthBytes;
    if (this.dataBytes > Number.MAX_SAFE_INTEGER) {
      throw new PartitionError('usage', 'expected weights of at most 2^53 bytes', `zoo: ${this.modelName}`);
    }
    return name;
  }

  /** An int64 vector constant, one initializer per distinct content. */
  ints(...values: readonly (number | bigint)[]): string {
    return this.constant('i', [values.length], DType.INT64, encodeInt64(values.map(BigInt)));
  }

  /** An int64 scalar constant. */
  int(value: number): string {
    return this.constant('i', [], DType.INT64, encodeInt64([BigInt(value)]));
  }

  /** A floating-point scalar in the graph's type, or in the one given. */
  float(value: number, dtype: WeightDType = this.dtype): string {
    return this.constant('f', [], dtype, encodeFloats([value], dtype));
  }

  /** A floating-point tensor constant. */
  floats(values: readonly number[], dims: readonly number[], dtype: WeightDType): string {
    return this.constant('f', dims, dtype, encodeFloats(values, dtype));
  }

  bool(value: boolean): string {
    return this.constant('b', [], DType.BOOL, Uint8Array.of(value ? 1 : 0));
  }

  /** Emits a node with one output and returns the output's name. `as` names a graph output. */
  op(
    opType: string,
    inputs: readonly string[],
    attributes: readonly AttributeProto[] = [],
    as?: string,
  ): string {
    return this.ops(opType, inputs, 1, attributes, as)[0];
  }

  /** Emits a node with `outputCount` outputs. */
  ops(
    opType: string,
    inputs: readonly string[],
    outputCount: number,
    attributes: readonly AttributeProto[] = [],
    as?: string,
  ): string[] {
    const name = this.uniqueName(`${this.scopePath}/${opType}`);
    const output =
      as === undefined ? Array.from({ length: outputCount }, (_, i) => `${name}_output_${i}`) : [as];
    this.nodes.push({
      input: [...inputs],
      output,
      name,
      opType,
      attribute: [...attributes],
      metadataProps: [],
      deviceConfigurations: [],
    });
    return output;
  }

  /** Computes a value once under `key` and reuses it: what the exporter's common-subexpression pass leaves. */
  once(key: string, make: () => string): string {
    const known = this.shared.get(key);
    if (known !== undefined) return known;
    const value = make();
    this.shared.set(key, value);
    return value;
  }

  /** A shape vector of known sizes and one-element int64 tensors, as Concat or as a constant. */
  shape(parts: readonly (number | string)[]): string {
    if (parts.every((part) => typeof part === 'number')) return this.ints(...parts);
    return this.once(`shape ${parts.join()}`, () =>
      this.op(
        'Concat',
        parts.map((part) => (typeof part === 'number' ? this.ints(part) : part)),
        [attrInt('axis', 0)],
      ),
    );
  }

  reshape(value: string, parts: readonly (number | string)[]): string {
    return this.op('Reshape', [value, this.shape(parts)], [attrInt('allowzero', 1)]);
  }

  transpose(value: string, perm: readonly number[]): string {
    return this.op('Transpose', [value], [attrInts('perm', perm)]);
  }

  cast(value: string, dtype: DType): string {
    return this.op('Cast', [value], [attrInt('to', dtype)]);
  }

  /** Size of one axis of `value` as a one-element vector. */
  dimOf(value: string, axis: number): string {
    return this.once(`dim ${value} ${axis}`, () =>
      this.op('Shape', [value], [attrInt('start', axis), attrInt('end', axis + 1)]),
    );
  }

  build(): ModelProto {
    const graph: GraphProto = {
      node: this.nodes,
      name: 'main_graph',
      initializer: this.initializers,
      input: this.inputs,
      output: this.outputs,
      valueInfo: [],
      quantizationAnnotation: [],
      sparseInitializer: [],
      metadataProps: [],
    };
    return {
      irVersion: IR_VERSION,
      producerName: 'partition-optimizer zoo',
      graph,
      opsetImport: [{ domain: '', version: this.opset }],
      metadataProps: [],
      trainingInfo: [],
      functions: [],
      configuration: [],
    };
  }

  private constant(kind: string, dims: readonly number[], dtype: DType, bytes: Uint8Array): string {
    const key = `${dtype} ${dims.join('x')} ${Buffer.from(bytes.buffer).toString('latin1')}`;
    const known = this.constants.get(key);
    if (known !== undefined) return known;
    const name = `const_${kind}${this.constants.size}`;
    this.constants.set(key, name);
    this.initializers.push({ ...emptyTensor(name, dims, dtype), rawData: { kind: 'bytes', bytes } });
    return name;
  }

  private uniqueName(base: string): string {
    const uses = this.nameUses.get(base) ?? 0;
    this.nameUses.set(base, uses + 1);
    return uses === 0 ? base : `${base}_${uses}`;
  }
}

export function attrInt(name: string, value: number): AttributeProto {
  return { ...emptyAttribute(name, ATTRIBUTE.INT), i: value };
}

export function attrInts(name: string, values: readonly number[]): AttributeProto {
  return { ...emptyAttribute(name, ATTRIBUTE.INTS), ints: [...values] };
}

export function attrFloat(name: string, value: number): AttributeProto {
  return { ...emptyAttribute(name, ATTRIBUTE.FLOAT), f: Math.fround(value) };
}

function emptyAttribute(name: string, type: number): AttributeProto {
  return {
    name,
    type,
    floats: [],
    ints: [],
    strings: [],
    tensors: [],
    graphs: [],
    typeProtos: [],
    sparseTensors: [],
  };
}

function emptyTensor(name: string, dims: readonly number[], dtype: DType): TensorProto {
  return { name, dims: [...dims], dataType: dtype, stringData: [], externalData: [], metadataProps: [] };
}

function valueInfo(name: string, dtype: DType, dims: readonly DimSpec[]): ValueInfoProto {
  const dim = dims.map((d): DimensionProto => (typeof d === 'number' ? { dimValue: d } : { dimParam: d }));
  return { name, type: { tensorType: { elemType: dtype, shape: { dim } } }, metadataProps: [] };
}

function product(dims: readonly number[]): number {
  return dims.reduce((a, b) => a * b, 1);
}
