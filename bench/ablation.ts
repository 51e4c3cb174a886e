/**
 * What each part of the agents is worth, on problems that neither the training of the shipped policy nor the suite draws
 * (bench/held-out.yaml): imitation, best-of-N, the embedding of the graph, the policy in the agent's search, one agent or many.
 *
 *     node --import tsx bench/ablation.ts [--problems 6] [--seeds 3] [--updates 40]
 *
 * Writes partitions/ablation.md and ablation.json.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadBackend } from '../src/agent/backend.js';
import { saveCheckpoint } from '../src/agent/checkpoint.js';
import { dqnSolver } from '../src/agent/dqnSolver.js';
import { createGuidedSolver, guidedSolver, unguidedSolver } from '../src/agent/guidedSolver.js';
import { createMadqnSolver } from '../src/agent/madqnSolver.js';
import { createPolicySolver } from '../src/agent/policySolver.js';
import { FROM_SCRATCH, SHIPPED } from '../src/agent/pretrained.js';
import { createSacSolver } from '../src/agent/sacSolver.js';
import { DEFAULT_TEACHERS } from '../src/agent/teachers.js';
import { PlanTrainer } from '../src/agent/training.js';
import { settingsOf, SHIPPED_TRAINING } from '../src/api/train.js';
import { readTrainingConfig } from '../src/api/trainingConfig.js';
import { trainingProblem } from '../src/api/trainingProblems.js';
import { solverByName } from '../src/portfolio/registry.js';
import type { Solver } from '../src/search/types.js';
import { createSimulator } from '../src/simulate/estimate.js';
import { writeFileAtomic } from '../src/util/files.js';
import { formatPercent } from '../src/util/format.js';
import { Random } from '../src/util/random.js';
import { mean, median } from '../src/util/stats.js';

/** Problems before this one were tuned on. */
const FIRST_PROBLEM = 100;
/** Seconds after which an agent that trains on the problem itself is cut short. */
const CAP_SEC = 4;

interface Variant {
  /** What is switched, and how it stands. */
  readonly part: string;
  readonly setting: string;
  readonly solver: Solver;
  readonly evaluations: number;
}

const clock = (): number => performance.now() / 1000;

/** Policies trained the same short way, with and without the embedding; paths of their checkpoints. */
async function trainShort(folder: string, embedding: boolean, updates: number): Promise<string> {
  const config = readTrainingConfig(SHIPPED_TRAINING);
  const settings = { ...settingsOf(config), updates, teacherEvaluations: 300, embedding };
  const trainer = new PlanTrainer(
    await loadBackend(),
    (index) => trainingProblem(config, index),
    settings,
    null,
  );
  while (!trainer.finished) {
    const { update } = trainer.update();
    if (update % 10 === 0) console.error(`embedding ${embedding}: ${update} of ${updates} updates`);
  }
  const path = join(folder, `${embedding}.json`);
  saveCheckpoint(path, trainer.checkpoint(false));
  trainer.dispose();
  return path;
}

function variants(plain: string, embedded: string): Variant[] {
  const file = (path: string) => ({ kind: 'file', path }) as const;
  const of = (part: string, setting: string, evaluations: number, solver: Solver): Variant => ({
    ...{ part, setting, solver, evaluations },
  });
  return [
    of('imitation (SAC from scratch)', 'on', 600, createSacSolver({}, DEFAULT_TEACHERS, FROM_SCRATCH)),
    of('imitation (SAC from scratch)', 'off', 600, createSacSolver({}, [], FROM_SCRATCH)),
    ...[1, 8, 64].map((n) => of('best of N', `N = ${n}`, n, createPolicySolver(SHIPPED, n))),
    of('graph embedding, best of 8', 'on', 8, createPolicySolver(file(embedded), 8)),
    of('graph embedding, best of 8', 'off', 8, createPolicySolver(file(plain), 8)),
    of('graph embedding, search', 'on', 500, createGuidedSolver({}, file(embedded))),
    of('graph embedding, search', 'off', 500, createGuidedSolver({}, file(plain))),
    ...[100, 500, 2000].flatMap((n) => [
      of(`policy in the search, ${n} evaluations`, 'on', n, guidedSolver),
      of(`policy in the search, ${n} evaluations`, 'off', n, unguidedSolver),
    ]),
    of('agents', 'one (DQN)', 600, dqnSolver),
    of('agents', 'one for each stage (multi-agent DQN), from random plans', 600, createMadqnSolver({}, [])),
  ];
}

