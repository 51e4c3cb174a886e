/** Wrong words on the command line: exit code 2 and one line that says what was expected. */
import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectOneLine, gpt2, graphs, partition, scratchFolder } from './support.js';

const plan = (...more: string[]): string[] => [gpt2, '--devices', '8', '--seq', '1024', ...more];

describe('wrong usage', function () {
  this.timeout(30_000);
  const folder = scratchFolder('usage');
  before(() => {
    writeFileSync(join(folder(), 'file'), '');
    mkdirSync(join(folder(), 'taken/plan.json'), { recursive: true });
  });

  const wrong: [string, string[], RegExp][] = [
    ['no arguments', [], /expected a model or a command.*partition <model\.onnx> --devices N.*--help/],
    ['no model', ['--devices', '8'], /expected a model \(partition <model/],
    ['no devices', [gpt2], /expected --devices/],
    [
      'a word that is no command',
      ['inspct'],
      /inspct: neither a command nor a file \(did you mean inspect\?\)/,
    ],
    ['an unknown flag', plan('--fast'), /unknown argument fast/],
    ['a word too many', ['inspect', gpt2, 'more'], /unknown argument more/],
    ['a flag without its value', [gpt2, '--devices'], /--devices needs a value/],
    ['devices in words', [gpt2, '--devices', 'eight'], /--devices: expected a whole number.*found eight/],
    ['no devices at all', [gpt2, '--devices', '0'], /--devices: .*found 0/],
    ['fewer devices than none', [gpt2, '--devices', '-8'], /--devices: .*found -8/],
    ['half a device', [gpt2, '--devices', '8.5'], /--devices: .*found 8\.5/],
    ['more devices than there are', [gpt2, '--devices', '99999999999'], /--devices: .* to 1048576/],
    ['an empty batch', plan('--batch', '0'), /--batch: .*found 0/],
    ['a sequence of no tokens', plan('--seq', '0'), /--seq: .*found 0/],
    ['a budget without a unit', plan('--budget', '10'), /--budget: expected seconds or evaluations/],
    ['a budget of nothing', plan('--budget', '0s'), /--budget: .*found 0s/],
    ['an unknown objective', plan('--objective', 'speed'), /--objective: expected time, energy, cost/],
    ['weights that are all 0', plan('--objective', 'time=0'), /--objective: .*above 0/],
    ['an unknown method', plan('--method', 'magic'), /--method: expected one of auto.*found magic/],
    ['an unknown precision', plan('--precision', 'int3'), /--precision: .*found int3/],
    ['an unknown phase', plan('--phase', 'play'), /--phase: expected one of train, inference/],
    ['a broken seed', plan('--seed', '1.5'), /--seed: expected a whole number/],
    ['a negative seed', plan('--seed', '-1'), /--seed: expected a whole number from 0/],
    ['a binding without a value', plan('--bind', 'batch'), /--bind: expected name=value/],
    ['a binding of nothing known', plan('--bind', 'width=3'), /'width'.*batch, seq/],
    ['an unbound dimension', [gpt2, '--devices', '8'], /'seq' of tensor 'input_ids'.*--seq <length>/],
    ['an unknown cluster', plan('--cluster', 'h100-sx'), /--cluster: unknown.*did you mean h100-sxm\?/],
    ['an unknown architecture', ['zoo', 'lama-3-8b'], /unknown architecture.*did you mean .*llama3-8b/],
    ['a file where the output folder goes', plan('--out', 'file'), /file: cannot write: a file stands/],
    ['a file above the output folder', plan('--out', 'file/plan'), /file\/plan: cannot write/],
    [
      'a folder where the plan goes',
      plan('--budget', '9ev', '--out', 'taken'),
      /taken\/plan\.json: cannot write/,
    ],
    ['an output that nothing can be written to', plan('--out', '/proc/plan'), /\/proc\/plan: cannot write/],
    ['an architecture that cannot be written', ['zoo', 'gpt2', '--out', 'file/x.onnx'], /cannot write/],
    ['a size in words', ['zoo', 'gpt2', '--layers', 'two'], /--layers: .*found two/],
    ['a simulation without a plan', ['simulate', gpt2], /expected a plan\.json \(partition simulate/],
    ['an inspection of nothing', ['inspect'], /expected an ONNX file \(partition inspect/],
  ];
  for (const [what, args, pattern] of wrong) {
    it(`${what} is one line and exit code 2`, async () => {
      expectOneLine(await partition(args, folder()), 2, pattern);
    });
  }

  it('training a graph with a key-value cache is refused once its sizes are given', async function () {
    const past = join(graphs, '../../shared/data/onnx/full/gpt2-tiny-past.dynamo/model.onnx');
    if (!existsSync(past)) {
      console.log('      skipped: no reference data (full/gpt2-tiny-past.dynamo)');
      this.skip();
    }
    const seen = await partition(['inspect', past, '--json'], folder());
    expect(seen.code, seen.stderr).to.equal(0);
    const symbols = (JSON.parse(seen.stdout) as { symbols: string[] }).symbols;
    const bind = symbols.map(
      (name) => `--bind=${name}=${name.includes('total') ? 65 : name.includes('past') ? 64 : 1}`,
    );
    const ended = await partition([past, '--devices', '2', '--phase', 'train', ...bind], folder());
    expectOneLine(ended, 2, /--phase train: .*cached keys and values.*--phase inference/);
  });

  it('nothing is left behind', () => {
    expect(readdirSync(folder()).sort()).to.deep.equal(['file', 'taken']);
    expect(readdirSync(join(folder(), 'taken'))).to.deep.equal(['plan.json']);
  });
});

describe('help', function () {
  this.timeout(20_000);
  const folder = scratchFolder('help');

  it('shows every command, the flags and examples', async () => {
    const { code, stdout, stderr } = await partition(['--help'], folder());
    expect(code).to.equal(0);
    expect(stderr).to.equal('');
    for (const word of [
      'inspect',
      'simulate',
      'zoo',
      'clusters',
      '--devices',
      '--budget',
      'Examples:',
      'gpt2-small',
    ])
      expect(stdout).to.include(word);
  });

  for (const command of ['inspect', 'simulate', 'replay', 'validate', 'calibrate', 'zoo', 'clusters']) {
    it(`of ${command} comes with examples`, async () => {
      const { code, stdout } = await partition([command, '--help'], folder());
      expect(code).to.equal(0);
      expect(stdout)
        .to.match(new RegExp(`^partition ${command}`))
        .and.to.include('Examples:');
    });
  }

  it('the version is a number', async () => {
    const { code, stdout } = await partition(['--version'], folder());
    expect(code).to.equal(0);
    expect(stdout).to.match(/^\d+\.\d+\.\d+\n$/);
  });
});
