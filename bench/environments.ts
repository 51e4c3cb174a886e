/**
 * Steps per second of every environment: alone under a random policy; 32 together under a network; and where the time of
 * the latter goes (network, simulator or state, the environment around it).
 */
import { loadBackend } from '../src/agent/backend.js';
import type { TensorFlow } from '../src/agent/backend.js';
import { Bandit } from '../src/agent/bandit.js';
import { randomAction } from '../src/agent/checker.js';
import type { Environment } from '../src/agent/environment.js';
import { builtInSource, EnvironmentPool } from '../src/agent/environmentPool.js';
import { blockGraph, GraphEmbedding } from '../src/agent/graphEmbedding.js';
import { ImprovementEpisode } from '../src/agent/improvementEpisode.js';
import { PlacementEpisode } from '../src/agent/placementEpisode.js';
import { PlanEpisode } from '../src/agent/planEpisode.js';
import { ScheduleEpisode } from '../src/agent/scheduleEpisode.js';
import { Scorer } from '../src/agent/scorer.js';
import { VectorEnvironment } from '../src/agent/vector.js';
import { analyze } from '../src/graph/index.js';
import { readModel } from '../src/model/index.js';
import { Cutter } from '../src/search/cutRules.js';
import { Evaluator } from '../src/search/evaluator.js';
import { PriceMemo } from '../src/search/memo.js';
import { randomPlan } from '../src/search/random.js';
import { PlanSpace } from '../src/search/space.js';
import { createSimulator } from '../src/simulate/estimate.js';
import { Random } from '../src/util/random.js';
import { randomPlacement } from '../test/support/placements.js';
import { randomSchedule } from '../test/support/schedules.js';
import { syntheticProblem } from '../test/support/synthetic.js';
import { TYPESCRIPT } from '../test/support/threads.js';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const TOGETHER = 32;
const MEASURED_MS = 700;

/** Milliseconds spent in what is called a simulator. */
let simulatorMs = 0;

function timed<T extends object>(object: T, method: keyof T): T {
  const inner = (object[method] as (...args: unknown[]) => unknown).bind(object);
  object[method] = ((...args: unknown[]): unknown => {
    const start = performance.now();
    const result = inner(...args);
    simulatorMs += performance.now() - start;
    return result;
  }) as T[keyof T];
  return object;
}

/** The environments by name; simulators and states report their time. */
function environments(): [string, () => Environment][] {
  const problem = syntheticProblem({ devices: 256, globalBatch: 512, layers: 64, spread: 0.3 });
  const space = new PlanSpace(problem);
  const cutter = new Cutter(problem);
  const simulator = timed(createSimulator(problem), 'estimate');
  const budget = { maxEvaluations: Infinity, maxSec: Infinity };
  const memo = (): PriceMemo => {
    const context = { problem, simulator, budget, clock: (): number => 0, random: new Random(1) };
    return new PriceMemo(new Evaluator(context, 'bench'), problem.objective);
  };
  const shared = memo();
  const start = (seed: number) => randomPlan(space, cutter, new Random(seed % 64));
  const placement = randomPlacement(new Random(3), { ops: 200, devices: 6, objective: 'latency' });
  const schedule = randomSchedule(new Random(4), {
    ranks: 8,
    microbatches: 32,
    splitsBackward: true,
    room: 8,
  });
  const placed = (): Environment => {
    const env = new PlacementEpisode(placement);
    timed(env.state, 'place');
    return env;
  };
  const scheduled = (): Environment => {
    const env = new ScheduleEpisode(schedule);
    timed(env.state, 'choose');
    return env;
  };
  return [
    ['plan, 256 devices', () => new PlanEpisode(space, cutter, shared, 1)],
    ['plan with embedding', () => new PlanEpisode(space, cutter, shared, 1, true)],
    ['placement, 200 ops on 6 devices', placed],
    ['schedule, 8 ranks, 32 microbatches', scheduled],
    ['improvement, 256 devices', () => new ImprovementEpisode(space, cutter, shared, start)],
    ['bandit', () => new Bandit()],
  ];
}

/** Random steps per second of one environment. */
function alone(env: Environment): number {
  const random = new Random(2);
  let observation = env.reset(1);
  let steps = 0;
  const run = (until: number): void => {
    while (performance.now() < until) {
      const step = env.step(randomAction(observation, random));
      steps++;
      observation = step.terminated || step.truncated ? env.reset(random.uint32()) : step.observation;
    }
  };
  run(performance.now() + MEASURED_MS / 2);
  steps = 0;
  const start = performance.now();
  run(start + MEASURED_MS);
  return (1000 * steps) / (performance.now() - start);
}

