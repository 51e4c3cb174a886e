/** Risk-seeking evaluation (compare Petersen et al. 2021): where only the best plan counts, sample many and keep the best. */
import type { Random } from '../util/random.js';
import { boltzmannRow } from './duelling.js';
import type { Environment } from './environment.js';
import { Players } from './players.js';
import type { Batch } from './scorer.js';

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
  let greedy = true;
  const players = new Players(environments, random, {
    onEnd: (i, episodeReturn) => {
      returns.push(episodeReturn);
      if (i === 0) greedy = false;
    },
  });
  while (!done()) {
    const batch = players.look();
    const ratings = rate(batch);
    players.act(
      batch,
      (from, to, i) => boltzmannRow(ratings, from, to, greedy && i === 0 ? 0 : temperature, random.next()),
      done,
    );
  }
  return returns;
}
