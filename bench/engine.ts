/** Speed of the event engine: events per second, beside the task-by-task reference (tasks per second). */
import { analyzeModel, problemOf } from '../src/api/problem.js';
import { loadCluster } from '../src/cluster/index.js';
import type { Candidate } from '../src/plan/types.js';
import { Cutter } from '../src/search/index.js';
import { createEngine } from '../src/simulate/engine.js';
import { buildZoo, zooConfig } from '../src/zoo/index.js';
import { naivePipeline } from '../test/support/naivePipeline.js';
import { syntheticCandidate, syntheticProblem } from '../test/support/synthetic.js';

const ROUNDS = 15;

/** Items per second of the fastest of several calls, after a warm-up. */
function bestRate(f: () => number): number {
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    const items = f();
    const sec = (performance.now() - start) / 1000;
    if (round > 2) best = Math.max(best, items / sec);
  }
  return best;
}

/**
 * Whole runs of llama3-405b on 16,384 devices: 16 stages, 128 microbatches, the published degrees (tp 8, dp 128).
 * Milliseconds from the candidate to the result, with the tables of the model built.
 */
function largestRuns(): { name: string; value: number; unit: string }[] {
  const devices = 16384;
  const seq = 8192;
  const model = analyzeModel(buildZoo(zooConfig('llama3-405b'), { seq }), 'llama3-405b', { seq });
  const { problem } = problemOf(model, loadCluster('h100-sxm', devices), { devices, batch: 128 * 128 });
  const engine = createEngine(problem);
  const cutter = new Cutter(problem);
  return (
    [
      { schedule: '1f1b', vpp: 1 },
      { schedule: 'zb-h1', vpp: 1 },
      { schedule: 'interleaved', vpp: 4 },
    ] as const
  ).map((schedule) => {
    const decisions = {
      ...{ dpReplicate: 1, dpShard: 128, tp: 8, pp: 16, cp: 1, ep: 1, etp: 1, zeroStage: 1 as const },
      ...{ microbatch: 1, axisOrder: 'tp-cp-dp-pp' as const, contextExchange: 'ring' as const },
      recompute: new Uint8Array(problem.segmentation.classCount),
      ...schedule,
    };
    const candidate = { ...decisions, stageStart: cutter.balanced(decisions) };
    return {
      name: `engine llama3-405b on 16,384, ${schedule.schedule} pp=16 x 128 microbatches`,
      value: Number((1000 / bestRate(() => (engine.run(candidate), 1))).toFixed(3)),
      unit: 'ms',
    };
  });
}

export function run(): { name: string; value: number; unit: string }[] {
  const problem = syntheticProblem({
    layers: 96,
    hidden: 8192,
    devices: 1024,
    globalBatch: 2048,
    spread: 0.1,
  });
  const engine = createEngine(problem);
  const rows: { name: string; value: number; unit: string }[] = [];
  const kinds: Partial<Candidate>[] = [
    { tp: 8, pp: 8 },
    { tp: 8, pp: 16 },
    { tp: 8, pp: 16, schedule: 'zb-h1' },
    { tp: 8, pp: 16, vpp: 2 },
  ];
  for (const given of kinds) {
    const candidate = syntheticCandidate(problem, given);
    const name = `engine ${candidate.schedule} pp=${candidate.pp}`;
    rows.push({ name, value: Math.round(bestRate(() => engine.run(candidate).events)), unit: 'event/s' });
    if (given.vpp === undefined)
      rows.push({
        name: `${name}, recorded`,
        value: Math.round(bestRate(() => engine.run(candidate, true).events)),
        unit: 'event/s',
      });
  }
  rows.push(...largestRuns());
  const column = (sec: number): Float64Array => new Float64Array(9).fill(sec);
  const times = {
    forwardSec: column(1),
    backwardSec: column(1),
    weightSec: column(0),
    transferSec: column(0.01),
    gatherExposedSec: column(0),
  };
  const microbatches = 128;
  const plain = (): number => {
    naivePipeline('1f1b', 8, 1, microbatches, times);
    return 2 * 8 * microbatches;
  };
  rows.push({ name: 'plain version 1F1B pp=8', value: Math.round(bestRate(plain)), unit: 'task/s' });
  return rows;
}