/** Steps per second of many environments whose actions a network draws, and the shares of the time. */
function together(
  tf: TensorFlow,
  make: () => Environment,
): { rate: number; network: number; simulator: number } {
  const random = new Random(5);
  const vector = new VectorEnvironment(make, TOGETHER);
  const scorer = new Scorer(tf, vector.spec, 64, random);
  const actions = new Int32Array(TOGETHER);
  vector.reset(1);
  let networkMs = 0;
  let steps = 0;
  const run = (until: number): void => {
    while (performance.now() < until) {
      const start = performance.now();
      const batch = vector.batch();
      const { scores } = scorer.infer(batch);
      for (let t = 0; t < TOGETHER; t++) {
        let best = -Infinity;
        for (let r = batch.rowStart[t]; r < batch.rowStart[t + 1]; r++) {
          // Gumbel noise: a draw from the softmax of the scores.
          const score = scores[r] - Math.log(-Math.log(random.next() + 1e-12));
          if (score <= best) continue;
          best = score;
          actions[t] = batch.rowOption[r];
        }
      }
      networkMs += performance.now() - start;
      vector.step(actions);
      steps += TOGETHER;
    }
  };
  run(performance.now() + MEASURED_MS / 2);
  networkMs = simulatorMs = steps = 0;
  const start = performance.now();
  run(start + MEASURED_MS);
  const all = performance.now() - start;
  scorer.dispose();
  return { rate: (1000 * steps) / all, network: networkMs / all, simulator: simulatorMs / all };
}

/** Steps per second of schedule episodes in threads; 0 threads: in this one. */
async function inThreads(threads: number): Promise<number> {
  const shape = { ranks: 16, microbatches: 64, splitsBackward: true };
  const problem = randomSchedule(new Random(4), shape);
  const random = new Random(6);
  const vector =
    threads === 0
      ? new VectorEnvironment(() => new ScheduleEpisode(problem), TOGETHER)
      : await EnvironmentPool.start(
          builtInSource('scheduleEpisodeOf', problem),
          TOGETHER,
          threads,
          TYPESCRIPT,
        );
  let observations = await vector.reset(1);
  let steps = 0;
  let start = performance.now();
  for (let warm = true; ; steps += TOGETHER) {
    if (performance.now() - start > MEASURED_MS) {
      if (!warm) break;
      warm = false;
      steps = 0;
      start = performance.now();
    }
    const actions = Int32Array.from(observations, (o) => randomAction(o, random));
    observations = (await vector.step(actions)).observations;
  }
  const rate = (1000 * steps) / (performance.now() - start);
  if (vector instanceof EnvironmentPool) await vector.close();
  return rate;
}

export async function run(): Promise<Figure[]> {
  const { tf, name: backend } = await loadBackend();
  const figures: Figure[] = [];
  for (const [name, make] of environments()) {
    figures.push({ name: `${name}: random policy`, value: alone(make()), unit: 'steps/s' });
    const { rate, network, simulator } = together(tf, make);
    const percent = (share: number): string => `${Math.round(100 * share)} %`;
    const shares = `network ${percent(network)}, simulator ${percent(simulator)}, rest ${percent(1 - network - simulator)}`;
    figures.push({
      name: `${name}: ${TOGETHER} under a network (${backend}; ${shares})`,
      value: rate,
      unit: 'steps/s',
    });
  }
  for (const threads of [0, 1, 2])
    figures.push({
      name: `schedule, 16 ranks, 64 microbatches: ${TOGETHER} in ${threads === 0 ? 'this thread' : `${threads} more`}`,
      value: await inThreads(threads),
      unit: 'steps/s',
    });
  const { segmentation } = analyze(readModel('graphs/gpt2-small.onnx'), {
    where: 'graphs/gpt2-small.onnx',
    seq: 1024,
  });
  const graph = blockGraph(segmentation);
  const start = performance.now();
  for (let i = 0; i < 20; i++) GraphEmbedding.of(graph);
  const each = (performance.now() - start) / 20000;
  figures.push({ name: `embedding of ${graph.nodeCount} blocks (gpt2-small)`, value: 1 / each, unit: '1/s' });
  return figures;
}
