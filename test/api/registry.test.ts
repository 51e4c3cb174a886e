import { expect } from 'chai';
import {
  metricsOf,
  parseObjective,
  registerExpert,
  registerMetric,
  registerReward,
} from '../../src/api/index.js';
import type { Plan } from '../../src/api/index.js';
import { solverByName } from '../../src/portfolio/index.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { objectiveValue, utilisationOf } from '../../src/search/objective.js';
import { Random } from '../../src/util/random.js';
import { syntheticCandidate, syntheticProblem } from '../support/synthetic.js';

const problem = syntheticProblem({ devices: 16, globalBatch: 64 });
const priced = createSimulator(problem).estimate(
  syntheticCandidate(problem, { tp: 4, pp: 2 }),
  createEstimate(),
);

describe('the plugin registry', () => {
  it('makes a reward a term of objectives, weighed like the others', () => {
    registerReward('bubble-share', (p) => 1e-3 + p.breakdown.bubbleSec / p.stepTimeSec);
    const alone = objectiveValue(parseObjective('bubble-share'), priced);
    expect(alone).to.be.closeTo(1e-3 + priced.breakdown.bubbleSec / priced.stepTimeSec, 1e-12);
    const mixed = objectiveValue(parseObjective('time=1,bubble-share=3'), priced);
    expect(mixed).to.be.closeTo(priced.stepTimeSec ** 0.25 * alone ** 0.75, 1e-12);
  });

  it('weighs utilisation, time, energy and cost as a geometric mean', () => {
    const value = objectiveValue(parseObjective('time=0.5,utilisation=0.2,energy=0.2,cost=0.1'), priced);
    const expected =
      priced.stepTimeSec ** 0.5 *
      utilisationOf(priced) ** -0.2 *
      priced.energyJoulesPerStep ** 0.2 *
      priced.costPerStep ** 0.1;
    expect(value).to.be.closeTo(expected, 1e-9 * expected);
  });

  it('makes an expert a method, whose proposals must be legal', async () => {
    registerExpert('only-tp', (p) => [
      syntheticCandidate(p, { tp: 8, pp: 1 }),
      syntheticCandidate(p, { tp: 4, pp: 1 }),
    ]);
    const context = {
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations: 10, maxSec: Infinity },
      clock: () => 0,
      random: new Random(0),
    };
    const result = await solverByName('only-tp').solve(context);
    expect(result.evaluations).to.equal(2);
    expect(result.foundBy).to.equal('only-tp');
    expect(result.value).to.be.below(Infinity);
    registerExpert('lawless', (p) => [{ ...syntheticCandidate(p, { tp: 8, pp: 1 }), tp: 3 }]);
    expect(() => solverByName('lawless').solve(context)).to.throw('proposed no legal plan');
  });

  it('tells registered metrics of a plan', () => {
    registerMetric(
      'tokens-per-joule',
      (p: Plan) => p.prediction.tokensPerSec / p.prediction.energyJoulesPerStep,
    );
    const plan = { prediction: { tokensPerSec: 6, energyJoulesPerStep: 2 } } as unknown as Plan;
    expect(metricsOf(plan)).to.deep.equal({ 'tokens-per-joule': 3 });
    plan.prediction.energyJoulesPerStep = 0;
    expect(() => metricsOf(plan)).to.throw('finite');
  });

  it('refuses names that are taken or no names, what is no function, and rewards that are not above 0', () => {
    const one = (): number => 1;
    expect(() => registerReward('time', one)).to.throw('there already');
    expect(() => registerReward('a=b', one)).to.throw('letters');
    expect(() => registerReward('negative', () => -1)).to.throw('above 0');
    expect(() => registerReward('nothing', undefined as never)).to.throw('function');
    expect(() => registerExpert('random', () => [])).to.throw('there already');
    registerMetric('twice', one);
    expect(() => registerMetric('twice', one)).to.throw('there already');
  });
});
