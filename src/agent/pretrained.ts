/** Where a solver takes its policy from. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dataPath } from '../util/files.js';
import { PartitionError } from '../util/errors.js';
import type { TensorFlow } from './backend.js';
import type { Checkpoint } from './checkpoint.js';
import { loadCheckpoint, scorerFrom } from './checkpoint.js';
import { planSpec } from './planEpisode.js';
import type { Scorer } from './scorer.js';

/** The policy that ships with the package, a checkpoint file, or none: from a random start. */
export type PolicySource =
  { readonly kind: 'shipped' } | { readonly kind: 'file'; readonly path: string } | { readonly kind: 'none' };

export const SHIPPED: PolicySource = { kind: 'shipped' };
export const FROM_SCRATCH: PolicySource = { kind: 'none' };

/** The checkpoint that ships: src/data/training/plan-ppo.yaml makes it. */
export const SHIPPED_PATH = fileURLToPath(dataPath('checkpoints/plan-ppo.json'));

/** A policy of the user's own that stands for the one that ships, in this thread. */
let standIn: string | null = null;

/** Read once: the file does not change under us. */
let shipped: Checkpoint | null = null;

/**
 * From now on a checkpoint of `partition train` stands for the policy that ships, wherever a method of this thread starts
 * from that one.
 *
 * @param path null: the one that ships again
 * @throws PartitionError input when it is no such checkpoint
 */
export function usePolicy(path: string | null): void {
  standIn = path;
  shipped = null;
  if (path !== null) checkpointFrom(SHIPPED);
}

/** The file that stands for the policy that ships; null: itself. What another thread has to be told. */
export function policyInUse(): string | null {
  return standIn;
}

export function hasShippedPolicy(): boolean {
  return shipped !== null || existsSync(standIn ?? SHIPPED_PATH);
}

/**
 * The source's checkpoint and the file that it is in.
 *
 * @throws PartitionError input when there is no such checkpoint or it is damaged, usage when the source is none
 */
export function checkpointFrom(source: PolicySource): { checkpoint: Checkpoint; where: string } {
  if (source.kind === 'none') throw new PartitionError('usage', 'expected a policy to start from', 'policy');
  const where = source.kind === 'file' ? source.path : (standIn ?? SHIPPED_PATH);
  const checkpoint = source.kind === 'file' ? loadCheckpoint(where) : (shipped ??= loadCheckpoint(where));
  if (checkpoint.algorithm !== 'ppo')
    throw new PartitionError('input', `checkpoint of ${checkpoint.algorithm}, expected ppo`, where);
  return { checkpoint, where };
}

/**
 * A network with the source's weights, for plan episodes of its spec (embedded or not); the caller disposes of it.
 *
 * @throws PartitionError as `checkpointFrom`, or input when the checkpoint is for something else
 */
export function policyFrom(tf: TensorFlow, source: PolicySource): Scorer {
  const { checkpoint, where } = checkpointFrom(source);
  return scorerFrom(tf, checkpoint, planSpec(checkpoint.environment.name), ['ppo'], where);
}
