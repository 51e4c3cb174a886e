import { expect } from 'chai';
import type { Highs } from 'highs';
import { judgeLatency, judgePlacement, placeForLatency } from '../../../src/search/place/index.js';
import { loadHighs } from '../../../src/search/ilp.js';
import { groupsOf } from '../../../src/search/place/groups.js';
import { solveLatencyMip } from '../../../src/search/place/latencyMip.js';
import { Random } from '../../../src/util/random.js';
import { bruteForce, randomProblem } from './support.js';

const clock = (): number => performance.now() / 1000;

describe('placement for latency by integer programming', function () {
  this.timeout(60_000);
  let highs: Highs;
  before(async () => {
    highs = await loadHighs();
  });

  it('finds and proves the least latency of 40 small graphs, knowing nothing', () => {
    for (let seed = 200; seed < 240; seed++) {
      const problem = randomProblem(seed);
      const groups = groupsOf(problem);
      const best = bruteForce(problem, 'latency', false);
      let value = Infinity;
      const answer = solveLatencyMip(highs, problem, groups, {
        ...{ known: Infinity, lowerBound: 0, untilSec: clock() + 20, clock, seed: 1 },
        onPlacement: (device) => {
          const placed = Int32Array.from(groups.of, (g) => device[g]);
          expect(judgePlacement(problem, placed).faults, `seed ${seed}`).to.deep.equal([]);
          value = Math.min(value, judgeLatency(problem, placed));
        },
      });
      if (best === Infinity) {
        expect(answer?.lowerBound, `seed ${seed}`).to.equal(Infinity);
        continue;
      }
      expect(value, `seed ${seed}`).to.be.closeTo(best, 1e-4 * Math.max(1, best));
      expect(answer?.lowerBound, `seed ${seed}`).to.be.within(best * (1 - 2e-4) - 1e-6, best * (1 + 1e-9));
    }
  });

  it('proves what local search finds, and says where the bound comes from', () => {
    let proofs = 0;
    for (let seed = 300; seed < 315; seed++) {
      const problem = randomProblem(seed);
      const best = bruteForce(problem, 'latency', false);
      const found = placeForLatency(problem, {
        ...{ contiguous: false, maxSec: 0.4, clock, random: new Random(seed), highs },
      });
      if (best === Infinity) expect(found.device).to.equal(null);
      else expect(found.value, `seed ${seed}`).to.be.closeTo(best, 1e-9);
      expect(found.lowerBound).to.be.at.most(best + 1e-9);
      if (found.proven && found.boundFrom === 'highs') proofs++;
    }
    expect(proofs).to.be.above(0);
  });
});
