/** Risk-seeking evaluation (compare Petersen et al. 2021): where only the best plan counts, sample many and keep the best. */
import type { Random } from '../util/random.js';
import { boltzmannRow } from './duelling.js';
import type { Environment } from './environment.js';
import type { Batch } from './scorer.js';
import { packBatch } from './scorer.js';

/**
 * Plays episodes with choices drawn from softmax(ratings / temperature), all environments together; the first environment
 * takes the best-rated option every time in its first episode.
 *
 * @param rate one number per row: scores of a policy or action values
 * @param done asked before every step: stop here?
 * @returns undiscounted return of every finished episode
 */
export function playEpisodes(
  environments: readonly Environment[],
  rate: (batch: Batch) => Float32Array,
  temperature: number,
  random: Random,
  done: () => boolean,
): number[] {
  const returns: number[] = [];
  const { spec } = environments[0];
  const sums = new Float64Array(environments.length);
  const observations = environments.map((e) => e.reset(random.uint32()));
  let greedy = true;
  while (!done()) {
    const batch = packBatch(spec, observations);
    const ratings = rate(batch);
    for (let i = 0; i < environments.length && !done(); i++) {
      const heat = greedy && i === 0 ? 0 : temperature;
      const row = boltzmannRow(ratings, batch.rowStart[i], batch.rowStart[i + 1], heat, random.next());
      const step = environments[i].step(batch.rowOption[row]);
      sums[i] += step.reward;
      observations[i] = step.observation;
      if (!step.terminated && !step.truncated) continue;
      returns.push(sums[i]);
      sums[i] = 0;
      observations[i] = environments[i].reset(random.uint32());
      if (i === 0) greedy = false;
    }
  }
  return returns;
}
