import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { lowerBoundSec } from '../../src/search/bound.js';
import { PlanSpace } from '../../src/search/space.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { checkRandomBounds } from '../support/boundCases.js';
import { syntheticProblem } from '../support/synthetic.js';

describe('search/bound on random small cases', () => {
  it('is never above the fastest of all plans', function () {
    this.timeout(60000);
    const { cases, above, medianGap } = checkRandomBounds(600, 11);
    expect(cases).to.equal(600);
    expect(above).to.deep.equal([]);
    expect(medianGap).to.be.at.least(0);
  });

  it('holds where a middle rank can take nothing that is left by greedy ranks before it', () => {
    const problem = syntheticProblem({
      ...{
        devices: 3,
        cluster: loadCluster('v100', 3),
        layers: 2,
        hidden: 8192,
        vocabulary: 1000,
        tied: true,
      },
      ...{ sequenceLength: 2048, globalBatch: 8, experts: 2, spread: 0.30829758918844163 },
    });
    const simulator = createSimulator(problem);
    const estimate = createEstimate();
    let fastestSec = Infinity;
    for (const plan of new PlanSpace(problem).enumerate()) {
      const { fits, stepTimeSec } = simulator.estimate(plan, estimate);
      if (fits) fastestSec = Math.min(fastestSec, stepTimeSec);
    }
    expect(lowerBoundSec(problem)).to.be.at.most(fastestSec);
  });
});
