/**
 * The solver on instances of the ASPLOS/EuroSys 2025 contest at the contest's time limits against the contest's best:
 *
 *     node --import tsx bench/shard.ts [folder of instances] [letters] [share of the limits] [threads, 2] [wall|processor]
 *
 * With `processor` it is one thread, and its own processor time in place of the wall clock: for machines with other work.
 * More threads need `npm run build`. Each runs in a process of its own; prints a table of partitions/shard.md.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { ShardResult } from '../src/api/index.js';
import { solveShard } from '../src/api/index.js';
import { reduceInstance } from '../src/shard/index.js';
import { DualAscent } from '../src/shard/dual.js';
import { Random } from '../src/util/random.js';
import { formatTable } from '../src/util/format.js';
import { readProblem } from '../test/shard/support.js';
import { randomInstance } from '../test/support/shardInstances.js';

/** Seconds of the contest, and the best cost of any team. */
const CONTEST: Readonly<Record<string, readonly [number, number]>> = {
  A: [60, 6_548_641_531],
  G: [120, 217_039],
  K: [180, 2_274_276_676],
  M: [180, 49_928_460_991],
  S: [240, 1_534_613_444],
  U: [300, 2_569_342_178],
};
const MARKS_SEC = [10, 30];

interface Measured extends Omit<ShardResult, 'solution'> {
  readonly letter: string;
  readonly limitSec: number;
  readonly firstSec: number | null;
  /** Best cost at each of the marks. */
  readonly at: readonly (number | null)[];
  readonly peakMiB: number;
  /** Processor time of all threads: on a machine with other work it is less than threads times the limit. */
  readonly cpuSec: number;
}

/**
 * As built: a thread that is compiled as it loads does not come up while the one that started it is busy.
 */
const ASSISTANT = new URL('../dist/cli/shardAssistant.js', import.meta.url);

/** Solves one instance and prints what was measured as one line of JSON. */
async function measure(
  path: string,
  letter: string,
  limitSec: number,
  threads: number,
  alone: boolean,
): Promise<void> {
  const started = performance.now();
  const clock = alone ? processorSec : (): number => (performance.now() - started) / 1000;
  let best: number | null = null;
  let firstSec: number | null = null;
  const at: (number | null)[] = MARKS_SEC.map(() => null);
  const { solution, ...result } = await solveShard(
    { problemPath: path, timeoutSec: limitSec, threads: alone ? 1 : threads, seed: 0 },
    {
      clock,
      onNews: ({ cost }) => {
        const now = clock();
        MARKS_SEC.forEach((mark, k) => {
          if (now <= mark) at[k] = cost;
        });
        if (cost !== null && best === null) firstSec = now;
        best = cost;
      },
      startThread: (assistance) => void new Worker(ASSISTANT, { workerData: assistance, execArgv: [] }),
    },
  );
  MARKS_SEC.forEach((mark, k) => {
    if (clock() <= mark) at[k] = result.cost;
  });
  const cpuSec = processorSec();
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  const measured: Measured = {
    ...result,
    letter,
    limitSec,
    firstSec: firstSec ?? result.wallSec,
    at,
    peakMiB,
    cpuSec,
  };
  console.log(JSON.stringify(measured));
  process.exit(solution.length === 0 ? 1 : 0);
}

/** Processor time of this process. */
function processorSec(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function table(rows: readonly Measured[]): string {
  const head = [
    '',
    'limit',
    'first',
    ...MARKS_SEC.map((s) => `${s} s`),
    'at the limit',
    'contest',
    'less',
    'bound',
    'gap',
    'MiB',
    'processor',
  ];
  return formatTable([
    head,
    ...rows.map((row) => {
      const contest = CONTEST[row.letter]?.[1];
      return [
        row.letter,
        `${row.limitSec} s`,
        `${row.firstSec?.toFixed(1)} s`,
        ...row.at.map(whole),
        whole(row.cost),
        whole(contest ?? null),
        contest === undefined || row.cost === null ? '' : `${(100 * (1 - row.cost / contest)).toFixed(3)}%`,
        whole(row.lowerBound === null ? null : Math.floor(row.lowerBound)),
        row.gap === null ? '' : `${(100 * row.gap).toFixed(3)}%`,
        String(row.peakMiB),
        `${row.cpuSec.toFixed(0)} s`,
      ];
    }),
  ]);
}

function whole(value: number | null): string {
  return value === null ? 'none' : value.toLocaleString('en-US');
}

/** `make bench`: passes of the dual per second on a random instance, which needs no files. */
export function run(): { name: string; value: number; unit: string }[] {
  const shape = {
    nodes: 2000,
    edges: 4000,
    mostStrategies: 12,
    following: 0.1,
    forbidden: 0.001,
    tightness: 0.2,
  };
  const { core } = reduceInstance(readProblem(randomInstance(new Random(1), shape)));
  if (core === null) return [];
  const dual = new DualAscent(core);
  dual.step(Infinity);
  const started = performance.now();
  let steps = 0;
  for (; performance.now() - started < 1000; steps++) dual.step(Infinity);
  return [{ name: 'shard dual', value: (steps * 1000) / (performance.now() - started), unit: 'steps/s' }];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === '--one') {
    const [path, letter, limitSec, threads, clock] = process.argv.slice(3);
    await measure(path, letter, Number(limitSec), Number(threads), clock === 'processor');
  } else {
    const folder = process.argv[2] ?? fileURLToPath(new URL('../../shared/data/iopddl', import.meta.url));
    const share = Number(process.argv[4] ?? 1);
    const rows: Measured[] = [];
    for (const letter of process.argv[3] ?? Object.keys(CONTEST).join('')) {
      const path = join(folder, `asplos-2025-iopddl-${letter}.json.gz`);
      if (!existsSync(path)) throw new Error(`${path} is missing`);
      const limitSec = (CONTEST[letter]?.[0] ?? 60) * share;
      const child = spawnSync(
        process.execPath,
        [
          '--import',
          'tsx',
          fileURLToPath(import.meta.url),
          '--one',
          path,
          letter,
          String(limitSec),
          process.argv[5] ?? '2',
          process.argv[6] ?? 'wall',
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
      );
      rows.push(JSON.parse(child.stdout) as Measured);
      console.error(table(rows));
    }
    console.log(table(rows));
  }
}
