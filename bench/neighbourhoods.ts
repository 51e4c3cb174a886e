/**
 * Which neighbourhood to open next: an agent that learned it on drawn instances against uniform choice and the bandit, at
 * equal processor time, on drawn instances of other seeds and on the contest's, of which it saw none. Writes
 * partitions/neighbourhoods.md.
 *
 *     node --import tsx bench/neighbourhoods.ts [--tasks 10] [--updates 40] [--drawn 20] [--drawn-seconds 0.5] [--drawn-seeds 3]
 *         [--instances K,M,S,U] [--seconds 5] [--seeds 2] [--policy file.json] [--runs file.jsonl] [--out partitions]
 *
 * `--policy` keeps the trained policy, or takes it from there when the file exists; `--runs` keeps every run, and takes those
 * that it has from there.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadBackend } from '../src/agent/backend.js';
import type { Checkpoint } from '../src/agent/checkpoint.js';
import { loadCheckpoint, saveCheckpoint } from '../src/agent/checkpoint.js';
import { LearnedChoice } from '../src/agent/neighbourhoodChoice.js';
import { drawShardInstance } from '../src/agent/neighbourhoodInstance.js';
import {
  NEIGHBOURHOOD_EPISODES,
  drawNeighbourhoodTasks,
  trainNeighbourhoods,
} from '../src/agent/neighbourhoodTraining.js';
import { readShardInstance } from '../src/api/shard.js';
import type { NeighbourhoodChoice, ShardCore } from '../src/shard/index.js';
import {
  BanditChoice,
  Exchange,
  NEIGHBOURHOODS,
  UniformChoice,
  reduceInstance,
  solveCore,
} from '../src/shard/index.js';
import { writeFileAtomic } from '../src/util/files.js';
import { Random } from '../src/util/random.js';
import { mean, median, quantile } from '../src/util/stats.js';

const INSTANCES = fileURLToPath(new URL('../../shared/data/iopddl/', import.meta.url));
const TRAINING_SEED = 1;
/** Held-out instances are drawn from other seeds. */
const HELD_OUT_SEED = 1000;
/** Smaller cores are solved at once, whoever chooses. */
const LEAST_VARIABLES = 200;
const RESAMPLES = 2000;

type Policy = Pick<Checkpoint, 'weights' | 'environment'>;
type Make = (core: ShardCore, random: Random, policy: Policy) => NeighbourhoodChoice;

const METHODS: Readonly<Record<string, Make>> = {
  uniform: (_, random) => new UniformChoice(NEIGHBOURHOODS.length, random),
  bandit: (_, random) => new BanditChoice(NEIGHBOURHOODS.length, random),
  'thrifty bandit': (_, random) => new BanditChoice(NEIGHBOURHOODS.length, random, 0.5),
  learned: (core, random, policy) => new LearnedChoice(core, policy, random, 'policy'),
};
const NAMES = Object.keys(METHODS);
/** What the others are compared with: it ships. */
const BASE = 'bandit';

/** Costs of one instance: by method, by seed. */
interface Runs {
  readonly name: string;
  readonly costs: Readonly<Record<string, readonly number[]>>;
}

/** Runs that were made before, in a file. */
class Kept {
  private readonly costs = new Map<string, number>();

  constructor(private readonly path: string | undefined) {
    if (path === undefined || !existsSync(path)) return;
    for (const line of readFileSync(path, 'utf8').split('\n').filter(Boolean)) {
      const [name, cost] = JSON.parse(line) as [string, number | null];
      this.costs.set(name, cost ?? Infinity);
    }
  }

  run(name: string, solve: () => number): number {
    const known = this.costs.get(name);
    if (known !== undefined) return known;
    const cost = solve();
    if (this.path !== undefined) appendFileSync(this.path, `${JSON.stringify([name, cost])}\n`);
    return cost;
  }
}

/** Processor time of this process, seconds: a busy machine does not count. */
const cpuSec = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function policyOf(path: string | undefined, tasks: number, updates: number): Promise<Policy> {
  if (path !== undefined && existsSync(path)) return loadCheckpoint(path);
  const random = new Random(TRAINING_SEED);
  const drawn = drawNeighbourhoodTasks(random, tasks);
  console.error(`cores of ${drawn.map(({ core }) => core.count).join(', ')} variables`);
  const { tf, name } = await loadBackend();
  const policy = trainNeighbourhoods(tf, drawn, updates, true, random, ({ update, meanReturn, entropy }) => {
    console.error(`update ${update}: return ${meanReturn.toFixed(3)}, entropy ${entropy.toFixed(2)}`);
  });
  if (path !== undefined)
    saveCheckpoint(path, {
      ...policy,
      algorithm: 'ppo',
      trainedBy: { seed: TRAINING_SEED, updates, episodes: updates * NEIGHBOURHOOD_EPISODES, backend: name },
      optimizer: null,
      config: null,
    });
  return policy;
}

