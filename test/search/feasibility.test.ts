import { expect } from 'chai';
import { exhaustiveSolver } from '../../src/search/exhaustive.js';
import {
  canSplit,
  largestDeviceCount,
  shortfall,
  smallestDeviceCount,
  somePlanFits,
} from '../../src/search/feasibility.js';
import type { SearchResult } from '../../src/search/types.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

function search(problem: PlanProblem): SearchResult {
  return exhaustiveSolver.solve({
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations: 3000, maxSec: Infinity },
    clock: () => 0,
    random: new Random(1),
  }) as SearchResult;
}

/** A 175B model. */
const big = (devices: number): PlanProblem =>
  syntheticProblem({ layers: 96, hidden: 12288, devices, globalBatch: 1536, sequenceLength: 2048 });

describe('search/feasibility', () => {
  it('says by how much a model is too large and what device count would do', () => {
    const problem = big(8);
    const result = search(problem);
    expect(result.best).to.equal(null);
    const short = shortfall(createSimulator(problem), result.nearest!);
    expect(short.overflowBytes).to.be.above(100e9);
    expect(short.overflowBytes).to.equal(short.peakMemoryBytes - short.memoryCapacityBytes);
    const enough = smallestDeviceCount(problem, big, 1024)!;
    expect(search(big(enough)).best).to.not.equal(null);
    expect(enough).to.be.within(32, 96);
  });

  it('finds the smallest count that fits, to an eighth', () => {
    const enough = smallestDeviceCount(big(8), big, 1024)!;
    expect(somePlanFits(big(enough), 100)).to.equal(true);
    expect(somePlanFits(big(Math.floor(enough / 2)), 400)).to.equal(false);
    expect(smallestDeviceCount(big(8), big, 16)).to.equal(null);
  });

  it('says how far a graph can be split when the devices are too many', () => {
    const problem = syntheticProblem({ devices: 7919, globalBatch: 64, layers: 4 });
    expect(canSplit(problem, 7919)).to.equal(false);
    const most = largestDeviceCount(problem, 7919);
    expect(canSplit(problem, most)).to.equal(true);
    for (let n = most + 1; n <= 7919; n++) expect(canSplit(problem, n)).to.equal(false);
    const result = search(problem);
    expect(result.nearest).to.equal(null);
  });
});
