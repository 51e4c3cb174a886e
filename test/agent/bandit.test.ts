import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { Bandit } from '../../src/agent/bandit.js';
import { checkEnvironment } from '../../src/agent/checker.js';
import { DEFAULT_PPO, trainPpo } from '../../src/agent/ppo.js';
import { packBatch } from '../../src/agent/scorer.js';
import { Random } from '../../src/util/random.js';

describe('agent/bandit', () => {
  it('keeps the environment contract', () => {
    expect(checkEnvironment(() => new Bandit())).to.deep.equal([]);
  });

  it('is solved by PPO with a fixed seed, whichever sign the context asks for', async () => {
    const { tf } = await loadBackend();
    let updates = 0;
    const returns: number[] = [];
    const policy = trainPpo(
      tf,
      () => new Bandit(),
      DEFAULT_PPO,
      new Random(7),
      () => updates / 60,
      (report) => {
        updates = report.update + 1;
        returns.push(report.meanReturn);
      },
    );
    expect(returns[0]).to.be.within(-1, 1);
    let got = 0;
    let best = 0;
    const env = new Bandit();
    for (let seed = 0; seed < 100; seed++) {
      let observation = env.reset(1000 + seed);
      for (let done = false; !done;) {
        const batch = packBatch(policy.spec, [observation]);
        const { scores } = policy.infer(batch);
        best += env.bestReward();
        const step = env.step(batch.rowOption[scores.indexOf(Math.max(...scores))]);
        got += step.reward;
        observation = step.observation;
        done = step.terminated;
      }
    }
    policy.dispose();
    expect(got / best).to.be.above(0.97);
  });
});
