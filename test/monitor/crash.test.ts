import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../../src/validation/monitor/finding.js';
import { MonitorSession } from '../../src/validation/monitor/session.js';
import { Random } from '../../src/util/random.js';
import { jobLayoutOf, jobLog } from '../support/jobLog.js';

const victim = fileURLToPath(new URL('../support/monitorVictim.ts', import.meta.url));
const HOSTS = 4;
const KILLS = 50;
const STEPS_A_LIFE = 60;

describe('a monitor that is killed', function () {
  this.timeout(240_000);

  it(`${KILLS} times with SIGKILL, at random, loses no record and counts none twice, through rotation too`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'crash-'));
    const log = join(folder, 'train.jsonl');
    const state = join(folder, 'state');
    const random = new Random(11);
    const steps = KILLS * STEPS_A_LIFE;
    const records = jobLog({ hosts: HOSTS, steps, seed: 9, slow: { host: 2, factor: 1.06, step: 1500 } });
    const all: string[] = [];
    writeFileSync(log, '');
    try {
      for (let life = 0; life < KILLS; life++) {
        const child = spawn(process.execPath, ['--import', 'tsx', victim, state, log, String(HOSTS)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const dead = new Promise((resolve) => child.on('exit', resolve));
        await new Promise((resolve) => child.stdout.once('data', resolve));
        const until = random.int(STEPS_A_LIFE * HOSTS);
        for (let i = 0; i < STEPS_A_LIFE * HOSTS; i++) {
          const line = JSON.stringify(records.next().value);
          all.push(line);
          // Half of a line, then the rest: as writers do.
          const half = random.int(line.length);
          appendFileSync(log, line.slice(0, half));
          appendFileSync(log, `${line.slice(half)}\n`);
          if (i % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
          if (i === until) child.kill('SIGKILL');
          if (life % 7 === 3 && i === 100) {
            renameSync(log, `${log}.${life}`);
            writeFileSync(log, '');
          }
        }
        await dead;
      }
      const last = spawn(process.execPath, ['--import', 'tsx', victim, state, log, String(HOSTS), 'once'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      last.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
      await new Promise((resolve) => last.on('close', resolve));
      const counts = JSON.parse(text.trim().split('\n').at(-1)!) as Record<string, number>;
      const findings: Finding[] = [];
      const whole = new MonitorSession(jobLayoutOf(HOSTS), 'jsonl', null, (f) => findings.push(f));
      all.forEach((line) => whole.line(line, 'all'));
      whole.watch.finish();
      expect(counts).to.deep.include({ accepted: all.length, lines: all.length, late: 0, twice: 0 });
      const told = readFileSync(join(state, 'findings.jsonl'), 'utf8').trim().split('\n');
      expect(told.map((line) => JSON.parse(line) as Finding)).to.deep.equal(findings);
      expect(findings.some((f) => f.host === 'host2')).to.equal(true);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('while it reads a pipe, it goes on from the lines that it had accepted', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'crash-'));
    const lines = [...jobLog({ hosts: HOSTS, steps: 200, seed: 2 })].map((record) => JSON.stringify(record));
    try {
      const run = async (part: readonly string[], kill: boolean): Promise<string> => {
        const child = spawn(
          process.execPath,
          [
            '--import',
            'tsx',
            victim,
            join(folder, 'state'),
            join(folder, 'none'),
            String(HOSTS),
            ...(kill ? [] : ['once']),
          ],
          { stdio: ['pipe', 'pipe', 'inherit'] },
        );
        let text = '';
        child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
        const closed = new Promise((resolve) => child.on('close', resolve));
        child.stdin.on('error', () => undefined);
        child.stdin.write(`${part.join('\n')}\n`);
        if (kill) setTimeout(() => child.kill('SIGKILL'), 2500);
        else child.stdin.end();
        await closed;
        return text;
      };
      await run(lines.slice(0, 500), true);
      const text = await run(lines.slice(500), false);
      const counts = JSON.parse(text.trim().split('\n').at(-1)!) as Record<string, number>;
      expect(counts).to.deep.include({ accepted: lines.length, late: 0, twice: 0 });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
