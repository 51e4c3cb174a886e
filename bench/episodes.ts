/**
 * Agents on placements and schedules: what each expert's episode is worth, what PPO, DQN and SAC find by themselves and after
 * imitating the experts, and the best known value. Writes partitions/episodes.md; about five minutes.
 *
 *     node --import tsx bench/episodes.ts [--only name,..] [--seeds 3] [--episodes 300] [--print]
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadBackend } from '../src/agent/backend.js';
import type { TensorFlow } from '../src/agent/backend.js';
import type { Teacher } from '../src/agent/demonstrations.js';
import type { Environment } from '../src/agent/environment.js';
import { EPISODE_AGENTS, trainOnEpisodes } from '../src/agent/episodeTraining.js';
import type { EpisodeAgent } from '../src/agent/episodeTraining.js';
import { PlacementEpisode } from '../src/agent/placementEpisode.js';
import type { PlacementProblem } from '../src/agent/placementGraph.js';
import { ScheduleEpisode } from '../src/agent/scheduleEpisode.js';
import { playSchedule, SCHEDULE_EXPERTS } from '../src/agent/scheduleExperts.js';
import type { ScheduleExpertName } from '../src/agent/scheduleExperts.js';
import { scheduleOf } from '../src/agent/scheduleOf.js';
import type { ScheduleProblem } from '../src/agent/scheduleState.js';
import { Random } from '../src/util/random.js';
import { mean } from '../src/util/stats.js';
import { bestEpisode } from '../test/support/bestEpisode.js';
import { randomPlacement } from '../test/support/placements.js';
import { randomSchedule } from '../test/support/schedules.js';
import { syntheticCandidate, syntheticProblem } from '../test/support/synthetic.js';

/** Experts whose episodes agents are shown. */
const SHOWN: readonly ScheduleExpertName[] = ['fcfs', 'sjf', 'round-robin'];
const REWARD_SCALE = 10;

/** A problem as environments, its experts, and the value that an episode's reward stands for. */
interface Instance<E extends Environment = Environment> {
  readonly name: string;
  readonly about: string;
  readonly make: () => E;
  readonly referenceSec: number;
  /** Value of each expert's episode. */
  readonly experts: Readonly<Record<string, number>>;
  readonly teachers: readonly ((environment: E) => Teacher)[];
  /** Best value of all, by trying every episode; null where there are too many. */
  readonly bestSec: number | null;
}

function scheduled(name: string, about: string, problem: ScheduleProblem, tiny = false): Instance {
  const env = new ScheduleEpisode(problem);
  const names = Object.keys(SCHEDULE_EXPERTS) as ScheduleExpertName[];
  const experts = Object.fromEntries(
    names.map((expert) => [expert, playSchedule(env.state, SCHEDULE_EXPERTS[expert])]),
  );
  const instance: Instance<ScheduleEpisode> = {
    ...{ name, about, experts, referenceSec: env.referenceSec },
    make: () => new ScheduleEpisode(problem),
    teachers: SHOWN.map((expert) => (e) => () => e.expertAction(expert)),
    bestSec: tiny ? tried(new ScheduleEpisode(problem), env.referenceSec) : null,
  };
  return instance as unknown as Instance;
}

function placed(name: string, about: string, problem: PlacementProblem, tiny = false): Instance {
  const env = new PlacementEpisode(problem);
  const expert = problem.objective === 'latency' ? 'HEFT' : 'greedy';
  const instance: Instance<PlacementEpisode> = {
    ...{ name, about, experts: { [expert]: env.referenceSec }, referenceSec: env.referenceSec },
    make: () => new PlacementEpisode(problem),
    teachers: [(e) => () => e.greedyAction()],
    bestSec: tiny ? tried(new PlacementEpisode(problem), env.referenceSec) : null,
  };
  return instance as unknown as Instance;
}

function tried(env: ScheduleEpisode | PlacementEpisode, referenceSec: number): number {
  return referenceSec * Math.exp(-bestEpisode(env));
}

