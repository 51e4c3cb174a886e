/**
 * The messages of onnx.proto (up to IR version 14) as tables: field number, name, kind. Reading and writing are driven
 * by these tables, so a field stands in one line here and nowhere else.
 * Numbers from onnx/onnx.proto at 1.23 (commit f75469120).
 */
import type * as onnx from './types.js';

/** Wire types, the low three bits of a tag. */
export const Wire = { VARINT: 0, FIXED64: 1, LENGTH: 2, GROUP_START: 3, GROUP_END: 4, FIXED32: 5 } as const;

export enum Kind {
  STRING,
  BYTES,
  INT64,
  INT32,
  FLOAT,
  MESSAGE,
  /** Tensor payloads, by how an element is coded; they stay where they are in the file. */
  RAW,
  PACKED_FLOAT,
  PACKED_DOUBLE,
  PACKED_VARINT,
}

export interface Field {
  readonly number: number;
  readonly name: string;
  /** `Message.field`, for error messages. */
  readonly label: string;
  readonly kind: Kind;
  /** The wire type that writers use; readers also take the alternatives. */
  readonly wire: number;
  readonly repeated: boolean;
  /** The message in the field, for Kind.MESSAGE. */
  readonly type: MessageType | null;
  /** Other members of the same oneof: setting this field clears them. */
  readonly rivals: readonly string[];
}

export interface MessageType {
  readonly name: string;
  /** By ascending number: the order protobuf's own writers use. */
  fields: readonly Field[];
  byNumber: readonly (Field | undefined)[];
  /** A message with every repeated field empty. */
  template: Readonly<Record<string, unknown>>;
}

/** Stands for every absent repeated field of every decoded message. Frozen: replace it, do not push to it. */
export const EMPTY: readonly never[] = Object.freeze([]);

type Spec = [number: number, kind: Kind | MessageType, repeated?: 'repeated'];

function declare(name: string): MessageType {
  return { name, fields: [], byNumber: [], template: {} };
}

/** Fills a declared message; `oneof` lists the names of fields that exclude each other. */
function define<T extends onnx.Message>(
  type: MessageType,
  specs: Record<Exclude<keyof T & string, 'unknown'>, Spec>,
  oneof: readonly (keyof T & string)[] = [],
): void {
  const fields = Object.entries<Spec>(specs).map(([name, [number, kind, repeated]]): Field => {
    const inner = typeof kind === 'object' ? kind : null;
    const rivals = oneof.some((n) => n === name) ? oneof.filter((n) => n !== name) : [];
    const plain = typeof kind === 'object' ? Kind.MESSAGE : kind;
    const label = `${type.name}.${name}`;
    return {
      number,
      name,
      label,
      kind: plain,
      wire: wireOf(plain),
      repeated: repeated !== undefined,
      type: inner,
      rivals,
    };
  });
  fields.sort((a, b) => a.number - b.number);
  const byNumber: (Field | undefined)[] = new Array<undefined>(fields.at(-1)!.number + 1).fill(undefined);
  for (const field of fields) byNumber[field.number] = field;
  type.fields = fields;
  type.byNumber = byNumber;
  type.template = Object.fromEntries(fields.filter((f) => f.repeated).map((f) => [f.name, EMPTY]));
}

function wireOf(kind: Kind): number {
  if (kind === Kind.INT64 || kind === Kind.INT32) return Wire.VARINT;
  return kind === Kind.FLOAT ? Wire.FIXED32 : Wire.LENGTH;
}

const { STRING, BYTES, INT64, INT32, FLOAT } = Kind;

export const MODEL = declare('ModelProto');
export const GRAPH = declare('GraphProto');
export const NODE = declare('NodeProto');
export const ATTRIBUTE = declare('AttributeProto');
export const VALUE_INFO = declare('ValueInfoProto');
export const TENSOR = declare('TensorProto');
export const SPARSE_TENSOR = declare('SparseTensorProto');
export const TYPE = declare('TypeProto');
export const FUNCTION = declare('FunctionProto');
const SEGMENT = declare('TensorProto.Segment');
const SHAPE = declare('TensorShapeProto');
const DIMENSION = declare('TensorShapeProto.Dimension');
const TENSOR_TYPE = declare('TypeProto.Tensor');
const SEQUENCE_TYPE = declare('TypeProto.Sequence');
const MAP_TYPE = declare('TypeProto.Map');
const OPAQUE_TYPE = declare('TypeProto.Opaque');
const OPTIONAL_TYPE = declare('TypeProto.Optional');
const OPERATOR_SET = declare('OperatorSetIdProto');
const ENTRY = declare('StringStringEntryProto');
const ANNOTATION = declare('TensorAnnotation');
const TRAINING_INFO = declare('TrainingInfoProto');
const DEVICES = declare('DeviceConfigurationProto');
const NODE_DEVICES = declare('NodeDeviceConfigurationProto');
const SHARDING = declare('ShardingSpecProto');
const INT_LIST_ENTRY = declare('IntIntListEntryProto');
const SHARDED_DIM = declare('ShardedDimProto');
const SIMPLE_SHARDED_DIM = declare('SimpleShardedDimProto');

