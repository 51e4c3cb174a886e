/**
 * Replanning through event streams: total job time of the agent against keeping the plan, planning from scratch with each
 * classical method at equal decision time, and an oracle that knows the future.
 *
 *     npx tsx bench/replan.ts [--streams 1..20] [--decision 0.3] [--oracle 1.5] [--threads 2] [--json out.json] [--write]
 *
 * Streams beyond 20 are drawn from their seed. --write puts the table into partitions/replan.md.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { analyzeModel, problemOf } from '../src/api/problem.js';
import type { Problem } from '../src/api/problem.js';
import { problemsUnder } from '../src/api/replanProblems.js';
import type { ConditionedProblems } from '../src/api/replanProblems.js';
import { conditioned, countedSpec } from '../src/cluster/condition.js';
import { hashCandidate } from '../src/plan/candidate.js';
import { solverByName } from '../src/portfolio/index.js';
import { alone, keptPlan, replanWith, UNGUIDED_METHOD, WARM_METHOD } from '../src/portfolio/replan.js';
import type { ReplanMethod, Standing } from '../src/portfolio/replan.js';
import { oracleSec, runStream } from '../src/portfolio/streamRun.js';
import type { StreamCosts, StreamJob, StreamPlan } from '../src/portfolio/streamRun.js';
import { afterEvent, drawStream, loadStreams, startOf } from '../src/portfolio/streams.js';
import type { EventStream } from '../src/portfolio/streams.js';
import { moveBoundSec } from '../src/plan/migrationBound.js';
import { annealSolver } from '../src/search/anneal.js';
import { Random } from '../src/util/random.js';
import { median, quantile } from '../src/util/stats.js';
import { applyOverrides, buildZoo, zooConfig } from '../src/zoo/index.js';

const PER_HOST = 8;
export const METHODS = [
  'agent',
  'agent-off',
  'anneal-warm',
  'random',
  'greedy',
  'exhaustive',
  'expert',
  'anneal',
  'mcmc',
  'genetic',
  'dp',
  'heft',
  'multilevel',
  'ilp',
];
const COSTS = { restartSec: 120, lostSec: 900 };

export interface StreamRow {
  readonly name: string;
  readonly seed: number;
  readonly events: number;
  /** Seconds of the job by method, with keep and oracle. */
  readonly totalSec: Record<string, number>;
  /** Seconds that the agent's decisions took. */
  readonly decisionsSec: readonly number[];
}

/** Seconds of processor time: other work on the machine must not make a method look slow. */
const clock = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** The replanner; the same with its policy switched off; and with annealing in the agent's place. */
const WARM: Readonly<Record<string, ReplanMethod>> = {
  agent: WARM_METHOD,
  'agent-off': UNGUIDED_METHOD,
  'anneal-warm': { ...alone(solverByName('dp')), members: [{ solver: annealSolver, share: 1 }] },
};
const methodOf = (name: string): ReplanMethod => WARM[name] ?? alone(solverByName(name));