function instances(): Instance[] {
  const problem = syntheticProblem({ devices: 32, globalBatch: 64, spread: 0.4 });
  const plan = syntheticCandidate(problem, { pp: 4, tp: 2, schedule: 'zb-h1' });
  return [
    scheduled(
      'tiny pipeline',
      '2 ranks, 3 microbatches',
      randomSchedule(new Random(11), { ranks: 2, microbatches: 3, room: 2 }),
      true,
    ),
    scheduled(
      'split backward',
      '4 uneven ranks, 8 microbatches, weight gradients apart, memory for 5',
      randomSchedule(new Random(1), { ranks: 4, microbatches: 8, splitsBackward: true, room: 5 }),
    ),
    scheduled(
      'unequal microbatches',
      '4 uneven ranks, 8 microbatches of 0.5 to 1.5 the size, memory for 4',
      randomSchedule(new Random(2), { ranks: 4, microbatches: 8, unequalSizes: true, room: 4 }),
    ),
    scheduled(
      "a plan's pipeline",
      'stages of a 32-layer model on 4 ranks of 2 H100 each, weight gradients apart',
      scheduleOf(problem, plan, true),
    ),
    placed(
      'tiny graph',
      '8 operators on 3 unlike devices, makespan',
      randomPlacement(new Random(5), { ops: 8, devices: 3, objective: 'latency' }),
      true,
    ),
    placed(
      'makespan',
      '40 operators on 4 unlike devices',
      randomPlacement(new Random(3), { ops: 40, devices: 4, objective: 'latency' }),
    ),
    placed(
      'largest load',
      '40 operators on 4 unlike devices of little memory, some bound together',
      randomPlacement(new Random(4), { ops: 40, devices: 4, objective: 'load', memorySlack: 1.4, groups: 6 }),
    ),
  ];
}

interface Run {
  readonly agent: EpisodeAgent;
  readonly imitates: boolean;
  /** Best episode, and the trained agent's best-rated actions, seconds; one per seed. */
  readonly bestSec: readonly number[];
  readonly greedySec: readonly number[];
}

function measure(
  tf: TensorFlow,
  instance: Instance,
  agent: EpisodeAgent,
  imitates: boolean,
  episodes: number,
  seeds: number,
): Run {
  const outcomes = Array.from({ length: seeds }, (_, seed) =>
    trainOnEpisodes(
      tf,
      instance.make,
      { agent, episodes, teachers: imitates ? instance.teachers : [], rewardScale: REWARD_SCALE },
      new Random(seed + 1),
    ),
  );
  const seconds = (episodeReturn: number): number => instance.referenceSec * Math.exp(-episodeReturn);
  return {
    ...{ agent, imitates },
    bestSec: outcomes.map((o) => seconds(o.bestReturn)),
    greedySec: outcomes.map((o) => seconds(o.greedyReturn)),
  };
}

function section(instance: Instance, runs: readonly Run[]): string[] {
  const found = Math.min(...Object.values(instance.experts), ...runs.flatMap((r) => r.bestSec));
  const best = instance.bestSec ?? found;
  const cell = (sec: number): string => `${sec.toPrecision(5)} (+${(100 * (sec / best - 1)).toFixed(1)} %)`;
  const experts = Object.entries(instance.experts).map(([name, sec]) => `${name} ${cell(sec)}`);
  return [
    `## ${instance.name}`,
    '',
    `${instance.about}. Best known ${best.toPrecision(5)}${instance.bestSec === null ? '' : ' (all were tried)'}. Experts: ${experts.join(', ')}.`,
    '',
    '| agent | imitates | best episode, mean of seeds | worst seed | trained agent, no search |',
    '| --- | --- | ---: | ---: | ---: |',
    ...runs.map(
      ({ agent, imitates, bestSec, greedySec }) =>
        `| ${agent} | ${imitates ? 'yes' : 'no'} | ${cell(mean(bestSec))} | ${cell(Math.max(...bestSec))} | ${cell(mean(greedySec))} |`,
    ),
    '',
  ];
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values: flags } = parseArgs({
    options: { only: text, seeds: text, episodes: text, print: { type: 'boolean', default: false } },
  });
  const seeds = Number(flags.seeds ?? 3);
  const episodes = Number(flags.episodes ?? 300);
  const only = flags.only?.split(',');
  const { tf, name: backend } = await loadBackend();
  const lines = [
    '# Agents on placements and schedules',
    '',
    `Every agent plays ${episodes} episodes of one problem, ${seeds} seeds, with and without episodes of the experts shown first`,
    `(${SHOWN.join(', ')}; HEFT or greedy for placements). Seconds of the makespan or of the largest load, and how far above the`,
    `best known: the best of all runs below where not every episode was tried. Networks on ${backend}. \`node --import tsx bench/episodes.ts\` writes this page.`,
    '',
  ];
  for (const instance of instances()) {
    if (only !== undefined && !only.includes(instance.name)) continue;
    const runs = EPISODE_AGENTS.flatMap((agent) =>
      [false, true].map((imitates) => {
        console.error(`${instance.name}: ${agent}${imitates ? ' imitates' : ''}`);
        return measure(tf, instance, agent, imitates, episodes, seeds);
      }),
    );
    lines.push(...section(instance, runs));
  }
  const page = lines.join('\n');
  if (flags.print !== true) writeFileSync(new URL('../partitions/episodes.md', import.meta.url), page);
  console.log(page);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
