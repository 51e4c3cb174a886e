/**
 * The plugin registry: rewards, experts and metrics of the user's own, by name. A reward becomes a term of objectives, an
 * expert a search method, a metric a number of plan summaries. Holds for the process (or worker thread) that registers.
 */
import { checkCandidate } from '../plan/candidate.js';
import type { Candidate, Plan } from '../plan/types.js';
import { registerSolver, solverNames } from '../portfolio/index.js';
import { Evaluator } from '../search/evaluator.js';
import type { SearchContext, SearchResult } from '../search/types.js';
import type { ObjectivePrice, PlanProblem } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';

/** Above 0, smaller is better; scaled by any constant it says the same. */
export type Reward = (price: ObjectivePrice) => number;
/** Legal plans of a problem, best guess first. */
export type Expert = (problem: PlanProblem) => Iterable<Candidate>;
/** A number to be told beside a plan. */
export type Metric = (plan: Plan) => number;

const BUILT_IN = ['time', 'energy', 'cost', 'utilisation', 'pareto'];
const rewards = new Map<string, Reward>();
const metrics = new Map<string, Metric>();

/**
 * @throws PartitionError usage when the name is taken or no name, or when a step of one second and one joule has no value
 *     above 0
 */
export function registerReward(name: string, value: Reward): void {
  checkName(name, 'reward', [...BUILT_IN, ...rewards.keys()]);
  checkFunction(name, 'reward', value);
  const probe = value(PROBE);
  if (!(probe > 0) || probe === Infinity)
    throw new PartitionError(
      'usage',
      `expected a number above 0, found ${probe} for a step of 1 s and 1 J`,
      name,
    );
  rewards.set(name, value);
}

/** @throws PartitionError usage when the name is taken or no name */
export function registerExpert(name: string, propose: Expert): void {
  checkName(name, 'expert', solverNames());
  checkFunction(name, 'expert', propose);
  registerSolver({
    name,
    solve(context: SearchContext): SearchResult {
      const evaluator = new Evaluator(context, name);
      for (const candidate of propose(context.problem)) {
        if (evaluator.exhausted()) break;
        const fault = checkCandidate(context.problem, candidate);
        if (fault !== null) throw new PartitionError('usage', `proposed no legal plan: ${fault}`, name);
        evaluator.evaluate(candidate);
      }
      return evaluator.result(false);
    },
  });
}

/** @throws PartitionError usage when the name is taken or no name */
export function registerMetric(name: string, value: Metric): void {
  checkName(name, 'metric', [...metrics.keys()]);
  checkFunction(name, 'metric', value);
  metrics.set(name, value);
}

export function registeredReward(name: string): Reward | undefined {
  return rewards.get(name);
}

export function registeredRewards(): string[] {
  return [...rewards.keys()];
}

/**
 * Every registered metric of a plan.
 *
 * @throws PartitionError usage when one is no finite number
 */
export function metricsOf(plan: Plan): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [name, value] of metrics) {
    values[name] = value(plan);
    if (!Number.isFinite(values[name]))
      throw new PartitionError('usage', `expected a finite number, found ${values[name]}`, name);
  }
  return values;
}

const PROBE: ObjectivePrice = {
  stepTimeSec: 1,
  energyJoulesPerStep: 1,
  costPerStep: 1,
  breakdown: {
    computeSec: 1,
    recomputeSec: 0,
    tensorParallelSec: 0,
    contextParallelSec: 0,
    expertParallelSec: 0,
    pipelineTransferSec: 0,
    bubbleSec: 0,
    dataParallelExposedSec: 0,
    optimizerSec: 0,
    overheadSec: 0,
  },
};

function checkName(name: string, kind: string, taken: readonly string[]): void {
  if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(name))
    throw new PartitionError(
      'usage',
      `expected a name of letters, digits, - and _ for the ${kind}, found ${JSON.stringify(name)}`,
      null,
    );
  if (taken.includes(name))
    throw new PartitionError('usage', `a ${kind} of this name is there already`, name);
}

function checkFunction(name: string, kind: string, value: unknown): void {
  if (typeof value !== 'function')
    throw new PartitionError('usage', `expected a function for the ${kind}, found ${typeof value}`, name);
}