export async function runOne(
  stream: EventStream,
  decisionSec: number,
  oracleBudgetSec: number,
  methods: readonly string[] = METHODS,
): Promise<StreamRow> {
  const model = analyzeModel(buildZoo(applyOverrides(zooConfig(stream.model), {})), stream.model, {
    seq: stream.seq,
  });
  const spec = countedSpec(stream.cluster, stream.hosts * PER_HOST);
  const start = startOf(stream, PER_HOST);
  const { cluster } = conditioned(spec, start);
  const base: Problem = problemOf(model, cluster, {
    devices: stream.devices,
    batch: stream.batch,
    seq: stream.seq,
  });
  const initial = problemsUnder(base, spec, start);
  const search = (sec: number, seed: number) => ({
    budget: { maxSec: sec, maxEvaluations: Infinity },
    clock,
    random: new Random(seed),
  });
  const first = (await replanWith(methodOf('auto'), initial.problems, initial.available, search(3, 1))).best;
  if (first === null) throw new Error(`${stream.name}: nothing fits`);
  const asPlan = (s: Standing, where: ConditionedProblems): StreamPlan => ({
    id: `${s.devices}/${hashCandidate(s.candidate)}`,
    candidate: s.candidate,
    devices: s.devices,
    stepTimeSec: s.stepTimeSec,
    moveSec: moveBoundSec(where.problems(s.devices), s.candidate),
  });
  let condition = start;
  const wheres: ConditionedProblems[] = [];
  const moments = stream.events.map((event) => {
    condition = afterEvent(condition, event);
    const at = condition;
    const where = problemsUnder(base, spec, at);
    wheres.push(where);
    const known = new Map<string, StreamPlan | null>();
    const initialDp = first.candidate.dpReplicate * first.candidate.dpShard;
    return {
      atSec: event.atHour * 3600,
      isFailure: event.kind === 'fail',
      condition: at,
      kept: (running: StreamPlan['candidate']): StreamPlan | null => {
        const id = `${hashCandidate(running)}`;
        if (!known.has(id)) {
          const s = keptPlan(where.problems, where.available, running, initialDp);
          known.set(id, s === null ? null : asPlan(s, where));
        }
        return known.get(id)!;
      },
    };
  });
  const costs: StreamCosts = { ...COSTS, decisionSec };
  const firstPlan = asPlan(first, initial);
  const steps = Math.round((stream.workHours * 3600) / first.stepTimeSec);
  const job: StreamJob = { steps, costs, first: firstPlan, moments };
  const pool: StreamPlan[][] = moments.map(() => []);
  const totalSec: Record<string, number> = {};
  const decisionsSec: number[] = [];
  totalSec['keep'] = (await runStream(job, () => Promise.resolve(null))).totalSec;
  for (const method of methods) {
    const run = await runStream(job, async (i, running) => {
      // Every decision has cost tables of its own.
      const where = problemsUnder(base, spec, moments[i].condition);
      const began = clock();
      const { best } = await replanWith(methodOf(method), where.problems, where.available, {
        ...search(decisionSec, stream.seed * 1000 + i),
        ...(method in WARM ? { warmStart: running.candidate } : {}),
      });
      if (method === 'agent') decisionsSec.push(clock() - began);
      if (best === null) return null;
      const plan = asPlan(best, where);
      pool[i].push(plan);
      return plan;
    });
    totalSec[method] = run.totalSec;
  }
  for (let i = 0; i < moments.length; i++) {
    const where = wheres[i];
    const { best } = await replanWith(
      methodOf('auto'),
      where.problems,
      where.available,
      search(oracleBudgetSec, 7),
    );
    if (best !== null) pool[i].push(asPlan(best, where));
  }
  totalSec['oracle'] = oracleSec(job, pool);
  return { name: stream.name, seed: stream.seed, events: moments.length, totalSec, decisionsSec };
}

export function tableOf(rows: readonly StreamRow[]): string {
  // Methods that every row has; a job that does not end is null in JSON.
  const ran = METHODS.filter((m) => rows.every((r) => m in r.totalSec));
  const names = ['oracle', ...ran, 'keep'];
  const over = (name: string): number[] => rows.map((r) => r.totalSec[name] / r.totalSec['oracle'] - 1);
  const best = (r: StreamRow): number =>
    Math.min(...ran.filter((m) => !(m in WARM)).map((m) => r.totalSec[m]));
  const percent = (x: number): string => (Number.isFinite(x) ? `${(100 * x).toFixed(2)} %` : 'does not end');
  const head =
    '| method | over the oracle, median | 90th percentile | worst | agent no slower |\n|---|--:|--:|--:|--:|';
  const lines = names.map((name) => {
    const o = over(name);
    const won = rows.filter((r) => r.totalSec['agent'] <= r.totalSec[name] * 1.001).length;
    return `| ${name} | ${percent(median(o))} | ${percent(quantile(o, 0.9))} | ${percent(Math.max(...o))} | ${won} of ${rows.length} |`;
  });
  const against = rows.map((r) => r.totalSec['agent'] / best(r) - 1);
  const each = rows.map(
    (r) =>
      `| ${r.name} | ${r.events} | ${(r.totalSec['oracle'] / 3600).toFixed(2)} | ${percent(r.totalSec['agent'] / r.totalSec['oracle'] - 1)} | ` +
      `${percent(best(r) / r.totalSec['oracle'] - 1)} | ${percent(r.totalSec['keep'] / r.totalSec['oracle'] - 1)} |`,
  );
  return [
    head,
    ...lines,
    '',
    `Agent over the best classical method of each stream (chosen in hindsight): median ${percent(median(against))}, worst ${percent(Math.max(...against))}.`,
    '',
    '| stream | events | oracle, hours | agent over oracle | best classical over oracle | keep over oracle |\n|---|--:|--:|--:|--:|--:|',
    ...each,
  ].join('\n');
}

function readRows(path: string): StreamRow[] {
  return JSON.parse(readFileSync(path, 'utf8'), (_, value: unknown) =>
    value === null ? Infinity : value,
  ) as StreamRow[];
}

/** `1..20`, `3` or `1,5,9`. */
function seedsOf(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [from, to] = part.split('..').map(Number);
    return Array.from({ length: (to ?? from) - from + 1 }, (_, i) => from + i);
  });
}

