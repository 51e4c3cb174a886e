/**
 * Which neighbourhood to open next: an agent that learned it on drawn instances against uniform choice and the bandit, on the
 * contest's instances, of which it saw none, at equal processor time. Writes partitions/neighbourhoods.md.
 *
 *     node --import tsx bench/neighbourhoods.ts [--train 60] [--seconds 6] [--seeds 2] [--instances G,A,U] [--out partitions]
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadBackend } from '../src/agent/backend.js';
import type { Checkpoint } from '../src/agent/checkpoint.js';
import { drawShardInstance } from '../src/agent/drawnInstance.js';
import { LearnedChoice } from '../src/agent/neighbourhoodChoice.js';
import { NEIGHBOURHOOD_SPEC } from '../src/agent/neighbourhoodArms.js';
import type { NeighbourhoodTask } from '../src/agent/neighbourhoodEpisode.js';
import { NeighbourhoodEpisode, neighbourhoodTask } from '../src/agent/neighbourhoodEpisode.js';
import { DEFAULT_PPO, trainPpo } from '../src/agent/ppo.js';
import { Scorer } from '../src/agent/scorer.js';
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

const HIDDEN = 24;
const INSTANCES = fileURLToPath(new URL('../../shared/data/iopddl/', import.meta.url));

/** Processor time of this process, seconds: a busy machine does not count. */
const cpuSec = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** Trains for so many seconds of processor time. */
async function train(sec: number, seed: number): Promise<Pick<Checkpoint, 'weights' | 'environment'>> {
  const random = new Random(seed);
  const tasks: NeighbourhoodTask[] = [];
  while (tasks.length < 12) {
    const { core } = reduceInstance(drawShardInstance(random));
    if (core !== null && core.count > 60) tasks.push(neighbourhoodTask(core));
  }
  const sizes = tasks.map(({ core }) => core.count).join(', ');
  console.error(`cores of ${sizes} variables`);
  const { tf } = await loadBackend();
  const from = cpuSec();
  let weights: Float32Array[] = [];
  const learning = random.fork();
  const scorer = new Scorer(tf, NEIGHBOURHOOD_SPEC, HIDDEN, random.fork());
  trainPpo(
    tf,
    () => new NeighbourhoodEpisode(tasks),
    {
      ...DEFAULT_PPO,
      environments: 8,
      hidden: HIDDEN,
      floorQuantile: 0,
      entropyBonus: 0.01,
      minibatch: 256,
      discount: 0.98,
      learningRate: 1e-3,
    },
    learning,
    () => (cpuSec() - from) / sec,
    ({ update, meanReturn, entropy }) => {
      // The last update may find that its time is over before its first episode, and then has nothing to learn from.
      if (!Number.isFinite(entropy)) return;
      weights = scorer.variables.map((v) => (v.dataSync() as Float32Array).slice());
      console.error(`update ${update}: return ${meanReturn.toFixed(4)}, entropy ${entropy.toFixed(2)}`);
    },
    scorer,
  );
  scorer.dispose();
  const { name, optionFeatures, contextFeatures } = NEIGHBOURHOOD_SPEC;
  return { weights, environment: { name, optionFeatures, contextFeatures, hidden: HIDDEN } };
}

const METHODS = ['uniform', 'bandit', 'learned'] as const;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      train: { type: 'string', default: '60' },
      seconds: { type: 'string', default: '6' },
      seeds: { type: 'string', default: '2' },
      instances: { type: 'string', default: 'G,A,U' },
      out: { type: 'string', default: 'partitions' },
    },
  });
  const seconds = Number(values.seconds);
  const policy = await train(Number(values.train), 1);
  const rows: string[] = [];
  for (const name of values.instances.split(',')) {
    const instance = await readShardInstance(join(INSTANCES, `asplos-2025-iopddl-${name}.json.gz`));
    const { core } = reduceInstance(instance);
    if (core === null) throw new Error(`internal: ${name} has no solution`);
    for (const method of METHODS) {
      const costs: number[] = [];
      for (let seed = 1; seed <= Number(values.seeds); seed++)
        costs.push(run(core, method, policy, seed, seconds));
      const mean = costs.reduce((a, b) => a + b, 0) / costs.length;
      rows.push(`| ${name} | ${method} | ${mean.toPrecision(10)} | ${Math.min(...costs).toPrecision(10)} |`);
      console.error(rows.at(-1));
    }
  }
  const page = [
    '# Which neighbourhood to open next',
    '',
    `Made by \`node --import tsx bench/neighbourhoods.ts --train ${values.train} --seconds ${values.seconds} --seeds ${values.seeds} --instances ${values.instances}\`.`,
    `PPO learned on drawn instances for ${values.train} s; every run below has ${values.seconds} s of processor time, one thread, after reading and reducing.`,
    '',
    '| instance | choice | mean cost | best cost |',
    '|---|---|---|---|',
    ...rows,
    '',
  ];
  writeFileAtomic(join(values.out, 'neighbourhoods.md'), page.join('\n'));
}

function run(
  core: ShardCore,
  method: (typeof METHODS)[number],
  policy: Pick<Checkpoint, 'weights' | 'environment'>,
  seed: number,
  seconds: number,
): number {
  const random = new Random(seed);
  const arms = NEIGHBOURHOODS.length;
  const choose: NeighbourhoodChoice =
    method === 'uniform'
      ? new UniformChoice(arms, random.fork())
      : method === 'bandit'
        ? new BanditChoice(arms, random.fork())
        : new LearnedChoice(core, policy, random.fork(), 'trained just now');
  return solveCore(core, {
    clock: cpuSec,
    deadline: cpuSec() + seconds,
    random,
    exchange: Exchange.for(core),
    choose,
  }).cost;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
