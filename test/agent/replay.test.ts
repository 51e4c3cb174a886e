import { expect } from 'chai';
import type { Observation } from '../../src/agent/environment.js';
import { NStepReturns } from '../../src/agent/nstep.js';
import type { Experience } from '../../src/agent/replay.js';
import { Replay } from '../../src/agent/replay.js';
import { Random } from '../../src/util/random.js';

function observation(id: number): Observation {
  return {
    optionCount: 1,
    options: Float32Array.of(id),
    mask: Uint8Array.of(1),
    context: Float32Array.of(id),
  };
}

function experience(id: number, demonstration = false): Experience {
  return {
    observation: observation(id),
    choice: 0,
    gain: id,
    excess: 1,
    next: null,
    nextDiscount: 0,
    demonstration,
  };
}

const OPTIONS = { capacity: 6, priorityExponent: 1, demonstrationBonus: 0 };

describe('agent/replay', () => {
  it('draws experiences in proportion to their errors, and weights undo the bias', () => {
    const replay = new Replay(OPTIONS);
    for (let id = 0; id < 4; id++) replay.add(experience(id));
    replay.update(Int32Array.of(0, 1, 2, 3), Float32Array.of(0.09, -0.19, 0.29, 0.39));
    const random = new Random(1);
    const drawn = new Float64Array(4);
    const weighed = new Float64Array(4);
    for (let k = 0; k < 2000; k++) {
      const { slots, weights } = replay.sample(5, 1, random);
      slots.forEach((slot, i) => {
        drawn[slot] += 1 / 10000;
        weighed[slot] += weights[i] * Math.max(...slots.map((s) => 1 / (s + 1))) ** -1 * 1e-4;
      });
      expect(Math.max(...weights)).to.be.closeTo(1, 1e-6);
    }
    [0.1, 0.2, 0.3, 0.4].forEach((p, slot) => expect(drawn[slot]).to.be.closeTo(p, 0.01));
  });

  it('overwrites the oldest experience and never a demonstration', () => {
    const replay = new Replay(OPTIONS);
    replay.add(experience(100, true));
    replay.add(experience(101, true));
    for (let id = 0; id < 50; id++) replay.add(experience(id));
    const kept = Array.from({ length: replay.size }, (_, slot) => replay.at(slot).gain).sort((a, b) => a - b);
    expect(kept).to.deep.equal([46, 47, 48, 49, 100, 101]);
  });

  it('keeps at most half its room for demonstrations', () => {
    const replay = new Replay(OPTIONS);
    for (let id = 0; id < 20; id++) replay.add(experience(id, true));
    expect(replay.demonstrations).to.equal(3);
    replay.add(experience(99));
    expect(Array.from({ length: 6 }, (_, slot) => replay.at(slot).gain)).to.include(99);
  });

  it('applies the multiplier of the moment to rewards of the past', () => {
    const replay = new Replay(OPTIONS);
    replay.add(experience(3));
    expect(replay.reward(0, 1)).to.equal(2);
    expect(replay.reward(0, 2.5)).to.equal(0.5);
  });

  it('gives demonstrations a bonus', () => {
    const replay = new Replay({ ...OPTIONS, demonstrationBonus: 0.99 });
    replay.add(experience(0, true));
    replay.add(experience(1));
    replay.update(Int32Array.of(0, 1), Float32Array.of(0, 0));
    const { slots } = replay.sample(1010, 0.5, new Random(2));
    expect(slots.filter((slot) => slot === 1).length).to.be.within(8, 12);
  });
});

describe('agent/nstep', () => {
  const run = (n: number, rewards: readonly number[], ending: 'terminated' | 'truncated'): Experience[] => {
    const out: Experience[] = [];
    const returns = new NStepReturns(n, 0.5, (x) => out.push(x));
    rewards.forEach((reward, t) => {
      const last = t === rewards.length - 1;
      returns.step(observation(t), 0, {
        observation: observation(t + 1),
        reward,
        terminated: last && ending === 'terminated',
        truncated: last && ending === 'truncated',
      });
    });
    return out;
  };

  it('sums discounted rewards over n steps and bootstraps after them', () => {
    const out = run(2, [1, 2, 4, 8], 'terminated');
    expect(out.map((x) => x.gain)).to.deep.equal([2, 4, 8, 8]);
    expect(out.map((x) => x.nextDiscount)).to.deep.equal([0.25, 0.25, 0, 0]);
    expect(out.map((x) => x.next?.context[0] ?? null)).to.deep.equal([2, 3, null, null]);
  });

  it('bootstraps from the last state of an episode that was cut off', () => {
    const out = run(3, [1, 2], 'truncated');
    expect(out.map((x) => x.gain)).to.deep.equal([2, 2]);
    expect(out.map((x) => x.nextDiscount)).to.deep.equal([0.25, 0.5]);
    expect(out.every((x) => x.next?.context[0] === 2)).to.equal(true);
  });
});