/** Runs the streams in so many processes, dealt out in turn; the processor clock of each is its own. */
async function inProcesses(
  seeds: readonly number[],
  threads: number,
  args: readonly string[],
): Promise<StreamRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'replan-'));
  try {
    const parts = Array.from({ length: threads }, (_, t) => seeds.filter((_seed, i) => i % threads === t));
    await Promise.all(
      parts.map(async (part, t) => {
        const own = ['--streams', part.join(','), '--json', join(folder, `${t}.json`)];
        const child = spawn(
          process.execPath,
          [...process.execArgv, fileURLToPath(import.meta.url), ...own, ...args],
          {
            stdio: ['ignore', 'ignore', 'inherit'],
          },
        );
        const [code] = (await once(child, 'close')) as [number];
        if (code !== 0) throw new Error(`streams ${part.join(',')} ended with ${code}`);
      }),
    );
    const rows = parts.flatMap((_, t) => readRows(join(folder, `${t}.json`)));
    const order = new Map(seeds.map((seed, i) => [seed, i]));
    return rows.sort((a, b) => order.get(a.seed)! - order.get(b.seed)!);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      streams: { type: 'string', default: '1..20' },
      decision: { type: 'string', default: '0.3' },
      oracle: { type: 'string', default: '1.5' },
      threads: { type: 'string', default: '1' },
      json: { type: 'string' },
      methods: { type: 'string', default: METHODS.join(',') },
      merge: { type: 'string', multiple: true },
      write: { type: 'boolean', default: false },
    },
  });
  const seeds = seedsOf(values.streams);
  const threads = Math.min(Number(values.threads), seeds.length);
  const { decision, oracle, methods } = values;
  const began = performance.now();
  const rows: StreamRow[] =
    values.merge !== undefined
      ? values.merge.flatMap(readRows)
      : threads > 1
        ? await inProcesses(seeds, threads, [
            '--decision',
            decision,
            '--oracle',
            oracle,
            '--methods',
            methods,
          ])
        : await inTurn(seeds, Number(decision), Number(oracle), methods.split(','), values.json);
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(rows));
  const table = tableOf(rows);
  process.stdout.write(`${table}\n`);
  process.stderr.write(`${((performance.now() - began) / 60_000).toFixed(1)} minutes\n`);
  if (values.write)
    writeFileSync(
      fileURLToPath(new URL('../partitions/replan.md', import.meta.url)),
      pageOf(table, decision, oracle),
    );
}

async function inTurn(
  seeds: readonly number[],
  decisionSec: number,
  oracleBudgetSec: number,
  methods: readonly string[],
  json: string | undefined,
): Promise<StreamRow[]> {
  const known = loadStreams();
  const rows: StreamRow[] = [];
  for (const seed of seeds) {
    const stream = known.find((s) => s.seed === seed) ?? drawStream(seed);
    const row = await runOne(stream, decisionSec, oracleBudgetSec, methods);
    rows.push(row);
    const o = row.totalSec['oracle'];
    process.stderr.write(
      `${row.name}: ${Object.entries(row.totalSec)
        .map(([k, v]) => `${k} ${(100 * (v / o - 1)).toFixed(2)}`)
        .join(', ')}; decisions up to ${Math.max(...row.decisionsSec).toFixed(2)} s\n`,
    );
    if (json !== undefined) writeFileSync(json, JSON.stringify(rows));
  }
  return rows;
}

function pageOf(table: string, decision: string, oracle: string): string {
  return `# Replanning through event streams

Twenty streams of \`src/data/suite/streams.yaml\`, committed before anything was tuned on them: hosts fail, come back, leave
and join, devices throttle, links degrade, under jobs of five models on 64 to 4,096 devices.

\`npx tsx bench/replan.ts --decision ${decision} --oracle ${oracle} --write\` (\`--threads 2\` runs two streams at a time). Every method has
${decision} s of processor time for a decision, the same choice among numbers of devices and the same rule for keep or change, in which every event
is met on its own. A failed host costs ${COSTS.lostSec} s of work and ${COSTS.restartSec} s of restart; any other change of plan costs the restart and the time in
which every device receives all that it will hold.

- **agent**: what \`partition replan\` does; dynamic programming and the agent's race look at every count, the agent and annealing go on
  from the best plan known, the running one among them.
- **agent-off**: the same with the policy switched off: it draws where the policy would choose.
- **anneal-warm**: dynamic programming looks, annealing goes on from the best plan known.
- All others plan from scratch with that method alone, on the same counts.
- **keep**: the running decisions with as many replicas as the devices that are left allow.
- **oracle**: knows all events. Its plans are those that any method offered after an event, and those of a search of ${oracle} s; by dynamic
  programming over the events it takes the sequence of plans, changes and moves included, that ends the job soonest. It bounds whoever
  chooses from these plans; it is no bound for plans that nobody found.

Total job time over the oracle's:

${table}
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
