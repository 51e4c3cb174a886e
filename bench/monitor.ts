/**
 * The monitor, measured: culprits and false alarms on made-up logs, and records a second with the memory that it takes.
 *
 *     node --import tsx bench/monitor.ts drift            500 slowdowns, 200,000 quiet steps
 *     node --import tsx bench/monitor.ts flow [seconds]   10,000 records/s through `partition monitor` (60 s; 600 for the whole)
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../src/validation/monitor/finding.js';
import { HostNames } from '../src/validation/monitor/layout.js';
import { Watch } from '../src/validation/monitor/watch.js';
import { faultOf } from '../src/validation/monitor/record.js';
import { jobLayoutOf, jobLog } from '../test/support/jobLog.js';
import type { JobLogOptions } from '../test/support/jobLog.js';

const NOISE = 0.03;
const SLOW_AT = 200;
const WITHIN_STEPS = 50;
const RATE = 10_000;

function findingsOf(options: JobLogOptions): Finding[] {
  const layout = jobLayoutOf(options.hosts);
  const names = new HostNames(options.hosts);
  const found: Finding[] = [];
  const watch = new Watch(layout, names, (f) => found.push(f));
  const checked = { rank: -1, host: -1 };
  for (const record of jobLog(options))
    if (faultOf(record, layout, names, checked) === null) watch.take(record, checked);
  watch.finish();
  return found.filter((f) => f.kind === 'drift');
}

function drift(): void {
  const settings = [
    { name: '8 hosts, waiting', hosts: 8, runs: 200 },
    { name: '8 hosts, step times only', hosts: 8, runs: 200, timing: 'alone' as const },
    { name: '3 hosts, waiting', hosts: 3, runs: 200 },
    { name: '32 hosts, waiting', hosts: 32, runs: 100 },
  ];
  for (const { name, runs, ...rest } of settings) {
    let named = 0;
    const delays: number[] = [];
    for (let seed = 0; seed < runs; seed++) {
      const host = seed % rest.hosts;
      const slow = { host, factor: 1.05, step: SLOW_AT };
      const found = findingsOf({
        ...rest,
        steps: SLOW_AT + WITHIN_STEPS + 5,
        seed: 1000 + seed,
        noise: NOISE,
        slow,
      });
      const first = found.find(
        (f) => f.scope !== 'job' && f.step >= SLOW_AT && f.step <= SLOW_AT + WITHIN_STEPS,
      );
      if (first === undefined) continue;
      delays.push(first.step - SLOW_AT);
      if (first.scope === 'host' && first.host === `host${host}`) named++;
    }
    delays.sort((a, b) => a - b);
    console.log(
      `${name}: 5 % slower at ${NOISE * 100} % noise: found within ${WITHIN_STEPS} steps ${delays.length}/${runs}, ` +
        `right host ${named}/${runs}, median delay ${delays[delays.length >> 1]}, longest ${delays.at(-1)}`,
    );
  }
  let alarms = 0;
  const quiet = 20;
  for (let seed = 0; seed < quiet; seed++)
    alarms += findingsOf({ hosts: 8, steps: 10_000, seed: 5000 + seed, noise: NOISE }).length;
  console.log(`8 hosts, quiet: ${alarms} false alarms in ${quiet * 10_000} steps`);
}

/** A writer at a fixed rate, and the program that follows it. */
async function flow(seconds: number): Promise<void> {
  const root = fileURLToPath(new URL('../', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'flow-'));
  const log = join(folder, 'train.jsonl');
  const fd = openSync(log, 'w');
  const plan = join(root, 'partitions/bert-large.64.json');
  const args = ['monitor', plan, '--source', log, '--state', join(folder, 'state'), '--quiet', '--json'];
  const child = spawn(process.execPath, [join(root, 'bin/partition'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
  const ended = new Promise((resolve) => child.on('close', resolve));
  const records = jobLog({ hosts: 8, steps: Infinity, seed: 1 });
  let written = 0;
  let peak = 0;
  const started = performance.now();
  for (let sec = 0; sec < seconds;) {
    const due = Math.min(seconds * RATE, Math.floor(((performance.now() - started) / 1000) * RATE));
    let piece = '';
    for (; written < due; written++) piece += `${JSON.stringify(records.next().value)}\n`;
    writeSync(fd, piece);
    sec = written / RATE;
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await new Promise((resolve) => setTimeout(resolve, 3000));
  child.kill('SIGINT');
  await ended;
  const { accepted, turnedAway } = JSON.parse(text) as { accepted: number; turnedAway: number };
  const rate = (written / (performance.now() - started - 3000)) * 1000;
  console.log(
    `${written} records in ${seconds} s (${rate.toFixed(0)}/s): ${accepted} taken, ${turnedAway} turned away, ` +
      `most resident memory ${(peak / 1024).toFixed(0)} MiB`,
  );
  rmSync(folder, { recursive: true, force: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === 'flow') await flow(Number(process.argv[3] ?? 60));
  else drift();
}
