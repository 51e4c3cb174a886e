/**
 * What the policy that ships is worth on device kinds that its training does not draw. Some models have scaled relatives among
 * those that it was trained on.
 *
 *     node --import tsx bench/pretrained.ts            zero-shot: 1, 8 and 64 proposals against the best known
 *     node --import tsx bench/pretrained.ts ppo        PPO from the checkpoint and from scratch at equal evaluations
 *
 * Writes partitions/pretrained.json (zero-shot) and partitions/pretrained-ppo.json.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createPolicySolver } from '../src/agent/policySolver.js';
import { createPpoSolver } from '../src/agent/ppoSolver.js';
import { FROM_SCRATCH } from '../src/agent/pretrained.js';
import type { SuiteInstance } from '../src/api/suite.js';
import { suiteProblem } from '../src/api/suite.js';
import { solverByName } from '../src/portfolio/registry.js';
import type { Solver } from '../src/search/types.js';
import { createSimulator } from '../src/simulate/estimate.js';
import type { PlanProblem } from '../src/simulate/types.js';
import { formatPercent, formatTable } from '../src/util/format.js';
import { Random } from '../src/util/random.js';
import { quantile } from '../src/util/stats.js';

type Sizes = Readonly<Record<string, number>>;

const common = { about: '', precision: 'bf16', objective: 'time' } as const;
const zoo = (name: string, sizes: Sizes = {}) => ({ kind: 'zoo', name, sizes }) as const;
const file = (path: string) => ({ kind: 'file', path }) as const;

/** No model and no kind of device of these is drawn in src/data/training/plan-ppo.yaml, nor is any of the suite. */
const HELD_OUT: readonly SuiteInstance[] = [
  {
    ...common,
    name: 'gpt2-small h200',
    model: file('gpt2-small.onnx'),
    cluster: 'h200',
    devices: 64,
    seq: 1024,
    batch: 512,
    stack: 'megatron',
  },
  {
    ...common,
    name: 't5-base tpu-v4',
    model: file('t5-base.onnx'),
    cluster: 'tpu-v4',
    devices: 128,
    seq: 512,
    batch: 2048,
    stack: 'megatron',
  },
  {
    ...common,
    name: 'resnet50 h800',
    model: file('resnet50.onnx'),
    cluster: 'h800',
    devices: 32,
    seq: undefined,
    batch: 2048,
    stack: 'megatron',
  },
  {
    ...common,
    name: 'qwen3-14b mi300x',
    model: zoo('qwen3-14b'),
    cluster: 'mi300x',
    devices: 256,
    seq: 4096,
    batch: 1024,
    stack: 'megatron',
  },
  {
    ...common,
    name: 'deepseek-lite h800',
    model: zoo('deepseek-v3', {
      layers: 20,
      hidden: 3072,
      heads: 48,
      experts: 64,
      ffn: 8192,
      expertFfn: 1024,
    }),
    cluster: 'h800',
    devices: 256,
    seq: 4096,
    batch: 1024,
    stack: 'megatron',
  },
  {
    ...common,
    name: 'llama3-70b tpu-v6e',
    model: zoo('llama3-70b'),
    cluster: 'tpu-v6e',
    devices: 256,
    seq: 8192,
    batch: 512,
    stack: 'megatron',
  },
  {
    ...common,
    name: 'vit-h14 trainium2',
    model: zoo('vit-h14'),
    cluster: 'trainium2',
    devices: 64,
    seq: undefined,
    batch: 2048,
    stack: 'megatron',
  },
  {
    ...common,
    name: 'qwen3-235b-a22b gb200',
    model: zoo('qwen3-235b-a22b'),
    cluster: 'gb200-nvl72',
    devices: 288,
    seq: 4096,
    batch: 1152,
    stack: 'megatron',
  },
  {
    ...common,
    name: 'llama3-405b h200',
    model: zoo('llama3-405b'),
    cluster: 'h200',
    devices: 2048,
    seq: 8192,
    batch: 1024,
    stack: 'megatron',
  },
];

const SEEDS = [1, 2, 3];
const graphs = fileURLToPath(new URL('../graphs', import.meta.url));

async function run(solver: Solver, problem: PlanProblem, maxEvaluations: number, seed: number) {
  const started = performance.now();
  const { value, evaluations } = await solver.solve({
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations, maxSec: Infinity },
    clock: () => 0,
    random: new Random(seed),
  });
  return { value, evaluations, sec: (performance.now() - started) / 1000 };
}

