import { expect } from 'chai';
import { checkEnvironment, randomAction } from '../../src/agent/checker.js';
import { ImprovementEpisode } from '../../src/agent/improvementEpisode.js';
import { checkCandidate } from '../../src/plan/candidate.js';
import type { Candidate } from '../../src/plan/types.js';
import { Cutter } from '../../src/search/cutRules.js';
import { Evaluator } from '../../src/search/evaluator.js';
import { PriceMemo } from '../../src/search/memo.js';
import { randomPlan } from '../../src/search/random.js';
import { PlanSpace } from '../../src/search/space.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

function episode(
  problem: PlanProblem,
  startOf?: (seed: number, space: PlanSpace, cutter: Cutter) => Candidate,
  rounds?: number,
): { env: ImprovementEpisode; memo: PriceMemo } {
  const simulator = createSimulator(problem);
  const budget = { maxEvaluations: Infinity, maxSec: Infinity };
  const context = { problem, simulator, budget, clock: () => 0, random: new Random(1) };
  const memo = new PriceMemo(new Evaluator(context, 'test'), problem.objective);
  const space = new PlanSpace(problem);
  const cutter = new Cutter(problem);
  const start = startOf ?? ((seed): Candidate => randomPlan(space, cutter, new Random(seed)));
  return { env: new ImprovementEpisode(space, cutter, memo, (s) => start(s, space, cutter), rounds), memo };
}

const PROBLEMS: readonly PlanProblem[] = [
  syntheticProblem({ devices: 64, globalBatch: 128 }),
  syntheticProblem({ devices: 96, globalBatch: 480, experts: 8, spread: 0.5 }),
  syntheticProblem({ devices: 1, globalBatch: 4 }),
  syntheticProblem({ devices: 16, phase: 'inference', globalBatch: 64 }),
];

describe('agent/improvementEpisode', () => {
  PROBLEMS.forEach((problem, i) => {
    it(`keeps the environment contract (problem ${i})`, () => {
      expect(checkEnvironment(() => episode(problem).env, 12)).to.deep.equal([]);
    });

    it(`holds a legal plan after every move, and pays what the objective gained (problem ${i})`, () => {
      const { env, memo } = episode(problem);
      const random = new Random(5);
      for (let k = 0; k < 10; k++) {
        let observation = env.reset(k);
        const before = memo.price(env.plan);
        let sum = 0;
        let turn = 0;
        for (let done = false; !done;) {
          expect(env.agentOf(observation)).to.equal(turn++ % env.agentCount);
          const step = env.step(randomAction(observation, random));
          expect(checkCandidate(problem, env.plan)).to.equal(null);
          observation = step.observation;
          sum += step.reward;
          done = step.terminated;
        }
        const after = memo.price(env.plan);
        if (before.fits && after.fits) expect(sum).to.be.closeTo(Math.log(before.value / after.value), 1e-9);
      }
    });
  });

  it('ends once every stage has done nothing, without pricing anything more', () => {
    const { env, memo } = episode(PROBLEMS[0]);
    env.reset(3);
    const asked = memo.asked;
    for (let a = 0; a < env.agentCount; a++)
      expect(env.step(0).terminated).to.equal(a === env.agentCount - 1);
    expect(memo.asked).to.equal(asked);
  });

  it('lets stages that follow their own load balance a lopsided pipeline', () => {
    const problem = syntheticProblem({ devices: 32, globalBatch: 64, layers: 30, hidden: 2048 });
    const { env } = episode(
      problem,
      () => ({
        ...{ dpReplicate: 1, dpShard: 4, tp: 2, pp: 4, vpp: 1, cp: 1, ep: 1, etp: 1 },
        ...{ zeroStage: 1, schedule: '1f1b', microbatch: 1, axisOrder: 'tp-cp-dp-pp' },
        contextExchange: 'ring',
        recompute: new Uint8Array(problem.segmentation.classCount),
        stageStart: Int32Array.of(0, 20, 24, 28, 32),
      }),
      8,
    );
    let observation = env.reset(0);
    let sum = 0;
    for (let done = false; !done;) {
      // Hands over blocks where the neighbour is then still less loaded than the stage is now.
      const width = env.spec.optionFeatures;
      let best = 0;
      let least = observation.context[4] - 1e-6;
      for (let i = 1; i < 7; i++) {
        const neighbour = observation.options[i * width + 10];
        if (observation.mask[i] === 0 || neighbour >= least) continue;
        best = i;
        least = neighbour;
      }
      const step = env.step(best);
      sum += step.reward;
      observation = step.observation;
      done = step.terminated;
    }
    expect(sum).to.be.above(0.4);
    const sizes = [...env.plan.stageStart.subarray(1)].map((to, v) => to - env.plan.stageStart[v]);
    expect(Math.max(...sizes)).to.be.below(14);
  });
});
