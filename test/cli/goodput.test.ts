/** Failures, deadlines and budgets through the built program. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectOneLine, expectValid, gpt2, partition, scratchFolder } from './support.js';

const MTBF = 'device=5000h,host=20000h,repair=1d,spares=1,steps=2000000';

describe('a job under failures', function () {
  this.timeout(120_000);
  const folder = scratchFolder('goodput');
  const plan = [gpt2, '--devices', '64', '--seq', '256', '--budget', '60ev', '--quiet', '--out', 'p'];
  const ended = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await partition(args, folder());
    expect(code, stderr).to.equal(0);
    return stdout;
  };

  it('plans with the chances to end in time and within a cost, the same ones again', async () => {
    const asked = ['--mtbf', MTBF, '--deadline', '2026-01-20', '--start', '2026-01-01', '--max-cost', '9e4'];
    type Told = { goodput: { expectedSec: number }; risk: { runs: number; predicted: { p50Sec: number } } };
    const json = await ended([...plan, ...asked, '--json']);
    const told = JSON.parse(json) as Told;
    expectValid('plan-result', told);
    expect(told.risk.runs).to.equal(10_000);
    expect(told.risk.predicted.p50Sec / told.goodput.expectedSec).to.be.within(0.9, 1.1);
    const again = JSON.parse(await ended([...plan, ...asked, '--json'])) as Told;
    expect(again.risk).to.deep.equal(told.risk);
    const text = await ended([...plan, ...asked]);
    expect(text)
      .to.match(/\ngoodput {5}\d/)
      .and.match(/\nby 2026-01-20 +\d+\.\d% ± \d\.\d%/);
    expect(text)
      .to.match(/\nwithin 90\.0 k USD +\d/)
      .and.match(/\nboth +\d/);
    const bytes = readFileSync(join(folder(), 'p/plan.json'), 'utf8');
    expect(bytes).to.not.include('mtbf');
    const page = await ended(['report', 'p/plan.json', '--model', gpt2, '--seq', '256', '--json']);
    expect((JSON.parse(page) as { sections: string[] }).sections).to.include('Time to train');
  });

  it('sweeps over device counts, of which more fail more often', async () => {
    const sweep = [
      gpt2,
      '--devices',
      '8..16',
      '--seq',
      '256',
      '--batch',
      '64',
      '--budget',
      '40ev',
      '--quiet',
    ];
    const args = [...sweep, '--out', 's', '--mtbf', MTBF, '--deadline', '9d'];
    type Row = { plan: { goodput: { mtbfSec: number }; risk: { predicted: { inTime: object } } } };
    const told = JSON.parse(await ended([...args, '--json'])) as { sweep: Row[] };
    expectValid('sweep', told);
    const [few, many] = told.sweep.map((row) => row.plan);
    expect(few.goodput.mtbfSec / many.goodput.mtbfSec).to.be.closeTo(2, 1e-9);
    expect(few.risk.predicted.inTime).to.have.keys('probability', 'standardError');
  });

  it('replans with the chances of going on and of changing, the standstill included', async () => {
    await ended(plan);
    const replan = ['replan', gpt2, 'p/plan.json', '--failed', 'host7', '--budget', '40ev', '--quiet'];
    const args = [...replan, '--steps', '500000', '--mtbf', MTBF, '--deadline', '1d', '--out', 'r'];
    type Side = { p10Sec: number };
    type Told = {
      steps: number;
      best: { remainingSec: number };
      risk: { keep: object | null; change: { predicted: Side } | null };
    };
    const told = JSON.parse(await ended([...args, '--json'])) as Told;
    expectValid('replan', told);
    expect(told.steps).to.equal(500_000);
    if (told.risk.change !== null)
      expect(told.risk.change.predicted.p10Sec).to.be.at.least(told.best.remainingSec);
    expect(await ended(args)).to.match(/\nin 1d +\d+\.\d% ± \d\.\d%/);
    const run = JSON.parse(readFileSync(join(folder(), 'r/run.json'), 'utf8')) as {
      request: { failures: object };
    };
    expect(run.request.failures).to.deep.equal({ mtbf: MTBF, deadline: '1d' });
  });

  it('says nothing of failures where nothing was said of them', async () => {
    const told = JSON.parse(await ended([...plan, '--json'])) as object;
    expect(told).to.not.have.any.keys('goodput', 'risk');
    expect((await partition(['--help'], folder())).stdout).to.match(/--mtbf .*default:\s+none\s+fail/s);
  });

  it('compares methods by expected time, and says whether the order is another', async () => {
    const compare = ['compare', gpt2, '--devices', '64', '--seq', '256', '--batch', '128', '--quiet'];
    const args = [...compare, '--methods', 'random', '--seeds', '1', '--budget', '40ev', '--mtbf', MTBF];
    type Row = { method: string; stepTimeSec: number; expectedSec: number; rank: number };
    const told = JSON.parse(await ended([...args, '--json'])) as { goodput: { methods: Row[] } };
    expectValid('compare', told);
    const { methods } = told.goodput;
    expect(methods.map((m) => m.method).sort()).to.deep.equal(['auto-no-agent', 'greedy', 'random']);
    expect(methods[0].rank).to.equal(1);
    for (let i = 1; i < methods.length; i++)
      expect(methods[i].expectedSec).to.be.at.least(methods[i - 1].expectedSec * (1 - 1e-9));
    for (const { stepTimeSec, expectedSec } of methods)
      expect(expectedSec / (2_000_000 * stepTimeSec)).to.be.within(1, 1.5);
    const text = await ended(args);
    expect(text).to.match(/The best plan of each method, 2000000 steps, a failure every/);
    expect(text).to.include('the order by expected time is that by time');
  });

  it('refuses in one line what it cannot answer', async () => {
    const fail = async (args: readonly string[], pattern: RegExp): Promise<void> =>
      expectOneLine(await partition([...plan, ...args], folder()), 2, pattern);
    await fail(['--deadline', '30d'], /--deadline: expected --mtbf/);
    await fail(['--mtbf', MTBF, '--deadline', '-1d'], /--deadline: expected a duration above 0/);
    await fail(['--mtbf', MTBF, '--max-cost', 'much'], /--max-cost: expected US dollars above 0, found much/);
    await fail(['--mtbf', MTBF, '--objective', 'pareto'], /--mtbf: the expected time is of one plan/);
    const report = ['report', 'p/plan.json', '--model', gpt2, '--mtbf', 'device=5', '--quiet'];
    expectOneLine(await partition(report, folder()), 2, /--mtbf: expected terms such as device=50000h/);
  });
});
