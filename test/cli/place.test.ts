import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectOneLine, expectValid, partition, scratchFolder, start } from './support.js';

const workload = {
  devices: [
    { name: 'gpu', count: 2, memoryBytes: 100 },
    { name: 'cpu', count: 1, paysTransfers: false },
  ],
  ops: ['a', 'b', 'c', 'd'].map((name) => ({ name, time: { gpu: 2, cpu: 20 }, sizeBytes: 40 })),
  edges: [
    { from: 'a', to: 'b', transferTime: 0.5 },
    { from: 'b', to: 'c', transferTime: 0.5 },
    { from: 'c', to: 'd', transferTime: 0.5 },
  ],
};

describe('partition place', function () {
  this.timeout(30_000);
  const folder = scratchFolder('place');
  const write = (name: string, content: unknown): void => {
    writeFileSync(join(folder(), name), JSON.stringify(content));
  };

  it('prints what is published, for its own format', async () => {
    write('w.json', workload);
    expectValid('workload', workload);
    for (const objective of ['throughput', 'latency']) {
      const args = ['place', 'w.json', '--objective', objective, '--timeout', '1s', '--json'];
      const { code, stdout, stderr } = await partition(args, folder());
      expect(code, stderr).to.equal(0);
      const result = JSON.parse(stdout) as Record<string, unknown>;
      expectValid('place', result);
      expect(result['feasible']).to.equal(true);
      expect(result['value']).to.equal(objective === 'throughput' ? 4.5 : 9);
    }
    const table = await partition(['place', 'w.json', '--timeout', '1s', '--quiet'], folder());
    expect(table.stdout).to.match(/gpu:0 .*\n[^]*throughput: 4\.5/);
  });

  it('exits 1 when nothing fits, with the same object', async () => {
    write('tight.json', {
      ...workload,
      devices: [{ name: 'gpu', count: 2, memoryBytes: 50 }],
      ops: workload.ops.map((op) => ({ ...op, time: { gpu: 1 } })),
    });
    const { code, stdout, stderr } = await partition(
      ['place', 'tight.json', '--timeout', '1s', '--json'],
      folder(),
    );
    expect(code).to.equal(1);
    expectValid('place', JSON.parse(stdout));
    expect(JSON.parse(stdout)).to.include({ feasible: false, value: null });
    expect(stderr).to.match(/^partition: tight\.json: nothing/);
  });

  it('prints its best so far on Ctrl-C', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `op${i}`);
    write('long.json', {
      devices: [{ name: 'gpu', count: 7, memoryBytes: 1e9 }],
      ops: names.map((name, i) => ({ name, time: { gpu: 1 + ((i * 37) % 11) / 7 }, sizeBytes: 1 })),
      edges: names.slice(3).map((to, i) => ({ from: names[(i * 5) % (i + 3)], to, transferTime: 0.3 })),
    });
    const { child, ended } = start(
      ['place', 'long.json', '--timeout', '1000s', '--json', '--quiet'],
      folder(),
    );
    setTimeout(() => child.kill('SIGINT'), 2500);
    const { code, stdout, stderr } = await ended;
    expect(code, stderr).to.equal(130);
    const result = JSON.parse(stdout) as { feasible: boolean; wallSec: number };
    expectValid('place', result);
    expect(result.feasible).to.equal(true);
    expect(result.wallSec).to.be.lessThan(20);
  });

  it('refuses bad workloads and flags in one line', async () => {
    write('cycle.json', { ...workload, edges: [...workload.edges, { from: 'd', to: 'a', transferTime: 0 }] });
    expectOneLine(
      await partition(['place', 'cycle.json'], folder()),
      3,
      /cycle\.json, op .: a cycle through/,
    );
    writeFileSync(join(folder(), 'broken.json'), '{');
    expectOneLine(await partition(['place', 'broken.json'], folder()), 3, /broken\.json: not JSON/);
    expectOneLine(await partition(['place', 'none.json'], folder()), 3, /none\.json/);
    expectOneLine(await partition(['place', 'cycle.json', '--timeout', '5ev'], folder()), 2, /--timeout/);
    expectOneLine(await partition(['place', 'cycle.json', '--memory', 'much'], folder()), 2, /--memory/);
    expectOneLine(await partition(['place', 'cycle.json', '--objective', 'joy'], folder()), 2, /--objective/);
    expectOneLine(await partition(['place'], folder()), 2, /expected a workload/);
  });
});
