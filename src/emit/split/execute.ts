/** Runs a split model in this process: sub-models through ONNX Runtime, collectives on arrays. */
import { join } from 'node:path';
import { PartitionError } from '../../util/errors.js';
import { fromHalf, toHalf } from './half.js';
import type { ManifestPiece, SplitManifest } from './manifest.js';
import type { Elements } from './elements.js';
import { isWide } from './elements.js';
import type { Runtime, RuntimeTensor } from './runtime.js';

export type Feeds = Readonly<Record<string, RuntimeTensor>>;

/** One model as it is. */
export async function runWhole(runtime: Runtime, path: string, feeds: Feeds): Promise<Feeds> {
  const session = await runtime.open(path);
  try {
    const missing = session.inputNames.find((name) => feeds[name] === undefined);
    if (missing !== undefined)
      throw new PartitionError('usage', `no value for input "${missing}"`, path, 'give it with --inputs');
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/**
 * The outputs of the whole, from its pieces.
 *
 * @param onPiece told after each sub-model, with how many there are; false ends the run
 * @returns null when it was ended
 */
export async function runSplit(
  runtime: Runtime,
  folder: string,
  manifest: SplitManifest,
  feeds: Feeds,
  onPiece: (done: number, of: number) => boolean = () => true,
): Promise<Feeds | null> {
  const { tp } = manifest;
  // What each rank of each stage holds. Stages only see what is sent to them.
  const held = Array.from({ length: manifest.stages }, () =>
    Array.from({ length: tp }, (): Map<string, RuntimeTensor> => new Map(Object.entries(feeds))),
  );
  const pieceAt = new Map(manifest.pieces.map((p) => [`${p.stage}/${p.segment}/${p.rank}`, p]));
  const pieceOf = (stage: number, segment: number, rank: number): ManifestPiece => {
    const piece = pieceAt.get(`${stage}/${segment}/${rank}`);
    if (piece !== undefined) return piece;
    throw new PartitionError(
      'input',
      `no sub-model for stage ${String(stage)}, rank ${String(rank)}`,
      folder,
    );
  };
  let done = 0;
  for (const step of manifest.steps) {
    if (step.kind === 'run') {
      for (let rank = 0; rank < tp; rank++) {
        const piece = pieceOf(step.stage, step.segment, rank);
        const values = held[step.stage][rank];
        // Dead operators only: the runtime refuses to run for nothing.
        if (piece.outputs.length === 0) continue;
        const outputs = await runWhole(runtime, join(folder, piece.file), Object.fromEntries(values));
        for (const [name, tensor] of Object.entries(outputs)) values.set(name, tensor);
        if (!onPiece(++done, manifest.pieces.length)) return null;
      }
    } else if (step.kind === 'send') {
      for (let rank = 0; rank < tp; rank++)
        for (const name of step.tensors)
          held[step.toStage][rank].set(name, present(held[step.fromStage][rank], name, folder));
    } else {
      const parts = held[step.stage].map((values) => present(values, step.from, folder));
      const joined = step.kind === 'allReduce' ? sumOf(parts) : gatherOf(parts, step.axis, step.part);
      for (const values of held[step.stage]) values.set(step.to, joined);
    }
  }
  const outputs: Record<string, RuntimeTensor> = {};
  for (const { name } of manifest.outputs)
    for (const ranks of held) {
      const tensor = ranks[0].get(name);
      if (tensor !== undefined) outputs[name] = tensor;
    }
  return outputs;
}

function present(values: ReadonlyMap<string, RuntimeTensor>, name: string, where: string): RuntimeTensor {
  const tensor = values.get(name);
  if (tensor === undefined)
    throw new PartitionError('input', `the manifest uses "${name}" before it is there`, where);
  return tensor;
}

/** Sum over ranks, in rank order; halves are added as doubles and rounded once. */
export function sumOf(parts: readonly RuntimeTensor[]): RuntimeTensor {
  const [first] = parts;
  const data = first.data.slice() as Elements;
  if (isWide(data)) {
    for (const part of parts.slice(1))
      for (let i = 0; i < data.length; i++) data[i] += (part.data as BigInt64Array)[i];
    return { ...copyOf(first), data };
  }
  const isHalf = first.type === 'float16';
  for (let i = 0; i < data.length; i++) {
    let sum = 0;
    for (const part of parts) sum += isHalf ? fromHalf(Number(part.data[i])) : Number(part.data[i]);
    data[i] = isHalf ? toHalf(sum) : sum;
  }
  return { ...copyOf(first), data };
}

/** Joins shards along an axis: each has runs of `part` elements, the whole has, run by run, those of all ranks. */
export function gatherOf(parts: readonly RuntimeTensor[], axis: number, part: number): RuntimeTensor {
  const [first] = parts;
  const dims = first.dims.map((d, k) => (k === axis ? d * parts.length : d));
  let rows = first.dims[axis] / part;
  for (let k = 0; k < axis; k++) rows *= first.dims[k];
  const run = rows === 0 ? 0 : first.data.length / rows;
  const Kind = first.data.constructor as new (length: number) => Elements;
  const data = new Kind(first.data.length * parts.length);
  let at = 0;
  for (let row = 0; row < rows; row++)
    for (const part of parts) {
      const from = part.data.subarray(row * run, (row + 1) * run);
      (data as Uint8Array).set(from as Uint8Array, at);
      at += run;
    }
  return { type: first.type, data, dims };
}

/** Tensors of the runtime keep their fields on a prototype. */
function copyOf({ type, dims }: RuntimeTensor): Omit<RuntimeTensor, 'data'> {
  return { type, dims };
}
