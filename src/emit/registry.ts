/** Targets by name: those that ship, and the user's own. */
import { PartitionError } from '../util/errors.js';
import { nearNames } from '../util/near.js';
import type { EmitTarget } from './types.js';

const targets = new Map<string, EmitTarget>();

/**
 * Adds a target; holds for the process.
 *
 * @throws PartitionError usage when the name is taken or no name, or `emit` is no function
 */
export function registerEmitTarget(target: EmitTarget): void {
  const { name } = target;
  if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(name))
    throw new PartitionError(
      'usage',
      `expected a name of letters, digits, - and _ for the emit target, found ${JSON.stringify(name)}`,
    );
  if (targets.has(name))
    throw new PartitionError('usage', 'an emit target of this name is there already', name);
  if (typeof target.emit !== 'function')
    throw new PartitionError('usage', `expected a function emit, found ${typeof target.emit}`, name);
  targets.set(name, target);
}

export function emitTargets(): readonly EmitTarget[] {
  return [...targets.values()];
}

/** @throws PartitionError usage when there is none of this name */
export function emitTarget(name: string): EmitTarget {
  const found = targets.get(name);
  if (found !== undefined) return found;
  const names = [...targets.keys()];
  const near = nearNames(name, names);
  throw new PartitionError(
    'usage',
    `expected one of ${names.join(', ')}, found ${name === '' ? 'nothing' : name}`,
    '--target',
    near.length > 0 ? `did you mean ${near.join(' or ')}?` : null,
  );
}
