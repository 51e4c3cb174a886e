/**
 * Which neighbourhood to open next: an agent that learned it on drawn instances against uniform choice and the bandit, at
 * equal processor time, on drawn instances of other seeds and on the contest's, of which it saw none. Writes
 * partitions/neighbourhoods.md.
 *
 *     node --import tsx bench/neighbourhoods.ts [--tasks 14] [--updates 24] [--drawn 20] [--drawn-seconds 1] [--drawn-seeds 5]
 *         [--instances K,M,S,U] [--seconds 6] [--seeds 3] [--policy file.json] [--runs file.jsonl] [--out partitions]
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
import { drawNeighbourhoodTasks, trainNeighbourhoods } from '../src/agent/neighbourhoodTraining.js';
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
  'bandit, even draws': (_, random) => new BanditChoice(NEIGHBOURHOODS.length, random, 0),
  bandit: (_, random) => new BanditChoice(NEIGHBOURHOODS.length, random),
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
      const [name, cost] = JSON.parse(line) as [string, number];
      this.costs.set(name, cost);
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
  let episodes = 0;
  const policy = trainNeighbourhoods(tf, drawn, updates, true, random, ({ update, meanReturn, entropy }) => {
    episodes++;
    console.error(`update ${update}: return ${meanReturn.toFixed(3)}, entropy ${entropy.toFixed(2)}`);
  });
  if (path !== undefined)
    saveCheckpoint(path, {
      ...policy,
      algorithm: 'ppo',
      trainedBy: { seed: TRAINING_SEED, updates, episodes, backend: name },
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

/** Of one instance and method: cost above the best of all its runs, percent, per seed. */
function excessOf({ costs }: Runs, method: string): number[] {
  const best = Math.min(...Object.values(costs).flat());
  return costs[method].map((cost) => 100 * (cost / best - 1));
}

/** Rows of a table: mean and median excess, and the paired difference to the base with its 95 % interval over instances. */
function summary(all: readonly Runs[]): string[] {
  const random = new Random(1);
  return NAMES.map((method) => {
    const excess = all.flatMap((runs) => excessOf(runs, method));
    const difference = all.map((runs) => {
      const base = excessOf(runs, BASE);
      return excessOf(runs, method).map((x, k) => x - base[k]);
    });
    const means = difference.map(mean);
    const resampled = Array.from({ length: RESAMPLES }, () => mean(means.map(() => random.pick(means))));
    const pairs = difference.flat();
    const better = pairs.filter((d) => d < 0).length;
    const worse = pairs.filter((d) => d > 0).length;
    const against =
      method === BASE
        ? '| |'
        : `${signed(mean(means))} (${signed(quantile(resampled, 0.025))} to ${signed(quantile(resampled, 0.975))}) | ${better} : ${worse} |`;
    return `| ${method} | ${mean(excess).toFixed(3)} | ${median(excess).toFixed(3)} | ${against}`;
  });
}

function signed(x: number): string {
  return `${x < 0 ? '' : '+'}${x.toFixed(3)}`;
}

const SUMMARY_HEAD = [
  '| choice | mean excess, % | median | minus the bandit’s, mean (95 % interval over instances) | better : worse, paired |',
  '|---|---|---|---|---|',
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tasks: { type: 'string', default: '14' },
      updates: { type: 'string', default: '24' },
      drawn: { type: 'string', default: '20' },
      'drawn-seconds': { type: 'string', default: '1' },
      'drawn-seeds': { type: 'string', default: '5' },
      instances: { type: 'string', default: 'K,M,S,U' },
      seconds: { type: 'string', default: '6' },
      seeds: { type: 'string', default: '3' },
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
    `PPO learned on ${tasks} drawn training graphs (${updates} updates of 12 episodes, seed ${TRAINING_SEED}); it saw none of the instances below. All`,
    'choices have the same processor time, one thread, after reading and reducing. Excess: cost above the best of all runs on the',
    'instance. *bandit* draws arms by gain per work and explores dear arms less often; with *even draws* it explores all as often.',
    '',
    `## ${count} drawn instances, ${values['drawn-seeds']} seeds, ${values['drawn-seconds']} s each`,
    '',
    ...SUMMARY_HEAD,
    ...summary(drawn),
    '',
    ...(contest.length === 0 ? [] : contestPages(contest, values.seeds, values.seconds)),
  ];
  writeFileAtomic(join(values.out, 'neighbourhoods.md'), page.join('\n'));
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
  return Math.round(cost).toLocaleString('en-US');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
