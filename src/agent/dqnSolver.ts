/** Deep Q-learning as a solver: trains on the problem itself, one plan episode per price, then samples near its best. */
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { loadBackend } from './backend.js';
import { playEpisodes } from './bestOfN.js';
import type { DqnOptions } from './dqn.js';
import { DEFAULT_DQN, trainDqn } from './dqn.js';
import { inferQ } from './duelling.js';
import { PlanTask } from './planTask.js';

/** Share of the budget for training; the rest samples from what was learned. */
const TRAINING_SHARE = 0.9;
/** Of the last samples, in units of reward: plans within some 5 % of each other are drawn alike. */
const SAMPLING_TEMPERATURE = 0.05;

/** A solver with its own settings of deep Q-learning. */
export function createDqnSolver(options: Partial<DqnOptions> = {}): Solver {
  return { name: 'dqn', solve: (context) => solve(context, { ...DEFAULT_DQN, ...options }) };
}

export const dqnSolver: Solver = createDqnSolver();

async function solve(context: SearchContext, options: DqnOptions): Promise<SearchResult> {
  const task = new PlanTask(context, 'dqn');
  if (task.empty) return task.result();
  const { tf } = await loadBackend();
  const scorer = trainDqn(
    tf,
    () => task.episode(),
    options,
    context.random,
    () => task.progress() / TRAINING_SHARE,
  );
  const environments = Array.from({ length: options.environments }, () => task.episode());
  playEpisodes(
    environments,
    (batch) => inferQ(scorer, batch),
    SAMPLING_TEMPERATURE,
    context.random,
    () => task.progress() >= 1,
  );
  scorer.dispose();
  return task.result();
}
