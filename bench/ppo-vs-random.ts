/**
 * Does the agent learn? PPO from a random start, without imitation, against random search over the same space at equal
 * evaluations, on three models of graphs/, five seeds, paired. Writes partitions/ppo-curve.json and .svg.
 *
 *     node --import tsx bench/ppo-vs-random.ts
 *
 * The settings of PPO were tuned on other instances (zoo models and synthetic chains), before this was run.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createPpoSolver } from '../src/agent/ppoSolver.js';
import { FROM_SCRATCH } from '../src/agent/pretrained.js';
import { createProblem } from '../src/api/problem.js';
import type { CurvePanel, CurveRun } from '../src/report/curveChart.js';
import { curveChart } from '../src/report/curveChart.js';
import { lowerBoundSec } from '../src/search/bound.js';
import { randomSolver } from '../src/search/random.js';
import type { Solver } from '../src/search/types.js';
import { createSimulator } from '../src/simulate/estimate.js';
import type { PlanProblem } from '../src/simulate/types.js';
import { formatPercent, formatSeconds, formatTable } from '../src/util/format.js';
import { Random } from '../src/util/random.js';
import { quantile } from '../src/util/stats.js';

const EVALUATIONS = 1000;
const SEEDS = [1, 2, 3, 4, 5];
const INSTANCES = [
  { model: 'gpt2-small.onnx', devices: 256, seq: 1024, batch: 512 },
  { model: 'bert-large.onnx', devices: 1024, seq: 512, batch: 2048 },
  { model: 't5-base.onnx', devices: 256, seq: 512, batch: 2048 },
] as const;
/** Evaluation counts at which curves are sampled, about equally spaced in their logarithm. */
const GRID = [
  1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 1000,
];

/** Best step time known after each number of evaluations of GRID, seconds; null before any plan fits. */
type Curve = (number | null)[];

interface Report {
  readonly model: string;
  readonly devices: number;
  readonly sequenceLength: number;
  readonly globalBatch: number;
  readonly lowerBoundSec: number;
  readonly seeds: readonly number[];
  /** Per seed. */
  readonly random: Curve[];
  readonly ppo: Curve[];
  /** Seeds at which PPO's final plan is faster than random search's, and equally fast. */
  readonly ppoWins: number;
  readonly ties: number;
}

async function curve(solver: Solver, problem: PlanProblem, seed: number): Promise<Curve> {
  const points: [number, number][] = [];
  await solver.solve({
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations: EVALUATIONS, maxSec: Infinity },
    clock: () => 0,
    random: new Random(seed),
    onImprovement: (r) => points.push([r.evaluations, r.value]),
  });
  return GRID.map((n) => points.findLast(([at]) => at <= n)?.[1] ?? null);
}

async function report({ model, devices, seq, batch }: (typeof INSTANCES)[number]): Promise<Report> {
  const path = fileURLToPath(new URL(`../graphs/${model}`, import.meta.url));
  const { problem } = createProblem(path, { devices, seq, batch });
  const random: Curve[] = [];
  const ppo: Curve[] = [];
  for (const seed of SEEDS) {
    random.push(await curve(randomSolver, problem, seed));
    ppo.push(await curve(createPpoSolver({}, FROM_SCRATCH), problem, seed));
  }
  const last = (c: Curve): number => c[c.length - 1] ?? Infinity;
  return {
    model,
    devices,
    sequenceLength: problem.sequenceLength,
    globalBatch: problem.globalBatch,
    lowerBoundSec: lowerBoundSec(problem),
    seeds: SEEDS,
    random,
    ppo,
    ppoWins: SEEDS.filter((_, i) => last(ppo[i]) < last(random[i])).length,
    ties: SEEDS.filter((_, i) => last(ppo[i]) === last(random[i])).length,
  };
}

/** The q-quantile over seeds at one grid point; null while fewer than all seeds have a plan. */
function across(curves: readonly Curve[], at: number, q: number): number | null {
  const values = curves.map((c) => c[at]);
  return values.every((v) => v !== null) ? quantile(values, q) : null;
}

/** Three panels: median and interquartile band of the best step time so far, over the lower bound. */
function draw(reports: readonly Report[]): string {
  const panels = reports.map((r): CurvePanel => {
    const runs = (curves: readonly Curve[]): CurveRun[] =>
      curves.map((c) => {
        const first = c.findIndex((v) => v !== null);
        const known = first < 0 ? [] : c.slice(first);
        return { x: GRID.slice(GRID.length - known.length), y: known.map((v) => v! / r.lowerBoundSec) };
      });
    return {
      title: `${r.model}, ${r.devices} devices`,
      xLabel: 'evaluations',
      yLabel: 'step time / lower bound',
      xMin: 1,
      xMax: EVALUATIONS,
      series: [
        { name: 'PPO', runs: runs(r.ppo) },
        { name: 'random search', runs: runs(r.random) },
      ],
    };
  });
  return curveChart(panels, panels.length);
}

function table(reports: readonly Report[]): string {
  const last = GRID.length - 1;
  const rows = [['instance', 'lower bound', 'random (median)', 'PPO (median)', 'gain', 'PPO wins', 'ties']];
  for (const r of reports) {
    const random = across(r.random, last, 0.5) ?? Infinity;
    const ppo = across(r.ppo, last, 0.5) ?? Infinity;
    rows.push([
      `${r.model} on ${r.devices}`,
      ...[r.lowerBoundSec, random, ppo].map(formatSeconds),
      formatPercent(random / ppo - 1),
      `${r.ppoWins} of ${r.seeds.length}`,
      String(r.ties),
    ]);
  }
  return formatTable(rows);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const reports: Report[] = [];
  for (const instance of INSTANCES) {
    console.error(`${instance.model} on ${instance.devices} devices`);
    reports.push(await report(instance));
  }
  const folder = new URL('../partitions/', import.meta.url);
  const content = { evaluations: EVALUATIONS, grid: GRID, instances: reports };
  writeFileSync(new URL('ppo-curve.json', folder), `${JSON.stringify(content)}\n`);
  writeFileSync(new URL('ppo-curve.svg', folder), draw(reports));
  console.log(table(reports));
}
