/**
 * PPO as a solver: trains on the problem itself, one plan episode per price. It starts from the pretrained policy where
 * one ships, whose likeliest plan is the first one priced, or from random weights.
 */
import type { Candidate } from '../plan/types.js';
import { Cutter } from '../search/cutRules.js';
import { Evaluator } from '../search/evaluator.js';
import { PriceMemo } from '../search/memo.js';
import { MOST_DRAWS_PER_PRICE, randomPlan } from '../search/random.js';
import { PlanSpace } from '../search/space.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { loadBackend } from './backend.js';
import { EMBEDDED_PLAN_SPEC, PlanEpisode } from './planEpisode.js';
import type { PolicySource } from './pretrained.js';
import { hasShippedPolicy, policyFrom, SHIPPED } from './pretrained.js';
import type { PpoOptions } from './ppo.js';
import { DEFAULT_PPO, trainPpo } from './ppo.js';
import type { Scorer } from './scorer.js';
import { packBatch } from './scorer.js';

/** A policy that drew this many known plans in a row has settled. */
const CONVERGED_AFTER = 192;

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
  const evaluator = new Evaluator(context, 'ppo');
  const { problem, budget } = context;
  const space = new PlanSpace(problem);
  if (space.meshes.length === 0) return evaluator.result(true);
  const { tf } = await loadBackend();
  const cutter = new Cutter(problem);
  const memo = new PriceMemo(evaluator, problem.objective);
  const warm = source === null ? undefined : policyFrom(tf, source);
  const embedded = warm?.spec === EMBEDDED_PLAN_SPEC;
  const reference =
    warm === undefined
      ? randomReference(space, cutter, memo, context)
      : memo.price(likeliestPlan(warm, new PlanEpisode(space, cutter, memo, 1, embedded))).value;
  const mostEpisodes = MOST_DRAWS_PER_PRICE * budget.maxEvaluations;
  const policy = trainPpo(
    tf,
    () => new PlanEpisode(space, cutter, memo, reference, embedded),
    options,
    context.random,
    () => (memo.repeated >= CONVERGED_AFTER ? 1 : Math.max(evaluator.progress(), memo.asked / mostEpisodes)),
    undefined,
    warm,
  );
  policy.dispose();
  return evaluator.result(false);
}

/** Plans drawn for the reference. */
const REFERENCE_PLANS = 8;

/** Median value of a few random plans: the reward of an average plan is about 0. Their prices count like all others. */
function randomReference(
  space: PlanSpace,
  cutter: Cutter,
  memo: PriceMemo,
  { random, budget }: SearchContext,
): number {
  const count = Math.min(REFERENCE_PLANS, budget.maxEvaluations);
  const plans: Candidate[] = Array.from({ length: count }, () => randomPlan(space, cutter, random));
  const values = plans.map((p) => memo.price(p).value).sort((a, b) => a - b);
  return values[values.length >> 1];
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
