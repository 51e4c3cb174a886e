/**
 * Soft actor-critic as a solver: classical solvers show plans first, the policy that ships (or a random one) clones them and
 * trains on the problem itself, and what it has learned guides the search.
 */
import type { Solver } from '../search/types.js';
import { searchByLearning } from './learnedSearch.js';
import { PLAN_SPEC } from './planEpisode.js';
import type { PolicySource } from './pretrained.js';
import { hasShippedPolicy, policyFrom, SHIPPED } from './pretrained.js';
import type { SacOptions } from './sac.js';
import { DEFAULT_SAC, trainSac } from './sac.js';
import type { Scorer } from './scorer.js';
import type { SolverTeacher } from './teachers.js';
import { DEFAULT_TEACHERS } from './teachers.js';

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
  const settings = { ...DEFAULT_SAC, ...options };
  return {
    name: 'sac',
    solve: (whole) =>
      searchByLearning(whole, {
        ...{ name: 'sac', teachers, returns: settings, temperature: 1, hidden: settings.hidden },
        train: (tf, task, demonstrations, { random }) => {
          const known = source.kind === 'file' || (source.kind === 'shipped' && hasShippedPolicy());
          const pretrained = known ? policyFrom(tf, source) : null;
          // A policy that reads the graph's embedding, or of another size, cannot be gone on from here.
          const scorer = pretrained !== null && isPlain(pretrained, settings.hidden) ? pretrained : undefined;
          const trained = trainSac(
            tf,
            () => task.episode(),
            settings,
            random,
            () => task.progress(),
            undefined,
            { demonstrations, scorer },
          );
          pretrained?.dispose();
          return trained;
        },
      }),
  };
}

export const sacSolver: Solver = createSacSolver();

function isPlain({ spec, variables }: Scorer, hidden: number): boolean {
  return spec.contextFeatures === PLAN_SPEC.contextFeatures && variables[0].shape[1] === hidden;
}
