import { expect } from 'chai';
import { checkEnvironment } from '../../src/agent/checker.js';
import { drawShardInstance } from '../../src/agent/drawnInstance.js';
import { NEIGHBOURHOOD_SPEC, NeighbourhoodArms } from '../../src/agent/neighbourhoodArms.js';
import { LearnedChoice } from '../../src/agent/neighbourhoodChoice.js';
import { NeighbourhoodEpisode, neighbourhoodTask } from '../../src/agent/neighbourhoodEpisode.js';
import type { ShardCore } from '../../src/shard/index.js';
import { NEIGHBOURHOODS, judgeShard, reduceInstance } from '../../src/shard/index.js';
import { Random } from '../../src/util/random.js';

function drawnCore(seed: number): ShardCore {
  const random = new Random(seed);
  for (;;) {
    const { core } = reduceInstance(drawShardInstance(random, 120));
    if (core !== null && core.count > 20) return core;
  }
}

const CONTEXT = { value: 1, overfull: false, blocks: 0, sinceImprovement: 0, progress: 0 };

describe('choosing neighbourhoods as a decision process', () => {
  it('keeps the contract of environments', () => {
    const task = neighbourhoodTask(drawnCore(1));
    expect(checkEnvironment(() => new NeighbourhoodEpisode([task]), 2, 5)).to.deep.equal([]);
  });

  it('ends an episode when its work is done, and pays for what was gained', () => {
    const task = { ...neighbourhoodTask(drawnCore(2)), work: 400_000 };
    const episode = new NeighbourhoodEpisode([task]);
    episode.reset(3);
    const random = new Random(4);
    let total = 0;
    for (let k = 0; k < NEIGHBOURHOOD_SPEC.maxSteps; k++) {
      const { reward, terminated, truncated } = episode.step(random.int(NEIGHBOURHOODS.length));
      expect(reward).to.be.at.least(0);
      total += reward;
      if (terminated || truncated) break;
    }
    expect(total).to.be.at.least(0);
    expect(() => episode.step(0)).to.throw('internal: step without a running episode');
  });

  it('shows an arm that pays more than the others by its rate', () => {
    const arms = new NeighbourhoodArms(drawnCore(1));
    for (let k = 0; k < 20; k++) {
      arms.learn(3, 1e-3, 1000);
      arms.learn(4, 0, 1000);
    }
    const { options } = arms.observe(CONTEXT);
    const rate = (arm: number): number => options[arm * NEIGHBOURHOOD_SPEC.optionFeatures + 8];
    expect(rate(3)).to.be.above(0);
    expect(rate(4)).to.equal(-1);
    expect(rate(5)).to.equal(0);
  });

  it('draws arms by a policy, all of them where it has no opinion, and refuses one made for something else', () => {
    const hidden = 4;
    const { name, optionFeatures, contextFeatures } = NEIGHBOURHOOD_SPEC;
    const rows = optionFeatures + contextFeatures;
    const sizes = [rows * hidden, hidden, hidden * hidden, hidden, hidden, 1];
    const environment = { name, optionFeatures, contextFeatures, hidden };
    const weights = sizes.map((size) => new Float32Array(size));
    const core = drawnCore(1);
    const choice = new LearnedChoice(core, { environment, weights }, new Random(6), 'here');
    const drawn = new Set<number>();
    for (let k = 0; k < 400; k++) drawn.add(choice.next(CONTEXT));
    expect(drawn.size).to.equal(NEIGHBOURHOODS.length);
    const wrong = { environment, weights: weights.slice(1) };
    expect(() => new LearnedChoice(core, wrong, new Random(6), 'here')).to.throw('other layers');
  });
});

describe('drawn sharding instances', () => {
  it('have a solution within their limit: every node at its least usage', () => {
    const instance = drawShardInstance(new Random(7), 60);
    const leanest = Array.from({ length: instance.nodeCount }, (_, i) => {
      const usages = instance.usage.subarray(instance.strategyStart[i], instance.strategyStart[i + 1]);
      return usages.indexOf(Math.min(...usages));
    });
    expect(judgeShard(instance, leanest).feasible).to.equal(true);
  });
});
