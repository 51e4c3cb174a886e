/**
 * PPO as a solver: trains on the problem itself, one plan episode per price. It starts from the pretrained policy where
 * one ships, whose likeliest plan is the first one priced, or from random weights.
 */
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import type { Candidate } from '../plan/types.js';
import { loadBackend } from './backend.js';
import type { PlanEpisode } from './planEpisode.js';
import { EMBEDDED_PLAN_SPEC } from './planEpisode.js';
import { PlanTask } from './planTask.js';
import type { PolicySource } from './pretrained.js';
import { hasShippedPolicy, policyFrom, SHIPPED } from './pretrained.js';
import type { PpoOptions } from './ppo.js';
import { DEFAULT_PPO, trainPpo } from './ppo.js';
import type { Scorer } from './scorer.js';
import { packBatch } from './scorer.js';

/** What a policy that knows its trade is refined with: smaller steps, less wandering. */
const REFINING: Partial<PpoOptions> = { learningRate: 1e-3, entropyBonus: 0.05 };

/**
 * A solver with its own settings of PPO.
 *
 * @param source where it starts; without a shipped checkpoint `SHIPPED` means from scratch
 */
export function createPpoSolver(options: Partial<PpoOptions> = {}, source: PolicySource = SHIPPED): Solver {
  return {
    name: 'ppo',
    solve: (context) => {
      const warm = source.kind === 'file' || (source.kind === 'shipped' && hasShippedPolicy());
      const settings = { ...DEFAULT_PPO, ...(warm ? REFINING : {}), ...options };
      return solve(context, settings, warm ? source : null);
    },
  };
}

export const ppoSolver: Solver = createPpoSolver();

async function solve(
  context: SearchContext,
  options: PpoOptions,
  source: PolicySource | null,
): Promise<SearchResult> {
  const { tf } = await loadBackend();
  const warm = source === null ? undefined : policyFrom(tf, source);
  const task: PlanTask = new PlanTask(
    context,
    'ppo',
    warm?.spec === EMBEDDED_PLAN_SPEC,
    // The likeliest plan of a policy that knows its trade is the one to beat.
    warm === undefined ? undefined : (episode, value) => value(likeliestPlan(warm, episode)),
  );
  if (!task.empty)
    trainPpo(
      tf,
      () => task.episode(),
      options,
      context.random,
      () => task.progress(),
      undefined,
      warm,
    ).dispose();
  else warm?.dispose();
  return task.result();
}

/** Plays the episode that takes the likeliest option every time; its plan, priced. */
function likeliestPlan(policy: Scorer, episode: PlanEpisode): Candidate {
  let observation = episode.reset(0);
  for (let done = false; !done;) {
    const batch = packBatch(policy.spec, [observation]);
    const { scores } = policy.infer(batch);
    let best = 0;
    for (let r = 1; r < batch.rowCount; r++) if (scores[r] > scores[best]) best = r;
    const step = episode.step(batch.rowOption[best]);
    observation = step.observation;
    done = step.terminated;
  }
  return episode.plan!;
}
