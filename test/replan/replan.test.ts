/** Replanning a running job: keep or change, the condition of the cluster, bad input. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { planModel, writePlanFiles } from '../../src/api/plan.js';
import { replan } from '../../src/api/replan.js';
import { writeReplanFiles } from '../../src/api/replanFiles.js';
import type { ReplanRequest } from '../../src/api/replan.js';
import { conditioned, countedSpec } from '../../src/cluster/condition.js';
import { loadCluster } from '../../src/cluster/index.js';
import { decodePlan } from '../../src/plan/codec.js';
import { PartitionError } from '../../src/util/errors.js';
import { expectValid, gpt2, scratchFolder } from '../cli/support.js';

const clock = (): number => 0;

describe('clusters in their condition', () => {
  it('a healthy one is the cluster that the loader gives', () => {
    const { cluster, devices } = conditioned(countedSpec('h100-sxm', 64), {
      failed: [],
      slow: [],
      degraded: [],
    });
    const loaded = loadCluster('h100-sxm', 64);
    expect(cluster.groups.map((g) => ({ ...g }))).to.deep.equal(loaded.groups.map((g) => ({ ...g })));
    expect(devices[13]).to.deep.equal({ host: 1, device: 5 });
  });

  it('devices keep their identity when others fail, slow down or have worse links', () => {
    const { cluster, devices } = conditioned(countedSpec('h100-sxm', 64), {
      failed: [
        { host: 2, device: null },
        { host: 5, device: 1 },
      ],
      slow: [{ host: 0, device: 3, factor: 0.7 }],
      degraded: [{ level: 'rail', host: 4, factor: 0.5 }],
    });
    expect(cluster.deviceCount).to.equal(55);
    expect(new Set(devices.map((d) => `${d.host}.${d.device}`)).size).to.equal(55);
    expect(devices.filter((d) => d.host === 2)).to.deep.equal([]);
    const slow = cluster.slow[0];
    expect(devices[slow.rank]).to.deep.equal({ host: 0, device: 3 });
    // Who spans the cluster meets the worst link.
    const farthest = (levels: typeof cluster.levels): number =>
      levels[levels.length - 1].bytesPerSecPerDevice;
    expect(farthest(cluster.levels) / farthest(loadCluster('h100-sxm', 64).levels)).to.equal(0.5);
  });
});

describe('partition replan', function () {
  this.timeout(240_000);
  const folder = scratchFolder('replan');
  const at = (): string => join(folder(), 'p/plan.json');
  const ask = (more: Partial<ReplanRequest>): ReplanRequest => ({
    modelPath: gpt2,
    planPath: at(),
    maxEvaluations: 120,
    ...more,
  });

  before(async () => {
    const request = {
      modelPath: gpt2,
      devices: 32,
      seq: 1024,
      batch: 256,
      method: 'exhaustive',
      budget: { maxSec: Infinity, maxEvaluations: 400 },
    };
    writePlanFiles(await planModel(request, { clock }), request, join(folder(), 'p'));
  });

  it('keeps a plan that nothing has happened to, and moves nothing', async () => {
    const { facts, manifest } = await replan(ask({ steps: 10 }), { clock });
    expect(facts.decision).to.equal('keep');
    expect(manifest.groups).to.deep.equal([]);
    expect(facts.kept!.standstillSec).to.equal(0);
  });

  it('goes on with fewer devices when a host fails; plan and manifest are as published', async () => {
    const request = ask({ failed: 'host1' });
    const reply = await replan(request, { clock });
    const facts = writeReplanFiles(reply, request, join(folder(), 'q'));
    expectValid('replan', JSON.parse(JSON.stringify(facts)));
    expectValid('migration', JSON.parse(readFileSync(facts.manifestPath, 'utf8')));
    expect(facts.available).to.equal(24);
    // Optimizer state is sharded over all replicas, so some of it is lost: everything is read, and the work since repeated.
    expect(facts.needsCheckpoint).to.equal(true);
    expect(reply.manifest.groups.every(({ moves }) => moves.every((m) => m.from === null))).to.equal(true);
    expect(facts.best.standstillSec).to.be.at.least(120 + 900);
    expect(facts.finds.map((f) => f.method)).to.include.members(['dp', 'agent', 'anneal']);
    expect(facts.best.devices).to.be.at.most(24);
    const plan = decodePlan(readFileSync(facts.planPath, 'utf8'), 'q');
    expect(plan.globalBatch).to.equal(256);
    expect(reply.manifest.oldRanks.filter((d) => d === null)).to.have.length(8);
    expect(reply.manifest.newRanks.some((d) => d.host === 1)).to.equal(false);
    // The plan made for the job that goes on can be planned again, and knows that the host is gone.
    const again = await replan({ ...request, planPath: facts.planPath, failed: 'host2' }, { clock });
    expect(again.facts.available).to.equal(16);
    expect(again.facts.condition.failed).to.deep.equal(['host1', 'host2']);
  });

  it('is the same for the same seed and evaluations', async () => {
    const one = await replan(ask({ slow: 'rank3=0.6' }), { clock });
    const two = await replan(ask({ slow: 'rank3=0.6' }), { clock });
    expect(JSON.stringify(one)).to.equal(JSON.stringify(two));
  });

  it('a change that would not pay before the last step is not made', async () => {
    const long = await replan(ask({ devices: 64, steps: 10_000_000 }), { clock });
    expect(long.facts.decision).to.equal('change');
    const short = await replan(ask({ devices: 64, steps: 1 }), { clock });
    expect(short.facts.decision).to.equal('keep');
    expect(short.facts.breakEvenSteps).to.be.above(1);
  });

  for (const [more, message] of [
    [{ failed: 'host9' }, /host 9: the cluster has hosts 0 to 3/],
    [{ failed: 'rank32' }, /rank32: the plan has ranks 0 to 31/],
    [{ failed: 'gpu3' }, /expected host7, host7\.3 or rank12, found gpu3/],
    [{ slow: 'rank3=2' }, /share from 0\.01 to 1, found rank3=2/],
    [{ degraded: 'wire=0.5' }, /no level wire/],
    [{ observed: 'none.jsonl' }, /no such file/],
  ] as const)
    it(`${JSON.stringify(more)} is refused in one line`, async () => {
      const error = await replan(ask(more), { clock }).then(
        () => null,
        (e: unknown) => e,
      );
      expect(error).to.be.instanceOf(PartitionError);
      expect((error as PartitionError).line()).to.match(message);
    });
});
