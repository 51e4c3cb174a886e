import { expect } from 'chai';
import { bubbleFraction, deferredChunks, inFlightChunks, scheduleFault } from '../../src/parallel/index.js';

describe('pipeline schedules', () => {
  it('have the bubble of the textbook: (pp - 1) / (microbatches * vpp)', () => {
    expect(bubbleFraction(4, 1, 12)).to.equal(0.25);
    expect(bubbleFraction(4, 3, 12)).to.be.closeTo(0.25 / 3, 1e-15);
    expect(bubbleFraction(1, 1, 8)).to.equal(0);
  });

  it('1F1B holds pp - rank microbatches, GPipe all of them', () => {
    expect([0, 1, 2, 3].map((rank) => inFlightChunks('1f1b', rank, 4, 1, 16))).to.deep.equal([4, 3, 2, 1]);
    expect(inFlightChunks('1f1b', 0, 8, 1, 3)).to.equal(3);
    expect(inFlightChunks('gpipe', 3, 4, 1, 16)).to.equal(16);
  });

  it('interleaving holds (pp - 1) / (pp * vpp) more of the model on the first rank than 1F1B', () => {
    // Narayanan et al. 2021: activations grow by 1 + (pp - 1) / (pp * vpp).
    for (const [pp, vpp] of [
      [4, 2],
      [8, 3],
      [16, 6],
    ] as const) {
      const interleaved = inFlightChunks('interleaved', 0, pp, vpp, 8 * pp) / vpp;
      expect(interleaved / pp).to.be.closeTo(1 + (pp - 1) / (pp * vpp), 1e-12);
    }
  });

  it('ZB-H1 holds on every rank what 1F1B holds on its first', () => {
    for (const microbatches of [1, 3, 4, 16])
      for (let rank = 0; rank < 4; rank++) {
        const deferred = deferredChunks('zb-h1', rank, microbatches);
        expect(deferred).to.equal(Math.min(rank + 1, microbatches));
        expect(inFlightChunks('zb-h1', rank, 4, 1, microbatches) + deferred).to.equal(
          inFlightChunks('1f1b', 0, 4, 1, microbatches),
        );
        expect(deferredChunks('1f1b', rank, microbatches)).to.equal(0);
      }
  });

  it('in-flight counts fall from the first rank to the last and never exceed the step’s work', () => {
    for (const kind of ['gpipe', '1f1b', 'interleaved'] as const)
      for (const microbatches of [4, 8, 64]) {
        const vpp = kind === 'interleaved' ? 3 : 1;
        let before = Infinity;
        for (let rank = 0; rank < 4; rank++) {
          const held = inFlightChunks(kind, rank, 4, vpp, microbatches);
          expect(held).to.be.within(1, Math.min(before, microbatches * vpp));
          before = held;
        }
      }
  });

  it('say why they cannot run', () => {
    expect(scheduleFault('interleaved', 4, 2, 10)).to.match(/divisible by pp = 4, found 10/);
    expect(scheduleFault('interleaved', 1, 2, 8)).to.match(/needs pp > 1/);
    expect(scheduleFault('1f1b', 4, 2, 8)).to.match(/one chunk per rank/);
    expect(scheduleFault('1f1b', 4, 1, 2.5)).to.match(/2.5 is not a positive integer/);
    expect(scheduleFault('gpipe', 4, 1, 7)).to.equal(null);
    expect(scheduleFault('zb-h1', 1, 1, 8)).to.match(/zb-h1 needs pp > 1/);
    expect(scheduleFault('zb-h1', 4, 2, 8)).to.match(/zb-h1 runs one chunk per rank/);
    expect(scheduleFault('zb-h1', 4, 1, 3)).to.equal(null);
  });
});
