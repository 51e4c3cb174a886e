/**
 * What frequency plans save, and how long a frontier takes: six pipelined plans of zoo models.
 *
 *     node --import tsx bench/frequency.ts
 *
 * `no slowdown`: energy of the step at the meter of the site, clocks by task against full clock, at the same step time.
 * `least energy`: the other end of the frontier, and how much slower it is. `stages`: clocks by stage and kind of task, held
 * to 1 % of slowdown. Plans are the fastest of 4,000 drawn at random with the given pipeline ranks.
 */
import { analyzeModel, clusterOf, problemOf } from '../src/api/problem.js';
import { microbatchesOf } from '../src/plan/candidate.js';
import type { Candidate } from '../src/plan/types.js';
import { Cutter } from '../src/search/cutRules.js';
import { randomPlan } from '../src/search/random.js';
import { PlanSpace } from '../src/search/space.js';
import { createEstimate, createSimulator } from '../src/simulate/estimate.js';
import { frequencyFrontier } from '../src/simulate/frequency.js';
import { ClockLevels } from '../src/simulate/frequencyCurves.js';
import { ClassClocks, frequencyProblem } from '../src/simulate/frequencyProblem.js';
import type { PlanProblem } from '../src/simulate/types.js';
import { formatPercent, formatTable } from '../src/util/format.js';
import { Random } from '../src/util/random.js';
import { buildZoo, zooConfig } from '../src/zoo/index.js';

const PLANS = [
  { name: 'llama3-8b', cluster: 'h100-sxm', devices: 64, pp: 4, batch: 256, seq: 8192 },
  { name: 'llama3-70b', cluster: 'h100-sxm', devices: 256, pp: 8, batch: 512, seq: 8192 },
  {
    name: 'llama3-70b',
    cluster: 'graphs/clusters/mixed-a100-h100.yaml',
    devices: 0,
    pp: 6,
    batch: 384,
    seq: 4096,
  },
  { name: 'gpt3-175b', cluster: 'a100-80gb', devices: 512, pp: 8, batch: 768, seq: 2048 },
  { name: 't5-11b', cluster: 'a100-80gb', devices: 64, pp: 4, batch: 256, seq: 512 },
  { name: 'llama3-405b', cluster: 'h100-sxm', devices: 1024, pp: 16, batch: 1024, seq: 8192 },
];
const DRAWS = 4000;

const rows = [
  [
    'model',
    'cluster',
    'plan',
    'tasks',
    'no slowdown',
    'least energy',
    'stages',
    'cuts',
    'levels',
    'frontier',
    'caps/s',
  ],
];
for (const { name, cluster: preset, devices, pp, batch, seq } of PLANS) {
  const cluster = clusterOf({ cluster: preset, ...(devices > 0 ? { devices } : {}) });
  const model = analyzeModel(buildZoo(zooConfig(name), { seq }), name, { seq });
  const { problem } = problemOf(model, cluster, { devices: cluster.deviceCount, batch, seq });
  const candidate = fastest(problem, pp);
  if (candidate === null) {
    console.log(`${name} on ${preset}: nothing fits with pp = ${pp}`);
    continue;
  }
  let from = performance.now();
  const since = (): string => `${((performance.now() - from) / 1000).toFixed(2)} s`;
  const levels = new ClockLevels(problem);
  const caps = frequencyProblem(problem, candidate, levels);
  const levelTime = since();
  from = performance.now();
  const { points, full, steps, graph, schedules } = frequencyFrontier(levels, candidate);
  const frontierTime = since();
  const slow = points[points.length - 1];
  const classes = new ClassClocks(levels, candidate).descend(1.01 * full.timeSec);
  from = performance.now();
  const watt = new Float64Array(caps.stages);
  const random = new Random(1);
  let evaluations = 0;
  for (; performance.now() - from < 300; evaluations++) {
    for (let r = 0; r < watt.length; r++)
      watt[r] = caps.leastWatt[r] + random.next() * (caps.mostWatt[r] - caps.leastWatt[r]);
    caps.evaluate(watt);
  }
  const perSec = evaluations / ((performance.now() - from) / 1000);
  const saved = (joule: number): string => formatPercent(1 - joule / full.energyJoule);
  const c = candidate;
  rows.push([
    name,
    cluster.name,
    `tp ${c.tp} pp ${c.pp}x${c.vpp} M ${microbatchesOf(c, batch)} ${c.schedule}`,
    String(graph.taskCount),
    saved(schedules[0].energyJoule),
    `${saved(slow.energyJoule)} (+${formatPercent(slow.timeSec / full.timeSec - 1)})`,
    saved(classes.energyJoule),
    String(steps),
    levelTime,
    frontierTime,
    perSec.toFixed(0),
  ]);
}
console.log(formatTable(rows, 3));

function fastest(problem: PlanProblem, pp: number): Candidate | null {
  const whole = new PlanSpace(problem);
  const space = Object.create(whole, {
    meshes: { value: whole.meshes.filter((m) => m.pp === pp) },
  }) as PlanSpace;
  if (space.meshes.length === 0) return null;
  const cutter = new Cutter(problem);
  const simulator = createSimulator(problem);
  const estimate = createEstimate();
  const random = new Random(1);
  let best: Candidate | null = null;
  let bestSec = Infinity;
  for (let i = 0; i < DRAWS; i++) {
    const candidate = randomPlan(space, cutter, random);
    simulator.estimate(candidate, estimate);
    if (!estimate.fits || estimate.stepTimeSec >= bestSec) continue;
    bestSec = estimate.stepTimeSec;
    best = candidate;
  }
  return best;
}
