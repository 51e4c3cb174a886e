import { expect } from 'chai';
import { Bandit } from '../../src/agent/bandit.js';
import { randomAction } from '../../src/agent/checker.js';
import type { Observation } from '../../src/agent/environment.js';
import { builtInSource, EnvironmentPool } from '../../src/agent/environmentPool.js';
import { PlacementEpisode } from '../../src/agent/placementEpisode.js';
import { packBatch } from '../../src/agent/scorer.js';
import type { VectorStep } from '../../src/agent/vector.js';
import { episodeSeed, VectorEnvironment } from '../../src/agent/vector.js';
import { Random } from '../../src/util/random.js';
import { randomPlacement } from '../support/placements.js';
import { TYPESCRIPT } from '../support/threads.js';

/** Either kind of vector. */
interface Vector {
  reset(seed: number): readonly Observation[] | Promise<readonly Observation[]>;
  step(actions: Int32Array): VectorStep | Promise<VectorStep>;
}

/** Everything that a few dozen random steps show, as one list of numbers. */
async function trace(vector: Vector, count: number, steps = 40): Promise<number[]> {
  const random = new Random(7);
  const seen: number[] = [];
  const note = (observations: readonly (Observation | null)[]): void => {
    for (const o of observations)
      if (o !== null) seen.push(o.optionCount, ...o.options, ...o.mask, ...o.context);
  };
  let observations = await vector.reset(3);
  note(observations);
  for (let k = 0; k < steps; k++) {
    const actions = Int32Array.from({ length: count }, (_, i) => randomAction(observations[i], random));
    const step = await vector.step(actions);
    observations = step.observations;
    note(observations);
    note(step.last);
    seen.push(...step.rewards, ...step.excesses, ...step.terminated, ...step.truncated);
  }
  return seen;
}

describe('agent/vector', () => {
  it('steps every environment, and starts the next episode where one ends', () => {
    const vector = new VectorEnvironment(() => new Bandit(8, 4), 3);
    let observations = vector.reset(1);
    const single = new Bandit(8, 4);
    for (let k = 0; k < 10; k++) {
      const actions = observations.map((o) => o.mask.indexOf(1));
      const step = vector.step(actions);
      const ends = k % 4 === 3;
      expect([...step.terminated]).to.deep.equal(ends ? [1, 1, 1] : [0, 0, 0]);
      expect(step.last.every((o) => (o !== null) === ends)).to.equal(true);
      observations = step.observations;
      if (ends) expect(observations[2]).to.deep.equal(single.reset(episodeSeed(1, 2, Math.floor(k / 4) + 1)));
    }
  });

  it('packs what all environments offer as one batch', () => {
    const vector = new VectorEnvironment(() => new Bandit(), 5);
    const observations = vector.reset(2);
    expect(vector.batch()).to.deep.equal(packBatch(vector.spec, observations));
    expect(vector.batch().rowCount).to.equal(5 * 7);
  });

  it('gives every environment and every episode its own seed', () => {
    const seeds = new Set<number>();
    for (let s = 0; s < 10; s++)
      for (let e = 0; e < 30; e++) for (let k = 0; k < 30; k++) seeds.add(episodeSeed(s, e, k));
    expect(seeds.size).to.be.above(8990);
  });
});

describe('agent/environmentPool', () => {
  it('plays the same episodes in one, two and three threads as in none', async function () {
    this.timeout(60000);
    const problem = randomPlacement(new Random(1), { ops: 12, devices: 3, objective: 'latency' });
    const expected = await trace(new VectorEnvironment(() => new PlacementEpisode(problem), 5), 5);
    for (const threads of [1, 2, 3]) {
      const pool = await EnvironmentPool.start(
        builtInSource('placementEpisodeOf', problem),
        5,
        threads,
        TYPESCRIPT,
      );
      try {
        expect(await trace(pool, 5)).to.deep.equal(expected);
      } finally {
        await pool.close();
      }
    }
    const random = await trace(new VectorEnvironment(() => new Bandit(), 4), 4);
    const pool = await EnvironmentPool.start(builtInSource('banditOf', null), 4, 2, TYPESCRIPT);
    try {
      expect(await trace(pool, 4)).to.deep.equal(random);
      expect(pool.batch().stepCount).to.equal(4);
    } finally {
      await pool.close();
    }
  });

  it('passes on what goes wrong in a thread', async function () {
    this.timeout(60000);
    const pool = await EnvironmentPool.start(builtInSource('banditOf', null), 2, 2, TYPESCRIPT);
    try {
      await pool.reset(1);
      let message = '';
      await pool.step(Int32Array.of(0, 99)).catch((error: Error) => (message = error.message));
      expect(message).to.contain('internal: action 99');
    } finally {
      await pool.close();
    }
    const source = { ...builtInSource('banditOf', null), name: 'nothing' };
    let message = '';
    await EnvironmentPool.start(source, 1, 1, TYPESCRIPT).catch((error: Error) => (message = error.message));
    expect(message).to.contain('exports no function nothing');
  });
});
