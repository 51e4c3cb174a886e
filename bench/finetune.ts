/**
 * Does fine-tuning on an observed job help plan it? Three jobs on clusters with something wrong, each fine-tuned with several
 * seeds; before and after: the best of 8 proposals of the policy, and the agent's plan after 100 evaluations, as gaps to the best
 * plan that anybody found. On the job as observed (which training saw) and on variations of it (which it did not).
 *
 *     npx tsx bench/finetune.ts [--jobs 0,1,2] [--seeds 1,2,3] [--updates 60] [--guard] [--write]
 *
 * --guard judges on the whole suite too (a minute more for each). --write puts the table into partitions/fine-tuning.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createPolicySolver } from '../src/agent/policySolver.js';
import { valueUnder } from '../src/agent/policyVerdict.js';
import { SHIPPED } from '../src/agent/pretrained.js';
import type { PolicySource } from '../src/agent/pretrained.js';
import { planModel, writePlanFiles } from '../src/api/plan.js';
import { writeZooModel } from '../src/api/zoo.js';
import { fineTunePolicy } from '../src/api/trainFineTune.js';
import { findJobs, observedProblem, openJob, variedProblem } from '../src/api/trainJobs.js';
import { fits } from '../src/api/trainingProblems.js';
import { solverByName } from '../src/portfolio/index.js';
import { createSimulator } from '../src/simulate/estimate.js';
import type { PlanProblem } from '../src/simulate/types.js';
import { formatPercent, formatTable } from '../src/util/format.js';
import { Random } from '../src/util/random.js';
import { mean, median } from '../src/util/stats.js';
import type { JobLogOptions } from '../test/support/jobLog.js';
import { atPace, jobLog } from '../test/support/jobLog.js';

interface BenchJob {
  readonly model: string;
  readonly cluster: string;
  readonly devices: number;
  readonly seq: number;
  readonly batch: number;
  readonly wrong: Partial<JobLogOptions>;
}

/** A slow host, none, a slow host on devices that the shipped policy was not trained on. */
const JOBS: readonly BenchJob[] = [
  {
    model: 'llama3-8b',
    cluster: 'h100-sxm',
    devices: 64,
    seq: 8192,
    batch: 256,
    wrong: { slow: { host: 2, factor: 1.4, step: 0 } },
  },
  { model: 'mixtral-8x7b', cluster: 'a100-80gb', devices: 128, seq: 4096, batch: 512, wrong: {} },
  {
    model: 'qwen3-32b',
    cluster: 'mi300x',
    devices: 96,
    seq: 16384,
    batch: 192,
    wrong: { slow: { host: 5, factor: 1.25, step: 0 } },
  },
];

const VARIATIONS = 2;
const TRIALS = 5;
const PROPOSALS = 8;
const EVALUATIONS = 100;
const BEST_EVALUATIONS = 2000;

/** Mean over problems of the median gap over trials. */
interface Gaps {
  readonly proposals: number;
  readonly agent: number;
}

async function prepare(folder: string, job: BenchJob): Promise<void> {
  const modelPath = join(folder, `${job.model}.onnx`);
  writeZooModel({ name: job.model, overrides: {}, out: modelPath });
  const { cluster, devices, seq, batch } = job;
  const budget = { maxSec: Infinity, maxEvaluations: 400 };
  const request = { modelPath, cluster, devices, seq, batch, method: 'exhaustive', budget };
  const reply = await planModel(request, { clock: () => 0 });
  writePlanFiles(reply, request, folder);
  const { stepTimeSec } = reply.plan.prediction;
  const records = [...atPace(jobLog({ hosts: devices / 8, steps: 80, seed: 3, ...job.wrong }), stepTimeSec)];
  writeFileSync(join(folder, 'observed.jsonl'), records.map((r) => `${JSON.stringify(r)}\n`).join(''));
}

const search = (problem: PlanProblem, maxEvaluations: number, seed: number) => ({
  problem,
  simulator: createSimulator(problem),
  budget: { maxEvaluations, maxSec: Infinity },
  clock: () => 0,
  random: new Random(seed),
});

