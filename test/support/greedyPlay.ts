/** Plays an environment with a known best policy by the largest number of a network. */
import { bestRow } from '../../src/agent/duelling.js';
import { Bandit } from '../../src/agent/bandit.js';
import type { Environment } from '../../src/agent/environment.js';
import type { Batch } from '../../src/agent/scorer.js';
import { packBatch } from '../../src/agent/scorer.js';
import { Corridor, MaskTrap } from '../../src/agent/trivial.js';

const EPISODES = 100;

/** @returns reward earned as a share of what the best policy earns, over episodes that no training saw */
export function playGreedily(env: Environment, rate: (batch: Batch) => Float32Array): number {
  let got = 0;
  let best = 0;
  for (let seed = 0; seed < EPISODES; seed++) {
    let observation = env.reset(100_000 + seed);
    if (env instanceof Corridor) best += env.bestReturn();
    for (let done = false; !done;) {
      const batch = packBatch(env.spec, [observation]);
      if (env instanceof Bandit || env instanceof MaskTrap) best += env.bestReward();
      const step = env.step(batch.rowOption[bestRow(rate(batch), 0, batch.rowCount)]);
      got += step.reward;
      observation = step.observation;
      done = step.terminated || step.truncated;
    }
  }
  return got / best;
}
