import { expect } from 'chai';
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readExposition } from '../../src/validation/monitor/exposition.js';
import { HostNames } from '../../src/validation/monitor/layout.js';
import { LineReader } from '../../src/validation/monitor/lines.js';
import type { Line } from '../../src/validation/monitor/lines.js';
import { faultOf } from '../../src/validation/monitor/record.js';
import type { MonitorRecord } from '../../src/validation/monitor/record.js';
import { FileTail } from '../../src/validation/monitor/tail.js';
import { jobLayoutOf } from '../support/jobLog.js';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'monitor-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function drain(tail: FileTail): string[] {
  const lines: string[] = [];
  for (let line = tail.peek(); line !== null; line = tail.peek()) {
    lines.push(line);
    tail.take();
  }
  return lines;
}

describe('a log that is followed', () => {
  it('gives whole lines only, and those that are appended later', () => {
    const path = join(folder, 'log');
    const tail = new FileTail(path);
    expect(drain(tail)).to.deep.equal([]);
    writeFileSync(path, 'one\ntw');
    expect(drain(tail)).to.deep.equal(['one']);
    appendFileSync(path, 'o\r\nthree\n');
    expect(drain(tail)).to.deep.equal(['two', 'three']);
  });

  it('is followed through rotation by renaming, with what was written in between', () => {
    const path = join(folder, 'log');
    writeFileSync(path, '1\n2\n');
    const tail = new FileTail(path);
    expect(drain(tail)).to.deep.equal(['1', '2']);
    appendFileSync(path, '3\n');
    renameSync(path, `${path}.1`);
    writeFileSync(path, '4\n');
    expect(drain(tail)).to.deep.equal(['3', '4']);
  });

  it('is followed through copying and truncating', () => {
    const path = join(folder, 'log');
    writeFileSync(path, 'first\nsecond\n');
    const tail = new FileTail(path);
    drain(tail);
    appendFileSync(path, 'third\n');
    copyFileSync(path, `${path}.1`);
    truncateSync(path, 0);
    appendFileSync(path, 'fourth\n');
    expect(drain(tail)).to.deep.equal(['third', 'fourth']);
    expect(tail.gaps).to.equal(0);
  });

  it('goes on where an earlier follower stopped, even if the file was renamed meanwhile', () => {
    const path = join(folder, 'log');
    writeFileSync(path, 'a\nb\nc\n');
    const first = new FileTail(path);
    first.peek();
    first.take();
    const position = first.position();
    first.close();
    renameSync(path, `${path}.1`);
    writeFileSync(path, 'd\n');
    expect(drain(new FileTail(path, position))).to.deep.equal(['b', 'c', 'd']);
    rmSync(`${path}.1`);
    const without = new FileTail(path, position);
    expect(drain(without)).to.deep.equal(['d']);
    expect(without.gaps).to.equal(1);
  });

  it('passes over a line that is longer than any record', () => {
    const path = join(folder, 'log');
    writeFileSync(path, `before\n${'x'.repeat(400_000)}\nafter\n`);
    const tail = new FileTail(path);
    expect(drain(tail)).to.deep.equal(['before', 'after']);
    expect(tail.overlong).to.equal(1);
  });
});

describe('lines of a log', () => {
  const layout = jobLayoutOf(4);
  const readLine = (text: string): Line => new LineReader('auto', layout).read(text, 'log', () => undefined);

  it('what is no record is told from what is not meant for us', () => {
    expect(readLine('{"step": 1, "stepT')).to.deep.equal({ kind: 'malformed', fault: 'not JSON' });
    expect(readLine('NCCL INFO Channel 00').kind).to.equal('other');
  });

  for (const [record, fault] of [
    [{ step: 1, stepTimeSec: -1 }, 'negative'],
    [{ step: 1, stepTimeSec: '5' }, 'not a number'],
    [{ step: 1.5, stepTimeSec: 1 }, 'step'],
    [{ step: 1, rank: 32, stepTimeSec: 1 }, 'rank'],
    [{ step: 1, host: 'host4', stepTimeSec: 1 }, 'unknown host'],
    [{ step: 1, utilisation: 40 }, 'out of range'],
    [{ step: 1 }, 'nothing measured'],
    [{ step: 1, levels: { nic: null } }, 'not a number'],
  ] as const)
    it(`a record ${JSON.stringify(record)} is turned away: ${fault}`, () => {
      const checked = { rank: -1, host: -1 };
      expect(faultOf(record as MonitorRecord, layout, new HostNames(4), checked)).to.equal(fault);
    });
});

describe('a Prometheus endpoint', () => {
  it('gives power, utilisation and memory of every host by the DCGM names; lies are left out', () => {
    const text = [
      '# TYPE DCGM_FI_DEV_POWER_USAGE gauge',
      'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a",Hostname="n1"} 600.5',
      'DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-b",Hostname="n1"} 500',
      'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-c",Hostname="n2"} NaN',
      '# TYPE DCGM_FI_DEV_GPU_UTIL gauge',
      'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",Hostname="n1"} 100',
      '# TYPE DCGM_FI_PROF_PIPE_TENSOR_ACTIVE gauge',
      'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{gpu="0",UUID="GPU-a",Hostname="n1"} 0.4',
      'DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a",Hostname="n1"} -5',
      'DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-b",Hostname="n1"} 1024',
      'something_else 3',
    ].join('\n');
    const { samples, rejected, fault } = readExposition(text, 'x');
    expect(samples).to.deep.equal([
      { host: 'n1', powerWatt: 1100.5, utilisation: 0.4, memoryBytes: 2 ** 30 },
    ]);
    expect(rejected).to.deep.equal([
      { fault: 'not a number', text: 'DCGM_FI_DEV_POWER_USAGE of GPU-c: NaN' },
      { fault: 'negative', text: 'DCGM_FI_DEV_FB_USED of GPU-a: -5' },
    ]);
    expect(fault).to.equal(null);
    for (const junk of [
      '<html>no</html>',
      '{"error": "none"}',
      '\u0000\u0001',
      'DCGM_FI_DEV_POWER_USAGE{gpu="0" 5',
    ])
      expect(readExposition(junk, 'x').fault).to.match(/^is no Prometheus exposition$|^names no device/);
  });

  for (const [value, fault] of [
    ['+Inf', 'not a number'],
    ['1e308', 'out of range'],
    ['-0.5', 'negative'],
    ['seven', 'not a number'],
  ] as const)
    it(`a counter of ${value} is left out (${fault}), and the others count`, () => {
      const counter = 'DCGM_FI_DEV_POWER_USAGE';
      const text = `${counter}{gpu="0",Hostname="n1"} ${value}\n${counter}{gpu="1",Hostname="n1"} 7\n`;
      const { samples, rejected } = readExposition(text, 'x');
      expect(samples).to.deep.equal([{ host: 'n1', powerWatt: 7 }]);
      expect(rejected).to.deep.equal([{ fault, text: `${counter} of 0: ${value}` }]);
    });
});
