import { expect } from 'chai';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectOneLine, expectValid, gpt2, graphs, partition, root, scratchFolder } from './support.js';

/** Runs a command with --json; its stdout must be one JSON value and nothing else. */
async function jsonOf(args: readonly string[], folder: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await partition([...args, '--json'], folder);
  expect(code, stderr).to.equal(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe('what commands print with --json', function () {
  this.timeout(60_000);
  const folder = scratchFolder('schemas');

  it('a plan is summed up as published, and the plan file itself is as published', async () => {
    const args = [gpt2, '--devices', '8', '--seq', '1024', '--budget', '200ev', '--out', 'plan'];
    const summary = await jsonOf(args, folder());
    expectValid('plan-result', summary);
    expect(summary['planPath']).to.equal(join('plan', 'plan.json'));
    expectValid('plan', JSON.parse(readFileSync(join(folder(), 'plan/plan.json'), 'utf8')));
    expect(summary).to.include.all.keys(
      'planPath method evaluations wallSec devices degrees microbatch globalBatch stepTimeSec lowerBoundSec planBoundSec tokensPerSec mfu peakMemoryBytes memoryCapacityBytes energyJoulesPerStep warnings'.split(
        ' ',
      ),
    );
    const simulation = await jsonOf(['simulate', gpt2, 'plan/plan.json', '--trace', 'step.json'], folder());
    expectValid('simulate', simulation);
    expect(simulation['tracePath']).to.equal('step.json');
    expect(simulation['faults']).to.deep.equal([]);
    expect(JSON.parse(readFileSync(join(folder(), 'step.json'), 'utf8'))).to.be.an('object');
    expectValid('simulate', await jsonOf(['simulate', gpt2, 'plan/plan.json'], folder()));
    expectValid('why', await jsonOf(['why', 'plan/plan.json', '--instead', 'tp=2,recompute=full'], folder()));
    const told = await jsonOf(['simulate', gpt2, 'plan/plan.json', '--chakra', 'et'], folder());
    expectValid('simulate', told);
    const files = readdirSync(join(folder(), 'et'));
    expect(told['chakra']).to.deep.equal({ prefix: join('et', 'gpt2-small'), files: files.length });
    expect(files).to.include.members(['gpt2-small.0.et', 'gpt2-small.comm-groups.json']);
  });

  it('a recorded search replays as published, and differences are told', async () => {
    const record = ['--record', 'search.jsonl', '--out', 'recorded'];
    const args = [gpt2, '--devices', '8', '--seq', '256', '--batch', '64', '--budget', '100ev', ...record];
    const summary = await jsonOf(args, folder());
    expectValid('plan-result', summary);
    expect(summary['recordPath']).to.equal('search.jsonl');
    const replayed = await jsonOf(['replay', 'search.jsonl', gpt2], folder());
    expectValid('replay', replayed);
    expect(replayed['evaluations']).to.equal(summary['evaluations']);
    expectValid('replay', await jsonOf(['replay', 'search.jsonl', gpt2, '--cluster', 'h200'], folder()));
    const path = join(folder(), 'search.jsonl');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, 5000));
    expectOneLine(await partition(['replay', 'search.jsonl', gpt2], folder()), 3, /search\.jsonl: truncated/);
    writeFileSync(path, text.replace('[[1,', '[[2,'));
    expectOneLine(await partition(['replay', 'search.jsonl', gpt2], folder()), 3, /search\.jsonl: altered/);
  });

  it('a sweep over device counts marks the time/cost frontier, as published', async () => {
    const args = [
      gpt2,
      '--devices',
      '4..16',
      '--seq',
      '256',
      '--batch',
      '64',
      '--budget',
      '60ev',
      '--out',
      's',
    ];
    const { sweep } = (await jsonOf(args, folder())) as {
      sweep: { devices: number; onFrontier: boolean; plan: { planPath: string; stepTimeSec: number } }[];
    };
    expectValid('sweep', { sweep });
    expect(sweep.map((row) => row.devices)).to.deep.equal([4, 8, 16]);
    const fastest = sweep.reduce((a, b) => (b.plan.stepTimeSec < a.plan.stepTimeSec ? b : a));
    expect(fastest.onFrontier).to.equal(true);
    for (const row of sweep)
      expectValid('plan', JSON.parse(readFileSync(join(folder(), row.plan.planPath), 'utf8')));
  });

  for (const file of ['gpt2-tiny.dynamo.onnx', 't5-tiny.ts.onnx', 'resnet50.onnx']) {
    it(`an inspection of ${file} is as published, with and without its tensors`, async () => {
      const counted = await jsonOf(['inspect', join(graphs, file)], folder());
      expectValid('inspect', counted);
      expect(counted['tensors']).to.be.a('number');
      const listed = await jsonOf(['inspect', join(graphs, file), '--tensors', '--seq', '32'], folder());
      expectValid('inspect', listed);
      expect(listed['tensors']).to.have.length(counted['tensors'] as number);
      expect(listed['forwardFlop']).to.be.above(0);
    });
  }

  it('the zoo is listed, and an architecture written, as published', async () => {
    expectValid('zoo', await jsonOf(['zoo'], folder()));
    expectValid('zoo', await jsonOf(['zoo', 'gpt2', '--layers', '2', '--out', 'two.onnx'], folder()));
  });

  it('clusters are listed, and one described, as published', async () => {
    expectValid('clusters', await jsonOf(['clusters'], folder()));
    expectValid('clusters', await jsonOf(['clusters', 'h100'], folder()));
    const mixed = join(graphs, 'clusters/mixed-a100-h100.yaml');
    expectValid('clusters', await jsonOf(['clusters', mixed], folder()));
  });

  it('every field of these schemas is described, and nothing unnamed is let through', () => {
    const names = readdirSync(join(root, 'src/data/schemas')).filter(
      (name) => !/^(plan|cluster)\./.test(name),
    );
    expect(names.length).to.be.at.least(7);
    for (const name of names) {
      const isCondition = (inner: Record<string, unknown>): boolean =>
        inner['type'] === undefined && inner['properties'] !== undefined;
      const walk = (schema: Record<string, unknown>, path: string): void => {
        const properties = schema['properties'] as Record<string, Record<string, unknown>> | undefined;
        if (properties !== undefined) {
          // A profiler may put fields of its own into a workload; the reader passes over them.
          if (name !== 'workload.schema.json') expect(schema['additionalProperties'], path).to.equal(false);
          for (const [field, inner] of Object.entries(properties)) {
            expect(inner['description'], `${path}.${field}`).to.be.a('string');
            walk(inner, `${path}.${field}`);
          }
        }
        for (const inner of [schema['items'], ...((schema['anyOf'] ?? schema['oneOf'] ?? []) as unknown[])])
          // A branch without a type only says which fields go together: what holds it is closed.
          if (typeof inner === 'object' && inner !== null && !isCondition(inner as Record<string, unknown>))
            walk(inner as Record<string, unknown>, path);
      };
      walk(
        JSON.parse(readFileSync(join(root, 'src/data/schemas', name), 'utf8')) as Record<string, unknown>,
        name,
      );
    }
  });
});
