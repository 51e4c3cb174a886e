import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { Bandit } from '../../src/agent/bandit.js';
import { demonstrateEpisode } from '../../src/agent/demonstrations.js';
import type { WarmStart } from '../../src/agent/collector.js';
import type { Environment } from '../../src/agent/environment.js';
import type { SacOptions } from '../../src/agent/sac.js';
import { DEFAULT_SAC, trainSac } from '../../src/agent/sac.js';
import { Corridor, MaskTrap } from '../../src/agent/trivial.js';
import { Random } from '../../src/util/random.js';
import { playGreedily } from '../support/greedyPlay.js';

const OPTIONS: SacOptions = { ...DEFAULT_SAC, discount: 0.98, decisionsPerUpdate: 8 };

async function share(
  make: () => Environment,
  episodes: number,
  start: WarmStart = {},
  options = OPTIONS,
): Promise<number> {
  const { tf } = await loadBackend();
  let done = 0;
  const scorer = trainSac(
    tf,
    make,
    options,
    new Random(5),
    () => done / episodes,
    () => done++,
    start,
  );
  const result = playGreedily(make(), (batch) => scorer.infer(batch).scores);
  scorer.dispose();
  return result;
}

describe('agent/sac', () => {
  it('solves the bandit with a fixed seed', async () => {
    expect(await share(() => new Bandit(), 1000)).to.be.above(0.97);
  });

  it('walks past the small prize of the corridor to the large one', async () => {
    expect(await share(() => new Corridor(), 400)).to.be.above(0.99);
  });

  it('leaves the trap for last', async () => {
    expect(await share(() => new MaskTrap(), 1000)).to.be.above(0.95);
  });

  it('walks the corridor after cloning a teacher, before it has tried anything of its own', async () => {
    const right = (o: { options: Float32Array }): number => o.options.indexOf(1);
    const demonstrations = Array.from({ length: 10 }, (_, seed) =>
      demonstrateEpisode(new Corridor(), seed, right, OPTIONS),
    ).flat();
    expect(demonstrations.every((x) => x.demonstration)).to.equal(true);
    const options = { ...OPTIONS, warmup: Infinity };
    expect(await share(() => new Corridor(), 16, { demonstrations }, options)).to.be.above(0.99);
    expect(await share(() => new Corridor(), 16, {}, options)).to.be.below(0.9);
  });
});
