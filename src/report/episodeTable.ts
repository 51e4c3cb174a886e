/** What training on one placement or schedule came to. */
import { formatSeconds, formatTable } from '../util/format.js';

/** What `partition train --json` prints for a configuration with `episode`. */
export interface EpisodeFacts {
  readonly algorithm: 'ppo' | 'dqn' | 'sac';
  readonly backend: string;
  readonly seed: number;
  readonly kind: 'placement' | 'schedule';
  /** The workload, or the plan whose pipeline is scheduled. */
  readonly problem: string;
  readonly objective: 'throughput' | 'latency' | 'makespan';
  /** Played, of which those of experts and of the last play are some. */
  readonly episodes: number;
  readonly plannedEpisodes: number;
  readonly wallSec: number;
  /** Values, less is better: seconds of a schedule, the workload's unit of a placement. */
  readonly referenceValue: number;
  /** Best of the experts that were shown; null where none was. */
  readonly shownValue: number | null;
  /** Of the trained agent's likeliest or best-rated actions. */
  readonly greedyValue: number;
  readonly bestValue: number;
  /** The best episode: devices of operators, or tasks of ranks in their order. */
  readonly answerPath: string;
  readonly metricsPath: string;
}

export function episodeTable(f: EpisodeFacts): string {
  const value = (x: number | null): string => {
    if (x === null) return '-';
    return f.kind === 'schedule' ? formatSeconds(x) : x.toPrecision(6);
  };
  return [
    `${f.algorithm} on ${f.backend}, seed ${f.seed}: ${f.episodes} of ${f.plannedEpisodes} episodes of ${f.problem}, ${formatSeconds(f.wallSec)}`,
    '',
    formatTable([
      [`${f.objective} (less is better)`, 'value'],
      [f.kind === 'schedule' ? '1f1b' : 'greedy (HEFT for latency)', value(f.referenceValue)],
      ['best expert shown', value(f.shownValue)],
      ['what was learned, played once', value(f.greedyValue)],
      ['best episode', value(f.bestValue)],
    ]),
    '',
    `answer   ${f.answerPath}`,
    `metrics  ${f.metricsPath}`,
  ].join('\n');
}
