import { expect } from 'chai';
import { checkCandidate } from '../../src/plan/candidate.js';
import { lowerBoundSec } from '../../src/search/bound.js';
import { CUT_RULES, Cutter } from '../../src/search/cutRules.js';
import { exhaustiveSolver } from '../../src/search/exhaustive.js';
import { objectiveValue } from '../../src/search/objective.js';
import { randomPlan } from '../../src/search/random.js';
import { CLASSICAL_SOLVERS, solverByName } from '../../src/search/registry.js';
import { PlanSpace } from '../../src/search/space.js';
import type { SearchResult, Solver } from '../../src/search/types.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import type { SyntheticOptions } from '../support/synthetic.js';
import { syntheticProblem } from '../support/synthetic.js';

/** Spaces small enough to price every plan. */
const TINY: readonly SyntheticOptions[] = [
  { layers: 4, devices: 4, globalBatch: 4, hidden: 1024, sequenceLength: 512 },
  { layers: 5, devices: 4, globalBatch: 8, hidden: 4096, spread: 0.6, tied: true },
  { layers: 4, devices: 8, globalBatch: 2, hidden: 8192, experts: 2 },
  { layers: 3, devices: 2, globalBatch: 4, phase: 'inference' },
];

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

/** Evaluations that a method gets on a space which enumeration exhausts: walks would use up any number. */
function enough(solver: Solver): number {
  return ['greedy', 'exhaustive', 'expert'].includes(solver.name) ? 1e6 : 1500;
}

/** Methods that follow rules only: no claim of being near the optimum. */
const RULES: readonly string[] = ['greedy', 'expert', 'random'];

/** Prices every plan of the space. */
function oracle(problem: PlanProblem): { value: number; plans: number; leastTimeSec: number } {
  const simulator = createSimulator(problem);
  const estimate = createEstimate();
  let value = Infinity;
  let leastTimeSec = Infinity;
  let plans = 0;
  for (const candidate of new PlanSpace(problem).enumerate()) {
    if (plans++ % 97 === 0) expect(checkCandidate(problem, candidate)).to.equal(null);
    simulator.estimate(candidate, estimate);
    leastTimeSec = Math.min(leastTimeSec, estimate.stepTimeSec);
    if (estimate.fits) value = Math.min(value, objectiveValue(problem.objective, estimate));
  }
  return { value, plans, leastTimeSec };
}

describe('search/solvers', () => {
  TINY.forEach((options, i) => {
    it(`finds nothing better than pricing every plan does, and exhaustive finds as good (space ${i})`, async () => {
      const problem = syntheticProblem(options);
      const truth = oracle(problem);
      expect(truth.plans).to.equal(new PlanSpace(problem).count());
      for (const solver of CLASSICAL_SOLVERS) {
        const result = await run(solver, problem, enough(solver));
        expect(result.value, solver.name).to.be.at.least(truth.value);
        if (result.best !== null) expect(checkCandidate(problem, result.best), solver.name).to.equal(null);
        if (solver.name === 'exhaustive') {
          expect(result.exhaustive).to.equal(true);
          expect(result.value).to.equal(truth.value);
        } else expect(result.exhaustive).to.equal(false);
        if (!RULES.includes(solver.name))
          expect(result.value, `${solver.name} near the optimum`).to.be.at.most(1.02 * truth.value);
      }
      const bound = lowerBoundSec(problem);
      expect(bound).to.be.above(0);
      expect(bound, 'with tables').to.be.at.most(truth.leastTimeSec);
      expect(lowerBoundSec(problem, 0), 'from peak rates').to.be.at.most(bound);
    });
  });

  it('prices only legal plans, all of them at least the lower bound', () => {
    for (const options of [
      { devices: 256, spread: 0.4, tied: true },
      { devices: 96, globalBatch: 480, experts: 8 },
      { devices: 16, phase: 'inference' as const },
      { devices: 64, cluster: 'gb200-nvl72', layers: 9 },
    ]) {
      const problem = syntheticProblem(options);
      const space = new PlanSpace(problem);
      const cutter = new Cutter(problem);
      const random = new Random(3);
      const simulator = createSimulator(problem);
      const estimate = createEstimate();
      const bound = lowerBoundSec(problem);
      for (let i = 0; i < 500; i++) {
        const plan = randomPlan(space, cutter, random);
        expect(checkCandidate(problem, plan)).to.equal(null);
        simulator.estimate(plan, estimate);
        if (estimate.fits) expect(estimate.stepTimeSec).to.be.at.least(bound);
        for (const rule of CUT_RULES)
          expect(checkCandidate(problem, { ...plan, stageStart: cutter.cut(rule, plan) }), rule).to.equal(
            null,
          );
      }
    }
  });

  it('gives the same answer for the same seed and evaluation budget', async () => {
    const problem = syntheticProblem({ devices: 64, spread: 0.3 });
    for (const solver of CLASSICAL_SOLVERS)
      expect(await run(solver, problem, 500, 9), solver.name).to.deep.equal(
        await run(solver, problem, 500, 9),
      );
  });

  it('keeps to its evaluation budget', async () => {
    const problem = syntheticProblem({ devices: 64 });
    for (const solver of CLASSICAL_SOLVERS)
      for (const budget of [1, 7, 200])
        expect((await run(solver, problem, budget)).evaluations, solver.name).to.be.at.most(budget);
  });

  it('stops when the clock says so', async () => {
    const problem = syntheticProblem({ devices: 64 });
    for (const solver of CLASSICAL_SOLVERS) {
      let now = 0;
      const result = await solver.solve({
        problem,
        simulator: createSimulator(problem),
        budget: { maxEvaluations: Infinity, maxSec: 1 },
        clock: () => (now += 0.01),
        random: new Random(1),
      });
      expect(result.evaluations, solver.name).to.be.within(1, 101);
      expect(result.exhaustive).to.equal(false);
    }
  });

  it('finds with enumeration what random search does not beat with as many prices', async () => {
    for (const options of [
      { devices: 128, spread: 0.4 },
      { devices: 1024, globalBatch: 1024, hidden: 8192, layers: 80 },
    ]) {
      const problem = syntheticProblem(options);
      const exhaustive = await run(exhaustiveSolver, problem, 3000);
      for (const seed of [1, 2, 3])
        expect(exhaustive.value).to.be.at.most(
          (await run(solverByName('random'), problem, 3000, seed)).value,
        );
    }
  });

  it('minimises energy when that is the objective', async () => {
    const problem = { ...syntheticProblem(TINY[0]), objective: { time: 0, energy: 1, cost: 0 } };
    const result = await run(exhaustiveSolver, problem, 1e6);
    expect(result.exhaustive).to.equal(true);
    expect(result.value).to.be.closeTo(oracle(problem).value, 1e-9 * result.value);
  });

  it('names the solvers there are when asked for another', () => {
    const names = CLASSICAL_SOLVERS.map((solver) => solver.name).join(', ');
    expect(() => solverByName('magic')).to.throw(`expected one of ${names}, found magic`);
  });
});
