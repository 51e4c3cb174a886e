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
  it('is never worse than its best member, and says who found the plan', async () => {
    const problem = syntheticProblem({ devices: 256, experts: 8, spread: 0.3 });
    const values: number[] = [];
    const members = AUTO_MEMBERS.map((member) => ({
      ...member,
      solver: {
        name: member.solver.name,
        solve: async (context: Parameters<Solver['solve']>[0]): Promise<SearchResult> => {
          const result = await member.solver.solve(context);
          values.push(result.value);
          return result;
        },
      },
    }));
    const result = await run(portfolio('auto', members), problem, 1200);
    expect(values).to.have.length(AUTO_MEMBERS.length);
    expect(result.value).to.equal(Math.min(...values));
    expect(AUTO_MEMBERS[values.indexOf(result.value)].solver.name).to.equal(result.foundBy);
    expect(result.evaluations).to.be.at.most(1200);
    expect(checkCandidate(problem, result.best!)).to.equal(null);
  });

  it('gives the same answer for the same seed and evaluation budget', async () => {
    const problem = syntheticProblem({ devices: 64, spread: 0.3 });
    expect(await run(autoSolver, problem, 600, 4)).to.deep.equal(await run(autoSolver, problem, 600, 4));
  });

  it('stops as soon as a member has seen the whole space', async () => {
    const problem = syntheticProblem({ layers: 2, devices: 2, globalBatch: 2, hidden: 1024 });
    const result = await run(autoSolver, problem, 1e5);
    expect(result.exhaustive).to.equal(true);
    expect(result.foundBy).to.be.oneOf(['greedy', 'exhaustive']);
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