function runsOf(
  name: string,
  core: ShardCore,
  policy: Policy,
  seeds: number,
  seconds: number,
  kept: Kept,
): Runs {
  const costs: Record<string, number[]> = {};
  for (const method of NAMES) costs[method] = [];
  for (let seed = 1; seed <= seeds; seed++)
    for (const method of NAMES)
      costs[method].push(
        kept.run(`${name}, ${method}, seed ${seed}, ${seconds} s`, () => {
          const random = new Random(seed);
          const choose = METHODS[method](core, random.fork(), policy);
          const deadline = cpuSec() + seconds;
          const exchange = Exchange.for(core);
          return solveCore(core, { clock: cpuSec, deadline, random, exchange, choose }).cost;
        }),
      );
  console.error(name, NAMES.map((m) => `${m} ${mean(costs[m]).toPrecision(8)}`).join(', '));
  return { name, costs };
}

/** Of one instance and method: cost above the best of all its runs, percent, per seed; Infinity where nothing was found. */
function excessOf({ costs }: Runs, method: string): number[] {
  const best = Math.min(...Object.values(costs).flat());
  return costs[method].map((cost) => (cost < Infinity ? 100 * (cost / best - 1) : Infinity));
}

/**
 * Rows of a table: share of runs with a solution, their median excess; paired with the base, the mean difference where both
 * found one, and how often which was better (something is better than nothing). Intervals resample whole instances.
 */
function summary(all: readonly Runs[]): string[] {
  const random = new Random(1);
  const interval = (values: readonly number[], digits: number): string => {
    const [low, high] = intervalOf(values, random);
    return `${signed(mean(values), digits)} (${signed(low, digits)} to ${signed(high, digits)})`;
  };
  return NAMES.map((method) => {
    const excess = all.flatMap((runs) => excessOf(runs, method));
    const found = excess.filter((x) => x < Infinity);
    const share = `${found.length} of ${excess.length}`;
    const row = `| ${method} | ${share} | ${found.length === 0 ? '' : median(found).toFixed(3)} |`;
    if (method === BASE) return `${row} | | |`;
    const { differences, verdicts, better, worse } = against(all, method);
    const difference = differences.length === 0 ? '' : interval(differences, 3);
    return `${row} ${difference} | ${better} : ${worse} | ${interval(verdicts, 2)} |`;
  });
}

/** Of each instance: the mean difference to the base where both found something, and wins less losses of its pairs. */
function against(
  all: readonly Runs[],
  method: string,
): { differences: number[]; verdicts: number[]; better: number; worse: number } {
  const differences: number[] = [];
  const verdicts: number[] = [];
  let better = 0;
  let worse = 0;
  for (const runs of all) {
    const base = excessOf(runs, BASE);
    const own = excessOf(runs, method);
    const both = own.map((x, k) => x - base[k]).filter(Number.isFinite);
    if (both.length > 0) differences.push(mean(both));
    const wins = own.filter((x, k) => x < base[k]).length;
    const losses = own.filter((x, k) => x > base[k]).length;
    verdicts.push((wins - losses) / own.length);
    better += wins;
    worse += losses;
  }
  return { differences, verdicts, better, worse };
}

/** 95 % interval of the mean. */
function intervalOf(values: readonly number[], random: Random): readonly [number, number] {
  const means = Array.from({ length: RESAMPLES }, () => mean(values.map(() => random.pick(values))));
  return [quantile(means, 0.025), quantile(means, 0.975)];
}

/** How the learned choice does against the base, in words. */
function verdictOn(all: readonly Runs[]): 'better' | 'worse' | 'neither better nor worse' {
  const { verdicts } = against(all, 'learned');
  if (verdicts.length === 0) return 'neither better nor worse';
  const [low, high] = intervalOf(verdicts, new Random(2));
  return low > 0 ? 'better' : high < 0 ? 'worse' : 'neither better nor worse';
}

function signed(x: number, digits: number): string {
  return `${x < 0 ? '' : '+'}${x.toFixed(digits)}`;
}

