/**
 * Every method on every instance of the suite, at equal evaluations, several seeds. Writes partitions/suite.json and .md.
 *
 *     node --import tsx bench/plans.ts [--methods a,b] [--only instance,..] [--seeds 5] [--evaluations 2000] [--cap 5] [--threads 2]
 *     node --import tsx bench/plans.ts --known [--evaluations 200000] [--cap 20]     best known values, into src/data/suite
 *
 * A run also ends after `--cap` seconds, so that the whole suite takes less than half an hour; rows that it cut short say so.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { parseArgs } from 'node:util';
import { ComparisonRunner, COMPARED_METHODS, summarizeRuns } from '../src/api/compare.js';
import type { CompareJob, CompareRun, CompareSetting, MethodSummary } from '../src/api/compare.js';
import { loadBestKnown, loadSuite, optionsOf, suiteModel, suitePath } from '../src/api/suite.js';
import type { BestKnown, SuiteInstance } from '../src/api/suite.js';
import { formatPercent } from '../src/util/format.js';
import { median } from '../src/util/stats.js';

const GRAPHS = fileURLToPath(new URL('../graphs', import.meta.url));
const KNOWN_METHODS = ['exhaustive', 'anneal', 'genetic'];

interface Task {
  readonly instance: string;
  /** null: the setting is wanted. */
  readonly job: CompareJob | null;
}

interface Done extends Task {
  readonly setting: CompareSetting | null;
  readonly run: CompareRun | null;
}

