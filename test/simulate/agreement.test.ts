import { expect } from 'chai';
import { SCHEDULES } from '../../src/parallel/index.js';
import { gaps } from '../support/agreement.js';
import type { Gap } from '../support/agreement.js';
import { RANDOM_MODELS, randomModelProblem } from '../support/randomPlans.js';

/** Of 1,002 plans in all. */
const PLANS = 167;
/** Both fidelities add the same numbers up in another order. */
const ROUNDING = 1e-9;

describe('estimate and engine on random legal plans', () => {
  const all: Gap[] = [];
  for (const model of RANDOM_MODELS)
    it(`give the same step time and activation peaks: ${model.name} on ${model.devices} devices`, function () {
      this.timeout(60_000);
      const found = gaps(randomModelProblem(model), PLANS, 1);
      for (const gap of found) {
        expect(gap.time, JSON.stringify(gap)).to.be.at.most(ROUNDING);
        expect(gap.memory, JSON.stringify(gap)).to.be.at.most(ROUNDING);
      }
      all.push(...found);
    });

  it('were tried with every schedule and ZeRO stage, uneven stages and exposed reductions', function () {
    if (all.length < PLANS * RANDOM_MODELS.length) this.skip();
    for (const schedule of SCHEDULES)
      for (const zeroStage of [0, 1, 2, 3]) {
        const found = all.filter((g) => g.schedule === schedule && g.zeroStage === zeroStage && g.pp > 1);
        expect(found.length, `${schedule}, ZeRO ${zeroStage}`).to.be.at.least(5);
      }
    expect(all.filter((g) => g.exposedShare > 0.2).length).to.be.at.least(50);
    expect(all.filter((g) => g.bubbleShare > 0.4).length).to.be.at.least(50);
  });
});
