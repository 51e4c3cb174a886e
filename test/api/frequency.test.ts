import { expect } from 'chai';
import {
  decodePlan,
  encodePlan,
  frequencyOf,
  planOf,
  validatePlan,
  withFrequency,
} from '../../src/api/index.js';
import { analyzeModel, clusterOf, problemOf } from '../../src/api/problem.js';
import { balancedCuts } from '../../src/plan/candidate.js';
import { createEngine } from '../../src/simulate/engine.js';
import { syntheticCandidate } from '../support/synthetic.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';

describe('a plan with clocks', () => {
  const model = analyzeModel(buildZoo(zooConfig('gpt2-small'), { seq: 1024 }), 'gpt2-small', { seq: 1024 });
  const cluster = clusterOf({ cluster: 'h100-sxm', devices: 8 });
  const problem = problemOf(model, cluster, { devices: 8, batch: 32, seq: 1024 });
  const { segmentCount } = model.segmentation;
  const candidate = syntheticCandidate(problem.problem, {
    pp: 4,
    stageStart: balancedCuts(new Float64Array(segmentCount).fill(1), 4),
  });
  const { facts, frequency } = frequencyOf(problem.problem, candidate);
  const plan = planOf(problem, candidate, 'gpt2-small.onnx', {
    objective: 'time',
    optimalInSpace: false,
    foundBy: { method: 'test', member: 'test', seed: 0, evaluations: 0 },
  });

  it('takes the step of the engine and less energy', () => {
    const { stepTimeSec } = createEngine(problem.problem).run(candidate);
    expect(facts.full.timeSec).to.be.closeTo(stepTimeSec, 1e-9 * stepTimeSec);
    expect(facts.noSlowdown.timeSec).to.be.closeTo(stepTimeSec, 1e-8 * stepTimeSec);
    expect(facts.noSlowdown.energyJoule).to.be.below(facts.full.energyJoule);
    expect(facts.leastEnergy.energyJoule).to.be.at.most(facts.noSlowdown.energyJoule);
    expect(facts.frontier.length).to.be.within(1, 65);
  });

  it('is written, read back and judged sound', () => {
    const clocked = withFrequency(plan, frequency);
    const text = encodePlan(clocked);
    expect(decodePlan(text, 'plan.json')).to.deep.equal(clocked);
    expect(validatePlan(clocked, model.graph, cluster, model.segmentation)).to.deep.equal([]);
    expect(frequency.tasks).to.have.length(8);
  });

  it('is refused when clocks are missing, of no stage, or take more energy', () => {
    const faults = (changed: Partial<typeof frequency>): string =>
      validatePlan(withFrequency(plan, { ...frequency, ...changed }), model.graph, cluster).join('; ');
    expect(faults({ tasks: frequency.tasks.slice(1) })).to.contain('no clocks for forward of stage 0');
    expect(faults({ tasks: [{ ...frequency.tasks[0], runs: [] }, ...frequency.tasks.slice(1)] })).to.contain(
      'for 0 microbatches',
    );
    expect(faults({ tasks: [...frequency.tasks, { ...frequency.tasks[0], virtualStage: 9 }] })).to.contain(
      'no such stage',
    );
    expect(faults({ energyJoulesPerStep: 2 * frequency.fullEnergyJoulesPerStep })).to.contain('more energy');
  });
});
