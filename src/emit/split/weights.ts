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
  /** For a shard: visits those of all ranks in one reading. */
  readonly deal: ((write: (rank: number, chunk: Uint8Array) => void) => void) | null;
  /** The bytes as one run of a file or of memory, where they are one. */
  readonly payload: Payload | null;
}

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
      deal: null,
      visit: (write) => visitAll(payload, write),
    };
  const local = shardDims(dims, sharding, tp);
  const sizeBytes = payloadLength(payload) / tp;
  const deal: WeightBytes['deal'] = (write) => dealOut(payload, dims, sharding, tp, write);
  const visit: WeightBytes['visit'] = (write) => deal((owner, chunk) => owner === rank && write(chunk));
  return { dtype, dims: local, sizeBytes, payload: null, deal, visit };
}

function inMemory(dtype: number, dims: readonly number[], bytes: Uint8Array): WeightBytes {
  return {
    dtype,
    dims,
    sizeBytes: bytes.length,
    payload: { kind: 'bytes', bytes },
    deal: null,
    visit: (write) => write(bytes),
  };
}

function visitAll(payload: Payload, write: (chunk: Uint8Array) => void): void {
  if (payload.kind === 'bytes') write(payload.bytes);
  else copyRange(payload.path, payload.offset, payload.length, write);
}

/** Bytes that are kept per rank before they are handed on. */
const STAGED_BYTES = 1 << 18;

/**
 * Reads a tensor once and deals it out: it is equal runs, one per block of every outer index, and of each run every rank gets
 * its part, in order. Chunks are valid during the call only.
 */
function dealOut(
  payload: Payload,
  dims: readonly number[],
  { axis, blocks }: Sharding,
  tp: number,
  write: (rank: number, chunk: Uint8Array) => void,
): void {
  let rows = blocks;
  for (let k = 0; k < axis; k++) rows *= dims[k];
  const partBytes = payloadLength(payload) / (rows * tp);
  invariant(Number.isInteger(partBytes), 'a shard ends inside a byte');
  const staged = Array.from({ length: tp }, () => new Uint8Array(STAGED_BYTES));
  const filled = new Int32Array(tp);
  const flush = (rank: number): void => {
    if (filled[rank] > 0) write(rank, staged[rank].subarray(0, filled[rank]));
    filled[rank] = 0;
  };
  let rank = 0;
  let left = partBytes;
  visitAll(payload, (chunk) => {
    for (let at = 0; at < chunk.length;) {
      const take = Math.min(left, chunk.length - at);
      const piece = chunk.subarray(at, at + take);
      if (take > STAGED_BYTES - filled[rank]) flush(rank);
      if (take > STAGED_BYTES) write(rank, piece);
      else {
        staged[rank].set(piece, filled[rank]);
        filled[rank] += take;
      }
      at += take;
      left -= take;
      if (left > 0) continue;
      left = partBytes;
      rank = rank + 1 === tp ? 0 : rank + 1;
    }
  });
  for (let r = 0; r < tp; r++) flush(r);
}
