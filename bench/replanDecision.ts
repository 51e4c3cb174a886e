/**
 * How long a decision takes at 1,024 devices: from the job in memory to keep or change with its migration, by the wall clock,
 * over events of every kind; and the built program from start to end.
 *
 *     npm run build && npx tsx bench/replanDecision.ts [--model llama3-70b] [--devices 1024]
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { planModel, writePlanFiles } from '../src/api/plan.js';
import { replanJob } from '../src/api/replan.js';
import type { ReplanRequest } from '../src/api/replan.js';
import { openRunningJob } from '../src/api/runningJob.js';
import { writeModel } from '../src/model/index.js';
import { median } from '../src/util/stats.js';
import { applyOverrides, buildZoo, zooConfig } from '../src/zoo/index.js';

const EVENTS: readonly Partial<ReplanRequest>[] = [
  {},
  { failed: 'host7' },
  { failed: 'host7,host31,rank900' },
  { slow: 'rank3=0.7' },
  { slow: 'host5=0.9' },
  { degraded: 'rail=0.5' },
  { degraded: 'host3.spine=0.25' },
  { failed: 'host2', slow: 'host9=0.8', degraded: 'rail=0.7' },
];

const clock = (): number => performance.now() / 1000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'llama3-70b' },
      devices: { type: 'string', default: '1024' },
    },
  });
  const devices = Number(values.devices);
  const folder = mkdtempSync(join(tmpdir(), 'decision-'));
  try {
    const modelPath = join(folder, 'model.onnx');
    const planPath = join(folder, 'p/plan.json');
    writeModel(buildZoo(applyOverrides(zooConfig(values.model), {})), modelPath);
    const plan = {
      modelPath,
      devices,
      seq: 8192,
      batch: 1024,
      budget: { maxSec: 6, maxEvaluations: Infinity },
    };
    writePlanFiles(await planModel(plan, { clock }), plan, join(folder, 'p'));
    const job = openRunningJob(planPath, modelPath);
    const events = [...EVENTS, { devices: devices + 256 }];
    // In memory with the tables of the meshes that matter, as beside a running job; the program below starts with none.
    for (const event of [{ failed: 'host1' }, { slow: 'host1=0.9' }])
      await replanJob(job, { modelPath, planPath, ...event, budgetSec: 3 }, { clock });
    const times: number[] = [];
    const processorSec: number[] = [];
    for (const event of events) {
      const began = clock();
      const busy = process.cpuUsage();
      const { facts } = await replanJob(job, { modelPath, planPath, ...event }, { clock });
      times.push(clock() - began);
      const { user, system } = process.cpuUsage(busy);
      processorSec.push((user + system) / 1e6);
      console.log(
        `${JSON.stringify(event)}: ${facts.decision}, ${facts.best.devices} devices, ${facts.best.foundBy}, ` +
          `${facts.evaluations} plans priced, ${times[times.length - 1].toFixed(2)} s`,
      );
    }
    console.log(
      `decision at ${devices} devices: median ${median(times).toFixed(2)} s, worst ${Math.max(...times).toFixed(2)} s; ` +
        `processor time: median ${median(processorSec).toFixed(2)} s, worst ${Math.max(...processorSec).toFixed(2)} s`,
    );
    const program = fileURLToPath(new URL('../bin/partition', import.meta.url));
    if (!existsSync(new URL('../dist/cli/main.js', import.meta.url))) return;
    const whole = ['host7', 'host8', 'host9'].map((failed) => {
      const began = clock();
      const args = [
        program,
        'replan',
        modelPath,
        planPath,
        '--failed',
        failed,
        '--quiet',
        '--out',
        join(folder, 'q'),
      ];
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
      return clock() - began;
    });
    console.log(
      `the program from start to end: median ${median(whole).toFixed(2)} s, worst ${Math.max(...whole).toFixed(2)} s`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
