import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Comparison } from '../../src/api/index.js';
import { expectOneLine, expectValid, gpt2, partition, scratchFolder } from './support.js';

describe('partition compare', function () {
  this.timeout(120_000);
  const folder = scratchFolder('compare');
  const small = ['compare', gpt2, '--devices', '64', '--seq', '256', '--batch', '128', '--quiet'];

  it('prints what is published, with the same values whatever the number of threads', async () => {
    const args = [...small, '--methods', 'exhaustive', '--seeds', '2', '--budget', '150ev,0.2s', '--json'];
    const valuesOf = async (threads: string): Promise<unknown> => {
      const ended = await partition([...args, '--threads', threads, '--chart', 'curves.svg'], folder());
      expect(ended.code, ended.stderr).to.equal(0);
      const comparison = JSON.parse(ended.stdout) as Comparison;
      expectValid('compare', comparison);
      expect(comparison.comparisons.map((c) => c.by)).to.deep.equal(['evaluations', 'seconds']);
      const [{ methods }] = comparison.comparisons;
      const names = methods.map((m) => m.method).sort();
      expect(names).to.deep.equal(['auto-no-agent', 'exhaustive', 'greedy', 'random']);
      return Object.fromEntries(methods.map((m) => [m.method, m.values]));
    };
    expect(await valuesOf('1')).to.deep.equal(await valuesOf('2'));
    const svg = readFileSync(join(folder(), 'curves.svg'), 'utf8');
    expect(svg.match(/<polyline/g)).to.have.length.at.least(8);
  });

  it('prints a table and writes a page', async () => {
    const args = [...small, '--methods', 'random', '--seeds', '1', '--budget', '50ev', '--chart', 'c.html'];
    const { code, stdout, stderr } = await partition(args, folder());
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^gpt2-small\.onnx on 64 devices of h100-sxm, objective time, 1 seed\n/);
    expect(stdout).to.match(/\nauto-no-agent/);
    expect(readFileSync(join(folder(), 'c.html'), 'utf8')).to.contain('<svg');
  });

  it('refuses what it cannot do in one line', async () => {
    const fail = async (args: string[], code: number, pattern: RegExp): Promise<void> =>
      expectOneLine(await partition([...args, '--quiet'], folder()), code, pattern);
    await fail(['compare', gpt2], 2, /expected --devices/);
    await fail([...small, '--methods', 'oracle'], 2, /--methods: expected one of auto, random/);
    await fail([...small, '--by', 'seconds'], 2, /--by: expected a budget in seconds, found 2000ev/);
    await fail([...small, '--chart', 'c.png'], 2, /--chart: expected a file that ends in \.svg or \.html/);
    await fail(['compare', 'absent.onnx', '--devices', '8'], 3, /absent\.onnx/);
  });
});
