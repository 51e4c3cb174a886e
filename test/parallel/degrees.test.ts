import { expect } from 'chai';
import fc from 'fast-check';
import {
  checkDegrees,
  dataParallel,
  degreesFault,
  degreesOf,
  describeDegrees,
  deviceCount,
  divisors,
  enumerateDegrees,
  expertDataParallel,
  microbatchCount,
  primeFactors,
} from '../../src/parallel/index.js';
import { PartitionError } from '../../src/util/errors.js';

describe('degrees', () => {
  it('multiply to the device count, experts reusing the ranks of a stage', () => {
    const d = degreesOf({ dpReplicate: 2, dpShard: 4, tp: 8, pp: 4, cp: 2, ep: 16, etp: 1 });
    expect(deviceCount(d)).to.equal(512);
    expect(dataParallel(d)).to.equal(8);
    expect(expertDataParallel(d)).to.equal(8);
    expect(microbatchCount(d, 256, 2)).to.equal(16);
    expect(degreesFault(d, 512, { experts: 64 })).to.equal(null);
    expect(describeDegrees(d)).to.equal('dp=8 (2x4) tp=8 pp=4 cp=2 ep=16');
    expect(describeDegrees(degreesOf({}))).to.equal('one device');
  });

  const faults: readonly [string, ReturnType<typeof degreesOf>, number, object, RegExp][] = [
    ['a product that misses the devices', degreesOf({ tp: 8 }), 16, {}, /= 8, expected the device count 16/],
    ['a zero', degreesOf({ tp: 0 }), 0, {}, /tp = 0 is not a positive integer/],
    [
      'experts wider than a stage',
      degreesOf({ dpShard: 4, ep: 8 }),
      4,
      { experts: 8 },
      /ep \* etp = 8 does not divide/,
    ],
    ['interleaving without a pipeline', degreesOf({ vpp: 2 }), 1, {}, /vpp = 2 needs pp > 1/],
    ['experts in a dense model', degreesOf({ dpShard: 2, ep: 2 }), 2, {}, /the model has no experts/],
    [
      'experts that do not divide',
      degreesOf({ dpShard: 3, ep: 3 }),
      3,
      { experts: 8 },
      /ep = 3 does not divide the 8/,
    ],
    [
      'more heads than tensor ranks divide',
      degreesOf({ tp: 8 }),
      8,
      { tpDivides: [12] },
      /tp = 8 does not divide .* 12/,
    ],
    [
      'a sequence that does not split',
      degreesOf({ cp: 3 }),
      3,
      { sequenceLength: 4096 },
      /2 \* cp = 6 does not divide/,
    ],
    [
      'more stages than layers',
      degreesOf({ pp: 8, vpp: 2 }),
      8,
      { layers: 12 },
      /pp \* vpp = 16 stages for 12 layers/,
    ],
    [
      'a batch smaller than dp',
      degreesOf({ dpShard: 8 }),
      8,
      { globalBatch: 12 },
      /dp = 8 does not divide the global batch 12/,
    ],
    ['a degree above its limit', degreesOf({ tp: 16 }), 16, { maxTp: 8 }, /tp = 16 is above its limit 8/],
  ];
  for (const [what, d, devices, limits, expected] of faults)
    it(`refuse ${what}, with both numbers`, () => {
      expect(degreesFault(d, devices, limits)).to.match(expected);
      expect(() => checkDegrees(d, devices, limits)).to.throw(PartitionError, expected);
    });

  it('are enumerated legally, completely and once', () => {
    const limits = { maxTp: 8, maxPp: 4, experts: 4, layers: 8, maxVpp: 2, dpSplits: 'all' as const };
    const found = [...enumerateDegrees(16, limits)];
    const keys = new Set(found.map((d) => JSON.stringify(d)));
    expect(keys.size).to.equal(found.length);
    for (const d of found) expect(degreesFault(d, 16, limits)).to.equal(null);
    // Brute force over every eight-tuple of divisors.
    let legal = 0;
    const all = divisors(16);
    for (const dpReplicate of all)
      for (const dpShard of all)
        for (const tp of all)
          for (const pp of all)
            for (const cp of all)
              for (const vpp of [1, 2])
                for (const ep of all)
                  for (const etp of all) {
                    const d = { dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp };
                    if (etp <= tp && degreesFault(d, 16, limits) === null) legal++;
                  }
    expect(found).to.have.length(legal);
  });

  it('for 16,384 devices are few and quickly listed', () => {
    const found = [...enumerateDegrees(16384, { maxTp: 8, maxPp: 64, layers: 126, globalBatch: 2048 })];
    expect(found.length).to.be.within(50, 2000);
  });

  it('a prime count leaves one axis', () => {
    const found = [...enumerateDegrees(127, { maxTp: 8, maxPp: 64, maxCp: 1 })];
    expect(found).to.deep.equal([degreesOf({ dpShard: 127 })]);
  });

  it('divisors and prime factors recompose their number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100000 }), (n) => {
        const ds = divisors(n);
        expect(ds.every((d, i) => n % d === 0 && (i === 0 || d > ds[i - 1]))).to.equal(true);
        expect(primeFactors(n).reduce((a, b) => a * b, 1)).to.equal(n);
        const exponents = new Map<number, number>();
        for (const p of primeFactors(n)) exponents.set(p, (exponents.get(p) ?? 0) + 1);
        expect(ds.length).to.equal([...exponents.values()].reduce((a, e) => a * (e + 1), 1));
      }),
    );
  });
});