const SUMMARY_HEAD = [
  '| choice | found | median excess, % | minus the bandit’s, mean (95 %) | better : worse than the bandit | share (95 %) |',
  '|---|---|---|---|---|---|',
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tasks: { type: 'string', default: '10' },
      updates: { type: 'string', default: '40' },
      drawn: { type: 'string', default: '20' },
      'drawn-seconds': { type: 'string', default: '0.5' },
      'drawn-seeds': { type: 'string', default: '3' },
      instances: { type: 'string', default: 'K,M,S,U' },
      seconds: { type: 'string', default: '5' },
      seeds: { type: 'string', default: '2' },
      policy: { type: 'string' },
      runs: { type: 'string' },
      out: { type: 'string', default: 'partitions' },
    },
  });
  const [tasks, updates, count] = [values.tasks, values.updates, values.drawn].map(Number);
  const policy = await policyOf(values.policy, tasks, updates);
  const kept = new Kept(values.runs);
  const drawn: Runs[] = [];
  for (let seed = HELD_OUT_SEED; drawn.length < count; seed++) {
    const { core } = reduceInstance(drawShardInstance(new Random(seed)).instance);
    if (core === null || core.count < LEAST_VARIABLES) continue;
    drawn.push(
      runsOf(
        `drawn ${seed}`,
        core,
        policy,
        Number(values['drawn-seeds']),
        Number(values['drawn-seconds']),
        kept,
      ),
    );
  }
  const contest: Runs[] = [];
  for (const name of values.instances.split(',').filter((n) => n !== '')) {
    const instance = await readShardInstance(join(INSTANCES, `asplos-2025-iopddl-${name}.json.gz`));
    const { core } = reduceInstance(instance);
    if (core === null) throw new Error(`internal: ${name} has no solution`);
    contest.push(runsOf(name, core, policy, Number(values.seeds), Number(values.seconds), kept));
  }
  const command = `node --import tsx bench/neighbourhoods.ts --tasks ${tasks} --updates ${updates} --drawn ${count} --drawn-seconds ${values['drawn-seconds']} --drawn-seeds ${values['drawn-seeds']} --instances ${values.instances} --seconds ${values.seconds} --seeds ${values.seeds}`;
  const page = [
    '# Which neighbourhood to open next',
    '',
    `Made by \`${command}\`.`,
    '',
    `PPO learned on ${tasks} drawn training graphs (${updates} updates of ${NEIGHBOURHOOD_EPISODES} episodes, seed ${TRAINING_SEED}); it saw none of the instances below. All`,
    'choices have the same processor time, one thread, after reading and reducing. Excess: cost above the best of all runs on the',
    'instance. *bandit* draws arms by gain per work and explores all as often; the *thrifty* one explores dear arms less often.',
    'The policy starts as a copy of a bandit over slices of work and decides for each slice; 24 hidden units. Differences are paired by',
    'instance and seed, intervals resample instances; the share is wins less losses of all pairs, a solution being better than none.',
    '',
    `## ${count} drawn instances, ${values['drawn-seeds']} seeds, ${values['drawn-seconds']} s each`,
    '',
    ...SUMMARY_HEAD,
    ...summary(drawn),
    '',
    ...conclusion(drawn, contest),
    ...(contest.length === 0 ? [] : contestPages(contest, values.seeds, values.seconds)),
  ];
  writeFileAtomic(join(values.out, 'neighbourhoods.md'), page.join('\n'));
}

function conclusion(drawn: readonly Runs[], contest: readonly Runs[]): string[] {
  const here = verdictOn(drawn);
  if (contest.length === 0) return [];
  const there = verdictOn(contest);
  const ships = here === 'better' && there === 'better' ? 'the learned choice' : 'the bandit';
  return [
    `By the interval of that share the learned choice is ${here} than the bandit on drawn instances like those that it learned on,`,
    `and ${there} on the contest’s. It would have to be better on both to ship: ${ships} ships.`,
    '',
  ];
}

function contestPages(contest: readonly Runs[], seeds: string, seconds: string): string[] {
  return [
    `## The contest’s instances, ${seeds} seeds, ${seconds} s each`,
    '',
    ...SUMMARY_HEAD,
    ...summary(contest),
    '',
    'Mean cost (best):',
    '',
    `| | ${NAMES.join(' | ')} |`,
    `|---|${NAMES.map(() => '---|').join('')}`,
    ...contest.map(
      ({ name, costs }) =>
        `| ${name} | ${NAMES.map((m) => `${figure(mean(costs[m]))} (${figure(Math.min(...costs[m]))})`).join(' | ')} |`,
    ),
    '',
  ];
}

function figure(cost: number): string {
  return cost < Infinity ? Math.round(cost).toLocaleString('en-US') : 'none';
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
