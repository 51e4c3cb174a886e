import { expect } from 'chai';
import { emitTarget } from '../../src/emit/index.js';
import { hostsOf, deviceOf } from '../../src/emit/hosts.js';
import { Random } from '../../src/util/random.js';
import { rankfileHosts, slurmHosts } from './compilerRules.js';
import { EMIT_CASES, EmitSource, textOf } from './support.js';

describe('an irregular map of ranks to devices', function () {
  this.timeout(30_000);
  const source = new EmitSource(EMIT_CASES[0], 3);
  const { plan, ...rest } = source.next();
  const shuffled = (unit: number): number[] => {
    const random = new Random(11);
    const blocks = Array.from({ length: plan.cluster.devices / unit }, (_, b) => b);
    for (let i = blocks.length - 1; i > 0; i--) {
      const j = random.int(i + 1);
      [blocks[i], blocks[j]] = [blocks[j], blocks[i]];
    }
    return blocks.flatMap((b) => Array.from({ length: unit }, (_, k) => b * unit + k));
  };

  for (const [what, unit, list] of [
    ['of whole hosts takes one task a host', 8, 'node_hosts'],
    ['of single devices takes one task a rank', 1, 'rank_hosts'],
  ] as const)
    it(`${what}, and every rank comes to its host`, () => {
      const input = { ...rest, plan: { ...plan, mesh: { ...plan.mesh, rankToDevice: shuffled(unit) } } };
      const hosts = hostsOf(input.plan, input.cluster)!;
      const wanted = Array.from(
        { length: plan.cluster.devices },
        (_, r) => hosts.hostOf[deviceOf(input.plan, r)],
      );
      const job = [...emitTarget('slurm').emit(input).files];
      expect(job.map((f) => f.name)).to.deep.equal(['job.sbatch', list]);
      const text = textOf(job, new RegExp(list));
      const lists = unit === 1 ? { ranks: text } : { nodes: text };
      expect(slurmHosts(textOf(job, /sbatch/), lists, plan.cluster.devices)).to.deep.equal(wanted);
      const ranks = [...emitTarget('rankfile').emit(input).files];
      expect(rankfileHosts(textOf(ranks, /^rankfile$/))).to.deep.equal(wanted);
      const { notExpressed } = emitTarget('megatron').emit(input);
      expect(notExpressed.some((n) => /irregular/.test(n.asked))).to.equal(true);
    });
});
