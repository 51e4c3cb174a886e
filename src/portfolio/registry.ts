/** Every method that `--method` knows. */
import { dqnSolver } from '../agent/dqnSolver.js';
import { createPolicySolver, policySolver } from '../agent/policySolver.js';
import { createPpoSolver, ppoSolver } from '../agent/ppoSolver.js';
import type { PolicySource } from '../agent/pretrained.js';
import { sacSolver } from '../agent/sacSolver.js';
import { exhaustiveSolver } from '../search/exhaustive.js';
import { greedySolver } from '../search/greedy.js';
import { randomSolver } from '../search/random.js';
import { CLASSICAL_SOLVERS, EXTERNAL_SOLVERS, solverByName as classicalByName } from '../search/registry.js';
import type { Solver } from '../search/types.js';
import { PartitionError, invariant } from '../util/errors.js';
import type { Member } from './auto.js';
import { portfolio } from './auto.js';

/**
 * Enumeration first, because it is soonest near the optimum and proves it on small spaces; the agent and random search
 * look where its settings do not.
 */
export const AUTO_MEMBERS: readonly Member[] = [
  { solver: greedySolver, share: 0.05, leastSec: 0 },
  { solver: exhaustiveSolver, share: 0.5, leastSec: 0 },
  // A few dozen proposals of the pretrained policy cost next to nothing, also where time is too short to train.
  { solver: policySolver, share: 0.04, leastSec: 0.3 },
  { solver: ppoSolver, share: 0.35, leastSec: 1.5 },
  { solver: randomSolver, share: 0.1, leastSec: 0 },
];

export const autoSolver: Solver = portfolio('auto', AUTO_MEMBERS);

export const SOLVERS: readonly Solver[] = [
  autoSolver,
  ...CLASSICAL_SOLVERS,
  ...EXTERNAL_SOLVERS,
  ppoSolver,
  policySolver,
  dqnSolver,
  sacSolver,
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
