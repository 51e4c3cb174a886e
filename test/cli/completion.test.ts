/** Completion scripts: run in the shells that are here. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { METHODS } from '../../src/api/plan.js';
import { expectOneLine, partition, scratchFolder } from './support.js';

function has(shell: string): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0;
}

describe('completion', function () {
  this.timeout(30_000);
  const folder = scratchFolder('completion');

  async function script(shell: string): Promise<string> {
    const { code, stdout, stderr } = await partition(['completion', shell], folder());
    expect(code, stderr).to.equal(0);
    const path = join(folder(), `partition.${shell}`);
    writeFileSync(path, stdout);
    return path;
  }

  /** What bash offers for a line whose last word is being typed. */
  function offered(path: string, ...words: string[]): string[] {
    const line = ['partition', ...words].map((w) => `'${w}'`).join(' ');
    const text = `source '${path}'; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _partition; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', text], { cwd: folder(), encoding: 'utf8' });
    expect(stderr).to.equal('');
    return stdout.split('\n').filter((word) => word !== '');
  }

  it('in bash offers commands, the options of each, cluster presets, methods and files', async function () {
    if (!has('bash')) {
      console.log('      skipped: no bash');
      this.skip();
    }
    const path = await script('bash');
    writeFileSync(join(folder(), 'model.onnx'), '');
    expect(offered(path, 'co')).to.deep.equal(['compare', 'completion']);
    expect(offered(path, '')).to.include.members(['simulate', 'report', 'zoo', 'model.onnx']);
    expect(offered(path, 'mod')).to.deep.equal(['model.onnx']);
    expect(offered(path, 'model.onnx', '--dev')).to.deep.equal(['--devices']);
    expect(offered(path, 'compare', 'model.onnx', '--')).to.include.members([
      '--seeds',
      '--methods',
      '--help',
    ]);
    expect(offered(path, 'compare', 'model.onnx', '--')).to.not.include('--record');
    expect(offered(path, 'model.onnx', '--cluster', 'h100')).to.include('h100-sxm');
    expect(offered(path, 'model.onnx', '--method', '')).to.include.members([...METHODS]);
    expect(offered(path, 'report', 'plan.json', '--c')).to.include.members(['--compare', '--cluster']);
    expect(offered(path, 'completion', 'f')).to.deep.equal(['fish']);
  });

  for (const shell of ['zsh', 'fish'])
    it(`in ${shell} is a script that ${shell} reads, with every command, preset and method`, async function () {
      const path = await script(shell);
      const text = readFileSync(path, 'utf8');
      for (const word of ['compare', 'report', 'devices', 'h100-sxm', ...METHODS])
        expect(text).to.include(word);
      if (!has(shell)) {
        console.log(`      skipped: no ${shell} to read it`);
        this.skip();
      }
      const { status, stderr } = spawnSync(shell, ['-n', path], { encoding: 'utf8' });
      expect(stderr).to.equal('');
      expect(status).to.equal(0);
    });

  it('in fish offers what it should', async function () {
    if (!has('fish')) {
      console.log('      skipped: no fish');
      this.skip();
    }
    const path = await script('fish');
    const offers = (line: string): string[] =>
      spawnSync('fish', ['-c', `source '${path}'; complete -C '${line}'`], {
        cwd: folder(),
        encoding: 'utf8',
      })
        .stdout.split('\n')
        .map((word) => word.split('\t')[0]);
    expect(offers('partition comp')).to.include.members(['compare', 'completion']);
    expect(offers('partition compare x --see')).to.deep.include('--seeds');
    expect(offers('partition x --cluster h100-s')).to.include('h100-sxm');
  });

  it('for a shell that is not known is refused in one line', async () => {
    expectOneLine(
      await partition(['completion', 'tcsh'], folder()),
      2,
      /expected one of bash, zsh, fish, found tcsh/,
    );
    expectOneLine(await partition(['completion'], folder()), 2, /expected bash, zsh, fish/);
  });

  it('and mistyped words know every command that the help lists', async () => {
    const { stdout } = await partition(['--help'], folder());
    const names = [...stdout.matchAll(/^ {2}partition ([a-z]+) /gm)].map((m) => m[1]);
    expect(names.length).to.be.at.least(14);
    const mistyped = await Promise.all(names.map((name) => partition([`${name}x`], folder())));
    mistyped.forEach((ended, i) => expectOneLine(ended, 2, new RegExp(`did you mean .*\\b${names[i]}\\b`)));
  });

  it('asks after a flag that is nearly one', async () => {
    const wrong = async (args: string[], hint: RegExp): Promise<void> =>
      expectOneLine(await partition(args, folder()), 2, hint);
    await wrong(['m.onnx', '--device', '8'], /unknown argument device \(did you mean --devices\?\)/);
    await wrong(['compare', 'm.onnx', '--seed', '8'], /unknown argument seed \(did you mean --seeds/);
    await wrong(['report', 'p.json', '--compar=x'], /unknown argument compar \(did you mean --compare\?\)/);
    await wrong(
      ['report', 'p.json', '--frobnicate'],
      /unknown argument frobnicate \(partition report --help/,
    );
  });
});
