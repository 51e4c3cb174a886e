/** Sub-models to files. Weights stand in the model itself, or beside it where there are many bytes of them. */
import { copyFileSync, existsSync, linkSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isExternal, locateExternal, parseExternal, writeModel } from '../../model/index.js';
import type { ModelProto, TensorProto } from '../../model/index.js';
import { AtomicWriter, makeFolder, removeQuietly } from '../../util/files.js';
import type { PieceModel } from './piece.js';

/** More than this stands in a file beside the model; a protobuf message would end at 2 GiB. */
const INLINE_BYTES = 256 * 2 ** 20;
/** Shards that are pieced together are held while a model is written: no more than this. */
const HELD_BYTES = 64 * 2 ** 20;
const ALIGNMENT_BYTES = 64;
/** Smaller tensors stay in the model: shape arithmetic reads them. */
const SMALL_BYTES = 1024;
const EXTERNAL = 1;

/**
 * Writes one sub-model.
 *
 * @param location what its data file is to be called
 * @param proceed called now and then; throws to give up
 * @returns the names of the data files beside it
 */
export function writePiece(piece: PieceModel, path: string, location: string, proceed: () => void): string[] {
  const heldBytes = piece.weights.reduce(
    (sum, w) => sum + (w.bytes.payload === null ? w.bytes.sizeBytes : 0),
    0,
  );
  const separate = piece.initializerBytes > INLINE_BYTES || heldBytes > HELD_BYTES;
  if (!separate) {
    writeModel(withInitializers(piece.model, piece.weights.map(inline)), path);
    return [];
  }
  const writer = new AtomicWriter(join(dirname(path), location));
  try {
    let at = 0;
    const tensors = piece.weights.map((weight): TensorProto => {
      if (weight.bytes.sizeBytes < SMALL_BYTES) return inline(weight);
      const pad = (ALIGNMENT_BYTES - (at % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES;
      if (pad > 0) writer.append(new Uint8Array(pad));
      const offset = at + pad;
      weight.bytes.visit((chunk) => {
        proceed();
        writer.append(chunk);
      });
      at = offset + weight.bytes.sizeBytes;
      return {
        ...EMPTY_TENSOR,
        name: weight.name,
        dataType: weight.bytes.dtype,
        dims: [...weight.bytes.dims],
        dataLocation: EXTERNAL,
        externalData: [
          { key: 'location', value: location },
          { key: 'offset', value: String(offset) },
          { key: 'length', value: String(weight.bytes.sizeBytes) },
        ],
      };
    });
    writer.commit();
    writeModel(withInitializers(piece.model, tensors), path);
  } catch (e) {
    writer.abandon();
    throw e;
  }
  return [location];
}

const EMPTY_TENSOR = { dims: [], stringData: [], externalData: [], metadataProps: [] };

function inline({ name, bytes }: PieceModel['weights'][number]): TensorProto {
  const tensor = { ...EMPTY_TENSOR, name, dataType: bytes.dtype, dims: [...bytes.dims] };
  if (bytes.payload !== null) return { ...tensor, rawData: bytes.payload };
  const whole = new Uint8Array(bytes.sizeBytes);
  let at = 0;
  bytes.visit((chunk) => {
    whole.set(chunk, at);
    at += chunk.length;
  });
  return { ...tensor, rawData: { kind: 'bytes', bytes: whole } };
}

function withInitializers(model: ModelProto, tensors: readonly TensorProto[]): ModelProto {
  const graph = model.graph!;
  return { ...model, graph: { ...graph, initializer: [...graph.initializer, ...tensors] } };
}

/**
 * Puts the files that a sub-model refers to beside it: as hard links, which cost no space, or as copies where the system
 * cannot link. A file that does not exist is left to the user.
 *
 * @returns their names
 */
export function placeReferences(model: ModelProto, modelPath: string, folder: string): string[] {
  const placed = new Set<string>();
  for (const tensor of model.graph?.initializer ?? []) {
    if (!isExternal(tensor)) continue;
    const reference = parseExternal(tensor, modelPath);
    if (placed.has(reference.location)) continue;
    placed.add(reference.location);
    const file = locateExternal(reference, modelPath);
    if (file === null) continue;
    const target = join(folder, reference.location);
    if (existsSync(target) && realpathSync(target) === file.path) continue;
    makeFolder(dirname(target));
    removeQuietly(target);
    try {
      linkSync(file.path, target);
    } catch {
      copyFileSync(file.path, target);
    }
  }
  return [...placed];
}
