/**
 * Soft actor-critic as a solver: classical solvers show plans first, the policy clones them, then trains on the problem
 * itself, one plan episode per price, and at the end samples from what it learned.
 */
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { loadBackend } from './backend.js';
import { playEpisodes } from './bestOfN.js';
import { demonstrateEpisode, planTeacher } from './demonstrations.js';
import { PLAN_SPEC } from './planEpisode.js';
import { PlanTask } from './planTask.js';
import type { PolicySource } from './pretrained.js';
import { hasShippedPolicy, policyFrom, SHIPPED } from './pretrained.js';
import type { SacOptions } from './sac.js';
import { DEFAULT_SAC, trainSac } from './sac.js';
import type { Scorer } from './scorer.js';
import type { SolverTeacher } from './teachers.js';
import { DEFAULT_TEACHERS, learnFrom, together } from './teachers.js';

/** Share of the budget for training; the rest samples from what was learned. */
const TRAINING_SHARE = 0.9;
/** At most this many of the teachers' best plans are shown. */
const MOST_DEMONSTRATIONS = 32;

/**
 * A solver with its own settings of soft actor-critic.
 *
 * @param teachers [] = no imitation
 * @param source policy to start from; without a shipped checkpoint `SHIPPED` means from scratch
 */
export function createSacSolver(
  options: Partial<SacOptions> = {},
  teachers: readonly SolverTeacher[] = DEFAULT_TEACHERS,
  source: PolicySource = SHIPPED,
): Solver {
  return {
    name: 'sac',
    solve: (context) => solve(context, { ...DEFAULT_SAC, ...options }, teachers, source),
  };
}

export const sacSolver: Solver = createSacSolver();

async function solve(
  whole: SearchContext,
  options: SacOptions,
  teachers: readonly SolverTeacher[],
  source: PolicySource,
): Promise<SearchResult> {
  const lesson = await learnFrom(teachers, whole);
  const { context } = lesson;
  const task = new PlanTask(context, 'sac');
  if (task.empty) return together(lesson.result, task.result());
  const { tf } = await loadBackend();
  const demonstrations = lesson.plans.slice(-MOST_DEMONSTRATIONS).flatMap((plan) => {
    if (task.exhausted()) return [];
    const episode = task.episode();
    return demonstrateEpisode(episode, 0, planTeacher(episode, plan), options);
  });
  const known = source.kind === 'file' || (source.kind === 'shipped' && hasShippedPolicy());
  const pretrained = known ? policyFrom(tf, source) : null;
  // A policy that reads the graph's embedding, or of another size, cannot be gone on from here.
  const start = pretrained !== null && isPlain(pretrained, options.hidden) ? pretrained : undefined;
  const policy = trainSac(
    tf,
    () => task.episode(),
    options,
    context.random,
    () => task.progress() / TRAINING_SHARE,
    undefined,
    { demonstrations, scorer: start },
  );
  pretrained?.dispose();
  const environments = Array.from({ length: options.environments }, () => task.episode());
  playEpisodes(
    environments,
    (batch) => policy.infer(batch).scores,
    1,
    context.random,
    () => task.progress() >= 1,
  );
  policy.dispose();
  return together(lesson.result, task.result());
}

function isPlain({ spec, variables }: Scorer, hidden: number): boolean {
  return spec.contextFeatures === PLAN_SPEC.contextFeatures && variables[0].shape[1] === hidden;
}
