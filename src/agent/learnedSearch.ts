/**
 * What agents that learn on the problem itself do with a budget: teachers show plans; the agent trains on plan episodes from
 * there; and what it has learned guides the rest of the search from the best plan so far (see `guidedSolver`), in plain typed
 * arrays, because nothing is learned any more.
 */
import type { Candidate } from '../plan/types.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import type { TensorFlow } from './backend.js';
import { loadBackend } from './backend.js';
import { demonstrateEpisode, planTeacher } from './demonstrations.js';
import { FastPolicy } from './fastPolicy.js';
import { DEFAULT_GUIDED, guideSearch } from './guidedSolver.js';
import { PLAN_SPEC, PlanOffers } from './planOffers.js';
import { PlanTask } from './planTask.js';
import { PlanTree } from './planTree.js';
import type { Experience } from './replay.js';
import type { Scorer } from './scorer.js';
import type { SolverTeacher } from './teachers.js';
import { learnFrom, together } from './teachers.js';

/** Of what the teachers leave. */
const TRAINING_SHARE = 0.4;
/** At most this many of the teachers' best plans are shown. */
const MOST_DEMONSTRATIONS = 32;

export interface LearningAgent {
  readonly name: string;
  readonly teachers: readonly SolverTeacher[];
  /** Sums of rewards in demonstrations. */
  readonly returns: { readonly nStep: number; readonly discount: number };
  /** Plans are drawn from softmax(scores / temperature) of the trained network, which decides on `PLAN_SPEC`. */
  readonly temperature: number;
  readonly hidden: number;
  /** Trains until the task's progress reaches 1. */
  train(
    tf: TensorFlow,
    task: PlanTask,
    demonstrations: readonly Experience[],
    context: SearchContext,
  ): Scorer;
}

export async function searchByLearning(whole: SearchContext, agent: LearningAgent): Promise<SearchResult> {
  const lesson = await learnFrom(agent.teachers, whole);
  let policy: FastPolicy | null = null;
  const training: Solver = {
    name: agent.name,
    async solve(context) {
      const task = new PlanTask(context, agent.name);
      if (task.empty) return task.result();
      const { tf } = await loadBackend();
      const scorer = agent.train(tf, task, shown(task, lesson.plans, agent), context);
      policy = inTypedArrays(scorer, agent.hidden);
      scorer.dispose();
      return task.result();
    },
  };
  const own = await learnFrom([{ solver: training, share: TRAINING_SHARE }], lesson.context);
  const known = own.result === null ? lesson.result : together(lesson.result, own.result);
  const { budget } = own.context;
  if (known !== null && (policy === null || budget.maxEvaluations < 1 || budget.maxSec <= 0)) return known;
  const start = known?.best ?? null;
  const last = guideSearch(
    { ...own.context, ...(start === null ? {} : { start }) },
    agent.name,
    ({ space, cutter }) =>
      new PlanTree(
        new PlanOffers(space, cutter, false),
        (observation) => policy!.scores(observation),
        agent.temperature,
      ),
    DEFAULT_GUIDED,
  );
  return together(known, last);
}

/** The teachers' best plans as experiences; each costs an episode like any other. */
function shown(task: PlanTask, plans: readonly Candidate[], { returns }: LearningAgent): Experience[] {
  return plans.slice(-MOST_DEMONSTRATIONS).flatMap((plan) => {
    if (task.exhausted()) return [];
    const episode = task.episode();
    return demonstrateEpisode(episode, 0, planTeacher(episode, plan), returns);
  });
}

function inTypedArrays({ variables }: Scorer, hidden: number): FastPolicy {
  const weights = variables.map((v) => (v.dataSync() as Float32Array).slice());
  return new FastPolicy({ weights, environment: { ...PLAN_SPEC, hidden } }, PLAN_SPEC, 'internal');
}
