import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../../src/validation/monitor/finding.js';
import type { JobLayout } from '../../src/validation/monitor/layout.js';
import { LineReader } from '../../src/validation/monitor/lines.js';
import type { Line } from '../../src/validation/monitor/lines.js';
import { withoutPrefix } from '../../src/validation/monitor/logPrefix.js';
import type { MonitorRecord } from '../../src/validation/monitor/record.js';
import { MonitorSession } from '../../src/validation/monitor/session.js';
import { jobLayoutOf } from '../support/jobLog.js';

function linesOf(name: string): string[] {
  const path = fileURLToPath(new URL(`../fixtures/monitor/${name}`, import.meta.url));
  return readFileSync(path, 'utf8').trimEnd().split('\n');
}

/** Records of a whole log, and how its other lines were taken. */
function read(
  lines: readonly string[],
  layout: JobLayout,
): { records: MonitorRecord[]; kinds: Line['kind'][] } {
  const reader = new LineReader('auto', layout);
  const records: MonitorRecord[] = [];
  const kinds = lines.map((text) => {
    const line = reader.read(text, 'log', (record) => records.push(record));
    if (line.kind === 'record') records.push(line.record);
    return line.kind;
  });
  reader.finish((record) => records.push(record));
  return { records, kinds };
}

const ITERATION =
  ' [2026-08-01 12:00:05.123456] iteration      100/   50000 | consumed samples:        25600 | elapsed time per iteration (ms): 5210.4 | throughput per GPU (TFLOP/s/GPU): 412.7 | energy per GPU (J/iter/GPU): 3386.8 | power per GPU (W/GPU): 650.0 | learning rate: 3.000000E-04 | global batch size:   256 | lm loss: 7.1E+00 |';
const TITAN =
  '[titan] 2026-08-01 12:00:05,120 - root - INFO - \u001b[31mstep: 10  \u001b[32mloss:  7.1234  \u001b[38;2;180;60;0mgrad_norm:  1.2000  \u001b[36mmemory: 47.50GiB(59.38%)  \u001b[34mtps: 7,012  \u001b[36mtflops: 406.11  \u001b[35mmfu: 41.06%\u001b[39m';

describe('Megatron-LM’s log', () => {
  const layout = jobLayoutOf(4);

  it('has iterations with a step, a time, a step time and the power of all devices', () => {
    const [record] = read([ITERATION], layout).records;
    expect(record).to.include({ step: 100, powerWatt: 650 * 32 });
    expect(record.stepTimeSec).to.be.closeTo(5.2104, 1e-9);
    expect(record.timeSec! % 60).to.be.closeTo(5.123, 1e-3);
  });

  it('has timers by least and greatest, of which collectives count, through lines of others', () => {
    const { records, kinds } = read(linesOf('megatron-minmax.log'), layout);
    expect(kinds).to.not.include('malformed');
    const steps = records.filter((r) => r.stepTimeSec !== undefined);
    expect(steps.map((r) => r.step)).to.deep.equal(Array.from({ length: 40 }, (_, i) => i + 1));
    const links = records.filter((r) => r.communicationSec !== undefined);
    expect(links.map((r) => r.step)).to.deep.equal(steps.map((r) => r.step));
    // Of step 1: 0.02 + 0.05 + 239.95 + 110.40 ms, as printed.
    expect(links[0]).to.include({ step: 1, rank: 0 });
    expect(links[0].communicationSec).to.be.closeTo(0.35042, 1e-9);
    expect(records.some((r) => r.computeSec !== undefined)).to.equal(false);
  });

  it('has timers of every rank, behind a launcher’s labels, and the slow one is seen', () => {
    const two = jobLayoutOf(2);
    const { records, kinds } = read(linesOf('megatron-all.log'), two);
    expect(kinds).to.not.include('malformed');
    const ofRanks = records.filter((r) => r.rank !== undefined);
    expect(ofRanks).to.have.length(12 * 16);
    expect(ofRanks.filter((r) => r.step === 5).map((r) => r.rank)).to.deep.equal([...Array(16).keys()]);
    const mean = (rank: number): number =>
      ofRanks.filter((r) => r.rank === rank).reduce((sum, r) => sum + r.computeSec! / 12, 0);
    expect(mean(11) / mean(10)).to.be.closeTo(1.2, 0.02);
    const session = new MonitorSession(two, 'auto', null, () => undefined);
    linesOf('megatron-all.log').forEach((line, i) => session.line(line, 'log', i + 1));
    session.finish();
    expect(session.watch.counts).to.include({ accepted: 12 * 17, late: 0, twice: 0 });
    expect(session.watch.times.count).to.equal(12);
  });

  it('of any number of steps is read on from a state in the middle of a block', () => {
    const lines = linesOf('megatron-all.log');
    const two = jobLayoutOf(2);
    const whole = new MonitorSession(two, 'auto', null, () => undefined);
    lines.forEach((line, i) => whole.line(line, 'log', i + 1));
    whole.finish();
    for (const at of [5, 40, 71, 200]) {
      const first = new MonitorSession(two, 'auto', null, () => undefined);
      lines.slice(0, at).forEach((line, i) => first.line(line, 'log', i + 1));
      const saved = JSON.stringify(first.body());
      const second = new MonitorSession(two, 'auto', null, () => undefined);
      second.restoreBody(JSON.parse(saved));
      lines.slice(at).forEach((line, i) => second.line(line, 'log', at + i + 1));
      second.finish();
      expect(second.watch.counts, `cut at ${at}`).to.deep.equal(whole.watch.counts);
    }
  });

  it('an iteration that is cut within its number is half a line', () => {
    const reader = new LineReader('auto', layout);
    expect(reader.isWhole(ITERATION)).to.equal(true);
    expect(reader.isWhole(ITERATION.slice(0, ITERATION.indexOf('5210.4') + 3))).to.equal(false);
    expect(reader.isWhole(TITAN)).to.equal(true);
    expect(reader.isWhole(TITAN.slice(0, TITAN.indexOf('7,012') + 3))).to.equal(false);
  });
});

