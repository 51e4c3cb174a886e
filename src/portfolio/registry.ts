/** Every method that `--method` knows. */
import { dqnSolver } from '../agent/dqnSolver.js';
import { createGuidedSolver, guidedSolver } from '../agent/guidedSolver.js';
import { madqnSolver } from '../agent/madqnSolver.js';
import { createPolicySolver, policySolver } from '../agent/policySolver.js';
import { createPpoSolver, ppoSolver } from '../agent/ppoSolver.js';
import type { PolicySource } from '../agent/pretrained.js';
import { sacSolver } from '../agent/sacSolver.js';
import { dynamicSolver } from '../search/dynamic.js';
import { exhaustiveSolver } from '../search/exhaustive.js';
import { CLASSICAL_SOLVERS, EXTERNAL_SOLVERS, solverByName as classicalByName } from '../search/registry.js';
import type { Solver } from '../search/types.js';
import { PartitionError, invariant } from '../util/errors.js';
import type { Member } from './auto.js';
import { portfolio } from './auto.js';

/**
 * Enumeration first, because it is soonest near the optimum and proves it on small spaces; then dynamic programming, whose
 * cuts for the whole pipeline pay on unlike devices; then the agent, whose race over meshes wants a long run. What enumeration and
 * dynamic programming leave over goes to another search of the agent, from the best plan.
 */
export const AUTO_MEMBERS: readonly Member[] = [
  { solver: exhaustiveSolver, share: 0.1, leastSec: 0 },
  { solver: dynamicSolver, share: 0.1, leastSec: 0 },
  { solver: guidedSolver, share: 0.8, leastSec: 0.1 },
];

export const autoSolver: Solver = portfolio('auto', AUTO_MEMBERS, guidedSolver);

export const SOLVERS: readonly Solver[] = [
  autoSolver,
  ...CLASSICAL_SOLVERS,
  ...EXTERNAL_SOLVERS,
  guidedSolver,
  ppoSolver,
  policySolver,
  dqnSolver,
  sacSolver,
  madqnSolver,
];

const REGISTERED: Solver[] = [];

/** Adds a method; its name must be new. */
export function registerSolver(solver: Solver): void {
  invariant(
    ![...SOLVERS, ...REGISTERED].some((s) => s.name === solver.name),
    `a new method, found ${solver.name} twice`,
  );
  REGISTERED.push(solver);
}

/** Names of all methods, registered ones last. */
export function solverNames(): string[] {
  return [...SOLVERS, ...REGISTERED].map((s) => s.name);
}

/** Methods that start from a checkpoint of `partition train`. */
const FROM_CHECKPOINT: Readonly<Record<string, (source: PolicySource) => Solver>> = {
  agent: (source) => createGuidedSolver({}, source),
  ppo: (source) => createPpoSolver({}, source),
  policy: (source) => createPolicySolver(source),
};

/**
 * @param checkpoint file to start from in place of the policy that ships
 * @throws PartitionError usage, listing the names, when there is no such solver or it takes no checkpoint
 */
export function solverByName(name: string, checkpoint?: string): Solver {
  const solver = classicalByName(name, [...SOLVERS, ...REGISTERED]);
  if (checkpoint === undefined) return solver;
  if (!Object.hasOwn(FROM_CHECKPOINT, name))
    throw new PartitionError(
      'usage',
      `method ${name} starts from no checkpoint`,
      '--checkpoint',
      `methods that do: ${Object.keys(FROM_CHECKPOINT).join(', ')}`,
    );
  return FROM_CHECKPOINT[name]({ kind: 'file', path: checkpoint });
}
