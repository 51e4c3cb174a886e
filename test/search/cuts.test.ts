import { expect } from 'chai';
import type { ChainCosts } from '../../src/search/cuts.js';
import { minimaxCuts } from '../../src/search/cuts.js';
import { allCuts } from '../../src/search/space.js';
import { Random } from '../../src/util/random.js';

/** Sum of weights, scaled per stage; Infinity above a per-stage limit on another sum. */
function chain(weights: number[], sizes: number[], speed: number[], limit: number[]): ChainCosts {
  return {
    cost(stage, from, to) {
      let time = 0;
      let size = 0;
      for (let s = from; s < to; s++) {
        time += weights[s];
        size += sizes[s];
      }
      return size > limit[stage] ? Infinity : time * speed[stage];
    },
  };
}

function worst(costs: ChainCosts, start: Int32Array): number {
  let most = 0;
  for (let v = 0; v + 1 < start.length; v++) most = Math.max(most, costs.cost(v, start[v], start[v + 1]));
  return most;
}

describe('search/cuts', () => {
  it('enumerates every way to cut a chain once', () => {
    const cuts = (segments: number, stages: number): string[] => {
      const seen: string[] = [];
      for (const start of allCuts(segments, stages)) seen.push(start.join());
      return seen;
    };
    expect(new Set(cuts(7, 4)).size).to.equal(20);
    expect(cuts(7, 4)).to.have.length(20);
    expect(cuts(3, 1)).to.deep.equal(['0,3']);
    expect(cuts(3, 3)).to.deep.equal(['0,1,2,3']);
    expect(cuts(3, 4)).to.deep.equal([]);
  });

  it('cuts small chains as well as brute force, with unlike stages and memory limits', () => {
    const random = new Random(5);
    for (let trial = 0; trial < 300; trial++) {
      const segments = 2 + random.int(9);
      const stages = 1 + random.int(Math.min(segments, 5));
      const draw = (n: number): number[] => Array.from({ length: n }, () => 1 + random.int(9));
      const unlike = random.next() < 0.5;
      const costs = chain(
        draw(segments),
        draw(segments),
        unlike ? draw(stages) : draw(stages).fill(1),
        Array.from({ length: stages }, () => 5 + random.int(40)),
      );
      let best = Infinity;
      for (const start of allCuts(segments, stages)) best = Math.min(best, worst(costs, start));
      const found = minimaxCuts(segments, stages, costs);
      if (best === Infinity) expect(found).to.equal(null);
      else {
        expect(found!.bottleneck).to.equal(best);
        expect(worst(costs, found!.stageStart)).to.equal(best);
      }
    }
  });

  it('refuses more stages than segments', () => {
    expect(minimaxCuts(2, 3, chain([1, 1], [0, 0], [1, 1, 1], [1, 1, 1]))).to.equal(null);
  });

  it('cuts a chain of 2,000 segments into 64 stages in well under a second', () => {
    const random = new Random(6);
    const prefix = new Float64Array(2001);
    for (let s = 0; s < 2000; s++) prefix[s + 1] = prefix[s] + 1 + random.next();
    const found = minimaxCuts(2000, 64, { cost: (_k, from, to) => prefix[to] - prefix[from] })!;
    expect(found.bottleneck).to.be.within(prefix[2000] / 64, prefix[2000] / 64 + 2);
    expect(found.stageStart).to.have.length(65);
  });
});