interface Outcome {
  readonly instance: SuiteInstance;
  readonly setting: CompareSetting;
  readonly runs: readonly CompareRun[];
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
  const rank = new Map(jobs.map((job, i) => [`${job.method} ${job.seed}`, i]));
  return instances.map((instance) => {
    const own = all.filter((d) => d.instance === instance.name);
    const runs = own.flatMap((d) => (d.run === null ? [] : [d.run]));
    runs.sort((a, b) => rank.get(`${a.method} ${a.seed}`)! - rank.get(`${b.method} ${b.seed}`)!);
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
  writeFileSync(path, `${lines.join('\n')}\n`);
}

interface Row {
  readonly instance: string;
  readonly objective: string;
  readonly devices: number;
  readonly lowerBound: number | null;
  /** The better of the stored best known value and the best of these runs. */
  readonly best: number;
  readonly bestIsProved: boolean;
  readonly methods: readonly MethodSummary[];
}

function rowsOf(outcomes: readonly Outcome[], known: ReadonlyMap<string, BestKnown>): Row[] {
  return outcomes.map(({ instance, setting, runs }) => {
    const stored = known.get(instance.name);
    const values = runs.flatMap((r) => (r.value === null ? [] : [r.value]));
    return {
      instance: instance.name,
      objective: instance.objective,
      devices: instance.devices,
      lowerBound: setting.lowerBound,
      best: Math.min(stored?.value ?? Infinity, ...values),
      bestIsProved: stored?.proved === true || runs.some((r) => r.exhaustive),
      methods: summarizeRuns(runs, setting.lowerBound, stored?.value),
    };
  });
}

/** Markdown: how far every method's median is from the best known value, by instance, and over all. */
function report(rows: readonly Row[], methods: readonly string[], how: string): string {
  const gap = (row: Row, method: string): number | null =>
    row.methods.find((m) => m.method === method)?.gapToBest ?? null;
  const cell = (x: number | null): string => (x === null ? 'no plan' : formatPercent(x));
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const ran = methods.filter((m) => rows.some((r) => gap(r, m) !== null));
  const byInstance = [
    line(['instance', 'bound', 'best known', ...ran]),
    line(['instance', 'bound', 'best known', ...ran].map((_, i) => (i === 0 ? '---' : '---:'))),
    ...rows.map((r) =>
      line([
        r.instance,
        r.lowerBound === null ? '' : r.lowerBound.toPrecision(4),
        `${r.best.toPrecision(5)}${r.bestIsProved ? ' (proved)' : ''}`,
        ...ran.map((m) => cell(gap(r, m))),
      ]),
    ),
  ];
  const over = ran.map((method) => {
    const own = rows.map((r) => r.methods.find((m) => m.method === method)!);
    const gaps = own.map((m) => m.gapToBest ?? Infinity);
    const won = own.filter((m, i) => {
      const least = Math.min(...rows[i].methods.map((x) => x.median ?? Infinity));
      return m.median !== null && m.median <= least * (1 + 1e-9);
    }).length;
    const beats = own.filter((m, i) => {
      const random = rows[i].methods.find((x) => x.method === 'random')?.median ?? Infinity;
      return m.median !== null && m.median < random * (1 - 1e-9);
    }).length;
    return { method, middle: median(gaps), worst: Math.max(...gaps), won, beats, own };
  });
  over.sort((a, b) => a.middle - b.middle || a.worst - b.worst);
  const overall = [
    line([
      'method',
      'gap to best, median',
      'worst',
      'won',
      'beats random',
      'evaluations',
      'seconds',
      'cut short',
    ]),
    line(['---', '---:', '---:', '---:', '---:', '---:', '---:', '---:']),
    ...over.map(({ method, middle, worst, won, beats, own }) =>
      line([
        method,
        formatPercent(middle),
        worst === Infinity ? 'no plan' : formatPercent(worst),
        `${won} of ${rows.length}`,
        method === 'random' ? '' : `${beats} of ${rows.length}`,
        String(Math.round(median(own.map((m) => m.evaluations)))),
        median(own.map((m) => m.wallSec)).toPrecision(2),
        String(own.filter((m) => m.capped).length),
      ]),
    ),
  ];
  return [
    '# The suite',
    '',
    `Every method on every instance of \`src/data/suite\`: ${how}. Medians over seeds; a gap is the median's distance from the`,
    'best value known. *won*: instances on which no method has a better median (ties count for all). *cut short*: instances on',
    'which a run ended by the clock, not by its evaluations. `make bench-plans` writes this page and `suite.json`.',
    '',
    ...overall,
    '',
    ...byInstance,
    '',
  ].join('\n');
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values: flags } = parseArgs({
    options: {
      ...{ methods: text, only: text, seeds: text, evaluations: text, cap: text, threads: text },
      known: { type: 'boolean', default: false },
    },
  });
  const known = flags.known;
  const methods = flags.methods?.split(',') ?? (known ? KNOWN_METHODS : [...COMPARED_METHODS]);
  const seeds = Array.from({ length: Number(flags.seeds ?? (known ? 1 : 5)) }, (_, i) => i + 1);
  const amount = Math.ceil(
    Number(flags.evaluations ?? (known ? 200_000 : 2000)) / (known ? methods.length : 1),
  );
  const capSec = Number(flags.cap ?? (known ? 8 : 5));
  const only = flags.only?.split(',');
  const instances = loadSuite().filter((i) => only === undefined || only.includes(i.name));
  const jobs = seeds.flatMap((seed) =>
    methods.map((method): CompareJob => ({ method, seed, by: 'evaluations', amount, capSec })),
  );
  const outcomes = await runAll(instances, jobs, Number(flags.threads ?? 2));
  if (known) {
    const command = `node --import tsx bench/plans.ts --known --methods ${methods.join(',')} --evaluations ${amount * methods.length} --cap ${capSec}`;
    writeKnown(outcomes, command);
    return;
  }
  const stored = existsSync(suitePath('best-known.yaml')) ? loadBestKnown() : new Map<string, BestKnown>();
  const rows = rowsOf(outcomes, stored);
  const how = `${amount} evaluations or ${capSec} s a run, ${seeds.length} seeds`;
  const folder = new URL('../partitions/', import.meta.url);
  const content = { evaluations: amount, capSec, seeds, instances: rows };
  writeFileSync(new URL('suite.json', folder), `${JSON.stringify(content, null, 1)}\n`);
  const page = report(rows, methods, how);
  writeFileSync(new URL('suite.md', folder), page);
  console.log(page);
}

if (isMainThread) await main();
else serve();
