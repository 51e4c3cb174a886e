/**
 * The plugin registry: what users add, by name. A reward becomes a term of objectives, an expert or solver a search method,
 * a metric a number of plan summaries, a cluster a preset, an operator one that is known; cost models are in `costModel`.
 * Holds for the process (or worker thread) that registers: `plugins` loads one file in all of them.
 */
import { clusterOfDocument } from '../cluster/index.js';
import { presetFolder } from '../cluster/document.js';
import { normalizeDomain, registerOp } from '../ops/registry.js';
import type { OpRule } from '../ops/types.js';
import { checkCandidate } from '../plan/candidate.js';
import type { Candidate, Plan } from '../plan/types.js';
import { registerSolver as addSolver, solverNames } from '../portfolio/index.js';
import { Evaluator } from '../search/evaluator.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
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

/**
 * Adds a search method: it prices candidates with the context's simulator, each counting as an evaluation of the budget.
 *
 * @throws PartitionError usage when the name is taken or no name
 */
export function registerSolver(solver: Solver): void {
  checkName(solver.name, 'method', solverNames());
  checkFunction(solver.name, 'method', (solver as { readonly solve?: unknown }).solve);
  addSolver(solver);
}

/** @throws PartitionError usage when the name is taken or no name */
export function registerExpert(name: string, propose: Expert): void {
  checkName(name, 'expert', solverNames());
  checkFunction(name, 'expert', propose);
  addSolver({
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

/**
 * Adds a cluster preset.
 *
 * @param document content of a cluster file
 * @throws PartitionError usage when the name is taken or no name; input, naming the field, when the document is no cluster
 */
export function registerCluster(name: string, document: unknown): void {
  const presets = presetFolder('clusters');
  const known = presets.find(name);
  checkName(name, 'cluster', known === undefined ? [] : [name]);
  clusterOfDocument(document, name, 1);
  presets.add(name.toLowerCase(), document);
}

/**
 * Adds an operator: its shape rule, and its work, factors and gradients where the defaults of `OpRule` do not do.
 *
 * @param domain as in the model's opset imports; `''` for the default domain
 * @throws PartitionError usage when there is one already or the rule infers nothing
 */
export function registerOperator(domain: string, opType: string, rule: OpRule): void {
  checkName(opType, 'operator', []);
  checkFunction(opType, 'operator', (rule as { readonly infer?: unknown } | undefined)?.infer);
  if (!registerOp(normalizeDomain(domain), opType, rule)) throw taken(opType, 'operator');
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

/** @throws PartitionError usage when it is no name, or among those */
export function checkName(name: string, kind: string, others: readonly string[]): void {
  if (typeof name !== 'string' || !/^[A-Za-z][A-Za-z0-9_-]*$/.test(name))
    throw new PartitionError(
      'usage',
      `expected a name of letters, digits, - and _ for the ${kind}, found ${JSON.stringify(name)}`,
      null,
    );
  if (others.includes(name)) throw taken(name, kind);
}

function taken(name: string, kind: string): PartitionError {
  return new PartitionError('usage', `a ${kind} of this name is there already`, name);
}

/** @throws PartitionError usage when it is none */
export function checkFunction(name: string, kind: string, value: unknown): void {
  if (typeof value !== 'function')
    throw new PartitionError('usage', `expected a function for the ${kind}, found ${typeof value}`, name);
}