async function gapsUnder(
  source: PolicySource,
  problems: readonly PlanProblem[],
  best: readonly number[],
): Promise<Gaps> {
  const trials = Array.from({ length: TRIALS }, (_, i) => 101 + i);
  const of = async (value: (p: PlanProblem, seed: number) => Promise<number>): Promise<number> => {
    const gaps: number[] = [];
    for (let i = 0; i < problems.length; i++) {
      const values: number[] = [];
      for (const seed of trials) values.push(await value(problems[i], seed));
      gaps.push(median(values) / best[i] - 1);
    }
    return mean(gaps);
  };
  const proposer = createPolicySolver(source, PROPOSALS);
  return {
    proposals: await of(async (p, seed) => (await proposer.solve(search(p, PROPOSALS, seed))).value),
    agent: await of((p, seed) => valueUnder(p, source, EVALUATIONS, seed)),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      jobs: { type: 'string', default: '0,1,2' },
      seeds: { type: 'string', default: '1,2,3' },
      updates: { type: 'string', default: '60' },
      guard: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  });
  const [jobs, seeds] = [values.jobs, values.seeds].map((list) => list.split(',').map(Number));
  const folder = mkdtempSync(join(tmpdir(), 'fine-tune-bench-'));
  const configPath = join(folder, 'bench.yaml');
  const shippedConfig = fileURLToPath(new URL('../src/data/training/fine-tune.yaml', import.meta.url));
  const suite = values.guard ? '' : ', suite: [resnet50-16]';
  writeFileSync(configPath, `like: ${shippedConfig}\nguard: { seeds: [1, 2, 3, 4, 5]${suite} }\n`);
  const rows: string[][] = [];
  const sums: number[][] = [];
  for (const j of jobs) {
    const job = JOBS[j];
    const at = join(folder, `job${j}`);
    await prepare(at, job);
    const observed = openJob(findJobs(at)[0]);
    const varied = Array.from({ length: 40 }, (_, i) => () => variedProblem(observed, new Random(9000 + i)));
    const others: PlanProblem[] = [];
    for (const make of varied) {
      if (others.length === VARIATIONS) break;
      const problem = make();
      if (fits(problem)) others.push(problem);
    }
    const problems = [observedProblem(observed), ...others];
    const best: number[] = [];
    for (const p of problems) {
      const found = [];
      for (const name of ['auto', 'anneal'])
        found.push((await solverByName(name).solve(search(p, BEST_EVALUATIONS, 1))).value);
      best.push(Math.min(...found));
    }
    const parts = [
      [problems.slice(0, 1), best.slice(0, 1)],
      [others, best.slice(1)],
    ] as const;
    const before = await Promise.all(parts.map(([p, b]) => gapsUnder(SHIPPED, p, b)));
    for (const seed of seeds) {
      const facts = await fineTunePolicy(
        {
          configPath,
          from: at,
          out: join(folder, `tuned-${j}-${seed}`),
          resume: false,
          seed,
          updates: Number(values.updates),
        },
        { clock: () => 0, now: () => 0, stopped: () => false },
      );
      const tuned: PolicySource = { kind: 'file', path: facts.candidatePath };
      const after = await Promise.all(parts.map(([p, b]) => gapsUnder(tuned, p, b)));
      const cells = [0, 1].flatMap((k) => [
        before[k].proposals,
        after[k].proposals,
        before[k].agent,
        after[k].agent,
      ]);
      sums.push(cells);
      const { accepted, suiteChange } = facts.verdict!;
      rows.push([
        `${job.model} on ${job.devices} ${job.cluster}, seed ${seed}`,
        ...cells.map((gap) => formatPercent(gap)),
        ...(values.guard ? [formatPercent(suiteChange!), accepted ? 'accepted' : 'refused'] : []),
      ]);
      console.error(rows.at(-1)!.join('  '));
    }
  }
  rmSync(folder, { recursive: true });
  const means = sums[0].map((_, c) => formatPercent(mean(sums.map((row) => row[c]))));
  const measures = ['8 before', '8 after', '100 before', '100 after'];
  const head = [
    'job',
    ...measures,
    ...measures.map((m) => `varied ${m}`),
    ...(values.guard ? ['suite', 'guard'] : []),
  ];
  const all = [...rows, ['mean', ...means, ...(values.guard ? ['', ''] : [])]];
  console.log(formatTable([head, ...all]));
  if (values.write) writePage(head, all, process.argv.slice(2));
}

function writePage(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  args: readonly string[],
): void {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const page = [
    '# Fine-tuning on observed jobs',
    '',
    'Gaps to the best plan known, before and after fine-tuning on the job: the best of 8 proposals of the policy (8), and the',
    `agent's plan after ${EVALUATIONS} evaluations (${EVALUATIONS}); medians over ${TRIALS} seeds of the search. \`varied\`: the job with other devices, batches and`,
    `faults, which training did not see (mean of ${VARIATIONS}).`,
    '',
    `    npx tsx bench/finetune.ts ${args.join(' ')}`,
    '',
    line(head),
    line(head.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...rows.map(line),
    '',
  ].join('\n');
  writeFileSync(fileURLToPath(new URL('../partitions/fine-tuning.md', import.meta.url)), page);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
