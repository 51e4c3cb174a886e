import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { emitTarget } from '../../src/emit/index.js';
import { expectOneLine, expectValid, gpt2 as model, partition, root, scratchFolder } from './support.js';

const plan = join(root, 'partitions/gpt2-small.8.json');

describe('partition emit', function () {
  this.timeout(60_000);
  const folder = scratchFolder('partition-emit');

  it('writes files as published', async () => {
    for (const name of ['deepspeed', 'onnx', 'chakra']) {
      const { toolVersion } = emitTarget(name);
      const { code, stdout, stderr } = await partition(
        ['emit', plan, '--target', name, '--model', model, '--out', name, '--json', '--quiet'],
        folder(),
      );
      expect(code, stderr).to.equal(0);
      const result = JSON.parse(stdout) as { toolVersion: string; files: { path: string; bytes: number }[] };
      expectValid('emit', result);
      expect(result.toolVersion).to.equal(toolVersion);
      expect(result.files.length).to.be.above(0);
      const written = readdirSync(join(folder(), name)).filter((f) => f !== `emit-${name}.json`);
      expect(written.sort()).to.deep.equal(result.files.map((f) => f.path.replace(`${name}/`, '')).sort());
    }
  });

  it('says what is not expressed on stderr too, and asks for what only the model says', async () => {
    const { code, stdout, stderr } = await partition(
      ['emit', plan, '--target', 'megatron', '--out', 'bare'],
      folder(),
    );
    expect(code).to.equal(0);
    expect(stdout.trim()).to.equal(join('bare', 'megatron.sh'));
    expect(stderr).to.match(/the model gpt2-small.onnx was not found/);
    expect(readFileSync(join(folder(), 'bare/megatron.sh'), 'utf8')).to.match(/HIDDEN_SIZE:\?set it/);
  });

  it('takes away what an earlier run of the target left, and nothing else', async () => {
    const out = join(folder(), 'again');
    mkdirSync(out);
    writeFileSync(join(out, 'mine.txt'), 'mine');
    writeFileSync(join(out, 'trace.7.et'), 'old');
    writeFileSync(join(out, 'emit-slurm.json'), JSON.stringify({ files: ['trace.7.et', '../mine.txt'] }));
    const { code } = await partition(
      ['emit', plan, '--target', 'slurm', '--out', 'again', '--quiet'],
      folder(),
    );
    expect(code).to.equal(0);
    expect(readdirSync(out).sort()).to.deep.equal(['emit-slurm.json', 'job.sbatch', 'mine.txt']);
  });

  it('refuses in one line what it cannot do, and leaves nothing', async () => {
    expectOneLine(await partition(['emit', plan], folder()), 2, /--target/);
    expectOneLine(
      await partition(['emit', plan, '--target', 'megatrom'], folder()),
      2,
      /did you mean megatron/,
    );
    expectOneLine(await partition(['emit', 'none.json', '--target', 'slurm'], folder()), 3, /none.json/);
    const other = join(root, 'graphs/llama-tiny.ts.onnx');
    expectOneLine(
      await partition(
        ['emit', plan, '--target', 'torch', '--model', other, '--out', 'x', '--quiet'],
        folder(),
      ),
      3,
      /digest/,
    );
    writeFileSync(join(folder(), 'file'), '');
    expectOneLine(
      await partition(['emit', plan, '--target', 'slurm', '--out', 'file', '--quiet'], folder()),
      2,
      /file/,
    );
    expect(existsSync(join(folder(), 'x'))).to.equal(false);
    rmSync(join(folder(), 'file'));
  });
});
