import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { inferQ } from '../../src/agent/duelling.js';
import { DEFAULT_MULTI_AGENT, trainMultiAgent } from '../../src/agent/multiAgent.js';
import { packBatch } from '../../src/agent/scorer.js';
import type { Scorer } from '../../src/agent/scorer.js';
import { bestRow } from '../../src/agent/duelling.js';
import { LoadRow } from '../../src/agent/trivial.js';
import { Random } from '../../src/util/random.js';

/** Largest load after an episode of the best-rated actions, per start. */
function play(env: LoadRow, scorer: Scorer, seed: number): number {
  let observation = env.reset(seed);
  for (let done = false; !done;) {
    const batch = packBatch(env.spec, [observation]);
    const step = env.step(batch.rowOption[bestRow(inferQ(scorer, batch), 0, batch.rowCount)]);
    observation = step.observation;
    done = step.terminated;
  }
  return env.largest();
}

describe('agent/multiAgent', () => {
  it('three agents learn to share a load, and the same network serves five', async () => {
    const { tf } = await loadBackend();
    let done = 0;
    const scorer = trainMultiAgent(
      tf,
      () => new LoadRow(),
      { ...DEFAULT_MULTI_AGENT, decisionsPerUpdate: 8 },
      new Random(2),
      () => done / 1500,
      () => done++,
    );
    for (let seed = 0; seed < 10; seed++) {
      expect(play(new LoadRow(), scorer, seed)).to.equal(2);
      expect(play(new LoadRow(5, 2, 12), scorer, seed)).to.be.at.most(4);
    }
    scorer.dispose();
  });
});
