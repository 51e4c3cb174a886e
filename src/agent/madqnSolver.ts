/**
 * Multi-agent deep Q-learning as a solver: the stages of plans that teachers or chance drew improve them in turn, one
 * network for all; at the end the trained team works on without exploring much.
 */
import type { Candidate } from '../plan/types.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { loadBackend } from './backend.js';
import { playEpisodes } from './bestOfN.js';
import type { DqnOptions } from './dqn.js';
import { inferQ } from './duelling.js';
import { DEFAULT_MULTI_AGENT, trainMultiAgent } from './multiAgent.js';
import { PlanTask } from './planTask.js';
import type { SolverTeacher } from './teachers.js';
import { THOROUGH_TEACHERS, learnFrom, together } from './teachers.js';

const TRAINING_SHARE = 0.8;
/** Of the last episodes, in units of reward. */
const SAMPLING_TEMPERATURE = 0.02;
/** Teachers' best plans that episodes start from, and as many at random. */
const STARTS = 6;
/** Doing nothing costs no evaluation: a team that has settled is stopped after this many looks at the budget per evaluation. */
const MOST_LOOKS_PER_PRICE = 40;

/** A solver with its own settings; `[]` for teachers that start from random plans only. */
export function createMadqnSolver(
  options: Partial<DqnOptions> = {},
  teachers: readonly SolverTeacher[] = THOROUGH_TEACHERS,
): Solver {
  return {
    name: 'madqn',
    solve: (context) => solve(context, { ...DEFAULT_MULTI_AGENT, ...options }, teachers),
  };
}

export const madqnSolver: Solver = createMadqnSolver();

async function solve(
  whole: SearchContext,
  options: DqnOptions,
  teachers: readonly SolverTeacher[],
): Promise<SearchResult> {
  const lesson = await learnFrom(teachers, whole);
  const { context } = lesson;
  const task = new PlanTask(context, 'madqn');
  if (task.empty) return together(lesson.result, task.result());
  const { tf } = await loadBackend();
  const taught = lesson.plans.slice(-STARTS);
  const starts: Candidate[] = [...taught, ...task.randomPlans(2 * STARTS - taught.length, context.random)];
  const startOf = (seed: number): Candidate => starts[seed % starts.length];
  let looks = 0;
  const mostLooks = MOST_LOOKS_PER_PRICE * Math.max(1, context.budget.maxEvaluations);
  const progress = (): number => Math.max(task.progress(), ++looks / mostLooks);
  const environment = (): ReturnType<PlanTask['improvement']> => task.improvement(startOf);
  const scorer = trainMultiAgent(tf, environment, options, context.random, () => progress() / TRAINING_SHARE);
  playEpisodes(
    Array.from({ length: options.environments }, environment),
    (batch) => inferQ(scorer, batch),
    SAMPLING_TEMPERATURE,
    context.random,
    () => progress() >= 1,
  );
  scorer.dispose();
  return together(lesson.result, task.result());
}
