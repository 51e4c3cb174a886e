/**
 * Every method on every instance of the suite, at equal evaluations and at equal wall time, several seeds. Writes partitions/suite.json and .md.
 *
 *     node --import tsx bench/plans.ts [--methods a,b] [--only instance,..] [--seeds 5] [--evaluations 2000] [--seconds 0.5]
 *         [--cap 3] [--threads 2] [--out partitions]
 *     node --import tsx bench/plans.ts --known [--evaluations 200000] [--cap 20]     best known values, into src/data/suite
 *
 * A run also ends after `--cap` seconds, so that the whole suite takes less than half an hour; rows that it cut short say so.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { parseArgs } from 'node:util';
import { ComparisonRunner, COMPARED_METHODS } from '../src/api/compare.js';
import type { CompareBy, CompareJob, CompareRun, CompareSetting } from '../src/api/compare.js';
import { loadBestKnown, loadSuite, optionsOf, suiteModel, suitePath } from '../src/api/suite.js';
import type { BestKnown, SuiteInstance } from '../src/api/suite.js';
import { writeFileAtomic } from '../src/util/files.js';
import type { Outcome } from './plansReport.js';
import { report, rowsOf, scoreOf } from './plansReport.js';

const GRAPHS = fileURLToPath(new URL('../graphs', import.meta.url));
const KNOWN_METHODS = ['exhaustive', 'anneal', 'genetic', 'agent'];
/** Draw nothing at random: one run stands for all seeds. */
const SEEDLESS: readonly string[] = ['greedy', 'expert', 'exhaustive', 'dp', 'heft', 'ilp'];
/** Not compared by wall time: most of theirs goes into loading TensorFlow.js or starting programs. */
const UNTIMED: readonly string[] = ['ppo', 'dqn', 'sac', 'madqn', 'gpmetis', 'ilp'];

interface Task {
  readonly instance: string;
  /** null: the setting is wanted. */
  readonly job: CompareJob | null;
}

interface Done extends Task {
  readonly setting: CompareSetting | null;
  readonly run: CompareRun | null;
}

/** A worker: one runner at a time is kept, because tasks come by instance. */
function serve(): void {
  const instances = new Map(loadSuite().map((i) => [i.name, i]));
  let runner: { readonly name: string; readonly bench: ComparisonRunner } | null = null;
  const answer = async ({ instance, job }: Task): Promise<void> => {
    if (runner?.name !== instance) {
      const described = instances.get(instance)!;
      const bench = new ComparisonRunner(suiteModel(described, GRAPHS), optionsOf(described, GRAPHS));
      runner = { name: instance, bench };
    }
    const clock = (): number => performance.now() / 1000;
    const done: Done =
      job === null
        ? { instance, job, setting: runner.bench.setting(), run: null }
        : { instance, job, setting: null, run: await runner.bench.run(job, clock) };
    parentPort!.postMessage(done);
  };
  parentPort!.on('message', (task: Task) => {
    answer(task).catch((e: unknown) => {
      throw e;
    });
  });
}

/** A thread does not take over the loader that reads TypeScript: it is set up first. */
function startWorker(): Worker {
  const [loader, self] = [import.meta.resolve('tsx/esm/api'), import.meta.url].map((url) =>
    JSON.stringify(url),
  );
  return new Worker(`import(${loader}).then(({ register }) => { register(); return import(${self}); })`, {
    eval: true,
  });
}

async function runAll(
  instances: readonly SuiteInstance[],
  jobs: readonly CompareJob[],
  threads: number,
): Promise<Outcome[]> {
  const tasks = instances.flatMap(({ name }): Task[] => [
    { instance: name, job: null },
    ...jobs.map((job) => ({ instance: name, job })),
  ]);
  const all: Done[] = [];
  let next = 0;
  const startMs = performance.now();
  await Promise.all(
    Array.from({ length: threads }, () => {
      const worker = startWorker();
      return new Promise<void>((resolve, reject) => {
        const give = (): void => {
          if (next < tasks.length) worker.postMessage(tasks[next++]);
          else void worker.terminate().then(() => resolve());
        };
        worker.on('error', reject);
        worker.on('message', (done: Done) => {
          all.push(done);
          const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
          if (all.length % 25 === 0) {
            console.error(`${all.length} of ${tasks.length}, ${minutes} min: ${done.instance}`);
          }
          give();
        });
        give();
      });
    }),
  );
  const key = ({ by, method, seed }: CompareJob): string => `${by} ${method} ${seed}`;
  const rank = new Map(jobs.map((job, i) => [key(job), i]));
  return instances.map((instance) => {
    const own = all.filter((d) => d.instance === instance.name);
    const runs = own.flatMap((d) => (d.run === null ? [] : [d.run]));
    runs.sort((a, b) => rank.get(key(a))! - rank.get(key(b))!);
    return { instance, setting: own.find((d) => d.setting !== null)!.setting!, runs };
  });
}

