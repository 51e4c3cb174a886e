/**
 * The whole way from an ONNX file to a plan, phase by phase: Llama 3 8B on 64 devices unless told otherwise. Others report 15 s to
 * build the problem and 36 s to solve it for this case.
 *
 *     node --import tsx bench/wholePath.ts [--model llama-3-8b] [--devices 64] [--seq 8192] [--budgets 2,4,10] [--wall]
 *
 * Seconds are of processor time, so that they say the same on a machine that does other work too; `--wall`: by the clock. The last
 * rows are of the built command line, `bin/partition` in a process of its own (run `npm run build` before), for every budget: what the
 * user waits for, the start of the program included.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { planModel } from '../src/api/plan.js';
import { analyzeModel, clusterOf, problemOf } from '../src/api/problem.js';
import { readModel, writeModel } from '../src/model/index.js';
import { PlanSpace } from '../src/search/index.js';
import { lowerBoundSec } from '../src/search/bound.js';
import { buildZoo, zooConfig } from '../src/zoo/index.js';

interface Setting {
  readonly model: string;
  readonly devices: number;
  readonly seq: number;
  /** Seconds. */
  readonly budgets: readonly number[];
  readonly clock: () => number;
}

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Seconds that this process has computed, all threads together. */
function processorSec(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** What each phase takes on its own; the search builds the same shardings and tables as it goes. */
function phases(path: string, { devices, seq, clock }: Setting): Row[] {
  const rows: Row[] = [];
  const timed = <T>(name: string, work: () => T): T => {
    const start = clock();
    const result = work();
    rows.push({ name, value: clock() - start, unit: 's' });
    return result;
  };
  const proto = timed('parse', () => readModel(path));
  const model = timed('analyse: shapes, work, gradients, kernels, layers', () =>
    analyzeModel(proto, path, { seq }),
  );
  const { problem, book } = timed('cluster, layer classes', () =>
    problemOf(model, clusterOf({ devices }), { devices }),
  );
  const space = new PlanSpace(problem);
  timed('shardings of all meshes, choices of each', () => {
    for (const mesh of space.meshes) {
      book.strategies({ ...mesh, microbatch: 1, deviceGroup: 0, contextExchange: 'ring' });
      space.leannesses(mesh);
    }
  });
  timed('tables of all meshes and microbatches', () => {
    for (const mesh of space.meshes)
      for (const microbatch of space.microbatches(mesh))
        book.costs({ ...mesh, microbatch, deviceGroup: 0, contextExchange: 'ring' });
  });
  timed('lower bound', () => lowerBoundSec(problem));
  return rows;
}

/** From the file to the plan in this process: when the first plan was known, when one within 1 % of the last, when it ended. */
async function planned(path: string, budgetSec: number, { devices, seq, clock }: Setting): Promise<Row[]> {
  const start = clock();
  const known: { sec: number; stepTimeSec: number }[] = [];
  const request = { modelPath: path, devices, seq, budget: { maxSec: budgetSec, maxEvaluations: Infinity } };
  const { plan } = await planModel(request, {
    clock,
    onProgress: (_, best) => {
      if (best !== null) known.push({ sec: clock() - start, stepTimeSec: best.stepTimeSec });
    },
  });
  const endSec = clock() - start;
  const { stepTimeSec } = plan.prediction;
  const close = known.find((k) => k.stepTimeSec <= 1.01 * stepTimeSec);
  const of = `file to plan, budget ${budgetSec} s`;
  return [
    { name: `${of}: first plan`, value: known[0]?.sec ?? endSec, unit: 's' },
    { name: `${of}: within 1 % of its answer`, value: close?.sec ?? endSec, unit: 's' },
    { name: `${of}: end`, value: endSec, unit: 's' },
    { name: `${of}: step time`, value: stepTimeSec, unit: 's' },
    { name: `${of}: above the lower bound`, value: 100 * (stepTimeSec / plan.lowerBoundSec - 1), unit: '%' },
  ];
}

/** The command line as a user runs it. */
function commandLine(path: string, folder: string, budgetSec: number, { devices, seq }: Setting): Row[] {
  const bin = fileURLToPath(new URL('../bin/partition', import.meta.url));
  if (!existsSync(fileURLToPath(new URL('../dist/cli/main.js', import.meta.url)))) return [];
  const out = join(folder, 'plan');
  const args = [
    path,
    '--devices',
    devices,
    '--seq',
    seq,
    '--budget',
    `${budgetSec}s`,
    '--out',
    out,
    '--quiet',
  ];
  const start = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [bin, ...args.map(String)], { encoding: 'utf8' });
  const wallSec = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`bin/partition ended with ${status}: ${stderr}`);
  const plan = JSON.parse(readFileSync(join(out, 'plan.json'), 'utf8')) as {
    prediction: { stepTimeSec: number };
  };
  const of = `bin/partition --budget ${budgetSec}s`;
  return [
    { name: `${of}: whole command, by the clock`, value: wallSec, unit: 's' },
    { name: `${of}: step time`, value: plan.prediction.stepTimeSec, unit: 's' },
  ];
}

const SETTING: Setting = {
  model: 'llama-3-8b',
  devices: 64,
  seq: 8192,
  budgets: [4, 10],
  clock: processorSec,
};

export async function run(setting: Setting = SETTING): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'whole-path-'));
  try {
    const path = join(folder, `${setting.model}.onnx`);
    writeModel(buildZoo(zooConfig(setting.model)), path);
    const rows: Row[] = [];
    // The first plan of a process pays for loading and compiling the program, as a user's does.
    for (const budget of setting.budgets) rows.push(...(await planned(path, budget, setting)));
    rows.push(...phases(path, setting));
    for (const budget of setting.budgets) rows.push(...commandLine(path, folder, budget, setting));
    return rows;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: SETTING.model },
      devices: { type: 'string', default: String(SETTING.devices) },
      seq: { type: 'string', default: String(SETTING.seq) },
      budgets: { type: 'string', default: SETTING.budgets.join(',') },
      wall: { type: 'boolean', default: false },
    },
  });
  const rows = await run({
    model: values.model,
    devices: Number(values.devices),
    seq: Number(values.seq),
    budgets: values.budgets.split(',').map(Number),
    clock: values.wall ? () => performance.now() / 1000 : processorSec,
  });
  for (const { name, value, unit } of rows) console.log(`${name.padEnd(64)} ${value.toPrecision(4)} ${unit}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
