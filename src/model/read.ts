/** ONNX models from files and from memory. Time and memory grow with the graph, not with the weights. */
import { PartitionError } from '../util/errors.js';
import { decodeMessage } from './decode.js';
import { GRAPH, MODEL } from './schema.js';
import type { Sniffed } from './sniff.js';
import { looksCrlfMangled, sniff, SNIFF_BYTES } from './sniff.js';
import type { ByteSource } from './source.js';
import { fileSource, memorySource } from './source.js';
import type { GraphProto, ModelProto } from './types.js';
import { Cursor } from './wire.js';

/**
 * Reads a model as written. Payloads above 64 KiB stay ranges of the file; external data is not touched.
 * Absent repeated fields share one frozen empty list: replace them, do not push to them.
 * @throws PartitionError 'input' when the file cannot be read, is something else, or is damaged
 */
export function readModel(path: string): ModelProto {
  const source = fileSource(path);
  try {
    return decodeSource(source);
  } finally {
    source.close();
  }
}

/**
 * Decodes a model in memory; payloads are slices of `bytes`.
 * @param where what error messages call it
 */
export function decodeModel(bytes: Uint8Array, where = 'model'): ModelProto {
  return decodeSource(memorySource(bytes, where));
}

/** Decodes a lone GraphProto, which some tools exchange. */
export function decodeGraph(bytes: Uint8Array, where = 'graph'): GraphProto {
  return decodeMessage<GraphProto>(new Cursor(memorySource(bytes, where)), GRAPH, bytes.length);
}

function decodeSource(source: ByteSource): ModelProto {
  const headBytes = Math.min(SNIFF_BYTES, source.sizeBytes);
  const head = source.read(0, headBytes);
  const sniffed = sniff(head, source.sizeBytes);
  if (sniffed !== null) throw notOnnx(source, sniffed);
  let model: ModelProto;
  try {
    model = decodeMessage<ModelProto>(new Cursor(source), MODEL, source.sizeBytes);
  } catch (e) {
    if (e instanceof PartitionError && looksCrlfMangled(source.read(0, Math.min(65536, source.sizeBytes)))) {
      const hint = 'copy it again in binary mode';
      throw new PartitionError(
        'input',
        'damaged by a text-mode transfer: every LF became CR LF',
        source.where,
        hint,
      );
    }
    throw e;
  }
  if (model.graph === undefined) {
    const found = `${source.sizeBytes} bytes of protobuf without a graph`;
    const hint = 'the file is truncated or not an ONNX model';
    throw new PartitionError('input', `expected an ONNX model, found ${found}`, source.where, hint);
  }
  return model;
}

function notOnnx(source: ByteSource, sniffed: Sniffed): PartitionError {
  return new PartitionError(
    'input',
    `expected an ONNX model, found ${sniffed.what}`,
    source.where,
    sniffed.hint,
  );
}
