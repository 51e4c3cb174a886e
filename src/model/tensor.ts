/**
 * Tensors: sizes without reading, and the elements of small ones, whatever the element type and wherever ONNX let the
 * writer put them (raw_data, a typed field, an external file).
 */
import { PartitionError } from '../util/errors.js';
import { DType, dtypeBits, dtypeBytes } from './dtype.js';
import { payloadLength } from './encode.js';
import { isExternal, locateExternal, parseExternal } from './external.js';
import { isMinifloat, minifloat } from './minifloat.js';
import { quote } from './quote.js';
import { copyRange, memorySource } from './source.js';
import type { Int64, Payload, TensorProto } from './types.js';
import { Cursor } from './wire.js';

/**
 * Number of elements, 1 for a scalar.
 * @throws PartitionError 'input' when a dimension is negative or the product is not exact in a double
 */
export function tensorElementCount(tensor: TensorProto): number {
  const count = elementCount(tensor.dims);
  if (count !== null) return count;
  throw new PartitionError(
    'input',
    `tensor ${quote(tensor.name)} has impossible dimensions [${tensor.dims.join(', ')}]`,
  );
}

/** Product of dimensions; null when one is negative or the product exceeds 2^53 - 1. */
export function elementCount(dims: readonly Int64[]): number | null {
  let count = 1;
  let isEmpty = false;
  for (const dim of dims) {
    if (dim < 0) return null;
    if (dim === 0 || dim === 0n) isEmpty = true;
    else count *= Number(dim);
  }
  if (isEmpty) return 0;
  return Number.isSafeInteger(count) ? count : null;
}

/**
 * Bytes that the elements take in raw form. Strings count their text; a type from the future counts what is stored.
 * @throws PartitionError 'input' as `tensorElementCount`
 */
export function tensorBytes(tensor: TensorProto): number {
  const dtype: DType = tensor.dataType ?? DType.UNDEFINED;
  if (dtype === DType.STRING) return tensor.stringData.reduce((sum, text) => sum + text.length, 0);
  if (dtypeBits(dtype) > 0) return dtypeBytes(dtype, tensorElementCount(tensor));
  if (tensor.rawData !== undefined) return payloadLength(tensor.rawData);
  return isExternal(tensor) ? (parseExternal(tensor, null).length ?? 0) : 0;
}

/**
 * The elements as numbers, in row-major order; integers beyond 2^53 are rounded (see `readInts`).
 * @param maxCount give up (null) on tensors of more elements
 * @param modelPath the model's file, so that small external data can be read; null: external data counts as absent
 * @returns null for too large, complex, string and unknown types, and when the data is absent
 */
export function readNumbers(
  tensor: TensorProto,
  maxCount: number,
  modelPath: string | null = null,
): Float64Array | null {
  const elements = readElements(tensor, maxCount, modelPath);
  if (elements === null) return null;
  const numbers = new Float64Array(elements.length);
  for (let i = 0; i < elements.length; i++) numbers[i] = Number(elements[i]);
  return numbers;
}

/**
 * The elements of an integer or boolean tensor, exactly.
 * @returns null as `readNumbers`, and for floating-point types
 */
export function readInts(
  tensor: TensorProto,
  maxCount: number,
  modelPath: string | null = null,
): Int64[] | null {
  return INTEGERS.has(tensor.dataType ?? DType.UNDEFINED) ? readElements(tensor, maxCount, modelPath) : null;
}

/** The bytes of a payload, read from its file if need be. */
export function payloadBytes(payload: Payload): Uint8Array {
  if (payload.kind === 'bytes') return payload.bytes;
  const bytes = new Uint8Array(payload.length);
  let at = 0;
  copyRange(payload.path, payload.offset, payload.length, (chunk) => {
    bytes.set(chunk, at);
    at += chunk.length;
  });
  return bytes;
}

/** Number of varints in a packed payload: each ends with a byte below 128. */
export function countVarints(bytes: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] < 128) count++;
  return count;
}

const SIGNED: ReadonlySet<DType> = new Set([
  DType.INT2,
  DType.INT4,
  DType.INT8,
  DType.INT16,
  DType.INT32,
  DType.INT64,
]);
const INTEGERS: ReadonlySet<DType> = new Set([
  ...SIGNED,
  ...[DType.BOOL, DType.UINT2, DType.UINT4, DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64],
]);

