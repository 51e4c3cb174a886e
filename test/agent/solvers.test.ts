import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import { createDqnSolver, dqnSolver } from '../../src/agent/dqnSolver.js';
import { createMadqnSolver, madqnSolver } from '../../src/agent/madqnSolver.js';
import { createPpoSolver } from '../../src/agent/ppoSolver.js';
import { FROM_SCRATCH } from '../../src/agent/pretrained.js';
import { createSacSolver, sacSolver } from '../../src/agent/sacSolver.js';
import { createProblem } from '../../src/api/problem.js';
import { checkCandidate } from '../../src/plan/candidate.js';
import { exhaustiveSolver } from '../../src/search/exhaustive.js';
import type { SearchContext, SearchResult } from '../../src/search/types.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

const GRAPHS = fileURLToPath(new URL('../../graphs/', import.meta.url));

function contextOf(problem: PlanProblem, maxEvaluations: number, seed = 1): SearchContext {
  return {
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations, maxSec: Infinity },
    clock: () => 0,
    random: new Random(seed),
  };
}

describe('agents as solvers', () => {
  const models = [
    { file: 'gpt2-tiny.dynamo.onnx', devices: 4, batch: 8, seeds: [1, 2, 3] },
    { file: 't5-tiny.ts.onnx', devices: 4, batch: 8, seeds: [2] },
    { file: 'gpt2-tiny.ts.onnx', devices: 8, batch: 16, seeds: [3] },
  ];
  // Imitation and pretraining would make it easy: all have to get there by themselves.
  const solvers = [
    createPpoSolver({}, FROM_SCRATCH),
    createDqnSolver({}, []),
    createSacSolver({}, [], FROM_SCRATCH),
  ];
  for (const { file, devices, batch, seeds } of models)
    it(`ppo, dqn and sac reach the exhaustive optimum of ${file} on ${devices} devices`, async function () {
      this.timeout(300_000);
      const { problem } = createProblem(`${GRAPHS}${file}`, { cluster: 'h100-sxm', devices, seq: 32, batch });
      const truth = exhaustiveSolver.solve(contextOf(problem, 1e6)) as SearchResult;
      expect(truth.exhaustive).to.equal(true);
      for (const solver of solvers)
        for (const seed of seeds) {
          const found = await solver.solve(contextOf(problem, 1000, seed));
          expect(found.evaluations, solver.name).to.be.at.most(1000);
          expect(found.value / truth.value, `${solver.name} ${seed}`).to.be.within(1 - 1e-12, 1 + 1e-9);
        }
    });

  for (const solver of [dqnSolver, sacSolver, madqnSolver])
    it(`${solver.name} gives the same legal plan for the same seed, within its evaluations`, async () => {
      const problem = syntheticProblem({ devices: 96, globalBatch: 480, experts: 8, spread: 0.5 });
      const improvements: number[] = [];
      const run = async (): Promise<SearchResult> =>
        solver.solve({
          ...contextOf(problem, 300, 3),
          onImprovement: (r) => {
            improvements.push(r.value);
            expect(r.evaluations).to.be.at.most(300);
          },
        });
      const a = await run();
      expect(improvements).to.deep.equal([...improvements].sort((x, y) => y - x));
      expect(improvements.at(-1)).to.equal(a.value);
      improvements.length = 0;
      expect(await run()).to.deep.equal(a);
      expect(a.evaluations).to.be.at.most(300);
      expect(checkCandidate(problem, a.best!)).to.equal(null);
    });

  it('a team without teachers improves random plans', async () => {
    const problem = syntheticProblem({ devices: 64, spread: 0.5 });
    const drawn = await createMadqnSolver({}, []).solve(contextOf(problem, 12));
    const found = await createMadqnSolver({}, []).solve(contextOf(problem, 600));
    expect(found.value).to.be.below(drawn.value);
    expect(found.foundBy).to.equal('madqn');
  });
});
