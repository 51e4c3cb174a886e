/** Speed of the estimate: plans priced per second, beside the simplest correct version (sums by segment, tasks one by one). */
import type { Candidate } from '../src/plan/types.js';
import { createEstimate, createSimulator } from '../src/simulate/estimate.js';
import type { PlanProblem } from '../src/simulate/types.js';
import { Random } from '../src/util/random.js';
import { naivePipeline } from '../test/support/naivePipeline.js';
import {
  equalStages,
  randomCandidate,
  syntheticCandidate,
  syntheticProblem,
} from '../test/support/synthetic.js';

const ROUNDS = 15;
const SIZES = { layers: 96, hidden: 8192, devices: 1024, globalBatch: 2048 };

/** Calls per second of the fastest of several rounds, each of about `perRound` calls, after a warm-up. */
function ratePerSec(perRound: number, f: (i: number) => void): number {
  for (let i = 0; i < perRound; i++) f(i);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (let i = 0; i < perRound; i++) f(i);
    best = Math.min(best, performance.now() - start);
  }
  return (perRound / best) * 1000;
}

/** The step's pipeline time without prefix sums, recurrences or caches. */
function plainSec(problem: PlanProblem, c: Candidate): number {
  const costs = problem.costs.costs({ ...c, deviceGroup: 0 });
  const classes = problem.segmentation.segmentClass;
  const stages = c.pp * c.vpp;
  const column = (sec: number): Float64Array => new Float64Array(stages + 1).fill(sec);
  const times = {
    forwardSec: column(0),
    backwardSec: column(0),
    weightSec: column(0),
    transferSec: column(1e-4),
    gatherExposedSec: column(0),
  };
  for (let v = 0; v < stages; v++)
    for (let s = c.stageStart[v]; s < c.stageStart[v + 1]; s++) {
      const k = classes[s];
      times.forwardSec[v] +=
        costs.forwardSec[k] + costs.tpForwardSec[k] + costs.cpForwardSec[k] / 2 + costs.epForwardSec[k];
      times.weightSec[v] += costs.backwardWeightSec[k];
      times.backwardSec[v] +=
        costs.backwardInputSec[k] + costs.backwardWeightSec[k] + costs.recomputeSec[c.recompute[k]][k];
      times.backwardSec[v] += costs.tpBackwardSec[k] + costs.cpBackwardSec[k] / 2 + costs.epBackwardSec[k];
    }
  const microbatches = problem.globalBatch / (c.dpReplicate * c.dpShard * c.microbatch);
  return Math.max(...naivePipeline(c.schedule, c.pp, c.vpp, microbatches, times).finishSec);
}

const SCHEDULES: readonly Partial<Candidate>[] = [
  { schedule: '1f1b' },
  { schedule: 'zb-h1' },
  { schedule: 'interleaved', vpp: 2 },
];

export function run(): { name: string; value: number; unit: string }[] {
  const problem = syntheticProblem(SIZES);
  const equal = equalStages(problem);
  const estimate = createEstimate();
  const rows: { name: string; value: number; unit: string }[] = [];
  const add = (name: string, value: number): void =>
    void rows.push({ name, value: Math.round(value), unit: 'plan/s' });
  for (const [label, stages] of [
    ['equal stages', equal],
    ['embedding and head', problem],
  ] as const) {
    const simulator = createSimulator(stages);
    for (const schedule of SCHEDULES)
      for (const pp of [1, 2, 4, 8, 16]) {
        if (pp === 1 && schedule.schedule !== '1f1b') continue;
        const given = { tp: 8, pp, ...schedule };
        const c = syntheticCandidate(stages, given);
        const name = `${label}, ${c.schedule} pp=${pp}${c.vpp > 1 ? ` vpp=${c.vpp}` : ''}`;
        add(
          `estimate ${name}`,
          ratePerSec(2000, () => simulator.estimate(c, estimate)),
        );
      }
  }
  for (const spread of [0, 0.3]) {
    const uneven = spread === 0 ? problem : syntheticProblem({ ...SIZES, spread });
    const simulator = createSimulator(uneven);
    const random = new Random(1);
    const candidates = Array.from({ length: 500 }, () => randomCandidate(uneven, random));
    const label = spread === 0 ? 'uneven cuts' : 'layers that differ by 30 %, uneven cuts';
    add(
      `estimate random plans, ${label}`,
      ratePerSec(500, (i) => simulator.estimate(candidates[i], estimate)),
    );
  }
  const eight = syntheticCandidate(problem, { tp: 8, pp: 8 });
  add(
    'plain version 1F1B pp=8',
    ratePerSec(20, () => plainSec(problem, eight)),
  );
  return rows;
}
