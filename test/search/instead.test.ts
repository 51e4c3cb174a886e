import { expect } from 'chai';
import { checkCandidate, microbatchesOf } from '../../src/plan/candidate.js';
import { planInstead } from '../../src/search/instead.js';
import type { Changes } from '../../src/search/instead.js';
import { PartitionError } from '../../src/util/errors.js';
import { Random } from '../../src/util/random.js';
import { randomCandidate, syntheticCandidate, syntheticProblem } from '../support/synthetic.js';

describe('a plan with decisions changed by hand', () => {
  const problem = syntheticProblem({ devices: 64, globalBatch: 512, spread: 0.2 });
  const base = syntheticCandidate(problem, { tp: 4, pp: 2, microbatch: 4 });
  const instead = (changes: Changes) => planInstead(problem, base, changes, '--instead');

  it('leaves data parallelism the devices that are left, and cuts stages anew', () => {
    const c = instead({ tp: 8, pp: 4 });
    expect([c.tp, c.pp, c.dpShard * c.dpReplicate]).to.deep.equal([8, 4, 2]);
    expect(c.stageStart).to.have.length(5);
    expect(checkCandidate(problem, c)).to.equal(null);
    expect(instead({}).stageStart).to.have.length(base.stageStart.length);
  });

  it('takes the nearest legal microbatch when the old one is not', () => {
    // 48 sequences over 8 replicas: 6 each, of which 4 is no divisor and 3 is nearer than 6.
    const odd = { ...problem, globalBatch: 48 };
    const c = planInstead(odd, { ...base, dpShard: 8 }, { tp: 4, pp: 2 }, '--instead');
    expect(c.microbatch).to.equal(3);
    // Interleaving wants microbatches in multiples of pp: 512 / (4 x 8) = 16 of 4 do, so 4 stays.
    expect(instead({ pp: 4, vpp: 2 }).microbatch).to.equal(4);
  });

  it('follows a changed schedule with virtual stages, and the other way round', () => {
    expect(instead({ vpp: 4 })).to.include({ schedule: 'interleaved', vpp: 4 });
    expect(instead({ schedule: 'interleaved' })).to.include({ schedule: 'interleaved', vpp: 2 });
    const interleaved = instead({ vpp: 4 });
    expect(planInstead(problem, interleaved, { schedule: 'zb-h1' }, 'x')).to.include({
      schedule: 'zb-h1',
      vpp: 1,
    });
    expect(planInstead(problem, interleaved, { pp: 1 }, 'x')).to.include({ schedule: '1f1b', vpp: 1 });
  });

  it('shards over all replicas when sharding is switched on, over none when off', () => {
    const whole = instead({ zeroStage: 0 });
    expect([whole.dpShard, whole.dpReplicate]).to.deep.equal([1, 8]);
    expect(planInstead(problem, whole, { zeroStage: 3 }, 'x')).to.include({ dpShard: 8, dpReplicate: 1 });
  });

  it('says in one line why there is no such plan', () => {
    const refuse = (changes: Changes, pattern: RegExp): void => {
      expect(() => instead(changes)).to.throw(PartitionError, pattern);
    };
    refuse({ tp: 8, pp: 3 }, /tp \* pp \* cp = 8 \* 3 \* 1 = 24 does not divide the 64 devices/);
    refuse({ tp: 8, dp: 64 }, /asks for 1024 devices, the plan has 64/);
    refuse({ tp: 16 }, /tp = 16 is not one of the degrees/);
    refuse({ ep: 2 }, /no experts/);
    refuse({ microbatch: 7 }, /microbatch = 7 does not divide/);
  });

  it('gives legal plans whatever legal plan it starts from', () => {
    const random = new Random(4);
    let made = 0;
    for (let i = 0; i < 60; i++) {
      const from = randomCandidate(problem, random);
      const to = randomCandidate(problem, random);
      const { tp, pp, cp } = to;
      try {
        const c = planInstead(problem, from, { tp, pp, cp, recompute: 1 }, 'x');
        expect(checkCandidate(problem, c)).to.equal(null);
        expect(Number.isInteger(microbatchesOf(c, problem.globalBatch))).to.equal(true);
        expect([...c.recompute].every((p) => p === 1)).to.equal(true);
        made++;
      } catch (e) {
        expect(e).to.be.instanceOf(PartitionError);
      }
    }
    expect(made).to.be.above(40);
  });
});
