import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { Bandit } from '../../src/agent/bandit.js';
import { checkEnvironment } from '../../src/agent/checker.js';
import type { DqnOptions } from '../../src/agent/dqn.js';
import { DEFAULT_DQN, trainDqn } from '../../src/agent/dqn.js';
import { inferQ } from '../../src/agent/duelling.js';
import type { Environment } from '../../src/agent/environment.js';
import { Corridor, LoadRow, MaskTrap } from '../../src/agent/trivial.js';
import { Random } from '../../src/util/random.js';
import { playGreedily } from '../support/greedyPlay.js';

const OPTIONS: DqnOptions = { ...DEFAULT_DQN, discount: 0.98, decisionsPerUpdate: 8 };

async function share(make: () => Environment, episodes: number, options = OPTIONS): Promise<number> {
  const { tf } = await loadBackend();
  let done = 0;
  const scorer = trainDqn(
    tf,
    make,
    options,
    new Random(5),
    () => done / episodes,
    () => done++,
  );
  const result = playGreedily(make(), (batch) => inferQ(scorer, batch));
  scorer.dispose();
  return result;
}

describe('agent/trivial', () => {
  for (const make of [() => new Corridor(), () => new MaskTrap(), () => new LoadRow()])
    it(`the ${make().spec.name} keeps the environment contract`, () => {
      expect(checkEnvironment(make)).to.deep.equal([]);
    });
});

describe('agent/dqn', () => {
  it('solves the bandit with a fixed seed', async () => {
    expect(await share(() => new Bandit(), 1000)).to.be.above(0.97);
  });

  it('walks past the small prize of the corridor to the large one', async () => {
    expect(await share(() => new Corridor(), 400)).to.be.above(0.99);
  });

  it('explores by epsilon as well', async () => {
    const exploration = { kind: 'epsilon', from: 1, to: 0.05 } as const;
    expect(await share(() => new Corridor(), 400, { ...OPTIONS, exploration })).to.be.above(0.99);
  });

  it('leaves the trap for last', async () => {
    expect(await share(() => new MaskTrap(), 1000)).to.be.above(0.95);
  });

  it('gives the same network for the same seed', async () => {
    const { tf } = await loadBackend();
    const run = (): number[] => {
      let done = 0;
      const scorer = trainDqn(
        tf,
        () => new Bandit(),
        OPTIONS,
        new Random(3),
        () => done / 80,
        () => done++,
      );
      const weights = scorer.variables.flatMap((v) => [...v.dataSync()]);
      scorer.dispose();
      return weights;
    };
    expect(run()).to.deep.equal(run());
  });
});