interface Result extends Omit<Variant, 'solver'> {
  /** Gap of the median over seeds to the best value known, by problem; Infinity where nothing fits. */
  readonly gaps: readonly number[];
}

async function measure(
  config: ReturnType<typeof readTrainingConfig>,
  all: readonly Variant[],
  problems: number,
  seeds: number,
): Promise<Result[]> {
  const gaps: number[][] = all.map(() => []);
  const run = async (index: number, solver: Solver, evaluations: number, seed: number): Promise<number> => {
    // A fresh problem each time: tables that one run built must not speed up the next.
    const problem = trainingProblem(config, index);
    const { value } = await solver.solve({
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations: evaluations, maxSec: CAP_SEC },
      clock,
      random: new Random(seed),
    });
    return value;
  };
  for (let k = 0; k < problems; k++) {
    console.error(`problem ${k + 1} of ${problems}`);
    const index = FIRST_PROBLEM + k;
    const values: number[][] = [];
    for (const { solver, evaluations } of all) {
      const own: number[] = [];
      for (let seed = 1; seed <= seeds; seed++) own.push(await run(index, solver, evaluations, seed));
      values.push(own);
    }
    let best = Math.min(...values.flat());
    for (const name of ['anneal', 'exhaustive', 'dp'])
      best = Math.min(best, await run(index, solverByName(name), 8000, 1));
    values.forEach((own, v) => gaps[v].push(median(own) / best - 1));
  }
  return all.map(({ part, setting, evaluations }, v) => ({ part, setting, evaluations, gaps: gaps[v] }));
}

function page(results: readonly Result[], problems: number, seeds: number, updates: number): string {
  const shown = (gap: number): string => (Number.isFinite(gap) ? formatPercent(gap) : 'no plan');
  const rows = results.map(({ part, setting, evaluations, gaps }) => {
    const found = gaps.filter((g) => Number.isFinite(g));
    const cells = [
      shown(median(gaps)),
      found.length === 0 ? '' : shown(mean(found)),
      shown(Math.max(...gaps)),
    ];
    return `| ${[part, setting, String(evaluations), ...cells, `${found.length} of ${gaps.length}`].join(' | ')} |`;
  });
  return [
    '# What each part is worth',
    '',
    `${problems} problems that neither the training of the shipped policy nor the suite draws (\`bench/held-out.yaml\`, from number ${FIRST_PROBLEM}),`,
    `${seeds} seeds each, at most ${CAP_SEC} s a run. Gaps of the median over seeds to the best value known (all runs, and annealing, enumeration and`,
    `dynamic programming with 8,000 evaluations). The mean is over the problems on which a plan was found. For the embedding two policies were trained`,
    `the same short way (${updates} updates); all other policies are the shipped one, or start from nothing. Demonstrations of the teachers are part of`,
    'what SAC with imitation returns. Written by `node --import tsx bench/ablation.ts`.',
    '',
    '| part | setting | evaluations | median gap | mean gap | worst | plans found |',
    '| --- | --- | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
    '',
  ].join('\n');
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { problems: text, seeds: text, updates: text } });
  const updates = Number(values.updates ?? 40);
  const [problems, seeds] = [Number(values.problems ?? 6), Number(values.seeds ?? 3)];
  const config = readTrainingConfig(fileURLToPath(new URL('held-out.yaml', import.meta.url)));
  const folder = mkdtempSync(join(tmpdir(), 'ablation-'));
  try {
    const [plain, embedded] = [
      await trainShort(folder, false, updates),
      await trainShort(folder, true, updates),
    ];
    const results = await measure(config, variants(plain, embedded), problems, seeds);
    const partitions = fileURLToPath(new URL('../partitions', import.meta.url));
    writeFileAtomic(
      `${partitions}/ablation.json`,
      `${JSON.stringify({ problems, seeds, updates, results }, null, 1)}\n`,
    );
    writeFileAtomic(`${partitions}/ablation.md`, page(results, problems, seeds, updates));
    console.log(page(results, problems, seeds, updates));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