define<onnx.ModelProto>(MODEL, {
  irVersion: [1, INT64],
  producerName: [2, STRING],
  producerVersion: [3, STRING],
  domain: [4, STRING],
  modelVersion: [5, INT64],
  docString: [6, STRING],
  graph: [7, GRAPH],
  opsetImport: [8, OPERATOR_SET, 'repeated'],
  metadataProps: [14, ENTRY, 'repeated'],
  trainingInfo: [20, TRAINING_INFO, 'repeated'],
  functions: [25, FUNCTION, 'repeated'],
  configuration: [26, DEVICES, 'repeated'],
});

define<onnx.GraphProto>(GRAPH, {
  node: [1, NODE, 'repeated'],
  name: [2, STRING],
  initializer: [5, TENSOR, 'repeated'],
  docString: [10, STRING],
  input: [11, VALUE_INFO, 'repeated'],
  output: [12, VALUE_INFO, 'repeated'],
  valueInfo: [13, VALUE_INFO, 'repeated'],
  quantizationAnnotation: [14, ANNOTATION, 'repeated'],
  sparseInitializer: [15, SPARSE_TENSOR, 'repeated'],
  metadataProps: [16, ENTRY, 'repeated'],
});

define<onnx.NodeProto>(NODE, {
  input: [1, STRING, 'repeated'],
  output: [2, STRING, 'repeated'],
  name: [3, STRING],
  opType: [4, STRING],
  attribute: [5, ATTRIBUTE, 'repeated'],
  docString: [6, STRING],
  domain: [7, STRING],
  overload: [8, STRING],
  metadataProps: [9, ENTRY, 'repeated'],
  deviceConfigurations: [10, NODE_DEVICES, 'repeated'],
});

define<onnx.AttributeProto>(ATTRIBUTE, {
  name: [1, STRING],
  f: [2, FLOAT],
  i: [3, INT64],
  s: [4, BYTES],
  t: [5, TENSOR],
  g: [6, GRAPH],
  floats: [7, FLOAT, 'repeated'],
  ints: [8, INT64, 'repeated'],
  strings: [9, BYTES, 'repeated'],
  tensors: [10, TENSOR, 'repeated'],
  graphs: [11, GRAPH, 'repeated'],
  docString: [13, STRING],
  tp: [14, TYPE],
  typeProtos: [15, TYPE, 'repeated'],
  type: [20, INT32],
  refAttrName: [21, STRING],
  sparseTensor: [22, SPARSE_TENSOR],
  sparseTensors: [23, SPARSE_TENSOR, 'repeated'],
});

define<onnx.ValueInfoProto>(VALUE_INFO, {
  name: [1, STRING],
  type: [2, TYPE],
  docString: [3, STRING],
  metadataProps: [4, ENTRY, 'repeated'],
});

define<onnx.TensorProto>(TENSOR, {
  dims: [1, INT64, 'repeated'],
  dataType: [2, INT32],
  segment: [3, SEGMENT],
  floatData: [4, Kind.PACKED_FLOAT],
  int32Data: [5, Kind.PACKED_VARINT],
  stringData: [6, BYTES, 'repeated'],
  int64Data: [7, Kind.PACKED_VARINT],
  name: [8, STRING],
  rawData: [9, Kind.RAW],
  doubleData: [10, Kind.PACKED_DOUBLE],
  uint64Data: [11, Kind.PACKED_VARINT],
  docString: [12, STRING],
  externalData: [13, ENTRY, 'repeated'],
  dataLocation: [14, INT32],
  metadataProps: [16, ENTRY, 'repeated'],
});

define<onnx.SegmentProto>(SEGMENT, { begin: [1, INT64], end: [2, INT64] });

