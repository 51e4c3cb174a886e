import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { rollout } from '../../src/agent/rollout.js';
import { Scorer } from '../../src/agent/scorer.js';
import { Corridor } from '../../src/agent/trivial.js';
import { Random } from '../../src/util/random.js';

describe('agent/rollout', () => {
  it('gives whole episodes or none, wherever the budget ends', async () => {
    const { tf } = await loadBackend();
    const environments = [new Corridor(), new Corridor(), new Corridor()];
    const scorer = new Scorer(tf, environments[0].spec, 8, new Random(1));
    let whole = 0;
    for (let questions = 0; questions < 40; questions++) {
      let asked = 0;
      const episodes = rollout(scorer, environments, 1, new Random(2), () => (asked++ < questions ? 0 : 1));
      if (episodes.length === 0) continue;
      whole++;
      expect(episodes).to.have.length(3);
      for (const episode of episodes) expect(episode.length).to.be.above(0);
    }
    expect(whole).to.be.within(1, 39);
    scorer.dispose();
  });
});