function writeKnown(outcomes: readonly Outcome[], command: string): void {
  const path = suitePath('best-known.yaml');
  const known = existsSync(path) ? loadBestKnown(path) : new Map<string, BestKnown>();
  for (const { instance, runs } of outcomes) {
    const found = runs.filter((r) => r.value !== null);
    if (found.length === 0) continue;
    const best = found.reduce((a, b) => (b.value! < a.value! ? b : a));
    known.set(instance.name, {
      value: best.value!,
      foundBy: best.foundBy,
      evaluations: runs.reduce((sum, r) => sum + r.evaluations, 0),
      proved: runs.some((r) => r.exhaustive),
    });
  }
  const lines = [
    '# The best value that was found for each instance, with up to a hundred times the evaluations of a comparison (`evaluations`',
    '# says how many the limit in seconds left time for). Values are of the cost model as it stood: another needs the command again.',
    `command: ${command}`,
    'instances:',
    ...[...known].map(
      ([name, k]) =>
        `  ${name}: { value: ${k.value}, foundBy: ${k.foundBy}, evaluations: ${k.evaluations}, proved: ${k.proved} }`,
    ),
  ];
  writeFileAtomic(path, `${lines.join('\n')}\n`);
}

/** Runs of methods that draw nothing at random stand for every seed. */
function forAllSeeds(runs: readonly CompareRun[], seeds: readonly number[]): CompareRun[] {
  return runs.flatMap((r) => (SEEDLESS.includes(r.method) ? seeds.map((seed) => ({ ...r, seed })) : [r]));
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values: flags } = parseArgs({
    options: {
      ...{
        methods: text,
        only: text,
        seeds: text,
        evaluations: text,
        seconds: text,
        cap: text,
        threads: text,
      },
      ...{ known: { type: 'boolean', default: false }, out: text },
    },
  });
  const known = flags.known;
  const methods = flags.methods?.split(',') ?? (known ? KNOWN_METHODS : [...COMPARED_METHODS]);
  const seeds = Array.from({ length: Number(flags.seeds ?? (known ? 1 : 5)) }, (_, i) => i + 1);
  const amount = Math.ceil(
    Number(flags.evaluations ?? (known ? 200_000 : 2000)) / (known ? methods.length : 1),
  );
  const seconds = known ? 0 : Number(flags.seconds ?? 0.5);
  const capSec = Number(flags.cap ?? (known ? 8 : 3));
  const only = flags.only?.split(',');
  const instances = loadSuite().filter((i) => only === undefined || only.includes(i.name));
  const job = (method: string, seed: number, by: CompareBy): CompareJob[] => {
    if (seed > 1 && SEEDLESS.includes(method)) return [];
    if (by === 'evaluations') return [{ method, seed, by, amount, capSec }];
    return seconds > 0 && !UNTIMED.includes(method) ? [{ method, seed, by, amount: seconds }] : [];
  };
  const jobs = (['evaluations', 'seconds'] as const).flatMap((by) =>
    seeds.flatMap((seed) => methods.flatMap((method) => job(method, seed, by))),
  );
  const found = await runAll(instances, jobs, Number(flags.threads ?? 2));
  if (known) {
    const command = `node --import tsx bench/plans.ts --known --methods ${methods.join(',')} --evaluations ${amount * methods.length} --cap ${capSec}`;
    writeKnown(found, command);
    return;
  }
  const outcomes = found.map((o) => ({ ...o, runs: forAllSeeds(o.runs, seeds) }));
  const stored = existsSync(suitePath('best-known.yaml')) ? loadBestKnown() : new Map<string, BestKnown>();
  const parts = [{ amount: `${amount} evaluations`, rows: rowsOf(outcomes, 'evaluations', stored) }];
  if (seconds > 0) parts.push({ amount: `${seconds} s`, rows: rowsOf(outcomes, 'seconds', stored) });
  const how = `${amount} evaluations (or ${capSec} s, whichever comes first)${seconds > 0 ? `, then ${seconds} s of wall time,` : ''} a run, ${seeds.length} seeds`;
  const content = {
    ...{ evaluations: amount, seconds, capSec, seeds },
    parts: parts.map(({ amount: each, rows }) => ({
      each,
      scores: ['agent', 'agent-uniform', 'auto', 'auto-no-agent', 'policy'].map((m) => scoreOf(rows, m)),
      instances: rows,
    })),
  };
  const folder = flags.out ?? fileURLToPath(new URL('../partitions', import.meta.url));
  writeFileAtomic(`${folder}/suite.json`, `${JSON.stringify(content, null, 1)}\n`);
  const page = report(parts, how);
  writeFileAtomic(`${folder}/suite.md`, page);
  console.log(page);
}

if (isMainThread) {
  if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
} else serve();
