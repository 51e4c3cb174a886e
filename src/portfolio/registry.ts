/** Every method that `--method` knows. */
import { dqnSolver } from '../agent/dqnSolver.js';
import { ppoSolver } from '../agent/ppoSolver.js';
import { sacSolver } from '../agent/sacSolver.js';
import { exhaustiveSolver } from '../search/exhaustive.js';
import { greedySolver } from '../search/greedy.js';
import { randomSolver } from '../search/random.js';
import { CLASSICAL_SOLVERS, EXTERNAL_SOLVERS, solverByName as classicalByName } from '../search/registry.js';
import type { Solver } from '../search/types.js';
import type { Member } from './auto.js';
import { portfolio } from './auto.js';

/**
 * Enumeration first, because it is soonest near the optimum and proves it on small spaces; the agent and random search
 * look where its settings do not.
 */
export const AUTO_MEMBERS: readonly Member[] = [
  { solver: greedySolver, share: 0.05, leastSec: 0 },
  { solver: exhaustiveSolver, share: 0.5, leastSec: 0 },
  { solver: ppoSolver, share: 0.35, leastSec: 1.5 },
  { solver: randomSolver, share: 0.1, leastSec: 0 },
];

export const autoSolver: Solver = portfolio('auto', AUTO_MEMBERS);

export const SOLVERS: readonly Solver[] = [
  autoSolver,
  ...CLASSICAL_SOLVERS,
  ...EXTERNAL_SOLVERS,
  ppoSolver,
  dqnSolver,
  sacSolver,
];

/** @throws PartitionError usage, listing the names, when there is no such solver */
export function solverByName(name: string): Solver {
  return classicalByName(name, SOLVERS);
}
