/** Speed of the event engine: events per second, beside the task-by-task reference (tasks per second). */
import type { Candidate } from '../src/plan/types.js';
import { createEngine } from '../src/simulate/engine.js';
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
