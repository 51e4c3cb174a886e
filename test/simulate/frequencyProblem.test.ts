import { expect } from 'chai';
import { createEngine } from '../../src/simulate/engine.js';
import { energyAt, frequencyFrontier } from '../../src/simulate/frequency.js';
import { ClockLevels } from '../../src/simulate/frequencyCurves.js';
import { ClassClocks, frequencyProblem } from '../../src/simulate/frequencyProblem.js';
import { Random } from '../../src/util/random.js';
import { cappableProblem, syntheticCandidate } from '../support/synthetic.js';

const options = { layers: 29, spread: 0.4, devices: 16, globalBatch: 32 };
const problem = cappableProblem(options);

describe('caps that stay the same through a step', () => {
  const levels = new ClockLevels(problem);
  const candidate = syntheticCandidate(problem, { tp: 4, pp: 4 });

  it('are full at the limits of the boards, and never below the frontier elsewhere', () => {
    const caps = frequencyProblem(problem, candidate, levels);
    const run = createEngine(problem).run(candidate);
    expect(caps.stages).to.equal(4);
    expect(caps.full.timeSec).to.be.closeTo(run.stepTimeSec, 1e-9 * run.stepTimeSec);
    const { points } = frequencyFrontier(levels, candidate);
    const random = new Random(2);
    const watt = new Float64Array(4);
    for (let i = 0; i < 200; i++) {
      for (let r = 0; r < 4; r++)
        watt[r] = caps.leastWatt[r] + random.next() * (caps.mostWatt[r] - caps.leastWatt[r]);
      const { timeSec, energyJoule } = caps.evaluate(watt);
      expect(timeSec).to.be.at.least(caps.full.timeSec * (1 - 1e-9));
      expect(energyJoule).to.be.at.least(energyAt(points, timeSec) * (1 - 1e-6));
    }
    expect(() => caps.evaluate([1])).to.throw('4 caps');
  });

  it('save energy by stage and kind of task, though less than clocks by task', () => {
    const clocks = new ClassClocks(levels, candidate);
    const { points, full } = frequencyFrontier(levels, candidate);
    // Every task of a stage slowed alike also slows the one pass that fills the pipeline: a little time has to be given.
    const found = clocks.descend(1.01 * full.timeSec);
    expect(found.timeSec).to.be.at.most(1.01 * full.timeSec * (1 + 1e-8));
    expect(found.energyJoule).to.be.below(0.995 * full.energyJoule);
    expect(found.energyJoule).to.be.at.least(energyAt(points, found.timeSec) * (1 - 1e-6));
    const slower = clocks.descend(1.05 * full.timeSec);
    expect(slower.energyJoule).to.be.below(found.energyJoule * (1 + 1e-9));
    const { clockShare, capWatt } = clocks.capOf(0, 10);
    expect(clockShare).to.be.closeTo(0.8, 1e-12);
    expect(capWatt).to.be.below(problem.cluster.groups[0].device.matrixWatt);
  });
});
