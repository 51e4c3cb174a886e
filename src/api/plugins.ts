/**
 * Plugins: JavaScript modules of the user's own, named with `--plugin ./file.js`. A plugin's default export is a function
 * that is given the registry and registers what it has:
 *
 *     export default (partition) => {
 *       partition.registerReward('bubble-free', (price) => 1e-3 + price.breakdown.bubbleSec / price.stepTimeSec);
 *     };
 *
 * It is called once in the main thread and once in every worker thread, so it must not depend on which one it is in. It runs
 * with the rights of the user who names it.
 *
 * | register... | what comes of it | used by |
 * |---|---|---|
 * | `Solver({ name, solve })` | a search method | `--method name`, `compare --methods` |
 * | `Expert(name, problem => plans)` | a method that prices the plans it is given, first to last | `--method name` |
 * | `Reward(name, price => number)` | a term of objectives, smaller is better, above 0 | `--objective name`, `time=0.5,name=0.5` |
 * | `Metric(name, plan => number)` | a number beside every plan | `metrics` of `--json` |
 * | `CostModel(name, (table, setting) => columns)` | corrections of the cost tables | `--cost-model name` |
 * | `Cluster(name, document)` | a preset, as a cluster file has it | `--cluster name` |
 * | `Operator(domain, opType, rule)` | an operator that is understood | models that hold it |
 * | `EmitTarget({ name, emit, ... })` | files for a launcher | `emit --target name` |
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { lookupOp, normalizeDomain } from '../ops/registry.js';
import { registerEmitTarget } from '../emit/registry.js';
import type { OpRule } from '../ops/types.js';
import { Cutter } from '../search/cutRules.js';
import { Evaluator } from '../search/evaluator.js';
import { PlanSpace } from '../search/space.js';
import { PartitionError } from '../util/errors.js';
import { registerCostModel } from './costModel.js';
import {
  registerCluster,
  registerExpert,
  registerMetric,
  registerOperator,
  registerReward,
  registerSolver,
} from './registry.js';

/** What a plugin is given. */
export const PLUGIN_REGISTRY = {
  registerSolver,
  registerExpert,
  registerReward,
  registerMetric,
  registerCostModel,
  registerCluster,
  registerOperator,
  registerEmitTarget,
  /** The rule of an operator that is known, to build another on; null: not known. */
  operatorRule: (domain: string, opType: string): OpRule | null =>
    lookupOp(normalizeDomain(domain), opType, Infinity),
  /** For solvers and experts: the space of plans, where a pipeline may be cut, and what watches a budget. */
  PlanSpace,
  Cutter,
  Evaluator,
  PartitionError,
} as const;

export type PluginRegistry = typeof PLUGIN_REGISTRY;

/** The default export of a plugin. */
export type Plugin = (registry: PluginRegistry) => void | Promise<void>;

const loaded: string[] = [];

/** Absolute paths of the plugins of this thread, in order: what another thread has to load. */
export function loadedPlugins(): readonly string[] {
  return loaded;
}

/**
 * Loads plugins in order; one that is loaded already is passed over.
 *
 * @throws PartitionError usage when a file does not exist; input when it is no plugin or fails
 */
export async function loadPlugins(paths: readonly string[]): Promise<void> {
  for (const given of paths) {
    const path = resolve(given);
    if (loaded.includes(path)) continue;
    if (!existsSync(path)) throw new PartitionError('usage', `no such file: ${given}`, '--plugin');
    const register = await registerOf(path, given);
    try {
      await register(PLUGIN_REGISTRY);
    } catch (error) {
      if (error instanceof PartitionError)
        throw new PartitionError(
          error.code,
          `${error.where ?? 'plugin'}: ${error.message}`,
          given,
          error.hint,
        );
      throw failed(error, given);
    }
    loaded.push(path);
  }
}

async function registerOf(path: string, given: string): Promise<Plugin> {
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (error) {
    throw failed(error, given);
  }
  if (typeof module.default !== 'function')
    throw new PartitionError(
      'input',
      `expected a default export that is a function of the registry, found ${module.default === undefined ? 'none' : typeof module.default}`,
      given,
      'export default (partition) => { partition.registerReward(...) }',
    );
  return module.default as Plugin;
}

function failed(error: unknown, given: string): PartitionError {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new PartitionError('input', `the plugin failed: ${text}`, given);
}
