import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import { parse } from 'yaml';
import { expectOneLine, expectValid, gpt2, partition, root, scratchFolder, start } from './support.js';

const CONFIG = `
seed: 5
budget: { updates: 6 }
checkpointEvery: 2
problems: 2
updatesPerProblem: 2
episodes: 3
teacher: { evaluations: 40 }
ppo: { hidden: 16, minibatch: 32 }
graphs:
  - { zoo: [gpt2-small], layers: [2, 6], seq: [256] }
  - { irregular: { cells: [2, 3], nodes: [3, 4], hidden: [256, 512], tokens: [64, 128] } }
clusters:
  - { presets: [h100-sxm, tpu-v5e], devices: [8, 64] }
  - { mixes: [[h100-sxm, a100-80gb]], hosts: [1, 2], damage: 0.5 }
`;

describe('partition train', function () {
  this.timeout(120_000);
  const folder = scratchFolder('train');

  it('trains as told, sums up as published, and leaves a policy that plans', async () => {
    writeFileSync(join(folder(), 'tiny.yaml'), CONFIG);
    const { code, stdout, stderr } = await partition(
      ['train', 'tiny.yaml', '--out', 'run', '--json'],
      folder(),
    );
    expect(code, stderr).to.equal(0);
    const summary = JSON.parse(stdout) as Record<string, unknown>;
    expectValid('train', summary);
    expect(summary).to.include({ updates: 6, plannedUpdates: 6, episodes: 36, finished: true });
    expect(readFileSync(join(folder(), 'run/metrics.jsonl'), 'utf8').trim().split('\n')).to.have.length(6);
    expect(existsSync(join(folder(), 'run/events.out.tfevents.00000000.partition'))).to.equal(true);
    const method = ['--method', 'policy', '--checkpoint', 'run/policy.json', '--budget', '64ev', '--json'];
    const planned = await partition([gpt2, '--devices', '8', '--seq', '256', ...method], folder());
    expect(planned.code, planned.stderr).to.equal(0);
    expect(JSON.parse(planned.stdout)).to.include({ method: 'policy', foundBy: 'policy' });
  });

  it('survives Ctrl-C and goes on to the same bytes as if never stopped', async () => {
    writeFileSync(join(folder(), 'long.yaml'), CONFIG.replace('updates: 6', 'updates: 24'));
    const whole = await partition(['train', 'long.yaml', '--out', 'whole', '--quiet'], folder());
    expect(whole.code, whole.stderr).to.equal(0);
    const { child, ended } = start(['train', 'long.yaml', '--out', 'cut', '--quiet'], folder());
    let asked = false;
    const waiting = setInterval(() => {
      if (asked || !existsSync(join(folder(), 'cut/checkpoint.json'))) return;
      asked = child.kill('SIGINT');
    }, 20);
    const cut = await ended.finally(() => clearInterval(waiting));
    expect(cut.code).to.equal(130);
    expect(cut.stderr).to.match(/^partition: interrupted after update \d+ of 24; .*--resume goes on\n$/);
    expectOneLine(
      await partition(['train', 'long.yaml', '--out', 'cut'], folder()),
      2,
      /cut: a training stands there/,
    );
    const resumed = await partition(['train', 'long.yaml', '--out', 'cut', '--resume', '--quiet'], folder());
    expect(resumed.code, resumed.stderr).to.equal(0);
    for (const name of ['policy.json', 'checkpoint.json', 'metrics.jsonl'])
      expect(readFileSync(join(folder(), 'cut', name), 'utf8')).to.equal(
        readFileSync(join(folder(), 'whole', name), 'utf8'),
      );
  });

  it('refuses what it cannot train or use, by name, in one line', async () => {
    const attempt = async (text: string, code: number, pattern: RegExp): Promise<void> => {
      writeFileSync(join(folder(), 'bad.yaml'), text);
      expectOneLine(await partition(['train', 'bad.yaml', '--out', 'bad'], folder()), code, pattern);
    };
    await attempt(
      CONFIG.replace('seed: 5', 'sede: 5'),
      3,
      /bad\.yaml: sede: unknown field \(did you mean seed/,
    );
    await attempt(
      CONFIG.replace('updates: 6', 'updates: 0'),
      3,
      /budget\.updates: expected an integer of at least 1, found 0/,
    );
    await attempt(
      CONFIG.replace('[gpt2-small]', '[gpt2-smal]').replace(/ {2}- { irregular.*\n/, ''),
      3,
      /gpt2-smal/,
    );
    expectOneLine(
      await partition(['train', 'none.yaml', '--out', 'bad'], folder()),
      3,
      /none\.yaml: no such file/,
    );
    const plan = [gpt2, '--devices', '8', '--seq', '256', '--quiet', '--checkpoint', 'damaged.json'];
    const policy = readFileSync(join(root, 'src/data/checkpoints/plan-ppo.json'), 'utf8');
    writeFileSync(join(folder(), 'damaged.json'), policy.replace('"updates": ', '"updates": 1'));
    expectOneLine(
      await partition([...plan, '--method', 'ppo'], folder()),
      3,
      /damaged\.json: damaged checkpoint/,
    );
    writeFileSync(join(folder(), 'damaged.json'), policy.replace('"version": 1', '"version": 9'));
    expectOneLine(
      await partition([...plan, '--method', 'policy'], folder()),
      3,
      /checkpoint of version 9, this program/,
    );
    expectOneLine(
      await partition([...plan, '--method', 'greedy'], folder()),
      2,
      /greedy starts from no checkpoint/,
    );
  });

  it('reads configurations as published, the shipped one among them', () => {
    const schema = JSON.parse(
      readFileSync(join(root, 'src/data/schemas/training.schema.json'), 'utf8'),
    ) as object;
    const valid = new Ajv.default({ allErrors: true, strict: true }).compile(schema);
    const shipped = readFileSync(join(root, 'src/data/training/plan-ppo.yaml'), 'utf8');
    for (const text of [CONFIG, shipped]) {
      valid(parse(text));
      expect(valid.errors ?? []).to.deep.equal([]);
    }
  });
});
