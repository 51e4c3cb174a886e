/** Records at a fixed rate into a log that rotates, and `partition monitor` that follows it: its memory, and what it lost. */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jobLog } from '../test/support/jobLog.js';

export const RATE = 10_000;
const SAMPLE_SEC = 10;
/** The log passes to a new file so often; the last few stay. */
const ROTATE_SEC = 60;
const KEPT_FILES = 3;
/** The monitor may be behind by this much at the end. */
const PATIENCE_SEC = 60;

/** @returns one sentence and the memory over time */
export async function flow(seconds: number): Promise<string> {
  const root = fileURLToPath(new URL('../', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'flow-'));
  const log = join(folder, 'train.jsonl');
  const state = join(folder, 'state');
  let fd = openSync(log, 'w');
  const plan = join(root, 'partitions/bert-large.64.json');
  const args = ['monitor', plan, '--source', log, '--state', state, '--quiet', '--json'];
  const child = spawn(process.execPath, [join(root, 'bin/partition'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  let isOver = false;
  child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
  const ended = new Promise<void>((resolve) =>
    child.on('close', () => {
      isOver = true;
      resolve();
    }),
  );
  const sleep = (sec: number): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, sec * 1000));
  const records = jobLog({ hosts: 8, steps: Infinity, seed: 1 });
  const resident: number[] = [];
  let peakKib = 0;
  let written = 0;
  let rotations = 0;
  let lag = 0;
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  try {
    while (written < seconds * RATE && !isOver) {
      const due = Math.min(seconds * RATE, Math.floor(elapsed() * RATE));
      lag = Math.max(lag, due - written);
      // Pieces of a size that a slow disk takes, so that one long pause is not one long line of writes.
      while (written < due) {
        let piece = '';
        for (const until = Math.min(due, written + 5000); written < until; written++)
          piece += `${JSON.stringify(records.next().value)}\n`;
        writeAll(fd, piece);
      }
      if (elapsed() > (rotations + 1) * ROTATE_SEC) {
        renameSync(log, `${log}.${++rotations}`);
        closeSync(fd);
        fd = openSync(log, 'w');
        rmSync(`${log}.${rotations - KEPT_FILES}`, { force: true });
      }
      const { now, peak } = memoryKib(child.pid!);
      peakKib = Math.max(peakKib, peak);
      if (elapsed() >= resident.length * SAMPLE_SEC) {
        resident.push(now);
        console.error(
          `${elapsed().toFixed(0)} s: ${written} written, ${(now / 1024).toFixed(0)} MiB resident`,
        );
      }
      await sleep(0.05);
    }
    const rate = written / elapsed();
    const end = elapsed() + PATIENCE_SEC;
    while (!isOver && acceptedIn(state) < written && elapsed() < end) await sleep(0.5);
    child.kill('SIGINT');
    await ended;
    const { accepted, turnedAway, twice, late, gaps } = JSON.parse(text) as Record<string, number>;
    const mib = (kib: number): string => (kib / 1024).toFixed(0);
    return [
      `${written} records in ${seconds} s (${rate.toFixed(0)}/s), ${rotations} rotations: ${accepted} taken, ` +
        `${written - accepted - twice - late} lost, ${twice} twice, ${late} late, ${turnedAway} turned away, ${gaps} gaps; ` +
        `most resident memory ${mib(peakKib)} MiB.`,
      '',
      `Resident MiB every ${SAMPLE_SEC} s: ${resident.map(mib).join(' ')}`,
    ].join('\n');
  } finally {
    child.kill('SIGKILL');
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}

/** Of a process that may be gone: 0. */
function memoryKib(pid: number): { now: number; peak: number } {
  const path = `/proc/${pid}/status`;
  const status = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const read = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  return { now: read('VmRSS'), peak: read('VmHWM') };
}

/** As the last state has it, which is written every two seconds. */
function acceptedIn(state: string): number {
  const path = join(state, 'state.json');
  if (!existsSync(path)) return 0;
  return Number(/"accepted":(\d+)/.exec(readFileSync(path, 'utf8'))?.[1] ?? 0);
}
