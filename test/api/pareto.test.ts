import { expect } from 'chai';
import { parseObjective, planPareto, problemOf } from '../../src/api/index.js';
import { clusterOf, openModel } from '../../src/api/problem.js';
import { frontOf } from '../../src/api/pareto.js';
import { solverByName } from '../../src/portfolio/index.js';
import { objectiveValue } from '../../src/search/objective.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { Random } from '../../src/util/random.js';
import { gpt2 } from '../cli/support.js';

const EVALUATIONS = 1200;
const setting = { devices: 16, cluster: 'a100-40gb', seq: 512, batch: 64 };

describe('the front of time and energy', function () {
  this.timeout(60_000);
  const model = openModel(gpt2, setting);
  const { problem } = problemOf(model, clusterOf(setting), setting);

  /** The best of a search for one objective, with the share of the budget that the front gives it. */
  async function single(objective: string): Promise<{ value: number; timeSec: number; joule: number }> {
    const { best, value } = await solverByName('random').solve({
      problem: { ...problem, objective: parseObjective(objective) },
      simulator: createSimulator(problem),
      budget: { maxEvaluations: EVALUATIONS / 4, maxSec: Infinity },
      clock: () => 0,
      random: new Random(5),
    });
    const price = createSimulator(problem).estimate(best!, createEstimate());
    return { value, timeSec: price.stepTimeSec, joule: price.energyJoulesPerStep };
  }

  it('has no point that another beats, and its ends are those of searches for time and for energy alone', async () => {
    const budget = { maxEvaluations: EVALUATIONS, maxSec: Infinity };
    const request = { ...setting, modelPath: gpt2, method: 'random', budget, seed: 5 };
    const { facts, plans } = await planPareto(request, { clock: () => 0 });
    const { front } = facts;
    for (const a of front)
      for (const b of front)
        if (a !== b) expect(a.timeSec < b.timeSec || a.energyJoule < b.energyJoule).to.equal(true);
    expect(facts.evaluations).to.equal(EVALUATIONS);
    expect(new Set(front.map((p) => p.plan)).size).to.equal(plans.length);
    const fastest = await single('time');
    const thriftiest = await single('energy');
    // Estimates and the engine's steps are 1 % apart at most.
    expect(front[0].timeSec).to.be.at.most(1.01 * fastest.timeSec);
    expect(front[front.length - 1].energyJoule).to.be.at.most(1.01 * thriftiest.joule);
    expect(Math.min(...plans.map((p) => p.prediction.stepTimeSec))).to.be.at.most(
      fastest.timeSec * (1 + 1e-9),
    );
  });

  it('ends early when told to, with the plans that were found', async () => {
    let asked = 0;
    const request = { ...setting, modelPath: gpt2, method: 'random', seed: 5 };
    const stopped = (): boolean => ++asked > 200;
    const { facts, plans } = await planPareto(request, { clock: () => 0, stopped });
    expect(facts.evaluations).to.equal(200);
    expect(plans.length).to.be.above(0);
    expect(facts.plans.every((p) => p.noSlowdown === null)).to.equal(true);
    expect(plans.every((p) => p.frequency === undefined)).to.equal(true);
    const at = (timeSec: number, energyJoule: number): { timeSec: number; energyJoule: number } => ({
      timeSec,
      energyJoule,
    });
    const merged = frontOf([
      [at(1, 5), at(3, 2)],
      [at(2, 3), at(2, 6), at(4, 2)],
    ]);
    expect(merged).to.deep.equal([
      { plan: 0, ...at(1, 5) },
      { plan: 1, ...at(2, 3) },
      { plan: 0, ...at(3, 2) },
    ]);
  });

  it('weights of an objective matter, scale away, and alone mean what their name says', async () => {
    const time = await single('time');
    expect((await single('time=1')).value).to.equal(time.value);
    expect((await single('time=5')).value).to.equal(time.value);
    const energy = await single('energy');
    expect(energy.joule).to.be.at.most(time.joule);
    const price = createSimulator(problem);
    const random = new Random(1);
    const out = createEstimate();
    const { best } = await solverByName('greedy').solve({
      problem,
      simulator: price,
      budget: { maxEvaluations: 10, maxSec: Infinity },
      clock: () => 0,
      random,
    });
    price.estimate(best!, out);
    const value = (text: string): number => objectiveValue(parseObjective(text), out);
    expect(value('energy')).to.be.closeTo(out.energyJoulesPerStep, 1e-9 * out.energyJoulesPerStep);
    expect(value('cost')).to.be.closeTo(out.costPerStep, 1e-9 * out.costPerStep);
    expect(value('time=0.7,energy=0.3')).to.be.closeTo(value('time=7,energy=3'), 1e-9 * value('time'));
    const mixed = out.stepTimeSec ** 0.7 * out.energyJoulesPerStep ** 0.3;
    expect(value('time=0.7,energy=0.3')).to.be.closeTo(mixed, 1e-9 * mixed);
    expect(value('time=0.3,energy=0.7')).to.not.be.closeTo(mixed, 1e-3 * mixed);
  });
});
