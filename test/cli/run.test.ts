/** A run from outside: what it writes and where, the same bytes twice, nothing that fits, and being interrupted. */
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expectOneLine, gpt2, graphs, partition, root, scratchFolder, start } from './support.js';

const plan = (...more: string[]): string[] => [gpt2, '--devices', '8', '--seq', '1024', ...more];

describe('a planning run', function () {
  this.timeout(60_000);
  const folder = scratchFolder('run');

  it('writes the plan beside what the run was, and prints a table that says where', async () => {
    const { code, stdout, stderr } = await partition(plan('--budget', '200ev'), folder());
    expect(code, stderr).to.equal(0);
    expect(readdirSync(join(folder(), 'gpt2-small.partition')).sort()).to.deep.equal([
      'plan.json',
      'run.json',
    ]);
    for (const word of [
      'mesh',
      'step time',
      'lower bound',
      'MFU',
      'memory of a device',
      'gpt2-small.partition/plan.json',
    ])
      expect(stdout).to.include(word);
    expect(stdout).to.not.match(/undefined|NaN|\[object/);
  });

  it('with the same seed and evaluations gives the same bytes', async () => {
    const bytes: Buffer[] = [];
    for (const out of ['first', 'second']) {
      const args = plan('--budget', '300ev', '--seed', '3', '--out', out, '--json');
      const { code, stdout, stderr } = await partition(args, folder());
      expect(code, stderr).to.equal(0);
      expect((JSON.parse(stdout) as { evaluations: number }).evaluations).to.be.at.most(300);
      bytes.push(readFileSync(join(folder(), out, 'plan.json')));
    }
    expect(bytes[0].equals(bytes[1])).to.equal(true);
  });

  it('keeps wall time, absolute paths, dates and the host out of the plan', () => {
    const text = readFileSync(join(folder(), 'first/plan.json'), 'utf8');
    expect(text).to.not.include(folder()).and.to.not.include(root);
    expect(text).to.not.match(/wallSec|[0-9]{4}-[0-9]{2}-[0-9]{2}T/);
    expect(text).to.not.include(`"${hostname()}"`);
    const run = JSON.parse(readFileSync(join(folder(), 'first/run.json'), 'utf8')) as Record<string, unknown>;
    expect(run).to.include.all.keys('wallSec', 'date', 'host', 'request');
  });

  it('takes bindings one by one and in a list, and the last of equal flags', async () => {
    const summaries: { sequenceLength: number; devices: number }[] = [];
    for (const bind of [
      ['--bind', 'batch=2', '--bind', 'seq=128'],
      ['--bind', 'batch=2,seq=128'],
    ]) {
      const args = [...bind, gpt2, '--devices', '4', '--devices', '2', '--method', 'greedy', '--json'];
      const { code, stdout, stderr } = await partition(args, folder());
      expect(code, stderr).to.equal(0);
      summaries.push(JSON.parse(stdout) as { sequenceLength: number; devices: number });
    }
    for (const { sequenceLength, devices } of summaries)
      expect([sequenceLength, devices]).to.deep.equal([128, 2]);
  });

  it('may be read by a program that stops listening', () => {
    const script = `"${process.execPath}" bin/partition inspect "${gpt2}" --tensors --json | head -c 1; exit "\${PIPESTATUS[0]}"`;
    const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { cwd: root, encoding: 'utf8' });
    expect(stderr).to.equal('');
    expect(stdout).to.equal('{');
    expect(status).to.equal(0);
  });

  it('says so when its words find no room', function () {
    if (!existsSync('/dev/full')) this.skip();
    const script = `"${process.execPath}" bin/partition clusters > /dev/full`;
    const { status, stderr } = spawnSync('bash', ['-c', script], { cwd: root, encoding: 'utf8' });
    expect(stderr).to.match(/^partition: standard output: cannot write \(ENOSPC\).*\n$/);
    expect(status).to.equal(2);
  });
});

