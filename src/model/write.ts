/** ONNX models to memory and to files. */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { PartitionError } from '../util/errors.js';
import { makeFolder, removeQuietly, unwritable } from '../util/files.js';
import type { Sink } from './encode.js';
import { Measured } from './encode.js';
import { GRAPH, MODEL } from './schema.js';
import { copyRange } from './source.js';
import type { GraphProto, ModelProto } from './types.js';

/** Typed arrays of Node 20 end here. */
const LARGEST_IN_MEMORY_BYTES = 2 ** 31;

/**
 * The bytes of a model; payloads that lie in files are read. decodeModel(encodeModel(m)) equals m.
 * @throws PartitionError 'usage' when the bytes exceed 2 GiB: write to a file instead
 */
export function encodeModel(model: ModelProto): Uint8Array {
  return encode(new Measured(model, MODEL));
}

/** The bytes of a lone GraphProto. */
export function encodeGraph(graph: GraphProto): Uint8Array {
  return encode(new Measured(graph, GRAPH));
}

/**
 * Writes a model file of any size; payload ranges are copied from their files in chunks. The file appears whole or not
 * at all, so a model may be written over the one it was read from.
 * @throws PartitionError 'usage' when it cannot be written, 'input' when a payload's file is gone
 */
export function writeModel(model: ModelProto, path: string): void {
  const measured = new Measured(model, MODEL);
  const temporary = `${path}.${process.pid}.tmp`;
  let fd: number | null = null;
  try {
    makeFolder(dirname(path));
    fd = openSync(temporary, 'w');
    measured.writeTo(fileSink(fd));
    fsyncSync(fd);
    closeSync(fd);
    fd = null;
    renameSync(temporary, path);
  } catch (e) {
    if (fd !== null) closeSync(fd);
    removeQuietly(temporary);
    throw e instanceof PartitionError || isOurs(e) ? e : unwritable(path, e);
  }
}

/** A broken invariant must stay recognisable as ours. */
function isOurs(e: unknown): boolean {
  return !(e instanceof Error && 'code' in e);
}

function encode(measured: Measured): Uint8Array {
  if (measured.sizeBytes > LARGEST_IN_MEMORY_BYTES) {
    const message = `a model of ${measured.sizeBytes} bytes does not fit into memory at once`;
    throw new PartitionError('usage', message, null, 'write it to a file with writeModel');
  }
  const bytes = new Uint8Array(measured.sizeBytes);
  let at = 0;
  const write = (chunk: Uint8Array): void => {
    bytes.set(chunk, at);
    at += chunk.length;
  };
  measured.writeTo({ write, copy: (range) => copyRange(range.path, range.offset, range.length, write) });
  return bytes;
}

function fileSink(fd: number): Sink {
  const write = (chunk: Uint8Array): void => {
    for (let done = 0; done < chunk.length;) done += writeSync(fd, chunk, done, chunk.length - done);
  };
  return { write, copy: (range) => copyRange(range.path, range.offset, range.length, write) };
}