describe('torchtitan’s log', () => {
  it('has steps whose time follows from the tokens of the plan', () => {
    const layout = jobLayoutOf(4);
    const [record] = read([`[rank0]:${TITAN}`], layout).records;
    expect(record).to.include({ step: 10, memoryBytes: 47.5 * 2 ** 30 });
    expect(record.stepTimeSec).to.be.closeTo(2 ** 20 / (7012 * 32), 1e-6);
    expect(read(['validate step: 10 loss: 1 tps: 1,000'], layout).kinds).to.deep.equal(['other']);
  });

  it('a rank’s prefix is the rank on a single host only; on several it is local to each', () => {
    expect(read([`[rank3]:${TITAN}`], jobLayoutOf(1)).records[0].rank).to.equal(3);
    expect(read([`[rank3]:${TITAN}`], jobLayoutOf(4)).records[0].rank).to.equal(undefined);
    for (const prefix of ['13: ', '[1,13]<stdout>:', '2026-08-01T12:00:05.000000001Z 13: [default5]:'])
      expect(read([`${prefix}${TITAN}`], jobLayoutOf(4)).records[0].rank, prefix).to.equal(13);
  });

  it('of eight ranks that talk at once has a record of each, finer than the whole tokens that it prints', () => {
    const layout = jobLayoutOf(1);
    const { records, kinds } = read(linesOf('torchtitan.log'), layout);
    expect(kinds).to.not.include('malformed');
    expect(records).to.have.length(30 * 8);
    const ofFirst = records.filter((r) => r.rank === 0).map((r) => r.stepTimeSec!);
    expect(new Set(ofFirst.slice(5).map((t) => t.toFixed(3))).size).to.be.above(15);
    const mean = ofFirst.reduce((a, b) => a + b, 0) / ofFirst.length;
    expect(mean / (2 ** 20 / (52 * 8))).to.be.closeTo(1, 0.01);
    const findings: Finding[] = [];
    const session = new MonitorSession(layout, 'auto', null, (f) => findings.push(f));
    linesOf('torchtitan.log').forEach((line, i) => session.line(line, 'log', i + 1));
    session.finish();
    expect(session.watch.counts).to.include({ accepted: 240, late: 0, twice: 0 });
    expect(findings.filter((f) => f.kind === 'drift')).to.deep.equal([]);
  });
});

describe('what launchers put before a line', () => {
  it('is taken off, with what it says', () => {
    expect(withoutPrefix('[default2]: text', 1)).to.include({
      text: 'text',
      rank: 2,
      speaker: '[default2]:',
    });
    expect(withoutPrefix('[default2]: text', 2)).to.include({ text: 'text', rank: null });
    expect(withoutPrefix('7: [rank1]:text', 2)).to.include({ text: 'text', rank: 7 });
    expect(withoutPrefix('\u001b[31mtext\u001b[0m', 2)).to.include({ text: 'text', speaker: '' });
    const stamped = withoutPrefix('2026-08-01T12:00:05.5Z text', 2);
    expect(stamped).to.include({ text: 'text', timeSec: Date.UTC(2026, 7, 1, 12, 0, 5, 500) / 1000 });
    expect(withoutPrefix('nothing before', 2)).to.include({
      text: 'nothing before',
      rank: null,
      timeSec: null,
    });
  });

  it('may stand before our own records too', () => {
    const { records } = read(['[rank0]:{"step":1,"stepTimeSec":2}'], jobLayoutOf(1));
    expect(records).to.deep.equal([{ step: 1, stepTimeSec: 2 }]);
  });
});