describe('when nothing fits', function () {
  this.timeout(90_000);
  const folder = scratchFolder('nofit');

  it('a count that the batch cannot be split over names the largest that works', async () => {
    const args = [gpt2, '--devices', '1000003', '--seq', '1024'];
    expectOneLine(
      await partition(args, folder()),
      1,
      /cannot be split over 1000003 devices at a global batch of \d+ \(the largest count that works is \d+/,
    );
  });

  it('a prime number of devices is planned when stages make it work', async () => {
    const args = [gpt2, '--devices', '7', '--seq', '1024', '--batch', '512', '--method', 'greedy', '--json'];
    const { code, stdout, stderr } = await partition(args, folder());
    expect(code, stderr).to.equal(0);
    const { pp, dp } = (JSON.parse(stdout) as { degrees: { pp: number; dp: number } }).degrees;
    expect(pp * dp).to.equal(7);
  });

  it('a model that is too large says by how much, on which stage, and what would do', async () => {
    expect((await partition(['zoo', 'llama-3-405b', '--out', 'large.onnx'], folder())).code).to.equal(0);
    const started = performance.now();
    const ended = await partition(['large.onnx', '--devices', '8', '--seq', '8192', '--quiet'], folder());
    expectOneLine(
      ended,
      1,
      /no plan fits 8 devices of 80\.0 GiB: the nearest needs [\d.]+ [GT]iB, [\d.]+ [GT]iB too much on stage \d+ \(\d+ devices would fit\)/,
    );
    expect(performance.now() - started).to.be.below(60_000);
    const enough = /\((\d+) devices would fit\)/.exec(ended.stderr)![1];
    const fits = await partition(
      ['large.onnx', '--devices', enough, '--seq', '8192', '--method', 'greedy', '--quiet', '--json'],
      folder(),
    );
    expect(fits.code, fits.stderr).to.equal(0);
  });
});

describe('an interrupted run', function () {
  this.timeout(60_000);
  const folder = scratchFolder('interrupt');
  const long = [
    gpt2,
    '--devices',
    '512',
    '--seq',
    '1024',
    '--method',
    'random',
    '--budget',
    '100s',
    '--out',
    'out',
  ];

  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`says its best so far and leaves nothing behind (${signal})`, async () => {
      const { child, ended } = start([...long, '--record', 'search.jsonl'], folder());
      // A progress line that tells a best means that there is a plan.
      let told = '';
      while (!told.includes(', best ')) told += String((await once(child.stderr!, 'data'))[0]);
      child.kill(signal);
      const { code, stdout, stderr } = await ended;
      expect(code).to.equal(exitCode);
      expect(stdout).to.equal('');
      expect(stderr.trimEnd().split('\n').at(-1)).to.match(
        /^partition: interrupted; best so far .*, step [\d.]+ m?s; nothing was written$/,
      );
      expect(readdirSync(folder())).to.deep.equal([]);
    });
  }

  it('says that there is no plan yet when it is stopped while reading', async () => {
    const { child, ended } = start(long, folder());
    await new Promise((resolve) => setTimeout(resolve, 250));
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    // Before the program has put up its handler the system itself ends it.
    if (code !== null) {
      expect(code).to.equal(130);
      expect(stderr).to.match(/^partition: interrupted/);
    }
    expect(readdirSync(folder())).to.deep.equal([]);
  });
});

describe('what is written by the other commands', function () {
  this.timeout(30_000);
  const folder = scratchFolder('others');

  it('an architecture is one file that can be looked into', async () => {
    const made = await partition(
      ['zoo', 'bert-large', '--layers', '3', '--out', 'deep/down/bert.onnx'],
      folder(),
    );
    expect(made.stdout).to.match(/^deep\/down\/bert\.onnx: .* parameters \(\d+\), \d+ nodes\n$/);
    expect(readdirSync(join(folder(), 'deep/down'))).to.deep.equal(['bert.onnx']);
    const seen = await partition(['inspect', 'deep/down/bert.onnx', '--seq', '128'], folder());
    expect(seen.stdout).to.match(/layers +3 /);
  });

  it('a plan read on another cluster is priced there', async () => {
    const tiny = join(graphs, 'gpt2-tiny.ts.onnx');
    await partition([tiny, '--devices', '2', '--seq', '32', '--method', 'greedy', '--out', 'p'], folder());
    const here = await partition(['simulate', tiny, 'p/plan.json', '--json'], folder());
    const there = await partition(
      ['simulate', tiny, 'p/plan.json', '--cluster', 'v100-32gb', '--json'],
      folder(),
    );
    const time = (text: string): number => (JSON.parse(text) as { stepTimeSec: number }).stepTimeSec;
    expect(time(there.stdout)).to.be.above(time(here.stdout));
    const other = join(graphs, 'bert-tiny.ts.onnx');
    const wrong = await partition(['simulate', other, 'p/plan.json'], folder());
    expectOneLine(wrong, 3, /the plan is for gpt2-tiny\.ts\.onnx/);
  });
});
