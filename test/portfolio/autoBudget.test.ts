import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import { createProblem } from '../../src/api/problem.js';
import { AUTO_MEMBERS, autoSolver } from '../../src/portfolio/index.js';
import type { SearchResult, Solver } from '../../src/search/types.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';

const graphs = fileURLToPath(new URL('../../graphs/', import.meta.url));
const TOTAL = 600;

const CASES = [
  ['gpt2-small.onnx', { devices: 256, seq: 1024, batch: 512 }],
  [
    'bert-large.onnx',
    { devices: 96, seq: 512, batch: 768, cluster: `${graphs}clusters/mixed-a100-h100.yaml` },
  ],
  ['t5-base.onnx', { devices: 128, seq: 512, batch: 1024, cluster: 'tpu-v5e', stack: 'maxtext' }],
] as const;

function run(
  solver: Solver,
  problem: PlanProblem,
  maxEvaluations: number,
  seed: number,
): Promise<SearchResult> {
  return Promise.resolve(
    solver.solve({
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations, maxSec: Infinity },
      clock: () => 0,
      random: new Random(seed),
    }),
  );
}

describe('auto with the sum of its members’ budgets', function () {
  this.timeout(120_000);
  for (const [model, options] of CASES) {
    it(`is no worse than any of them alone, on ${model} and ${options.devices} devices`, async () => {
      const { problem } = createProblem(`${graphs}${model}`, options);
      const whole = AUTO_MEMBERS.reduce((sum, m) => sum + m.share, 0);
      for (const seed of [1]) {
        const auto = await run(autoSolver, problem, TOTAL, seed);
        expect(auto.evaluations).to.be.at.most(TOTAL);
        for (const { solver, share } of AUTO_MEMBERS) {
          const alone = await run(solver, problem, Math.floor((TOTAL * share) / whole), seed);
          expect(auto.value, solver.name).to.be.at.most(alone.value * (1 + 1e-9));
        }
      }
    });
  }
});
