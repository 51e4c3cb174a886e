/** Sub-models to files. Weights stand in the model itself, or beside it where there are many bytes of them. */
import { copyFileSync, existsSync, linkSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  encodeModel,
  isExternal,
  locateExternal,
  parseExternal,
  payloadLength,
  writeModel,
} from '../../model/index.js';
import type { ModelProto, TensorProto } from '../../model/index.js';
import { AtomicWriter, makeFolder, removeQuietly, writeFileAtomic } from '../../util/files.js';
import type { PieceModel } from './piece.js';

/** More than this stands in a file beside the model; a protobuf message would end at 2 GiB. */
const INLINE_BYTES = 256 * 2 ** 20;
/** Shards that are pieced together are held while a model is written: no more than this. */
const HELD_BYTES = 4 * 2 ** 20;
const ALIGNMENT_BYTES = 64;
/** Smaller tensors stay in the model: shape arithmetic reads them. */
const SMALL_BYTES = 1024;
const EXTERNAL = 1;

/**
 * Writes the sub-models of all ranks of one piece, whose weights differ in contents only.
 *
 * @param files names of the models in the folder; a data file has `.data` behind it
 * @param proceed called now and then; throws to give up
 * @returns per rank, the names of the data files
 */
export function writePieces(
  ranks: readonly PieceModel[],
  folder: string,
  files: readonly string[],
  proceed: () => void,
): string[][] {
  const [first] = ranks;
  const held = first.weights.reduce((sum, w) => sum + (w.bytes.payload === null ? w.bytes.sizeBytes : 0), 0);
  if (first.initializerBytes <= INLINE_BYTES && held <= HELD_BYTES) {
    ranks.forEach((piece, rank) =>
      writeSmallModel(piece, piece.weights.map(inline), join(folder, files[rank])),
    );
    return ranks.map(() => []);
  }
  const locations = files.map((file) => `${file}.data`);
  const writers = locations.map((location) => new AtomicWriter(join(folder, location)));
  try {
    const tensors = writeData(ranks, locations, writers, proceed);
    for (const writer of writers) writer.commit();
    ranks.forEach((piece, rank) => writeSmallModel(piece, tensors[rank], join(folder, files[rank])));
  } catch (e) {
    for (const writer of writers) writer.abandon();
    throw e;
  }
  return locations.map((location) => [location]);
}

/** The weights of all ranks into their data files; per rank, the initializers that refer to them. */
function writeData(
  ranks: readonly PieceModel[],
  locations: readonly string[],
  writers: readonly AtomicWriter[],
  proceed: () => void,
): TensorProto[][] {
  const tensors = ranks.map((): TensorProto[] => []);
  let at = 0;
  const append = (rank: number, chunk: Uint8Array): void => {
    proceed();
    writers[rank].append(chunk);
  };
  ranks[0].weights.forEach(({ bytes: { sizeBytes, deal } }, i) => {
    if (sizeBytes < SMALL_BYTES) {
      ranks.forEach((piece, rank) => tensors[rank].push(inline(piece.weights[i])));
      return;
    }
    const pad = (ALIGNMENT_BYTES - (at % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES;
    if (pad > 0) for (const writer of writers) writer.append(new Uint8Array(pad));
    const offset = at + pad;
    if (deal !== null) deal(append);
    else ranks.forEach((piece, rank) => piece.weights[i].bytes.visit((chunk) => append(rank, chunk)));
    at = offset + sizeBytes;
    ranks.forEach((piece, rank) => {
      const { name, bytes } = piece.weights[i];
      tensors[rank].push({
        ...EMPTY_TENSOR,
        name,
        dataType: bytes.dtype,
        dims: [...bytes.dims],
        dataLocation: EXTERNAL,
        externalData: [
          { key: 'location', value: locations[rank] },
          { key: 'offset', value: String(offset) },
          { key: 'length', value: String(sizeBytes) },
        ],
      });
    });
  });
  return tensors;
}

/** A model that fits into memory is put together there: thousands of small files need not each wait for the disk. */
function writeSmallModel(piece: PieceModel, tensors: readonly TensorProto[], path: string): void {
  const model = withInitializers(piece.model, tensors);
  const inlined = tensors.reduce(
    (sum, t) => sum + (t.rawData === undefined ? 0 : payloadLength(t.rawData)),
    0,
  );
  if (inlined <= HELD_BYTES) writeFileAtomic(path, encodeModel(model));
  else writeModel(model, path);
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
