import { expect } from 'chai';
import { loadStack } from '../../src/cost/stack.js';
import { memoryTimeline } from '../../src/simulate/memoryTimeline.js';
import { priceRun } from '../support/run.js';
import type { Run } from '../support/run.js';

const RUN: Run = {
  ...{ model: 'llama-3-8b', sizes: { layers: 16 }, seq: 2048, cluster: 'h100-sxm', devices: 8 },
  ...{
    stack: loadStack(),
    globalBatch: 16,
    microbatch: 1,
    degrees: { pp: 4 },
    zeroStage: 1,
    recompute: 'none',
  },
};

describe('memory over time', () => {
  for (const vpp of [1, 2]) {
    it(`peaks where the price says it does, with ${vpp} chunks a rank`, () => {
      const { problem, candidate, estimate } = priceRun({ ...RUN, degrees: { pp: 4, vpp } });
      const { ranks, stepTimeSec } = memoryTimeline(problem, candidate);
      expect(ranks.length).to.equal(4);
      ranks.forEach((rank, r) => {
        expect(rank.peakBytes / estimate.memory[r].totalBytes).to.be.within(0.98, 1 + 1e-9);
        expect(rank.peakAtSec).to.be.within(0, stepTimeSec);
      });
    });
  }

  it('begins and ends without activations, and is in order of time', () => {
    const { problem, candidate } = priceRun(RUN);
    for (const rank of memoryTimeline(problem, candidate).ranks) {
      const last = rank.timeSec.length - 1;
      expect(last).to.be.at.least(2);
      expect(rank.activationBytes[last]).to.be.closeTo(0, 1);
      expect(rank.transientBytes[last]).to.equal(0);
      for (let i = 1; i <= last; i++) expect(rank.timeSec[i]).to.be.greaterThan(rank.timeSec[i - 1]);
    }
  });
});
