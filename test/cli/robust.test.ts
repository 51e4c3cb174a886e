import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectOneLine, expectValid, gpt2, partition, scratchFolder } from './support.js';

interface Robust {
  readonly slowerShare: number;
  readonly draws: number;
  readonly noise: Readonly<Record<string, number>>;
  readonly stepTimeSec: number;
  readonly searchedStepTimeSec: number;
  readonly lowSec: number;
  readonly medianSec: number;
  readonly slowestSec: number;
  readonly searchedBoundSec: number;
}

describe('--robust', function () {
  this.timeout(120_000);
  const folder = scratchFolder('robust');
  const problem = [gpt2, '--devices', '16', '--seq', '256', '--batch', '64'];
  const args = (out: string, ...more: string[]): string[] => [
    ...problem,
    ...['--budget', '80ev', '--method', 'exhaustive', '--out', out, ...more],
  ];

  it('plans by a quantile of the step time, told in text, --json and plan.json, the same bytes again', async () => {
    const { code, stdout, stderr } = await partition(args('a', '--robust', '10%', '--json'), folder());
    expect(code, stderr).to.equal(0);
    const summary = JSON.parse(stdout) as { robust: Robust; stepTimeSec: number; optimalInSpace: boolean };
    expectValid('plan-result', summary);
    const { robust } = summary;
    expect(robust).to.include({ slowerShare: 0.1, draws: 64 });
    expect(robust.stepTimeSec).to.be.above(summary.stepTimeSec);
    expect(robust.medianSec).to.be.within(robust.lowSec, robust.stepTimeSec);
    expect(robust.slowestSec).to.be.at.least(robust.stepTimeSec);
    expect(robust.searchedBoundSec).to.be.at.most(robust.searchedStepTimeSec);
    expect(summary.optimalInSpace).to.equal(false);

    const text = readFileSync(join(folder(), 'a/plan.json'), 'utf8');
    const plan = JSON.parse(text) as { robust: Robust };
    expectValid('plan', plan);
    expect(plan.robust).to.deep.equal(robust);
    const again = await partition(args('b', '--robust', '10%'), folder());
    expect(again.code).to.equal(0);
    expect(again.stdout).to.match(/robust +90th percentile .* above the nominal/);
    expect(again.stdout).to.match(/no plan is below/);
    expect(readFileSync(join(folder(), 'b/plan.json'), 'utf8')).to.equal(text);
  });

  it('is off by default, and its plans are simulated and reported like others', async () => {
    const plain = await partition(args('c', '--json'), folder());
    expect(plain.code, plain.stderr).to.equal(0);
    expect(JSON.parse(plain.stdout)).not.to.have.property('robust');
    const told = await partition(['simulate', gpt2, 'a/plan.json', '--json'], folder());
    expect(told.code, told.stderr).to.equal(0);
    const report = await partition(['report', 'a/plan.json', '--out', 'a/report.html'], folder());
    expect(report.code, report.stderr).to.equal(0);
  });

  it('takes the number of draws and every deviation, and more noise is a slower quantile', async () => {
    const terms = '20%,draws=32,speed=3%,calibration=1%,network=20%';
    const some = await partition(args('d', '--robust', terms, '--json'), folder());
    expect(some.code, some.stderr).to.equal(0);
    const { robust } = JSON.parse(some.stdout) as { robust: Robust };
    expect(robust).to.include({ slowerShare: 0.2, draws: 32 });
    const rest = { compute: 0.01, memory: 0.01, host: 0.01, domain: 0.01 };
    expect(robust.noise).to.deep.equal({ device: 0.03, ...rest, network: 0.2 });
    const more = await partition(args('e', '--robust', '20%,calibration=20%,speed=3%', '--json'), folder());
    const noisy = (JSON.parse(more.stdout) as { robust: Robust }).robust;
    expect(noisy.stepTimeSec).to.be.above(robust.stepTimeSec);
  });

  it('ranks methods in compare by the quantile and says so', async () => {
    const compare = ['compare', ...problem, '--methods', 'greedy', '--seeds', '2', '--budget', '40ev'];
    const text = await partition([...compare, '--robust', '10%'], folder());
    expect(text.code, text.stderr).to.equal(0);
    expect(text.stdout).to.include('objective 90th percentile of the step time over 64 draws');
    const told = await partition([...compare, '--robust', '10%', '--json'], folder());
    const robust = JSON.parse(told.stdout) as { robust: object; best: { value: number }; lowerBound: number };
    expectValid('compare', robust);
    expect(robust.robust).to.deep.equal({ slowerShare: 0.1, draws: 64 });
    expect(robust.best.value).to.be.above(robust.lowerBound);
    const nominal = await partition([...compare, '--json'], folder());
    const { best } = JSON.parse(nominal.stdout) as { best: { value: number } };
    expect(robust.best.value).to.be.above(best.value);
  });

  it('refuses what means nothing, in one line', async () => {
    for (const [terms, message] of [
      ['0%', /--robust: expected a share of draws above 0 % and below 100 %, found 0%/],
      ['100%', /--robust: expected a share of draws/],
      ['often', /--robust: expected a percentage such as 10%, found often/],
      ['10%,draws=3', /--robust: expected draws=8 to 4096, found draws=3/],
      ['10%,draws=many', /--robust: expected draws=8/],
      ['10%,speed=fast', /--robust: expected speed=/],
      ['10%,speed=101%', /--robust: expected speed=0% to 100%/],
      ['10%,wind=3%', /--robust: expected draws, speed, calibration/],
      ['1%', /--robust: expected at least one draw beyond the quantile: 100 draws/],
    ] as const) {
      expectOneLine(await partition(args('x', '--robust', terms), folder()), 2, message);
      expectOneLine(await partition(['compare', ...problem, '--robust', terms], folder()), 2, message);
    }
    const energy = args('x', '--robust', '10%', '--objective', 'energy');
    expectOneLine(
      await partition(energy, folder()),
      2,
      /--robust: .* expected --objective time, found energy/,
    );
    const pareto = args('x', '--robust', '10%', '--objective', 'pareto');
    expectOneLine(await partition(pareto, folder()), 2, /--robust: pareto/);
    const record = args('x', '--robust', '10%', '--record', 'r.jsonl');
    expectOneLine(await partition(record, folder()), 2, /--record: a record holds nominal prices/);
  });
});