define<onnx.SparseTensorProto>(SPARSE_TENSOR, {
  values: [1, TENSOR],
  indices: [2, TENSOR],
  dims: [3, INT64, 'repeated'],
});

define<onnx.TensorShapeProto>(SHAPE, { dim: [1, DIMENSION, 'repeated'] });

define<onnx.DimensionProto>(
  DIMENSION,
  { dimValue: [1, INT64], dimParam: [2, STRING], denotation: [3, STRING] },
  ['dimValue', 'dimParam'],
);

define<onnx.TensorTypeProto>(TENSOR_TYPE, { elemType: [1, INT32], shape: [2, SHAPE] });
define<NonNullable<onnx.TypeProto['sequenceType']>>(SEQUENCE_TYPE, { elemType: [1, TYPE] });
define<NonNullable<onnx.TypeProto['optionalType']>>(OPTIONAL_TYPE, { elemType: [1, TYPE] });
define<NonNullable<onnx.TypeProto['mapType']>>(MAP_TYPE, { keyType: [1, INT32], valueType: [2, TYPE] });
define<NonNullable<onnx.TypeProto['opaqueType']>>(OPAQUE_TYPE, { domain: [1, STRING], name: [2, STRING] });

define<onnx.TypeProto>(
  TYPE,
  {
    tensorType: [1, TENSOR_TYPE],
    sequenceType: [4, SEQUENCE_TYPE],
    mapType: [5, MAP_TYPE],
    denotation: [6, STRING],
    opaqueType: [7, OPAQUE_TYPE],
    sparseTensorType: [8, TENSOR_TYPE],
    optionalType: [9, OPTIONAL_TYPE],
  },
  ['tensorType', 'sequenceType', 'mapType', 'opaqueType', 'sparseTensorType', 'optionalType'],
);

define<onnx.OperatorSetIdProto>(OPERATOR_SET, { domain: [1, STRING], version: [2, INT64] });
define<onnx.StringStringEntryProto>(ENTRY, { key: [1, STRING], value: [2, STRING] });
define<onnx.TensorAnnotation>(ANNOTATION, {
  tensorName: [1, STRING],
  quantParameterTensorNames: [2, ENTRY, 'repeated'],
});

define<onnx.TrainingInfoProto>(TRAINING_INFO, {
  initialization: [1, GRAPH],
  algorithm: [2, GRAPH],
  initializationBinding: [3, ENTRY, 'repeated'],
  updateBinding: [4, ENTRY, 'repeated'],
});

define<onnx.FunctionProto>(FUNCTION, {
  name: [1, STRING],
  input: [4, STRING, 'repeated'],
  output: [5, STRING, 'repeated'],
  attribute: [6, STRING, 'repeated'],
  node: [7, NODE, 'repeated'],
  docString: [8, STRING],
  opsetImport: [9, OPERATOR_SET, 'repeated'],
  domain: [10, STRING],
  attributeProto: [11, ATTRIBUTE, 'repeated'],
  valueInfo: [12, VALUE_INFO, 'repeated'],
  overload: [13, STRING],
  metadataProps: [14, ENTRY, 'repeated'],
});

define<onnx.DeviceConfigurationProto>(DEVICES, {
  name: [1, STRING],
  numDevices: [2, INT32],
  device: [3, STRING, 'repeated'],
});

define<onnx.NodeDeviceConfigurationProto>(NODE_DEVICES, {
  configurationId: [1, STRING],
  shardingSpec: [2, SHARDING, 'repeated'],
  pipelineStage: [3, INT32],
});

define<onnx.ShardingSpecProto>(SHARDING, {
  tensorName: [1, STRING],
  device: [2, INT64, 'repeated'],
  indexToDeviceGroupMap: [3, INT_LIST_ENTRY, 'repeated'],
  shardedDim: [4, SHARDED_DIM, 'repeated'],
});

define<onnx.IntIntListEntryProto>(INT_LIST_ENTRY, { key: [1, INT64], value: [2, INT64, 'repeated'] });
define<onnx.ShardedDimProto>(SHARDED_DIM, {
  axis: [1, INT64],
  simpleSharding: [2, SIMPLE_SHARDED_DIM, 'repeated'],
});
define<onnx.SimpleShardedDimProto>(
  SIMPLE_SHARDED_DIM,
  { dimValue: [1, INT64], dimParam: [2, STRING], numShards: [3, INT64] },
  ['dimValue', 'dimParam'],
);
