import { expect } from 'chai';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { monitorJob } from '../../src/api/monitor.js';
import type { MonitorSummary } from '../../src/api/monitor.js';
import { MonitorScreen } from '../../src/cli/monitorScreen.js';
import { monitorView } from '../../src/report/monitorView.js';
import { jobLog } from '../support/jobLog.js';

const plan = fileURLToPath(new URL('../../partitions/bert-large.64.json', import.meta.url));

class FakeTerminal extends EventEmitter {
  text = '';
  constructor(
    public isTTY: boolean,
    public columns: number,
    public rows: number,
  ) {
    super();
  }
  write(text: string): boolean {
    this.text += text;
    return true;
  }
  /** The last frame as rows of characters. */
  frame(): string[] {
    return this.text.split('\u001b[H').at(-1)!.replace(CONTROL, '').split('\r\n');
  }
}

// eslint-disable-next-line no-control-regex
const CONTROL = /\u001b\[[0-9;?]*[A-Za-z]/g;

describe('the live view of a job', function () {
  this.timeout(20_000);
  let summary: MonitorSummary;
  const options = { json: false, findings: false, quiet: false };
  const env = { LANG: 'en_US.UTF-8', TERM: 'xterm' };

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'screen-'));
    const log = join(folder, 'train.jsonl');
    const lines = [...jobLog({ hosts: 8, steps: 320, seed: 5, slow: { host: 3, factor: 1.3, step: 200 } })];
    const power = { powerWatt: 5100, utilisation: 0.41 };
    writeFileSync(log, lines.map((r) => `${JSON.stringify({ ...r, ...power })}\n`).join(''));
    summary = await monitorJob(
      {
        ...{ planPath: plan, sources: [log], format: 'auto', state: null, once: true },
        ...{ intervalSec: 1, timeoutSec: 1, watch: { falseAlarmSteps: 25_000, leastChange: 0.01 } },
      },
      { now: () => 0, sleep: () => new Promise((resolve) => setImmediate(resolve)), stopped: () => false },
    );
    rmSync(folder, { recursive: true, force: true });
  });

  it('shows step time, throughput, power and energy against the plan, a bar a host, and findings', () => {
    const lines = monitorView(summary, { width: 100, colour: false, unicode: false }, 40);
    const text = lines.join('\n');
    expect(lines[0]).to.match(/^step 319 {3}320 seen {3}\d\.\d\dx the plan's step time$/);
    expect(text).to.match(/^step time +=*\|?=*\.* +5\.\d+ s {3}plan 977 ms$/m);
    expect(text).to.match(/^tokens\/s +=+\.*\|\.+ +[\d.]+ k {3}plan [\d.]+ \w$/m);
    expect(text).to.match(/^energy +[\d.]+ kJ a step$/m);
    // The slowest host comes first, with a shorter bar.
    const hosts = lines.filter((line) => /^host\d /.test(line));
    expect(hosts).to.have.length(8);
    expect(hosts[0]).to.match(/^host3 +=+\.+ +7\d\.\d% {2}41\.0% used {2}5\.10 kW$/);
    expect(text).to.match(/findings: \d+\n( {2}step \d+ .*\n)*.*host3 computes more slowly by/);
  });

  it('fits every terminal, in columns and in rows', () => {
    for (const [width, rows] of [
      [60, 10],
      [80, 24],
      [200, 60],
    ] as const)
      for (const colour of [false, true]) {
        const lines = monitorView(summary, { width, colour, unicode: true }, rows);
        expect(lines.length, `${width}x${rows}`).to.be.below(rows);
        for (const line of lines) expect(line.replace(CONTROL, '').length).to.be.at.most(width);
        if (colour) for (const line of lines) expect(line.split('\u001b[').length % 2, line).to.equal(1);
      }
  });

  it('is redrawn in place on a page of its own, follows the terminal’s size, and leaves the summary behind', () => {
    const terminal = new FakeTerminal(true, 100, 30);
    const screen = new MonitorScreen(options, terminal, env);
    screen.status(() => summary);
    expect(terminal.text.startsWith('\u001b[?1049h\u001b[?25l')).to.equal(true);
    expect(terminal.frame()[0]).to.match(/^step 319/);
    screen.status(() => ({ ...summary, observed: { ...summary.observed, lastStep: 320 } }));
    expect(terminal.frame()[0]).to.match(/^step 320/);
    expect(terminal.text.split('\u001b[?1049h')).to.have.length(2);
    terminal.columns = 60;
    terminal.rows = 12;
    terminal.emit('resize');
    expect(terminal.frame().length).to.be.below(12);
    terminal.frame().forEach((line) => expect(line.length).to.be.at.most(60));
    screen.done(summary);
    const after = terminal.text.split('\u001b[?25h\u001b[?1049l')[1];
    expect(after).to.match(/records: 2560 taken/);
    expect(terminal.listenerCount('resize')).to.equal(0);
    screen.close();
    expect(terminal.text.split('\u001b[?1049l')).to.have.length(2);
  });

  it('is no picture where there is no terminal, or where lines are asked for', () => {
    for (const [terminal, more] of [
      [new FakeTerminal(false, 80, 24), {}],
      [new FakeTerminal(true, 80, 24), { json: true }],
      [new FakeTerminal(true, 80, 24), { findings: true }],
      [new FakeTerminal(true, 80, 24), { quiet: true }],
    ] as const) {
      const screen = new MonitorScreen({ ...options, ...more }, terminal, env);
      screen.status(() => summary);
      screen.close();
      expect(terminal.text).to.equal('');
    }
    expect(new MonitorScreen(options, new FakeTerminal(true, 80, 24), { TERM: 'dumb' }).isLive).to.equal(
      false,
    );
  });

  it('before the first step says that it waits', () => {
    const observed = { ...summary.observed, steps: 0, stepTime: null, hosts: [], levels: [], findings: [] };
    const empty = {
      ...summary,
      observed,
      tokensPerSec: null,
      powerWatt: null,
      energyJoulesPerStep: null,
      tests: 0,
    };
    const lines = monitorView(
      { ...empty, findingCount: 0 },
      { width: 80, colour: false, unicode: false },
      24,
    );
    expect(lines[0]).to.equal('waiting for the first step');
    expect(lines.at(-1)).to.equal('  none');
    expect(lines.join('\n')).to.not.match(/NaN|null|undefined/);
  });
});
