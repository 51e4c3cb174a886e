/** A monitor that is killed again and again while it follows a log that grows and rotates. */
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../../src/validation/monitor/finding.js';
import { MonitorSession } from '../../src/validation/monitor/session.js';
import { Random } from '../../src/util/random.js';
import { jobLayoutOf, jobLog } from './jobLog.js';

export const victim = fileURLToPath(new URL('./monitorVictim.ts', import.meta.url));
const HOSTS = 4;
const STEPS_A_LIFE = 60;

export interface Survived {
  readonly written: number;
  /** Of the last life: accepted, lines, late, twice. */
  readonly counts: Record<string, number>;
  /** As they stand in findings.jsonl, and as a monitor that nobody killed finds them. */
  readonly told: Finding[];
  readonly expected: Finding[];
}

/** @param kills lives that end by SIGKILL at a random record */
export async function surviveKills(kills: number, seed: number): Promise<Survived> {
  const folder = mkdtempSync(join(tmpdir(), 'crash-'));
  const log = join(folder, 'train.jsonl');
  const state = join(folder, 'state');
  const random = new Random(seed);
  const steps = kills * STEPS_A_LIFE;
  const slow = { host: 2, factor: 1.06, step: steps / 2 };
  const records = jobLog({ hosts: HOSTS, steps, seed: seed + 1, slow });
  const all: string[] = [];
  const start = (...more: string[]) =>
    spawn(process.execPath, ['--import', 'tsx', victim, state, log, String(HOSTS), ...more], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  writeFileSync(log, '');
  try {
    for (let life = 0; life < kills; life++) {
      const child = start();
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
    const last = start('once');
    let text = '';
    last.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
    await new Promise((resolve) => last.on('close', resolve));
    const counts = JSON.parse(text.trim().split('\n').at(-1)!) as Record<string, number>;
    const expected: Finding[] = [];
    const whole = new MonitorSession(jobLayoutOf(HOSTS), 'jsonl', null, (f) => expected.push(f));
    all.forEach((line) => whole.line(line, 'all'));
    whole.finish();
    const lines = readFileSync(join(state, 'findings.jsonl'), 'utf8').trim().split('\n');
    const told = lines.map((line) => JSON.parse(line) as Finding);
    return { written: all.length, counts, told, expected };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
