import { expect } from 'chai';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expectOneLine, expectValid, partition, root, scratchFolder, start } from '../cli/support.js';
import { jobLog } from '../support/jobLog.js';

describe('partition monitor', function () {
  this.timeout(60_000);
  const folder = scratchFolder('monitor');
  const lines = (seed: number, host = 3): string[] =>
    [...jobLog({ hosts: 8, steps: 300, seed, slow: { host, factor: 1.06, step: 200 } })].map((r) =>
      JSON.stringify(r),
    );

  before(() => {
    copyFileSync(join(root, 'partitions/bert-large.64.json'), join(folder(), 'plan.json'));
    writeFileSync(join(folder(), 'train.jsonl'), `${lines(1).join('\n')}\n`);
  });

  it('prints what it saw as published, and its findings a line each; a second look finds nothing new', async () => {
    const args = ['monitor', 'plan.json', '--source', 'train.jsonl', '--once', '--json'];
    const first = await partition(args, folder());
    expect(first.code, first.stderr).to.equal(0);
    const summary = JSON.parse(first.stdout) as Record<string, unknown>;
    expectValid('monitor', summary);
    expect(summary).to.include({ accepted: 2400, turnedAway: 0, resumed: false });
    const text = readFileSync(join(folder(), 'monitor/findings.jsonl'), 'utf8');
    const findings = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    findings.forEach((finding) => expectValid('monitor-finding', finding));
    expect(findings.some((f) => f['host'] === 'host3' && f['what'] === 'compute')).to.equal(true);
    const second = JSON.parse((await partition(args, folder())).stdout) as Record<string, unknown>;
    expect(second).to.include({ accepted: 2400, resumed: true, findingCount: summary['findingCount'] });
    expect(readFileSync(join(folder(), 'monitor/findings.jsonl'), 'utf8')).to.equal(text);
  });

  it('bad lines are counted and quoted, and the records beside them count', async () => {
    const good = lines(2).slice(0, 80);
    expectValid('monitor-record', JSON.parse(good[0]));
    const bad = ['{"step": 3, "host": "host9", "stepTimeSec": 1}', '{"step": 3, "stepTimeSec": -4}', '{"st'];
    writeFileSync(join(folder(), 'bad.jsonl'), `${[...bad, ...good].join('\n')}\n`);
    const args = ['monitor', 'plan.json', '--source', 'bad.jsonl', '--once', '--no-keep-state', '--json'];
    const { code, stdout, stderr } = await partition(args, folder());
    expect(code, stderr).to.equal(0);
    const summary = JSON.parse(stdout) as { faults: unknown; unknownHosts: unknown; accepted: number };
    expect(summary.accepted).to.equal(80);
    expect(summary.unknownHosts).to.deep.equal(['host9']);
    expect(summary.faults).to.have.deep.members([
      { fault: 'unknown host', count: 1 },
      { fault: 'negative', count: 1 },
      { fault: 'not JSON', count: 1 },
    ]);
  });

  it('a log of another plan is refused; so are sources that are none', async () => {
    writeFileSync(join(folder(), 'other.jsonl'), `{"header":{"planDigest":"${'0'.repeat(64)}"}}\n`);
    const watch = (...args: string[]) =>
      partition(['monitor', 'plan.json', '--no-keep-state', ...args], folder());
    expectOneLine(
      await watch('--source', 'other.jsonl', '--once'),
      3,
      /other\.jsonl:1: header: expected plan/,
    );
    expectOneLine(await watch('--source', 'none.jsonl', '--once'), 3, /none\.jsonl: no such file/);
    expectOneLine(await watch(), 2, /expected --source/);
    expectOneLine(await watch('--source', 'a', '--listen', 'x'), 2, /--listen: expected a port/);
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const port = String((taken.address() as AddressInfo).port);
    expectOneLine(await watch('--source', 'a', '--listen', port), 2, /cannot listen/);
    taken.close();
  });

  it('serves metrics on loopback while it follows, and ends on Ctrl-C with its state saved', async () => {
    const args = ['monitor', 'plan.json', '--source', 'train.jsonl', '--state', 'live', '--listen', '0'];
    const { child, ended } = start(args, folder());
    let said = '';
    child.stderr!.on('data', (text: string) => (said += text));
    const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (;;) {
        const match = pattern.exec(said);
        if (match !== null) return match;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const [, url] = await until(/metrics on (http:\/\/127\.0\.0\.1:\d+\/metrics)/);
    await until(/host3 computes more slowly/);
    let body = '';
    for (let i = 0; i < 40 && !body.includes('records_total 2400'); i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      body = await (await fetch(url)).text();
    }
    expect(body).to.match(/^partition_records_total 2400$/m);
    expect(body).to.match(/^partition_host_speed_ratio\{host="host3"\} 0\.9/m);
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    expect(code).to.equal(130);
    expect(stdout).to.match(/records: 2400 taken/);
    expect(readFileSync(join(folder(), 'live/state.json'), 'utf8')).to.include('"accepted":2400');
  });
});
