import { expect } from 'chai';
import fc from 'fast-check';
import {
  dataParallel,
  degreesFault,
  describeDegrees,
  deviceCount,
  divisors,
  expertFault,
  expertDataParallel,
  microbatchCount,
} from '../../src/parallel/index.js';
import type { Degrees } from '../../src/parallel/index.js';

const degrees = (given: Partial<Degrees>): Degrees => ({
  ...{ dpReplicate: 1, dpShard: 1, tp: 1, pp: 1, vpp: 1, cp: 1, ep: 1, etp: 1 },
  ...given,
});

describe('degrees', () => {
  it('multiply to the device count, experts reusing the ranks of a stage', () => {
    const d = degrees({ dpReplicate: 2, dpShard: 4, tp: 8, pp: 4, cp: 2, ep: 16 });
    expect(deviceCount(d)).to.equal(512);
    expect(dataParallel(d)).to.equal(8);
    expect(expertDataParallel(d)).to.equal(8);
    expect(microbatchCount(d, 256, 2)).to.equal(16);
    expect(degreesFault(d, 512)).to.equal(null);
    expect(describeDegrees(d)).to.equal('dp=8 (2x4) tp=8 pp=4 cp=2 ep=16');
    expect(describeDegrees(degrees({}))).to.equal('one device');
  });

  const faults: readonly [string, Degrees, number, RegExp][] = [
    ['a product that misses the devices', degrees({ tp: 8 }), 16, /= 8, expected the device count 16/],
    ['a zero', degrees({ tp: 0 }), 0, /tp = 0 is not a positive integer/],
    ['a fraction', degrees({ pp: 1.5 }), 1, /pp = 1.5 is not a positive integer/],
  ];
  for (const [what, d, devices, expected] of faults)
    it(`refuse ${what}, with both numbers`, () => {
      expect(degreesFault(d, devices)).to.match(expected);
    });

  it('refuse experts wider than a stage, with both numbers', () => {
    expect(expertFault(degrees({ dpShard: 4, ep: 8 }))).to.match(
      /ep \* etp = 8 does not divide dp \* cp \* tp = 4/,
    );
    expect(expertFault(degrees({ dpShard: 4, tp: 2, ep: 4, etp: 2 }))).to.equal(null);
  });

  it('have divisors that are complete, ascending and exact', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (n) => {
        const all = Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
        expect(divisors(n)).to.deep.equal(all);
      }),
    );
  });
});
