/**
 * Bytes of the initializers of a sub-model: whole tensors, shards, and small tensors of our own. Large ones are copied from
 * file to file in chunks, so memory does not grow with the model.
 */
import {
  DType,
  dtypeBits,
  isExternal,
  locateExternal,
  parseExternal,
  payloadLength,
  readInts,
} from '../../model/index.js';
import { tensorBytes, tensorElementCount } from '../../model/index.js';
import type { Payload, TensorProto } from '../../model/index.js';
import { copyRange } from '../../model/source.js';
import { PartitionError, invariant } from '../../util/errors.js';
import type { Sharding, WeightSource } from './program.js';

/** Contents of one initializer on one rank. */
export interface WeightBytes {
  readonly dtype: number;
  readonly dims: readonly number[];
  readonly sizeBytes: number;
  /** Visits the bytes in order; a chunk is valid during the visit only. */
  visit(write: (chunk: Uint8Array) => void): void;
  /** The bytes as one run of a file or of memory, where they are one. */
  readonly payload: Payload | null;
}

/** Bytes read at once. */
const WINDOW_BYTES = 4 << 20;
/** Runs at least this long are read on their own. */
const LONG_RUN_BYTES = 1 << 16;

/** Where the little-endian elements of a tensor lie; `null` for strings and packed forms that are no raw bytes. */
export function rawPayload(tensor: TensorProto, modelPath: string): Payload | null {
  const dtype: DType = tensor.dataType ?? DType.UNDEFINED;
  if (isExternal(tensor)) {
    const reference = parseExternal(tensor, modelPath);
    const file = locateExternal(reference, modelPath);
    const length = tensorBytes(tensor);
    if (file === null)
      throw new PartitionError(
        'input',
        `the weights of "${tensor.name ?? ''}" are missing: no file "${reference.location}" beside the model`,
        modelPath,
        'put it there, or keep the references with --weights reference',
      );
    if (reference.offset + length > file.sizeBytes)
      throw new PartitionError(
        'input',
        `the weights of "${tensor.name ?? ''}" end at byte ${String(reference.offset + length)}, the file at ${String(file.sizeBytes)}`,
        file.path,
        'the file is cut short: copy it again',
      );
    return { kind: 'range', path: file.path, offset: reference.offset, length };
  }
  if (tensor.rawData !== undefined && payloadLength(tensor.rawData) > 0) return tensor.rawData;
  if (dtype === DType.FLOAT && tensor.floatData !== undefined) return tensor.floatData;
  if (dtype === DType.DOUBLE && tensor.doubleData !== undefined) return tensor.doubleData;
  if (tensorElementCount(tensor) === 0) return { kind: 'bytes', bytes: new Uint8Array(0) };
  const ints = readInts(tensor, 1 << 24, modelPath);
  return ints === null ? null : { kind: 'bytes', bytes: integerBytes(ints.map(BigInt), dtypeBits(dtype)) };
}

/** Little-endian, `bits` of 8 to 64 each; sub-byte types fill bytes from the low bits up. */
function integerBytes(values: readonly bigint[], bits: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((values.length * bits) / 8));
  if (bits < 8) {
    values.forEach((value, i) => {
      const bit = i * bits;
      bytes[bit >> 3] |= Number(BigInt.asUintN(bits, value)) << (bit & 7);
    });
    return bytes;
  }
  const width = bits / 8;
  values.forEach((value, i) => {
    let rest = BigInt.asUintN(bits, value);
    for (let k = 0; k < width; k++, rest >>= 8n) bytes[i * width + k] = Number(rest & 255n);
  });
  return bytes;
}

/** Whether a tensor can be cut so: sizes divide, every run begins on a byte, and its elements are raw bytes. */
export function canShard(tensor: TensorProto, { axis, blocks }: Sharding, tp: number): boolean {
  const dims = tensor.dims.map(Number);
  const bits = dtypeBits(tensor.dataType ?? 0);
  if (bits === 0 || axis >= dims.length || dims[axis] === 0 || dims[axis] % (blocks * tp) !== 0) return false;
  const dtype: DType = tensor.dataType ?? 0;
  const isRaw = isExternal(tensor) || (tensor.rawData !== undefined && payloadLength(tensor.rawData) > 0);
  if (!isRaw && dtype !== DType.FLOAT && dtype !== DType.DOUBLE && readIntsType(dtype) === false)
    return false;
  let inner = bits;
  for (let k = axis + 1; k < dims.length; k++) inner *= dims[k];
  return ((dims[axis] / (blocks * tp)) * inner) % 8 === 0;
}