function readElements(tensor: TensorProto, maxCount: number, modelPath: string | null): Int64[] | null {
  const count = elementCount(tensor.dims);
  if (count === null || count > maxCount) return null;
  const dtype: DType = tensor.dataType ?? DType.UNDEFINED;
  if (dtype !== DType.FLOAT && dtype !== DType.DOUBLE && !INTEGERS.has(dtype) && !isMinifloat(dtype))
    return null;
  if (count === 0) return [];
  if (isExternal(tensor)) {
    const raw = externalBytes(tensor, dtypeBytes(dtype, count), modelPath);
    return raw === null ? null : fromRaw(raw, dtype, count);
  }
  if (tensor.rawData !== undefined && payloadLength(tensor.rawData) > 0) {
    return fromRaw(payloadBytes(tensor.rawData), dtype, count);
  }
  return fromTyped(tensor, dtype, count);
}

function externalBytes(
  tensor: TensorProto,
  neededBytes: number,
  modelPath: string | null,
): Uint8Array | null {
  if (modelPath === null) return null;
  const reference = parseExternal(tensor, modelPath);
  const file = locateExternal(reference, modelPath);
  if (file === null || reference.offset + neededBytes > file.sizeBytes) return null;
  return payloadBytes({ kind: 'range', path: file.path, offset: reference.offset, length: neededBytes });
}

/** From the fixed-width little-endian form; sub-byte types are packed from the low bits up. */
function fromRaw(raw: Uint8Array, dtype: DType, count: number): Int64[] | null {
  if (raw.length !== dtypeBytes(dtype, count)) return null;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  const elements = new Array<Int64>(count);
  const bits = dtypeBits(dtype);
  for (let i = 0; i < count; i++) {
    if (dtype === DType.FLOAT) elements[i] = view.getFloat32(4 * i, true);
    else if (dtype === DType.DOUBLE) elements[i] = view.getFloat64(8 * i, true);
    else if (dtype === DType.INT64) elements[i] = narrow(view.getBigInt64(8 * i, true));
    else if (dtype === DType.UINT64) elements[i] = narrow(view.getBigUint64(8 * i, true));
    else if (bits === 32) elements[i] = fromCode(dtype, 32, view.getUint32(4 * i, true));
    else if (bits === 16) elements[i] = fromCode(dtype, 16, view.getUint16(2 * i, true));
    else elements[i] = fromCode(dtype, bits, codeAt(raw, i, bits));
  }
  return elements;
}

/** Code `i` of `bits` <= 8 bits from a stream that fills bytes from the low bit up. */
function codeAt(raw: Uint8Array, i: number, bits: number): number {
  const bit = i * bits;
  const byte = Math.floor(bit / 8);
  const pair = raw[byte] | ((raw[byte + 1] ?? 0) << 8);
  return (pair >> (bit % 8)) & ((1 << bits) - 1);
}

function fromCode(dtype: DType, bits: number, code: number): number {
  if (isMinifloat(dtype)) return minifloat(dtype, code);
  if (dtype === DType.BOOL) return code === 0 ? 0 : 1;
  return SIGNED.has(dtype) && code >= 2 ** (bits - 1) ? code - 2 ** bits : code;
}

function fromTyped(tensor: TensorProto, dtype: DType, count: number): Int64[] | null {
  if (dtype === DType.FLOAT)
    return tensor.floatData === undefined ? null : fromRaw(payloadBytes(tensor.floatData), dtype, count);
  if (dtype === DType.DOUBLE)
    return tensor.doubleData === undefined ? null : fromRaw(payloadBytes(tensor.doubleData), dtype, count);
  const isWide = dtype === DType.UINT32 || dtype === DType.UINT64;
  const payload = dtype === DType.INT64 ? tensor.int64Data : isWide ? tensor.uint64Data : tensor.int32Data;
  if (payload === undefined) return null;
  const words = varints(payloadBytes(payload));
  const bits = dtypeBits(dtype);
  if (bits < 8) {
    // Each int32 holds one byte of packed elements.
    return fromRaw(
      Uint8Array.from(words, (word) => Number(word) & 255),
      dtype,
      count,
    );
  }
  if (words.length !== count) return null;
  if (dtype === DType.INT64) return words;
  if (dtype === DType.UINT64) return words.map((word) => narrow(BigInt.asUintN(64, BigInt(word))));
  return words.map((word) => fromCode(dtype, bits, Number(BigInt.asUintN(bits, BigInt(word)))));
}

function varints(bytes: Uint8Array): Int64[] {
  const cursor = new Cursor(memorySource(bytes, 'packed tensor data'));
  const words: Int64[] = [];
  while (cursor.offset < bytes.length) words.push(cursor.int64());
  return words;
}

function narrow(value: bigint): Int64 {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
