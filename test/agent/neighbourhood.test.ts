import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { checkEnvironment } from '../../src/agent/checker.js';
import {
  NEIGHBOURHOOD_SPEC,
  NeighbourhoodArms,
  drawByRate,
  sliceOf,
} from '../../src/agent/neighbourhoodArms.js';
import { LearnedChoice } from '../../src/agent/neighbourhoodChoice.js';
import { NeighbourhoodEpisode, neighbourhoodTask } from '../../src/agent/neighbourhoodEpisode.js';
import { drawShardInstance } from '../../src/agent/neighbourhoodInstance.js';
import { trainNeighbourhoods } from '../../src/agent/neighbourhoodTraining.js';
import type { ShardCore } from '../../src/shard/index.js';
import { NEIGHBOURHOODS, judgeShard, reduceInstance } from '../../src/shard/index.js';
import { Random } from '../../src/util/random.js';

function drawnCore(seed: number): ShardCore {
  const random = new Random(seed);
  for (;;) {
    const { core } = reduceInstance(drawShardInstance(random, 6).instance);
    if (core !== null && core.count > 100) return core;
  }
}

const CONTEXT = { value: 1, overfull: false, blocks: 0, sinceImprovement: 0, progress: 0 };
const LONG_RATE = 9;

describe('choosing neighbourhoods as a decision process', () => {
  const core = drawnCore(7);

  it('keeps the contract of environments', () => {
    const task = neighbourhoodTask(core, new Random(2), 3);
    expect(task.starts).to.not.be.empty;
    expect(checkEnvironment(() => new NeighbourhoodEpisode([task]), 2, 5)).to.deep.equal([]);
  });

  it('ends an episode when its work is done, and pays for what was gained', () => {
    const task = neighbourhoodTask(core, new Random(2), 5);
    const episode = new NeighbourhoodEpisode([task]);
    episode.reset(3);
    const random = new Random(4);
    let steps = 0;
    for (let isOver = false; !isOver; steps++) {
      const { reward, terminated, truncated } = episode.step(random.int(NEIGHBOURHOODS.length));
      expect(reward).to.be.within(0, 1);
      isOver = terminated || truncated;
    }
    // A step is a slice, or one block where that is more.
    expect(steps).to.be.within(1, 5);
    expect(() => episode.step(0)).to.throw('internal: step without a running episode');
  });

  it('starts episodes where the search is begun and where it is far on, with the record up to there', () => {
    const task = neighbourhoodTask(core, new Random(2), 3);
    const seen = task.starts.map(({ arms, sinceImprovement }) => {
      const { options } = arms.observe({ overfull: false, sinceImprovement });
      return Math.max(...options);
    });
    expect(seen.every(Number.isFinite)).to.equal(true);
    for (const { reference } of task.starts) expect(reference).to.be.above(0);
    const first = new NeighbourhoodEpisode([task]);
    expect(first.reset(1)).to.deep.equal(new NeighbourhoodEpisode([task]).reset(1));
  });

  it('shows an arm that pays more than the others by its rate, and a bandit of it draws that arm most', () => {
    const arms = new NeighbourhoodArms(core);
    for (let k = 0; k < 20; k++) {
      arms.learn(3, 1e-3, 1000);
      arms.learn(4, 0, 1000);
      arms.learn(6, 1e-5, 1000);
    }
    const observation = arms.observe(CONTEXT);
    const rate = (arm: number): number =>
      observation.options[arm * NEIGHBOURHOOD_SPEC.optionFeatures + LONG_RATE];
    expect(rate(3)).to.equal(0);
    expect(rate(6)).to.be.closeTo(-0.5, 1e-2);
    expect(rate(4)).to.equal(-1);
    const random = new Random(5);
    const drawn = Array.from({ length: 200 }, () => drawByRate(observation, random));
    expect(drawn.filter((a) => a === 3).length).to.be.above(120);
  });

  it('holds an arm for a slice of work, and draws all of them where a policy has no opinion', () => {
    const choice = new LearnedChoice(core, noOpinion(), new Random(6), 'here');
    const drawn = new Set<number>();
    for (let k = 0; k < 400; k++) {
      const arm = choice.next(CONTEXT);
      drawn.add(arm);
      choice.learn(arm, 0, sliceOf(core) / 2);
      expect(choice.next(CONTEXT)).to.equal(arm);
      choice.learn(arm, 0, sliceOf(core));
    }
    expect(drawn.size).to.equal(NEIGHBOURHOODS.length);
  });

  it('learns a policy that the solver takes, the same from the same seed', async function () {
    this.timeout(120_000);
    const { tf } = await loadBackend();
    const tasks = [neighbourhoodTask(core, new Random(2), 3)];
    const learn = (): ReturnType<typeof trainNeighbourhoods> =>
      trainNeighbourhoods(tf, tasks, 1, false, new Random(7), () => undefined);
    const policy = learn();
    expect(learn()).to.deep.equal(policy);
    const arm = new LearnedChoice(core, policy, new Random(6), 'here').next(CONTEXT);
    expect(arm).to.be.within(0, NEIGHBOURHOODS.length - 1);
  });

  it('refuses a policy made for something else', () => {
    const { weights, environment } = noOpinion();
    const wrong = { environment, weights: weights.slice(1) };
    expect(() => new LearnedChoice(core, wrong, new Random(6), 'here')).to.throw('other layers');
  });
});

function noOpinion(): ConstructorParameters<typeof LearnedChoice>[1] {
  const hidden = 4;
  const { name, optionFeatures, contextFeatures } = NEIGHBOURHOOD_SPEC;
  const rows = optionFeatures + contextFeatures;
  const sizes = [rows * hidden, hidden, hidden * hidden, hidden, hidden, 1];
  const environment = { name, optionFeatures, contextFeatures, hidden };
  return { environment, weights: sizes.map((size) => new Float32Array(size)) };
}

describe('drawn sharding instances', () => {
  it('have the planted solution, whatever is forbidden', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const { instance, planted } = drawShardInstance(new Random(seed), 8);
      expect(judgeShard(instance, planted).feasible).to.equal(true);
    }
  });

  it('are the same from the same seed, share tables between equal layers, and forbid choices in one way or the other', () => {
    const draw = (seed: number) => drawShardInstance(new Random(seed), 20).instance;
    expect(draw(3)).to.deep.equal(draw(3));
    const drawn = Array.from({ length: 12 }, (_, seed) => draw(seed));
    for (const { edgeTable, tableStart, edgeCount } of drawn) {
      expect(tableStart.length - 1).to.be.below(edgeCount);
      expect(new Set(edgeTable).size).to.equal(tableStart.length - 1);
    }
    const hasInfinite = drawn.map(({ nodeCost }) => nodeCost.includes(Infinity));
    expect(new Set(hasInfinite).size).to.equal(2);
    expect(drawn.some(({ tableCost }) => tableCost.includes(Infinity))).to.equal(true);
  });
});
