/** `partition train --from-log` and `--policy` through the built program. */
import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import { parse } from 'yaml';
import { atPace, jobLog } from '../support/jobLog.js';
import { expectOneLine, expectValid, gpt2, partition, root, scratchFolder } from './support.js';

const SHIPPED = join(root, 'src/data/checkpoints/plan-ppo.json');

const TINY = `
like: ${join(root, 'src/data/training/fine-tune.yaml')}
problems: 2
observed: 1
updatesPerProblem: 1
episodes: 3
teacher: { evaluations: 60, steps: 1, memory: 2 }
graphs: [{ zoo: [gpt2-small], layers: [2, 4], seq: [256] }]
clusters: [{ presets: [h100-sxm], devices: [8, 32] }]
guard: { evaluations: 8, seeds: [1], meanTolerance: 1, instanceTolerance: 1, suite: [resnet50-16] }
`;

describe('partition train --from-log', function () {
  this.timeout(120_000);
  const folder = scratchFolder('train-from-log');
  const tune = (...more: string[]): string[] => ['train', 'tiny.yaml', '--from-log', 'job', ...more];

  before(async () => {
    writeFileSync(join(folder(), 'tiny.yaml'), TINY);
    const small = ['--devices', '32', '--seq', '256', '--batch', '256', '--budget', '60ev', '--quiet'];
    const planned = await partition([gpt2, ...small, '--out', 'job'], folder());
    expect(planned.code, planned.stderr).to.equal(0);
    const { prediction } = JSON.parse(readFileSync(join(folder(), 'job/plan.json'), 'utf8')) as {
      prediction: { stepTimeSec: number };
    };
    const log = jobLog({ hosts: 4, steps: 60, seed: 3, slow: { host: 1, factor: 1.25, step: 0 } });
    const records = [...atPace(log, prediction.stepTimeSec)];
    writeFileSync(
      join(folder(), 'job/observed.jsonl'),
      records.map((r) => `${JSON.stringify(r)}\n`).join(''),
    );
  });

  it('tunes, judges and sums up as published; the policy plans, and the next tuning goes on from it', async () => {
    const first = await partition(tune('--updates', '2', '--out', 'tuned', '--json'), folder());
    expect(first.code, first.stderr).to.equal(0);
    const facts = JSON.parse(first.stdout) as Record<string, unknown>;
    expectValid('fine-tune', facts);
    expect(facts).to.include({ updates: 2, oldPolicy: SHIPPED, policyPath: 'tuned/policy.json' });
    expect(facts['previousPath']).to.equal('tuned/policy.json.previous');
    const plan = [gpt2, '--devices', '8', '--seq', '256', '--budget', '100ev', '--json'];
    const planned = await partition([...plan, '--policy', 'tuned/policy.json'], folder());
    expect(planned.code, planned.stderr).to.equal(0);
    expect(JSON.parse(planned.stdout)).to.include({ method: 'auto' });
    const again = await partition(
      tune('--updates', '1', '--out', 'tuned', '--install', 'own/policy.json'),
      folder(),
    );
    expect(again.code, again.stderr).to.equal(0);
    expect(again.stdout).to.match(/the new policy takes the place of tuned\/policy\.json/);
    expect(again.stdout).to.match(/mean of the suite .*%/);
    expect(again.stdout).to.match(/host1 runs at \d+ % of the others' rate/);
    const text = (path: string): string => readFileSync(join(folder(), path), 'utf8');
    expect(text('own/policy.json')).to.equal(text('tuned/policy.json'));
  });

  it('refuses in one line what does not belong together', async () => {
    const attempt = async (args: string[], code: number, pattern: RegExp): Promise<void> =>
      expectOneLine(await partition(args, folder()), code, pattern);
    await attempt(['train', '--plan', 'job/plan.json'], 2, /--plan: --plan is for --from-log/);
    await attempt(['train', '--from-log', 'none.jsonl'], 3, /none\.jsonl: no such file/);
    await attempt(tune('--updates', 'few'), 2, /--updates: expected a whole number.*found few/);
    const resnet = join(root, 'graphs/resnet50.onnx');
    await attempt(tune('--out', 'x', '--model', resnet), 3, /the plan is for gpt2-small\.onnx|sequence/);
    writeFileSync(
      join(folder(), 'other.jsonl'),
      `${JSON.stringify({ header: { planDigest: 'f'.repeat(64) } })}\n`,
    );
    await attempt(
      ['train', 'tiny.yaml', '--from-log', 'other.jsonl', '--plan', 'job/plan.json', '--out', 'x'],
      3,
      /other\.jsonl:1: header: expected plan/,
    );
    expect(existsSync(join(folder(), 'x/policy.json'))).to.equal(false);
    writeFileSync(
      join(folder(), 'bad.json'),
      readFileSync(SHIPPED, 'utf8').replace('"updates": ', '"updates": 1'),
    );
    await attempt([gpt2, '--devices', '8', '--policy', 'bad.json'], 3, /bad\.json: damaged checkpoint/);
    await attempt([gpt2, '--devices', '8', '--policy', 'no.json'], 3, /no\.json: no such file/);
  });

  it('its configurations are as published', () => {
    const schema = JSON.parse(
      readFileSync(join(root, 'src/data/schemas/training.schema.json'), 'utf8'),
    ) as object;
    const valid = new Ajv.default({ allErrors: true, strict: true }).compile(schema);
    for (const text of [TINY, readFileSync(join(root, 'src/data/training/fine-tune.yaml'), 'utf8')]) {
      valid(parse(text));
      expect(valid.errors ?? []).to.deep.equal([]);
    }
  });
});
