import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectOneLine, expectValid, gpt2, partition, root, scratchFolder, start } from './support.js';

describe('the trade-off of time and energy', function () {
  this.timeout(180_000);
  const folder = scratchFolder('pareto');

  it('is told, drawn and written as plans with clocks, as published', async () => {
    const args = [gpt2, '--devices', '8', '--seq', '1024', '--batch', '32', '--objective', 'pareto'];
    const search = ['--method', 'random', '--budget', '600ev', '--out', 'p', '--json'];
    const { code, stdout, stderr } = await partition([...args, ...search], folder());
    expect(code, stderr).to.equal(0);
    const told = JSON.parse(stdout) as {
      front: { timeSec: number; energyJoule: number }[];
      plans: {
        full: { timeSec: number; energyJoule: number };
        noSlowdown: { energyJoule: number; boundJoule: number };
      }[];
    };
    expectValid('pareto', told);
    for (let i = 1; i < told.front.length; i++) {
      expect(told.front[i].timeSec).to.be.above(told.front[i - 1].timeSec);
      expect(told.front[i].energyJoule).to.be.below(told.front[i - 1].energyJoule);
    }
    for (const { full, noSlowdown } of told.plans) {
      expect(noSlowdown.energyJoule).to.be.at.most(full.energyJoule * (1 + 1e-9));
      expect(noSlowdown.boundJoule).to.be.at.most(noSlowdown.energyJoule * (1 + 1e-9));
    }
    expect(readFileSync(join(folder(), 'p/pareto.svg'), 'utf8')).to.match(/^<svg [\s\S]*<\/svg>\n$/);
    expectValid('plan', JSON.parse(readFileSync(join(folder(), 'p/plan-0.json'), 'utf8')));
    const simulate = ['simulate', gpt2, 'p/plan-0.json', '--frequency-plan', 'clocked.json', '--json'];
    const simulated = await partition(simulate, folder());
    expect(simulated.code, simulated.stderr).to.equal(0);
    const summary = JSON.parse(simulated.stdout) as { faults: string[]; frequencyPlanPath: string };
    expectValid('simulate', summary);
    expect(summary.faults).to.deep.equal([]);
    expect(summary.frequencyPlanPath).to.equal('clocked.json');
    expectValid('plan', JSON.parse(readFileSync(join(folder(), 'clocked.json'), 'utf8')));
  });

  it('prints its best so far on Ctrl-C and writes nothing', async () => {
    const args = [gpt2, '--devices', '64', '--seq', '1024', '--objective', 'pareto', '--budget', '60s'];
    const { child, ended } = start([...args, '--method', 'random', '--out', 'stopped'], folder());
    await new Promise<void>((resolve) => {
      child.stderr!.on('data', (text: string) => {
        if (/[1-9]\d* on the front/.test(text)) resolve();
      });
    });
    child.kill('SIGINT');
    const { code, stdout, stderr } = await ended;
    expect(code, stderr).to.equal(130);
    expect(stdout).to.match(/^time and energy of .*\n\nplan /);
    expect(stderr).to.match(/interrupted; best so far above, nothing was written\n$/);
    expect(existsSync(join(folder(), 'stopped'))).to.equal(false);
  });

  it('clocks of one plan are worked out exactly, by group or by an agent, and are in the plan', async () => {
    const args = [gpt2, '--devices', '8', '--seq', '1024', '--batch', '8', '--method', 'all-pipeline'];
    const plugin = ['--plugin', join(root, 'test/plugins/pipelines.js'), '--budget', '20ev'];
    const joules = new Map<string, number>();
    for (const way of ['exact', 'groups', 'sac']) {
      const run = ['--clocks', way, '--out', way, '--json'];
      const { code, stdout, stderr } = await partition([...args, ...plugin, ...run], folder());
      expect(code, stderr).to.equal(0);
      const summary = JSON.parse(stdout) as {
        clocks: {
          stepTimeSec: number;
          fullStepTimeSec: number;
          energyJoulesPerStep: number;
          fullEnergyJoulesPerStep: number;
        };
      };
      expectValid('plan-result', summary);
      const { clocks } = summary;
      expect(clocks.stepTimeSec).to.be.at.most(clocks.fullStepTimeSec * (1 + 1e-6));
      expect(clocks.energyJoulesPerStep).to.be.below(clocks.fullEnergyJoulesPerStep);
      joules.set(way, clocks.energyJoulesPerStep);
      const plan = JSON.parse(readFileSync(join(folder(), way, 'plan.json'), 'utf8')) as {
        frequency: { energyJoulesPerStep: number };
      };
      expectValid('plan', plan);
      expect(plan.frequency.energyJoulesPerStep).to.equal(clocks.energyJoulesPerStep);
    }
    // Written levels of the frontier are within a percent of it; nothing else is below.
    expect(joules.get('exact')).to.be.at.most(1.01 * joules.get('groups')!);
    expect(joules.get('exact')).to.be.at.most(1.01 * joules.get('sac')!);
    const wrong = [...args, ...plugin, '--clocks', 'fast'];
    expectOneLine(await partition(wrong, folder()), 2, /--clocks: expected one of exact, groups, sac/);
  });

  it('is several searches, which one record cannot hold', async () => {
    const args = [gpt2, '--devices', '8', '--objective', 'pareto', '--record', 'r.jsonl'];
    expectOneLine(await partition(args, folder()), 2, /--record/);
  });
});
