/**
 * ONNX as written: the messages of onnx.proto up to IR version 14, one interface per message, fields in camelCase.
 * Scalar fields absent from the file hold `undefined`; repeated fields hold `[]`. Integers are numbers when they are
 * exact in a double and bigint otherwise, so that an int64 of 2^53+1 is never silently rounded.
 *
 * In a message that was read, absent repeated fields share one frozen empty list: replace it, do not push to it.
 * Text that is not UTF-8 holds its bytes as lone surrogates (see `text.ts`), so nothing is lost.
 *
 * Every message keeps the fields it does not know as raw bytes (`unknown`), in file order, so that writing what was
 * read loses nothing.
 */

/** int64 as read: a number when |x| <= 2^53 - 1, else a bigint. */
export type Int64 = number | bigint;

/** A length-delimited payload: bytes in memory, or a range of the file it was read from (64-bit offsets). */
export type Payload =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'range'; readonly path: string; readonly offset: number; readonly length: number };

/** Every message: undecoded fields, each with its tag, concatenated in file order. */
export interface Message {
  unknown?: Uint8Array;
}

export interface ModelProto extends Message {
  irVersion?: Int64;
  producerName?: string;
  producerVersion?: string;
  domain?: string;
  modelVersion?: Int64;
  docString?: string;
  graph?: GraphProto;
  opsetImport: OperatorSetIdProto[];
  metadataProps: StringStringEntryProto[];
  trainingInfo: TrainingInfoProto[];
  functions: FunctionProto[];
  configuration: DeviceConfigurationProto[];
}

export interface GraphProto extends Message {
  node: NodeProto[];
  name?: string;
  initializer: TensorProto[];
  docString?: string;
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  valueInfo: ValueInfoProto[];
  quantizationAnnotation: TensorAnnotation[];
  sparseInitializer: SparseTensorProto[];
  metadataProps: StringStringEntryProto[];
}

export interface NodeProto extends Message {
  input: string[];
  output: string[];
  name?: string;
  opType?: string;
  attribute: AttributeProto[];
  docString?: string;
  domain?: string;
  overload?: string;
  metadataProps: StringStringEntryProto[];
  deviceConfigurations: NodeDeviceConfigurationProto[];
}

export interface AttributeProto extends Message {
  name?: string;
  f?: number;
  i?: Int64;
  /** Bytes, not text: decode as UTF-8 where the operator says so. */
  s?: Uint8Array;
  t?: TensorProto;
  g?: GraphProto;
  floats: number[];
  ints: Int64[];
  strings: Uint8Array[];
  tensors: TensorProto[];
  graphs: GraphProto[];
  docString?: string;
  tp?: TypeProto;
  typeProtos: TypeProto[];
  type?: number;
  refAttrName?: string;
  sparseTensor?: SparseTensorProto;
  sparseTensors: SparseTensorProto[];
}

export interface ValueInfoProto extends Message {
  name?: string;
  type?: TypeProto;
  docString?: string;
  metadataProps: StringStringEntryProto[];
}

export interface TensorProto extends Message {
  dims: Int64[];
  dataType?: number;
  segment?: SegmentProto;
  /** The payload fields below are left where they are in the file; `model/tensor` reads them on demand. */
  floatData?: Payload;
  int32Data?: Payload;
  stringData: Uint8Array[];
  int64Data?: Payload;
  name?: string;
  rawData?: Payload;
  doubleData?: Payload;
  uint64Data?: Payload;
  docString?: string;
  externalData: StringStringEntryProto[];
  dataLocation?: number;
  metadataProps: StringStringEntryProto[];
}

export interface SegmentProto extends Message {
  begin?: Int64;
  end?: Int64;
}

export interface SparseTensorProto extends Message {
  values?: TensorProto;
  indices?: TensorProto;
  dims: Int64[];
}

export interface TensorShapeProto extends Message {
  dim: DimensionProto[];
}

export interface DimensionProto extends Message {
  dimValue?: Int64;
  dimParam?: string;
  denotation?: string;
}

export interface TensorTypeProto extends Message {
  elemType?: number;
  shape?: TensorShapeProto;
}

export interface TypeProto extends Message {
  tensorType?: TensorTypeProto;
  sequenceType?: { elemType?: TypeProto } & Message;
  mapType?: { keyType?: number; valueType?: TypeProto } & Message;
  denotation?: string;
  opaqueType?: { domain?: string; name?: string } & Message;
  sparseTensorType?: TensorTypeProto;
  optionalType?: { elemType?: TypeProto } & Message;
}

export interface OperatorSetIdProto extends Message {
  domain?: string;
  version?: Int64;
}

export interface StringStringEntryProto extends Message {
  key?: string;
  value?: string;
}

export interface TensorAnnotation extends Message {
  tensorName?: string;
  quantParameterTensorNames: StringStringEntryProto[];
}

export interface TrainingInfoProto extends Message {
  initialization?: GraphProto;
  algorithm?: GraphProto;
  initializationBinding: StringStringEntryProto[];
  updateBinding: StringStringEntryProto[];
}

export interface FunctionProto extends Message {
  name?: string;
  input: string[];
  output: string[];
  attribute: string[];
  node: NodeProto[];
  docString?: string;
  opsetImport: OperatorSetIdProto[];
  domain?: string;
  attributeProto: AttributeProto[];
  valueInfo: ValueInfoProto[];
  overload?: string;
  metadataProps: StringStringEntryProto[];
}

/** IR 11 multi-device annotations. */
export interface DeviceConfigurationProto extends Message {
  name?: string;
  numDevices?: number;
  device: string[];
}

export interface NodeDeviceConfigurationProto extends Message {
  configurationId?: string;
  shardingSpec: ShardingSpecProto[];
  pipelineStage?: number;
}

export interface ShardingSpecProto extends Message {
  tensorName?: string;
  device: Int64[];
  indexToDeviceGroupMap: IntIntListEntryProto[];
  shardedDim: ShardedDimProto[];
}

export interface IntIntListEntryProto extends Message {
  key?: Int64;
  value: Int64[];
}

export interface ShardedDimProto extends Message {
  axis?: Int64;
  simpleSharding: SimpleShardedDimProto[];
}

export interface SimpleShardedDimProto extends Message {
  dimValue?: Int64;
  dimParam?: string;
  numShards?: Int64;
}