function readIntsType(dtype: DType): boolean {
  return dtype >= DType.UINT8 && dtype <= DType.INT64 && dtype !== DType.STRING;
}

/** Dimensions of one shard. */
export function shardDims(dims: readonly number[], sharding: Sharding, tp: number): number[] {
  return dims.map((d, k) => (k === sharding.axis ? d / tp : d));
}

/** What a rank holds of an initializer. @throws PartitionError input when its data is missing or cut short */
export function weightBytes(
  source: WeightSource,
  rank: number,
  tp: number,
  modelPath: string,
): WeightBytes | null {
  if (source.kind === 'integers') {
    const bytes = integerBytes(source.perRank[rank].map(BigInt), dtypeBits(source.dtype));
    return inMemory(source.dtype, source.dims, bytes);
  }
  const { tensor } = source;
  const dtype = tensor.dataType ?? 0;
  const dims = tensor.dims.map(Number);
  const payload = rawPayload(tensor, modelPath);
  if (payload === null) return null;
  if (source.kind === 'firstRank' && rank > 0)
    return inMemory(dtype, dims, new Uint8Array(payloadLength(payload)));
  const sharding = source.kind === 'tensor' ? source.sharding : null;
  if (sharding === null)
    return {
      dtype,
      dims,
      sizeBytes: payloadLength(payload),
      payload,
      visit: (write) => visitRange(payload, 0, payloadLength(payload), write),
    };
  const local = shardDims(dims, sharding, tp);
  const sizeBytes = payloadLength(payload) / tp;
  return {
    dtype,
    dims: local,
    sizeBytes,
    payload: null,
    visit: (write) => visitShard(payload, dims, sharding, rank, tp, write),
  };
}

function inMemory(dtype: number, dims: readonly number[], bytes: Uint8Array): WeightBytes {
  return {
    dtype,
    dims,
    sizeBytes: bytes.length,
    payload: { kind: 'bytes', bytes },
    visit: (write) => write(bytes),
  };
}

function visitRange(
  payload: Payload,
  from: number,
  length: number,
  write: (chunk: Uint8Array) => void,
): void {
  if (payload.kind === 'bytes') write(payload.bytes.subarray(from, from + length));
  else copyRange(payload.path, payload.offset + from, length, write);
}

/**
 * The tensor is `rows` equal runs, one per block of every outer index; of each, the rank's part. Long parts are read alone,
 * short ones by windows of many runs.
 */
function visitShard(
  payload: Payload,
  dims: readonly number[],
  { axis, blocks }: Sharding,
  rank: number,
  tp: number,
  write: (chunk: Uint8Array) => void,
): void {
  let rows = blocks;
  for (let k = 0; k < axis; k++) rows *= dims[k];
  const total = payloadLength(payload);
  const runBytes = total / rows;
  const partBytes = runBytes / tp;
  invariant(Number.isInteger(partBytes), 'a shard ends inside a byte');
  if (partBytes >= LONG_RUN_BYTES) {
    for (let row = 0; row < rows; row++)
      visitRange(payload, row * runBytes + rank * partBytes, partBytes, write);
    return;
  }
  const rowsAtOnce = Math.max(1, Math.floor(WINDOW_BYTES / runBytes));
  const window = new Uint8Array(Math.min(rowsAtOnce, rows) * runBytes);
  const gathered = new Uint8Array(Math.min(rowsAtOnce, rows) * partBytes);
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - row);
    let at = 0;
    visitRange(payload, row * runBytes, count * runBytes, (chunk) => {
      window.set(chunk, at);
      at += chunk.length;
    });
    for (let k = 0; k < count; k++) {
      const from = k * runBytes + rank * partBytes;
      gathered.set(window.subarray(from, from + partBytes), k * partBytes);
    }
    write(gathered.subarray(0, count * partBytes));
  }
}
