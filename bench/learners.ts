/**
 * Training of every agent at its default settings: decisions and gradients per second, and where the time goes (networks and
 * learning, simulator, the environment around it).
 */
import { Adam } from '../src/agent/adam.js';
import { loadBackend } from '../src/agent/backend.js';
import type { TensorFlow } from '../src/agent/backend.js';
import { DEFAULT_DQN, trainDqn } from '../src/agent/dqn.js';
import type { Environment, MultiAgentEnvironment } from '../src/agent/environment.js';
import { ImprovementEpisode } from '../src/agent/improvementEpisode.js';
import { DEFAULT_MULTI_AGENT, trainMultiAgent } from '../src/agent/multiAgent.js';
import { PlanEpisode } from '../src/agent/planEpisode.js';
import { DEFAULT_PPO, trainPpo } from '../src/agent/ppo.js';
import { DEFAULT_SAC, trainSac } from '../src/agent/sac.js';
import type { Scorer } from '../src/agent/scorer.js';
import { Cutter } from '../src/search/cutRules.js';
import { Evaluator } from '../src/search/evaluator.js';
import { PriceMemo } from '../src/search/memo.js';
import { randomPlan } from '../src/search/random.js';
import { PlanSpace } from '../src/search/space.js';
import { createSimulator } from '../src/simulate/estimate.js';
import { Random } from '../src/util/random.js';
import { syntheticProblem } from '../test/support/synthetic.js';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const WARM_UP_MS = 1500;
const MEASURED_MS = 2500;

/** Milliseconds and calls of methods. */
class Meter {
  ms = 0;
  calls = 0;

  /** Measures a method from now on; returns what puts it back. */
  watch<T extends object>(object: T, method: keyof T): () => void {
    const inner = object[method] as unknown as (...args: unknown[]) => unknown;
    const measured = (self: unknown, args: unknown[]): unknown => {
      const start = performance.now();
      const result = inner.apply(self, args);
      this.ms += performance.now() - start;
      this.calls++;
      return result;
    };
    object[method] = function (this: unknown, ...args: unknown[]) {
      return measured(this, args);
    } as unknown as T[keyof T];
    return () => (object[method] = inner as unknown as T[keyof T]);
  }

  clear(): void {
    this.ms = this.calls = 0;
  }
}

type Train = (tf: TensorFlow, random: Random, progress: () => number) => Scorer;

/** Trains for a while, then measures. `networks`: how many take a step in one gradient. */
function measure(
  tf: TensorFlow,
  name: string,
  backend: string,
  networks: number,
  train: (make: <E extends Environment>(environment: E) => E) => Train,
  simulator: Meter,
): Figure[] {
  const [stepping, resetting, learning] = [new Meter(), new Meter(), new Meter()];
  const restore = learning.watch(Adam.prototype, 'apply');
  const watched = <E extends Environment>(environment: E): E => {
    stepping.watch<Environment>(environment, 'step');
    resetting.watch<Environment>(environment, 'reset');
    return environment;
  };
  let start = performance.now();
  let decisions = 0;
  let warm = true;
  const progress = (): number => {
    const passed = performance.now() - start;
    if (warm && passed > WARM_UP_MS) {
      warm = false;
      for (const meter of [stepping, resetting, learning, simulator]) meter.clear();
      start = performance.now();
      return 0;
    }
    decisions = stepping.calls;
    return warm ? 0 : Math.min(1, passed / MEASURED_MS);
  };
  train(watched)(tf, new Random(7), progress).dispose();
  restore();
  const sec = (performance.now() - start) / 1000;
  const outsideMs = stepping.ms + resetting.ms;
  const percent = (ms: number): string => `${Math.round(ms / sec / 10)} %`;
  const shares = `networks ${percent(1000 * sec - outsideMs)}, simulator ${percent(simulator.ms)}, environment ${percent(outsideMs - simulator.ms)}`;
  return [
    { name: `${name} in training (${backend}; ${shares})`, value: decisions / sec, unit: 'steps/s' },
    { name: `${name} in training: gradients`, value: learning.calls / networks / sec, unit: '1/s' },
  ];
}

export async function run(): Promise<Figure[]> {
  const { tf, name: backend } = await loadBackend();
  const problem = syntheticProblem({ devices: 256, globalBatch: 512, layers: 64, spread: 0.3 });
  const space = new PlanSpace(problem);
  const cutter = new Cutter(problem);
  const meter = new Meter();
  const simulator = createSimulator(problem);
  meter.watch(simulator, 'estimate');
  const memo = (): PriceMemo => {
    const budget = { maxEvaluations: Infinity, maxSec: Infinity };
    const context = { problem, simulator, budget, clock: (): number => 0, random: new Random(1) };
    return new PriceMemo(new Evaluator(context, 'bench'), problem.objective);
  };
  const plan = (prices: PriceMemo): PlanEpisode => new PlanEpisode(space, cutter, prices, 1);
  const improve = (prices: PriceMemo): MultiAgentEnvironment =>
    new ImprovementEpisode(space, cutter, prices, (seed) => randomPlan(space, cutter, new Random(seed % 64)));
  const agents: [string, number, (make: <E extends Environment>(environment: E) => E) => Train][] = [
    [
      'ppo',
      1,
      (make) => (t, random, progress) => {
        const prices = memo();
        return trainPpo(t, () => make(plan(prices)), DEFAULT_PPO, random, progress);
      },
    ],
    [
      'dqn',
      1,
      (make) => (t, random, progress) => {
        const prices = memo();
        return trainDqn(t, () => make(plan(prices)), DEFAULT_DQN, random, progress);
      },
    ],
    [
      'sac',
      3,
      (make) => (t, random, progress) => {
        const prices = memo();
        return trainSac(t, () => make(plan(prices)), DEFAULT_SAC, random, progress);
      },
    ],
    [
      'madqn',
      1,
      (make) => (t, random, progress) => {
        const prices = memo();
        return trainMultiAgent(t, () => make(improve(prices)), DEFAULT_MULTI_AGENT, random, progress);
      },
    ],
  ];
  return agents.flatMap(([name, networks, train]) => measure(tf, name, backend, networks, train, meter));
}
