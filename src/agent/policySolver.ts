/** The pretrained policy as a solver: proposes a few plans at once, prices them and keeps the best. Nothing is learned. */
import type { Candidate } from '../plan/types.js';
import { Cutter } from '../search/cutRules.js';
import { Evaluator } from '../search/evaluator.js';
import { PriceMemo } from '../search/memo.js';
import { PlanSpace } from '../search/space.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import { loadBackend } from './backend.js';
import type { PolicySource } from './pretrained.js';
import { policyFrom, SHIPPED } from './pretrained.js';
import { EMBEDDED_PLAN_SPEC, PlanEpisode } from './planEpisode.js';
import { rollout } from './rollout.js';
import type { Scorer } from './scorer.js';
import { packBatch } from './scorer.js';

/** Different plans proposed: the likeliest one, and draws. */
export const PROPOSALS = 64;

/** Of the rounds of draws. */
const TEMPERATURES = [1, 1.5, 2, 3];

/** @throws PartitionError input from `solve` when the checkpoint is missing, damaged or another version's */
export function createPolicySolver(source: PolicySource = SHIPPED, proposals = PROPOSALS): Solver {
  return { name: 'policy', solve: (context) => solve(context, source, proposals) };
}

export const policySolver: Solver = createPolicySolver();

async function solve(context: SearchContext, source: PolicySource, proposals: number): Promise<SearchResult> {
  const evaluator = new Evaluator(context, 'policy');
  const space = new PlanSpace(context.problem);
  if (space.meshes.length === 0) return evaluator.result(true);
  const { tf } = await loadBackend();
  const policy = policyFrom(tf, source);
  try {
    const cutter = new Cutter(context.problem);
    const memo = new PriceMemo(evaluator, context.problem.objective);
    const embedded = policy.spec === EMBEDDED_PLAN_SPEC;
    const make = (): PlanEpisode => new PlanEpisode(space, cutter, memo, 1, embedded);
    likeliestPlan(policy, make());
    // Plans proposed before are not priced again: rounds go on, ever less sure, until enough different ones are.
    const count = Math.min(proposals, context.budget.maxEvaluations);
    const progress = (): number => (evaluator.evaluations >= count ? 1 : evaluator.progress());
    for (const temperature of TEMPERATURES) {
      if (progress() >= 1) break;
      const environments = Array.from({ length: Math.max(1, count - evaluator.evaluations) }, make);
      rollout(policy, environments, 1, context.random, progress, temperature);
    }
    return evaluator.result(false);
  } finally {
    policy.dispose();
  }
}

/** Plays the episode that takes the likeliest option every time; its plan, priced. */
export function likeliestPlan(policy: Scorer, episode: PlanEpisode): Candidate {
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
