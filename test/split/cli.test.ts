/** `partition split` and `partition verify` as a user runs them. */
import { expect } from 'chai';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectOneLine, expectValid, gpt2, graphs, partition, scratchFolder, start } from '../cli/support.js';

const tiny = join(graphs, 'llama-tiny.ts.onnx');

describe('partition split and partition verify', function () {
  this.timeout(60_000);
  const folder = scratchFolder('split');

  it('the sub-models are summed up as published', async () => {
    const args = ['split', tiny, '--stages', '2', '--tp', '2', '--out', 'pieces', '--json'];
    const { code, stdout, stderr } = await partition(args, folder());
    expect(code, stderr).to.equal(0);
    const summary = JSON.parse(stdout) as { files: { path: string }[]; stages: number; tp: number };
    expectValid('split', summary);
    expect(summary).to.include({ stages: 2, tp: 2 });
    for (const { path } of summary.files) expect(existsSync(join(folder(), path)), path).to.equal(true);
    const table = await partition(['split', tiny, '--stages', '2', '--out', 'pieces'], folder());
    expect(table.stdout).to.match(/stage +rank +sub-models +operators +weights\n +0 +0 +1 .*\n +1 +0 +1 /);
    expect(readdirSync(join(folder(), 'pieces'))).to.deep.equal([
      'manifest.json',
      'stage0.onnx',
      'stage1.onnx',
    ]);
  });

  it('a verification that passes says how close, one that does not ends with 1', async () => {
    const args = ['verify', tiny, '--stages', '2', '--tp', '2'];
    const agreed = await partition([...args, '--json'], folder());
    expect(agreed.code, agreed.stderr).to.equal(0);
    const verification = JSON.parse(agreed.stdout) as {
      pass: boolean;
      outputs: { name: string; maxRel: number }[];
    };
    expectValid('verify', verification);
    expect(verification.pass).to.equal(true);
    expect(verification.outputs.map((o) => o.name)).to.deep.equal(['logits']);
    expect(verification.outputs[0].maxRel).to.be.below(1e-5);
    const strict = await partition([...args, '--tolerance', '0', '--seed', '3'], folder());
    expect(strict.code).to.equal(1);
    expect(strict.stdout).to.match(/logits .* NO\n\nwhole and split differ: stages 2, tp 2, onnxruntime-/);
  });

  it('faults are one line that says what to do', async () => {
    const wrong: [string[], number, RegExp][] = [
      [['split'], 2, /expected an ONNX file/],
      [['split', tiny], 2, /expected a plan\.json, --stages or --tp/],
      [['split', tiny, '--tp', '0'], 2, /--tp: .*found 0/],
      [['split', tiny, '--stages', '9999'], 1, /9999 stages need as many operators/],
      [
        ['split', tiny, '--stages', '2', '--weights', 'none'],
        2,
        /--weights: expected one of copy, reference/,
      ],
      [['split', gpt2, '--stages', '2'], 3, /weights of .* are missing.*--weights reference/],
      [['split', 'none.onnx', '--tp', '2'], 3, /none\.onnx: no such file/],
      [['verify', tiny, 'none.json'], 3, /none\.json: no such file/],
      [['verify', tiny, '--tp', '2', '--tolerance', 'small'], 2, /--tolerance: expected a number/],
      [['verify', tiny, '--tp', '2', '--inputs', 'x.json'], 3, /x\.json: no value for input "input_ids"/],
    ];
    writeFileSync(join(folder(), 'x.json'), '{"inputs": []}');
    for (const [args, code, pattern] of wrong) expectOneLine(await partition(args, folder()), code, pattern);
    expect(existsSync(join(folder(), 'gpt2-small.split'))).to.equal(false);
  });

  it('a split that is interrupted leaves nothing', async () => {
    const { child, ended } = start(
      ['split', tiny, '--stages', '16', '--tp', '4', '--out', 'stopped'],
      folder(),
    );
    // The folder appears when writing begins.
    while (!existsSync(join(folder(), 'stopped')) && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    if (code === 0) return; // It was done before the signal.
    expect(code).to.equal(130);
    expect(stdout).to.equal('');
    expect(readdirSync(join(folder(), 'stopped'))).to.deep.equal([]);
  });
});
