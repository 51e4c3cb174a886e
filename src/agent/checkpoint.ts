/**
 * Policies as files: one JSON object that says what made it and what it is for, with the weights as base64 float32 and
 * a SHA-256 of all of it. A file that is not exactly what this version reads is refused by name, never used in part.
 */
import { createHash } from 'node:crypto';
import { Random } from '../util/random.js';
import { PartitionError } from '../util/errors.js';
import { readTextFile, writeFileAtomic } from '../util/files.js';
import type { AdamState } from './adam.js';
import type { TensorFlow } from './backend.js';
import type { EnvironmentSpec } from './environment.js';
import { Scorer } from './scorer.js';

const FORMAT = 'partition-checkpoint';
/** Grows whenever an older file would be misread: other layers, other meanings of features. */
export const CHECKPOINT_VERSION = 1;

/** What a policy was trained for. Its weights mean nothing elsewhere. */
export interface CheckpointEnvironment {
  readonly name: string;
  readonly optionFeatures: number;
  readonly contextFeatures: number;
  /** Units of each hidden layer. */
  readonly hidden: number;
}

/** How a policy came to be. */
export interface TrainedBy {
  readonly seed: number;
  readonly updates: number;
  readonly episodes: number;
  readonly backend: string;
}

export interface Checkpoint {
  readonly algorithm: string;
  readonly environment: CheckpointEnvironment;
  readonly trainedBy: TrainedBy;
  /** In the order of `Scorer.variables`. */
  readonly weights: readonly Float32Array[];
  /** What training needs to go on exactly as if it had not stopped; null in a policy that is only used. */
  readonly optimizer: AdamState | null;
  /** The configuration of the training, canonical; resuming demands the same one. Null where there is none. */
  readonly config: string | null;
}

/** The file's text; the same checkpoint gives the same bytes. */
export function encodeCheckpoint(c: Checkpoint): string {
  const body = {
    format: FORMAT,
    version: CHECKPOINT_VERSION,
    algorithm: c.algorithm,
    environment: c.environment,
    trainedBy: c.trainedBy,
    sizes: c.weights.map((w) => w.length),
    weights: base64(c.weights),
    optimizer:
      c.optimizer === null
        ? null
        : {
            steps: c.optimizer.steps,
            first: base64(c.optimizer.first),
            second: base64(c.optimizer.second),
          },
    config: c.config,
  };
  return `${JSON.stringify({ ...body, sha256: digest(body) }, null, 1)}\n`;
}

/**
 * @param where the file's name, for messages
 * @throws PartitionError input when it is no checkpoint, another version's, or damaged
 */
export function decodeCheckpoint(text: string, where: string): Checkpoint {
  const refuse = (what: string, hint: string | null = null): PartitionError =>
    new PartitionError('input', what, where, hint);
  const file = parse(text);
  if (file === null || file['format'] !== FORMAT) throw refuse('expected a checkpoint of partition train');
  if (file['version'] !== CHECKPOINT_VERSION)
    throw refuse(
      `checkpoint of version ${JSON.stringify(file['version']) ?? 'nothing'}, this program reads version ${CHECKPOINT_VERSION}`,
      'train again with partition train',
    );
  const { sha256, ...body } = file;
  if (sha256 !== digest(body)) throw refuse('damaged checkpoint: its SHA-256 does not match');
  const { sizes, weights, optimizer, algorithm, environment, trainedBy, config } = body as unknown as Body;
  const floats = float32s(weights, sizes);
  if (floats.some((w) => w.some((x) => !Number.isFinite(x))))
    throw refuse('damaged checkpoint: a weight is not a finite number');
  return {
    algorithm,
    environment,
    trainedBy,
    weights: floats,
    optimizer:
      optimizer === null
        ? null
        : {
            steps: optimizer.steps,
            first: float64s(optimizer.first, sizes),
            second: float64s(optimizer.second, sizes),
          },
    config,
  };
}

interface Body {
  readonly algorithm: string;
  readonly environment: CheckpointEnvironment;
  readonly trainedBy: TrainedBy;
  readonly sizes: readonly number[];
  readonly weights: string;
  readonly optimizer: { readonly steps: number; readonly first: string; readonly second: string } | null;
  readonly config: string | null;
}

/** Larger files are no checkpoints. */
const MOST_BYTES = 1 << 24;

/** @throws PartitionError input as `decodeCheckpoint`, or when the file cannot be read */
export function loadCheckpoint(path: string): Checkpoint {
  return decodeCheckpoint(readTextFile(path, 'a checkpoint', MOST_BYTES), path);
}

/** Writes the file whole or not at all. @throws PartitionError usage when it cannot be written */
export function saveCheckpoint(path: string, checkpoint: Checkpoint): void {
  writeFileAtomic(path, encodeCheckpoint(checkpoint));
}

/** Weights of a network, copied. */
export function weightsOf(scorer: Scorer): Float32Array[] {
  return scorer.variables.map((v) => (v.dataSync() as Float32Array).slice());
}

/**
 * A network with a checkpoint's weights.
 *
 * @param algorithms those whose networks will do
 * @throws PartitionError input when the checkpoint is another algorithm's or another environment's
 */
export function scorerFrom(
  tf: TensorFlow,
  checkpoint: Checkpoint,
  spec: EnvironmentSpec,
  algorithms: readonly string[],
  where: string,
): Scorer {
  const { algorithm, environment: e, weights } = checkpoint;
  if (!algorithms.includes(algorithm))
    throw new PartitionError(
      'input',
      `checkpoint of ${algorithm}, expected ${algorithms.join(' or ')}`,
      where,
    );
  const found = describe(e.name, e.optionFeatures, e.contextFeatures);
  const expected = describe(spec.name, spec.optionFeatures, spec.contextFeatures);
  if (found !== expected)
    throw new PartitionError('input', `checkpoint for ${found}, expected ${expected}`, where, 'train again');
  const scorer = new Scorer(tf, spec, e.hidden, unused());
  const sizes = scorer.variables.map((v) => v.size);
  if (sizes.join() !== weights.map((w) => w.length).join()) {
    scorer.dispose();
    throw new PartitionError('input', 'checkpoint of a network of other layers', where, 'train again');
  }
  scorer.variables.forEach((v, k) => {
    const tensor = tf.tensor(weights[k], v.shape);
    v.assign(tensor);
    tensor.dispose();
  });
  return scorer;
}

/** Initial weights that are overwritten at once. */
function unused(): Random {
  return new Random(0);
}

function describe(name: string, optionFeatures: number, contextFeatures: number): string {
  return `environment ${name} with ${optionFeatures} option and ${contextFeatures} context features`;
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function digest(body: object): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex');
}

function base64(arrays: readonly (Float32Array | Float64Array)[]): string {
  return Buffer.concat(arrays.map((a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength))).toString(
    'base64',
  );
}

/** A digest that matches vouches for the sizes. */
function float32s(text: string, sizes: readonly number[]): Float32Array[] {
  return pieces(text, sizes, 4).map((p) => new Float32Array(p));
}

function float64s(text: string, sizes: readonly number[]): Float64Array[] {
  return pieces(text, sizes, 8).map((p) => new Float64Array(p));
}

function pieces(text: string, sizes: readonly number[], width: number): ArrayBuffer[] {
  const bytes = new Uint8Array(Buffer.from(text, 'base64'));
  let at = 0;
  return sizes.map((size) => bytes.slice(at, (at += size * width)).buffer);
}
