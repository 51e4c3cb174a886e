/** Rollouts: whole episodes of many environments, all their decisions priced together. */
import type { Random } from '../util/random.js';
import type { Environment, Observation } from './environment.js';
import type { Scorer } from './scorer.js';
import { packBatch } from './scorer.js';

/** One decision of a rollout and what came of it. */
export interface Transition {
  readonly observation: Observation;
  /** Place of the chosen option among the legal ones. */
  readonly choice: number;
  readonly logProbability: number;
  readonly value: number;
  reward: number;
  advantage: number;
  /** Target of the value. */
  targetReturn: number;
}

/**
 * Plays one whole episode in every environment, all their decisions priced together; [] when the budget ends first.
 *
 * @param temperature above 1 evens the policy out
 */
export function rollout(
  scorer: Scorer,
  environments: readonly Environment[],
  discount: number,
  random: Random,
  progress: () => number,
  temperature = 1,
): Transition[][] {
  const episodes: Transition[][] = environments.map(() => []);
  const observations = environments.map((e) => e.reset(random.uint32()));
  let active = environments.map((_, i) => i);
  while (active.length > 0 && progress() < 1) {
    const batch = packBatch(
      scorer.spec,
      active.map((i) => observations[i]),
    );
    const { scores, values } = scorer.infer(batch);
    if (temperature !== 1) for (let r = 0; r < scores.length; r++) scores[r] /= temperature;
    const still: number[] = [];
    for (let t = 0; t < active.length; t++) {
      if (progress() >= 1) return [];
      const i = active[t];
      const { choice, logProbability } = sample(scores, batch.rowStart[t], batch.rowStart[t + 1], random);
      const step = environments[i].step(batch.rowOption[batch.rowStart[t] + choice]);
      episodes[i].push({
        observation: observations[i],
        choice,
        logProbability,
        value: values[t],
        reward: step.reward,
        advantage: 0,
        targetReturn: 0,
      });
      observations[i] = step.observation;
      if (!step.terminated && !step.truncated) still.push(i);
      // A cut episode goes on in value only: the last reward takes the value of what would have followed.
      else if (step.truncated && !step.terminated)
        episodes[i].at(-1)!.reward += discount * valueOf(scorer, step.observation);
    }
    active = still;
  }
  return active.length === 0 ? episodes : [];
}

function valueOf(scorer: Scorer, observation: Observation): number {
  return scorer.infer(packBatch(scorer.spec, [observation])).values[0];
}

/** Draws from softmax(scores[from..to)). */
export function sample(
  scores: Float32Array,
  from: number,
  to: number,
  random: Random,
): { choice: number; logProbability: number } {
  let total = 0;
  for (let r = from; r < to; r++) total += Math.exp(scores[r]);
  let left = random.next() * total;
  let choice = 0;
  for (let r = from; r < to; r++) {
    choice = r - from;
    left -= Math.exp(scores[r]);
    if (left < 0) break;
  }
  return { choice, logProbability: scores[from + choice] - Math.log(total) };
}

/** Sum of an episode's rewards. */
export function undiscounted(episode: readonly Transition[]): number {
  let sum = 0;
  for (const x of episode) sum += x.reward;
  return sum;
}

export function meanReturn(episodes: readonly Transition[][]): number {
  let sum = 0;
  for (const episode of episodes) sum += undiscounted(episode);
  return sum / episodes.length;
}
