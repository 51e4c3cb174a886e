import { expect } from 'chai';
import { Random } from '../../src/util/random.js';
import {
  balancedCuts,
  checkCandidate,
  copyCandidate,
  equalCandidates,
  expertShards,
  hashCandidate,
} from '../../src/plan/candidate.js';
import type { Candidate } from '../../src/plan/types.js';
import { randomCandidate, syntheticCandidate, syntheticProblem } from '../support/synthetic.js';

describe('candidate', () => {
  const problem = syntheticProblem({ experts: 8 });
  const sound = syntheticCandidate(problem, { tp: 4, pp: 4 });

  it('names what is illegal, with both numbers', () => {
    const faults: [Partial<Candidate>, string][] = [
      [{ dpShard: 5 }, 'expected the device count 64'],
      [{ tp: 16, dpShard: 1 }, 'tp = 16 is not one of the degrees'],
      [{ cp: 16, dpShard: 1, tp: 1 }, 'cp = 16 does not divide the sequence limit 8'],
      [{ ep: 3 }, 'ep = 3 does not divide the 8 experts'],
      [{ ep: 8, etp: 4 }, 'ep * etp = 32 does not divide dp * cp * tp = 16'],
      [{ microbatch: 3 }, 'microbatch = 3 does not divide the 128 sequences'],
      [{ vpp: 2 }, '1f1b runs one chunk per rank, found vpp = 2'],
      [{ schedule: 'interleaved' }, 'interleaved needs pp > 1 and vpp > 1'],
      [{ schedule: 'zb-h1', vpp: 2 }, 'zb-h1 runs one chunk per rank, found vpp = 2'],
      [{ contextExchange: 'all-to-all' }, 'an all-to-all context exchange needs cp > 1'],
      [
        { contextExchange: 'all-to-all', tp: 8, pp: 1, cp: 8, dpShard: 1 },
        'needs heads divisible by tp * cp = 64, found 32',
      ],
      [{ stageStart: Int32Array.of(0, 8, 8, 20, 34) }, 'virtual stage 1 of 4 holds no segment'],
      [{ stageStart: Int32Array.of(0, 8, 16, 34) }, 'stageStart has 4 entries, expected pp * vpp + 1 = 5'],
      [{ stageStart: Int32Array.of(0, 8, 16, 20, 30) }, 'stageStart ends at 30, expected the 34 segments'],
      [{ recompute: new Uint8Array(2) }, 'recompute names 2 classes, the model has 3'],
      [{ recompute: Uint8Array.of(0, 0, 3) }, 'recompute policy 3 of class 2'],
      [{ zeroStage: 4 as 3 }, 'zeroStage = 4'],
      [{ microbatch: 0.5 }, 'microbatch = 0.5 is not a positive integer'],
    ];
    expect(checkCandidate(problem, sound)).to.equal(null);
    for (const [change, message] of faults)
      expect(checkCandidate(problem, { ...sound, ...change })).to.include(message);
  });

  it('copies deeply, and equal candidates hash equal', () => {
    const random = new Random(1);
    const hashes = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const c = randomCandidate(problem, random);
      const copy = copyCandidate(c);
      expect(equalCandidates(c, copy)).to.equal(true);
      expect(hashCandidate(copy)).to.equal(hashCandidate(c));
      copy.stageStart[0] = 1;
      expect(equalCandidates(c, copy)).to.equal(false);
      hashes.add(hashCandidate(c));
    }
    expect(hashes.size).to.be.above(190);
  });

  it('shards experts over the replicas of one copy of the model only', () => {
    const shards = (given: Partial<Candidate>): number => expertShards(syntheticCandidate(problem, given));
    expect(shards({ tp: 1, pp: 1, ep: 8 })).to.equal(8);
    expect(shards({ tp: 1, pp: 1, ep: 8, dpReplicate: 4 })).to.equal(2);
    expect(shards({ tp: 1, pp: 1, ep: 8, dpReplicate: 8 })).to.equal(1);
  });

  it('balances cuts: every stage holds a segment, and equal chains are shared evenly', () => {
    expect([...balancedCuts(new Array<number>(12).fill(1), 4)]).to.deep.equal([0, 3, 6, 9, 12]);
    const random = new Random(2);
    for (let i = 0; i < 200; i++) {
      const weights = Array.from({ length: 1 + random.int(40) }, () => random.next() ** 3);
      const stages = 1 + random.int(weights.length);
      const start = balancedCuts(weights, stages);
      expect(start[0]).to.equal(0);
      expect(start[stages]).to.equal(weights.length);
      for (let v = 0; v < stages; v++) expect(start[v + 1]).to.be.above(start[v]);
    }
  });
});
