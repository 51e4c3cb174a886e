/** Solvers by the name that the command line gives them. */
import { PartitionError } from '../util/errors.js';
import { annealSolver } from './anneal.js';
import { dynamicSolver } from './dynamic.js';
import { exhaustiveSolver } from './exhaustive.js';
import { expertSolver } from './expert.js';
import { geneticSolver } from './genetic.js';
import { gpmetisSolver, multilevelSolver } from './graphCuts.js';
import { greedySolver } from './greedy.js';
import { heftSolver } from './heft.js';
import { ilpSolver } from './ilp.js';
import { mcmcSolver } from './mcmc.js';
import { randomSolver } from './random.js';
import type { Solver } from './types.js';

export const CLASSICAL_SOLVERS: readonly Solver[] = [
  randomSolver,
  greedySolver,
  exhaustiveSolver,
  expertSolver,
  annealSolver,
  mcmcSolver,
  geneticSolver,
  dynamicSolver,
  heftSolver,
  multilevelSolver,
  ilpSolver,
];

/** Methods that need a program which is not part of this package. */
export const EXTERNAL_SOLVERS: readonly Solver[] = [gpmetisSolver];

/**
 * @param solvers to choose from; the classical ones unless more are given
 * @throws PartitionError usage, listing the names, when there is no such solver
 */
export function solverByName(name: string, solvers: readonly Solver[] = CLASSICAL_SOLVERS): Solver {
  const found = solvers.find((s) => s.name === name);
  if (found !== undefined) return found;
  const names = solvers.map((s) => s.name).join(', ');
  throw new PartitionError('usage', `expected one of ${names}, found ${name}`, '--method');
}