/** Of infinity there is no gap: nothing that fits was found. */
const shownGap = (gap: number): string => (Number.isFinite(gap) ? formatPercent(gap) : 'none fits');

const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Best of several classical methods at a generous budget. */
async function bestKnown(problem: PlanProblem): Promise<number> {
  const values: number[] = [];
  for (const [name, evaluations] of [
    ['exhaustive', 10000],
    ['anneal', 4000],
    ['genetic', 4000],
  ] as const)
    values.push((await run(solverByName(name), problem, evaluations, 1)).value);
  return Math.min(...values);
}

async function zeroShot(): Promise<void> {
  const rows: { instance: string; best: number; gap: Record<string, number>; sec: number }[] = [];
  // The backend is loaded once per process.
  await run(createPolicySolver(), suiteProblem(HELD_OUT[0], graphs).problem, 1, 1);
  for (const instance of HELD_OUT) {
    console.error(instance.name);
    const gap: Record<string, number> = {};
    let sec = 0;
    let best = Infinity;
    for (const [label, solver, n] of [
      ['policy 1', createPolicySolver(), 1],
      ['policy 8', createPolicySolver(), 8],
      ['policy 64', createPolicySolver(), 64],
      ['random 64', solverByName('random'), 64],
    ] as const) {
      const results = [];
      // A fresh problem each time: tables that one run built must not speed up the next.
      for (const seed of SEEDS)
        results.push(await run(solver, suiteProblem(instance, graphs).problem, n, seed));
      gap[label] = median(results.map((r) => r.value));
      best = Math.min(best, ...results.map((r) => r.value));
      if (label === 'policy 64') sec = median(results.map((r) => r.sec));
    }
    best = Math.min(best, await bestKnown(suiteProblem(instance, graphs).problem));
    for (const label of Object.keys(gap)) gap[label] = gap[label] / best - 1;
    rows.push({ instance: instance.name, best, gap, sec });
  }
  const labels = Object.keys(rows[0].gap);
  const medians = labels.map((l) => shownGap(median(rows.map((r) => r.gap[l]))));
  const shown = rows.map((r) => [
    r.instance,
    ...labels.map((l) => shownGap(r.gap[l])),
    `${r.sec.toFixed(2)} s`,
  ]);
  console.log(
    formatTable([
      ['gap to best known', ...labels, '64 proposals'],
      ...shown,
      ['median', ...medians, `${median(rows.map((r) => r.sec)).toFixed(2)} s`],
    ]),
  );
  writeFileSync(
    new URL('../partitions/pretrained.json', import.meta.url),
    `${JSON.stringify({ seeds: SEEDS, rows }, null, 1)}\n`,
  );
}

const EVALUATIONS = 2000;

async function refine(): Promise<void> {
  const rows: { instance: string; best: number; warm: number[]; scratch: number[]; warmAt: number[] }[] = [];
  for (const instance of [HELD_OUT[1], HELD_OUT[4], HELD_OUT[5], HELD_OUT[7]]) {
    console.error(instance.name);
    const { problem } = suiteProblem(instance, graphs);
    const warm = [];
    const scratch = [];
    for (const seed of SEEDS) {
      warm.push(await run(createPpoSolver(), problem, EVALUATIONS, seed));
      scratch.push(await run(createPpoSolver({}, FROM_SCRATCH), problem, EVALUATIONS, seed));
    }
    const values = [...warm, ...scratch].map((r) => r.value);
    const best = Math.min(...values, await bestKnown(problem));
    rows.push({
      instance: instance.name,
      best,
      warm: warm.map((r) => r.value),
      scratch: scratch.map((r) => r.value),
      warmAt: warm.map((r) => r.evaluations),
    });
  }
  const gap = (values: readonly number[], best: number): string => formatPercent(median(values) / best - 1);
  console.log(
    formatTable([
      [`gap at ${EVALUATIONS} evaluations`, 'from the checkpoint', 'from scratch', 'checkpoint wins', 'ties'],
      ...rows.map((r) => [
        r.instance,
        gap(r.warm, r.best),
        gap(r.scratch, r.best),
        `${r.warm.filter((v, i) => v < r.scratch[i]).length} of ${SEEDS.length}`,
        String(r.warm.filter((v, i) => v === r.scratch[i]).length),
      ]),
    ]),
  );
  writeFileSync(
    new URL('../partitions/pretrained-ppo.json', import.meta.url),
    `${JSON.stringify({ evaluations: EVALUATIONS, seeds: SEEDS, rows }, null, 1)}\n`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await (process.argv[2] === 'ppo' ? refine() : zeroShot());
