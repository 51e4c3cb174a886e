import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import type { CapProblem } from '../../src/agent/powerCapEpisode.js';
import { PowerCapEpisode } from '../../src/agent/powerCapEpisode.js';
import { DEFAULT_CONTINUOUS_SAC, trainContinuousSac } from '../../src/agent/sacContinuous.js';
import { Random } from '../../src/util/random.js';

/**
 * A pipeline whose slowest stage rules: time = max of load / speed, energy = sum of load speed^2 + idle power; speed grows with
 * the cap. Slack filling is exact here: every stage just as fast as the busiest one needs.
 */
function pipeline(load: readonly number[]): CapProblem & { joule: (speed: readonly number[]) => number } {
  const longest = Math.max(...load);
  const price = (speed: readonly number[]): { timeSec: number; energyJoule: number } => {
    const timeSec = Math.max(...load.map((x, s) => x / speed[s]));
    return { timeSec, energyJoule: load.reduce((sum, x, s) => sum + x * speed[s] ** 2 + 0.1 * timeSec, 0) };
  };
  return {
    stages: load.length,
    leastWatt: load.map(() => 100),
    mostWatt: load.map(() => 300),
    full: price(load.map(() => 1)),
    busyShare: load.map((x) => x / longest),
    evaluate: (cap) => price(Array.from(cap, (w) => 0.4 + (0.6 * (w - 100)) / 200)),
    joule: (speed) => price(speed).energyJoule,
  };
}

describe('agent/powerCapEpisode', () => {
  it('pays nothing at full clock, and refuses caps out of range', () => {
    const env = new PowerCapEpisode(pipeline([1, 0.5]), 10);
    env.reset(0);
    expect(env.step(Float32Array.of(1, 1)).reward).to.be.closeTo(0, 1e-12);
    env.reset(0);
    expect(() => env.step(Float32Array.of(1, 1.5))).to.throw(/not in \[0, 1\]/);
    expect(() => env.step(Float32Array.of(1))).to.throw('1 numbers for 2 stages');
  });
});

describe('agent/sacContinuous', () => {
  it('finds most of what exact slack filling saves, at hardly any slowdown', async () => {
    const { tf } = await loadBackend();
    const load = [1, 0.6, 0.8, 0.5];
    const problem = pipeline(load);
    const env = new PowerCapEpisode(problem, 3);
    const exact = Math.log(problem.full.energyJoule / problem.joule(load));
    let done = 0;
    const options = DEFAULT_CONTINUOUS_SAC;
    const policy = trainContinuousSac(
      tf,
      env,
      options,
      new Random(4),
      () => done / 1500,
      [Float32Array.of(1, 1, 1, 1)],
      () => done++,
    );
    const { reward } = env.step(policy.act(env.reset(0)));
    policy.dispose();
    expect(reward).to.be.within(0.8 * exact, exact + 1e-9);
  });
});
