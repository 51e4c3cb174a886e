/**
 * Power caps by continuous SAC: learns on the one plan that it is asked about, with the caps of experts shown first, and
 * answers with the best caps that it priced on the way. What exact clocks by task are compared with.
 */
import type { Random } from '../util/random.js';
import { loadBackend } from './backend.js';
import { LIMIT_FROM, PowerCapEpisode } from './powerCapEpisode.js';
import type { CapPrice, CapProblem } from './powerCapEpisode.js';
import { DEFAULT_CONTINUOUS_SAC, trainContinuousSac } from './sacContinuous.js';

export interface CapAgentOptions {
  readonly episodes: number;
  /** What a logarithm of time costs in logarithms of energy. */
  readonly slowdownWeight: number;
}

/** No slowdown is worth its energy at this price. */
export const NO_SLOWDOWN_WEIGHT = 30;
export const DEFAULT_CAP_AGENT: CapAgentOptions = { episodes: 400, slowdownWeight: NO_SLOWDOWN_WEIGHT };

export interface AgentCaps extends CapPrice {
  /** By stage or group, watt. */
  readonly capWatt: Float64Array;
  readonly episodes: number;
}

/** Rows of all stages that a gradient is taken over; fewer experiences where stages are many. */
const ROWS_PER_GRADIENT = 4096;
const LEAST_MINIBATCH = 8;
const ROUNDING_WATT = 0.1;

/** @param stopped asked after every episode; true: ends with the best so far */
export async function agentCaps(
  problem: CapProblem,
  random: Random,
  options: CapAgentOptions = DEFAULT_CAP_AGENT,
  stopped: () => boolean = () => false,
): Promise<AgentCaps> {
  const { tf } = await loadBackend();
  const episode = new PowerCapEpisode(problem, options.slowdownWeight);
  let episodes = 0;
  let bestReturn = -Infinity;
  let best = Float64Array.from(problem.mostWatt);
  const policy = trainContinuousSac(
    tf,
    episode,
    {
      ...DEFAULT_CONTINUOUS_SAC,
      discount: 0,
      minibatch: Math.min(
        DEFAULT_CONTINUOUS_SAC.minibatch,
        Math.max(LEAST_MINIBATCH, Math.floor(ROWS_PER_GRADIENT / problem.stages)),
      ),
    },
    random,
    () => (stopped() ? 1 : episodes / options.episodes),
    expertActions(problem),
    (episodeReturn) => {
      episodes++;
      if (episodeReturn <= bestReturn) return;
      bestReturn = episodeReturn;
      best = episode.capWatt.slice();
    },
  );
  policy.dispose();
  const { timeSec, energyJoule } = problem.evaluate(best);
  return { capWatt: best, timeSec, energyJoule, episodes };
}

/** No caps at all, an expert's, halfway between; and what has slack at some shares of its power. */
function expertActions({
  stages,
  slackShare,
  busyShare,
  leastWatt,
  mostWatt,
  expertWatt,
}: CapProblem): Float32Array[] {
  const most = Math.max(...Array.from(busyShare));
  const hasSlack = (s: number): boolean =>
    slackShare === undefined ? busyShare[s] < 0.98 * most : slackShare[s] > 0.02;
  const all = (share: (s: number) => number): Float32Array =>
    Float32Array.from({ length: stages }, (_, s) => share(s));
  const shown = [1, 0.75, 0.5].map((share) => all((s) => (hasSlack(s) ? share : 1)));
  if (expertWatt === undefined) return shown;
  // A little less than the level's own, so that rounding leaves the level.
  const expert = all((s) =>
    Math.max(0, (LIMIT_FROM * (expertWatt[s] - ROUNDING_WATT - leastWatt[s])) / (mostWatt[s] - leastWatt[s])),
  );
  return [...shown, expert, expert.map((x) => (1 + x) / 2)];
}
