import { expect } from 'chai';
import {
  defaultNoise,
  freshTimes,
  nominalFirst,
  parseRobust,
  robustSimulator,
} from '../../src/api/robust.js';
import { SUITE_GRAPHS, loadSuite, suiteProblem } from '../../src/api/suite.js';
import { solverByName } from '../../src/portfolio/index.js';
import { exhaustiveSolver } from '../../src/search/exhaustive.js';
import type { SearchResult } from '../../src/search/types.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem, Simulator } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

const robust = parseRobust('10%,speed=4%,calibration=8%,network=30%');

function contextOf(problem: PlanProblem, simulator: Simulator, maxEvaluations: number) {
  const budget = { maxEvaluations, maxSec: Infinity };
  return { problem, simulator, budget, clock: () => 0, random: new Random(3) };
}

describe('plans by a quantile of the step time', () => {
  it('are the best of a whole space whether bounds rule plans out or not', () => {
    const nominal = syntheticProblem({ devices: 8, layers: 5, globalBatch: 8, spread: 0.3, hidden: 2048 });
    const few = parseRobust('10%,draws=16');
    const { problem, simulator } = robustSimulator(nominal, few, 1);
    const pruned = exhaustiveSolver.solve(contextOf(problem, simulator, 400_000)) as SearchResult;
    const unbound = { ...problem, objective: { ...problem.objective, boundShare: 0 } };
    const again = robustSimulator(nominal, few, 1).simulator;
    const all = exhaustiveSolver.solve(contextOf(unbound, again, 400_000)) as SearchResult;
    expect(pruned.exhaustive).to.equal(true);
    expect(all.exhaustive).to.equal(true);
    expect(pruned.value).to.equal(all.value);
    expect(pruned.evaluations).to.be.below(all.evaluations);
  }).timeout(120_000);

  it('are never worse on their draws than the nominal plan that the search began with', async () => {
    const nominal = syntheticProblem({ devices: 64, layers: 24, spread: 0.3 });
    for (const method of ['random', 'greedy', 'anneal', 'genetic', 'dp', 'expert']) {
      const { problem, simulator } = robustSimulator(nominal, robust, 1);
      const solver = nominalFirst(solverByName(method), nominal, robust);
      const found = await solver.solve(contextOf(problem, simulator, 400));
      const first = await solverByName(method).solve(contextOf(nominal, createSimulator(nominal), 100));
      const value = simulator.estimate(first.best!, createEstimate()).stepTimeSec;
      expect(found.value, method).to.be.at.most(value);
      expect(found.evaluations, method).to.be.at.most(400 + 1);
    }
  });

  it('beat the nominal plan on fresh draws where the network is uncertain', async () => {
    const instance = loadSuite().find((i) => i.name === 'mixtral-8x7b-oversubscribed-112')!;
    const nominal = suiteProblem(instance, SUITE_GRAPHS).problem;
    const uncertain = parseRobust('10%,network=40%');
    const plain = await exhaustiveSolver.solve(contextOf(nominal, createSimulator(nominal), 600));
    const { problem, simulator } = robustSimulator(nominal, uncertain, 0);
    const found = await nominalFirst(exhaustiveSolver, nominal, uncertain).solve(
      contextOf(problem, simulator, 600),
    );
    for (const seed of [1, 2]) {
      const before = freshTimes(nominal, plain.best!, uncertain, seed, 512).stepTimeSec;
      const after = freshTimes(nominal, found.best!, uncertain, seed, 512).stepTimeSec;
      expect(after).to.be.below(0.95 * before);
    }
  }).timeout(120_000);

  it('draw what ships unless something else is stated', () => {
    const noise = defaultNoise();
    for (const sigma of Object.values(noise)) expect(sigma).to.be.within(0.001, 0.3);
    expect(parseRobust('5%')).to.deep.equal({ share: 0.05, draws: 64, noise });
    expect(parseRobust('5%, draws=100, speed=3%').noise).to.deep.equal({ ...noise, device: 0.03 });
  });
});
