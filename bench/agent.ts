/** Speed of the agent's parts: scoring candidates, plan episodes, updates of PPO, and exact stage cuts. */
import { loadBackend } from '../src/agent/backend.js';
import { Bandit } from '../src/agent/bandit.js';
import { randomAction } from '../src/agent/checker.js';
import { PlanEpisode } from '../src/agent/planEpisode.js';
import { DEFAULT_PPO, trainPpo } from '../src/agent/ppo.js';
import { packBatch, Scorer } from '../src/agent/scorer.js';
import { Cutter } from '../src/search/cutRules.js';
import { minimaxCuts } from '../src/search/cuts.js';
import { Evaluator } from '../src/search/evaluator.js';
import { PriceMemo } from '../src/search/memo.js';
import { PlanSpace } from '../src/search/space.js';
import { createSimulator } from '../src/simulate/estimate.js';
import { Random } from '../src/util/random.js';
import { syntheticProblem } from '../test/support/synthetic.js';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Calls per second over at least half a second, after a warm-up. */
function perSecond(work: () => void): number {
  for (let i = 0; i < 3; i++) work();
  const start = performance.now();
  let calls = 0;
  while (performance.now() - start < 500) {
    work();
    calls++;
  }
  return (1000 * calls) / (performance.now() - start);
}

export async function run(): Promise<Figure[]> {
  const { tf, name } = await loadBackend();
  const problem = syntheticProblem({ devices: 1024, globalBatch: 1024, layers: 126, spread: 0.3 });
  const evaluator = new Evaluator(
    {
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations: Infinity, maxSec: Infinity },
      clock: () => 0,
      random: new Random(1),
    },
    'bench',
  );
  const env = new PlanEpisode(
    new PlanSpace(problem),
    new Cutter(problem),
    new PriceMemo(evaluator, problem.objective),
    1,
  );
  const random = new Random(2);
  const episode = (): void => {
    let observation = env.reset(0);
    for (let done = false; !done;) {
      const step = env.step(randomAction(observation, random));
      observation = step.observation;
      done = step.terminated;
    }
  };
  // Most cost tables are built by now: what follows is the steady state.
  for (let i = 0; i < 500; i++) episode();
  const scorer = new Scorer(tf, env.spec, DEFAULT_PPO.hidden, random);
  const batch = packBatch(
    env.spec,
    Array.from({ length: 32 }, () => env.reset(0)),
  );
  const scored = perSecond(() => scorer.infer(batch));
  scorer.dispose();
  const updates = perSecond(() => {
    let done = 0;
    trainPpo(
      tf,
      () => new Bandit(),
      DEFAULT_PPO,
      random,
      () => done,
      () => (done = 1),
    ).dispose();
  });
  const prefix = new Float64Array(257);
  for (let s = 0; s < 256; s++) prefix[s + 1] = prefix[s] + 1 + random.next();
  const chain = { cost: (_k: number, from: number, to: number): number => prefix[to] - prefix[from] };
  return [
    { name: `candidates scored (${name})`, value: scored * batch.rowCount, unit: '1/s' },
    { name: 'plan episodes, random policy', value: perSecond(episode), unit: '1/s' },
    { name: 'PPO on the bandit: rollout and update', value: updates, unit: '1/s' },
    {
      name: 'exact cuts of 256 segments into 16 stages',
      value: perSecond(() => minimaxCuts(256, 16, chain)),
      unit: '1/s',
    },
  ];
}
