import { expect } from 'chai';
import { checkEnvironment, randomAction } from '../../src/agent/checker.js';
import { PlanEpisode } from '../../src/agent/planEpisode.js';
import { createPpoSolver, ppoSolver } from '../../src/agent/ppoSolver.js';
import { FROM_SCRATCH } from '../../src/agent/pretrained.js';
import { checkCandidate } from '../../src/plan/candidate.js';
import { Cutter } from '../../src/search/cutRules.js';
import { Evaluator } from '../../src/search/evaluator.js';
import { exhaustiveSolver } from '../../src/search/exhaustive.js';
import { PriceMemo } from '../../src/search/memo.js';
import { PlanSpace } from '../../src/search/space.js';
import type { SearchContext, SearchResult } from '../../src/search/types.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

function contextOf(problem: PlanProblem, maxEvaluations: number, seed = 1): SearchContext {
  return {
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations, maxSec: Infinity },
    clock: () => 0,
    random: new Random(seed),
  };
}

function episode(problem: PlanProblem): PlanEpisode {
  const evaluator = new Evaluator(contextOf(problem, Infinity), 'test');
  const memo = new PriceMemo(evaluator, problem.objective);
  return new PlanEpisode(new PlanSpace(problem), new Cutter(problem), memo, 1);
}

const PROBLEMS: readonly PlanProblem[] = [
  syntheticProblem({ devices: 1024, globalBatch: 1024 }),
  syntheticProblem({ devices: 96, globalBatch: 480, experts: 8, spread: 0.5 }),
  syntheticProblem({ devices: 1, globalBatch: 1 }),
  syntheticProblem({ devices: 16, phase: 'inference' }),
  syntheticProblem({ devices: 64, layers: 300, hidden: 12288, tied: true }),
];

describe('agent/planEpisode', () => {
  PROBLEMS.forEach((problem, i) => {
    it(`keeps the environment contract (problem ${i})`, () => {
      expect(checkEnvironment(() => episode(problem), 30)).to.deep.equal([]);
    });

    it(`ends every episode with a legal plan (problem ${i})`, () => {
      const env = episode(problem);
      const random = new Random(11);
      for (let k = 0; k < 100; k++) {
        let observation = env.reset(k);
        for (let done = false; !done;) {
          const step = env.step(randomAction(observation, random));
          observation = step.observation;
          done = step.terminated;
        }
        expect(checkCandidate(problem, env.plan!)).to.equal(null);
      }
    });
  });

  it('finds the actions that lead to a plan of the space', () => {
    for (const problem of PROBLEMS) {
      const env = episode(problem);
      const random = new Random(5);
      for (let k = 0; k < 20; k++) {
        let observation = env.reset(k);
        for (let done = false; !done;) {
          const step = env.step(randomAction(observation, random));
          observation = step.observation;
          done = step.terminated;
        }
        const plan = env.plan!;
        env.reset(k);
        for (let done = false; !done;) done = env.step(env.actionToward(plan)).terminated;
        expect(env.plan).to.deep.equal(plan);
      }
    }
  });

  it('keeps the contract with the embedding of the graph in its context, and plays the same plans', () => {
    const problem = PROBLEMS[1];
    const make = (embedded: boolean): PlanEpisode => {
      const memo = new PriceMemo(new Evaluator(contextOf(problem, Infinity), 'test'), problem.objective);
      return new PlanEpisode(new PlanSpace(problem), new Cutter(problem), memo, 1, embedded);
    };
    expect(checkEnvironment(() => make(true), 10)).to.deep.equal([]);
    const [plain, embedded] = [make(false).reset(0), make(true).reset(0)];
    expect(embedded.options).to.deep.equal(plain.options);
    expect(embedded.context.subarray(0, plain.context.length)).to.deep.equal(plain.context);
    expect(embedded.context.length).to.be.above(plain.context.length);
  });

  it('rewards the logarithm of the improvement over the reference, and less for what does not fit', () => {
    const problem = syntheticProblem({ devices: 8, hidden: 12288, layers: 96 });
    const env = episode(problem);
    const observation = env.reset(0);
    let step = env.step(observation.mask.indexOf(1));
    while (!step.terminated) step = env.step(step.observation.mask.indexOf(1));
    expect(step.reward).to.be.below(-1);
  });
});

describe('agent/ppoSolver', () => {
  it('finds plans no better than enumeration proves possible, and legal ones', async () => {
    const problem = syntheticProblem({
      layers: 4,
      devices: 4,
      globalBatch: 4,
      hidden: 1024,
      sequenceLength: 512,
    });
    const truth = exhaustiveSolver.solve(contextOf(problem, 1e6)) as SearchResult;
    expect(truth.exhaustive).to.equal(true);
    const found = await ppoSolver.solve(contextOf(problem, 400));
    expect(found.value).to.be.at.least(truth.value);
    expect(found.value).to.be.below(1.05 * truth.value);
    expect(checkCandidate(problem, found.best!)).to.equal(null);
  });

  it('gives the same answer for the same seed, within its evaluations', async () => {
    const problem = syntheticProblem({ devices: 128, spread: 0.4 });
    const a = await ppoSolver.solve(contextOf(problem, 300, 3));
    expect(await ppoSolver.solve(contextOf(problem, 300, 3))).to.deep.equal(a);
    expect(a.evaluations).to.be.at.most(300);
  });

  it('learns: later plans are better on average than earlier ones', async () => {
    const problem = syntheticProblem({ devices: 512, globalBatch: 1024, experts: 16, layers: 48 });
    const simulator = createSimulator(problem);
    const times: number[] = [];
    await createPpoSolver({}, FROM_SCRATCH).solve({
      ...contextOf(problem, 800),
      simulator: {
        problem,
        evaluations: 0,
        estimate: (candidate, out) => {
          simulator.estimate(candidate, out);
          times.push(Math.log(out.stepTimeSec) + (out.fits ? 0 : 1));
          return out;
        },
      },
    });
    const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(times.slice(-200))).to.be.below(mean(times.slice(0, 200)) - 0.5);
  });
});
