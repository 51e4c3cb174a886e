/** Deep Q-learning as a solver: learns from teachers' plans and on the problem itself, then its action values guide the search. */
import type { Solver } from '../search/types.js';
import type { DqnOptions } from './dqn.js';
import { DEFAULT_DQN, trainDqn } from './dqn.js';
import { searchByLearning } from './learnedSearch.js';
import type { SolverTeacher } from './teachers.js';
import { DEFAULT_TEACHERS } from './teachers.js';

/** In units of reward: plans within some 5 % of each other are drawn alike. */
const TEMPERATURE = 0.05;

/**
 * A solver with its own settings of deep Q-learning.
 *
 * @param teachers [] = no imitation
 */
export function createDqnSolver(
  options: Partial<DqnOptions> = {},
  teachers: readonly SolverTeacher[] = DEFAULT_TEACHERS,
): Solver {
  const settings = { ...DEFAULT_DQN, ...options };
  return {
    name: 'dqn',
    solve: (whole) =>
      searchByLearning(whole, {
        ...{ name: 'dqn', teachers, returns: settings, temperature: TEMPERATURE, hidden: settings.hidden },
        train: (tf, task, demonstrations, { random }) =>
          trainDqn(
            tf,
            () => task.episode(),
            settings,
            random,
            () => task.progress(),
            undefined,
            { demonstrations },
          ),
      }),
  };
}

export const dqnSolver: Solver = createDqnSolver();
