import { expect } from 'chai';
import { checkCandidate } from '../../src/plan/candidate.js';
import { AUTO_MEMBERS, autoSolver, portfolio, solverByName } from '../../src/portfolio/index.js';
import type { SearchResult, Solver } from '../../src/search/types.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

async function run(
  solver: Solver,
  problem: PlanProblem,
  maxEvaluations: number,
  seed = 1,
): Promise<SearchResult> {
  return solver.solve({
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations, maxSec: Infinity },
    clock: () => {
      throw new Error('internal: an evaluation budget needs no clock');
    },
    random: new Random(seed),
  });
}

describe('portfolio/auto', () => {
  it('is never worse than any member alone with its share of the budget, seed by seed', async () => {
    const problem = syntheticProblem({ devices: 256, experts: 8, spread: 0.3 });
    const evaluations = 1000;
    const total = AUTO_MEMBERS.reduce((sum, m) => sum + m.share, 0);
    for (const seed of [1, 2, 3]) {
      const result = await run(autoSolver, problem, evaluations, seed);
      for (const { solver, share } of AUTO_MEMBERS) {
        const alone = await run(solver, problem, Math.floor((share / total) * evaluations + 1e-9), seed);
        expect(result.value, solver.name).to.be.at.most(alone.value);
      }
      expect(AUTO_MEMBERS.map((m) => m.solver.name)).to.include(result.foundBy);
      expect(result.evaluations).to.be.at.most(evaluations);
      expect(checkCandidate(problem, result.best!)).to.equal(null);
    }
  });

  it('gives what members leave over to annealing from the best plan', async () => {
    const problem = syntheticProblem({ devices: 256, experts: 8, spread: 0.3 });
    const members = [{ solver: solverByName('greedy'), share: 1, leastSec: 0 }];
    const greedy = await run(solverByName('greedy'), problem, 600);
    const result = await run(portfolio('greedy and on', members), problem, 600);
    expect(result.evaluations).to.be.above(greedy.evaluations);
    expect(result.evaluations).to.be.at.most(600);
    expect(result.value).to.be.below(greedy.value);
    expect(result.foundBy).to.equal('anneal');
  });

  it('gives the same answer for the same seed and evaluation budget', async () => {
    const problem = syntheticProblem({ devices: 64, spread: 0.3 });
    expect(await run(autoSolver, problem, 600, 4)).to.deep.equal(await run(autoSolver, problem, 600, 4));
  });

  it('stops as soon as a member has seen the whole space', async () => {
    const problem = syntheticProblem({ layers: 2, devices: 2, globalBatch: 2, hidden: 1024 });
    const result = await run(autoSolver, problem, 1e5);
    expect(result.exhaustive).to.equal(true);
    expect(result.foundBy).to.equal('exhaustive');
  });

  it('keeps to a time budget shared among its members', async () => {
    const problem = syntheticProblem({ devices: 64 });
    let now = 0;
    const result = await autoSolver.solve({
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations: Infinity, maxSec: 3 },
      clock: () => (now += 0.002),
      random: new Random(1),
    });
    expect(now).to.be.within(2, 3.2);
    expect(result.best).to.not.equal(null);
  });

  it('knows every method by name', () => {
    for (const name of ['auto', 'random', 'greedy', 'exhaustive', 'ppo'])
      expect(solverByName(name).name).to.equal(name);
    expect(() => solverByName('oracle')).to.throw('expected one of auto, random, greedy, exhaustive');
  });
});
