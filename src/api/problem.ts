/** From a model file and a cluster to the problem that solvers work on. */
import type { Calibration, Cluster } from '../cluster/index.js';
import { loadCluster } from '../cluster/index.js';
import { loadCalibration } from '../cost/calibration.js';
import { listStacks, loadStack, stackOn } from '../cost/stack.js';
import type { StackProfile } from '../cost/stack.js';
import type { Phase, Precision } from '../cost/types.js';
import type { Graph, Segmentation } from '../graph/index.js';
import { analyze } from '../graph/index.js';
import type { ModelProto } from '../model/index.js';
import { checkModel, readModel } from '../model/index.js';
import type { Objective, PlanProblem } from '../simulate/types.js';
import { modelFacts, StrategyBook } from '../strategy/index.js';
import type { SequenceParallel } from '../strategy/index.js';
import { PartitionError } from '../util/errors.js';
import { defaultGlobalBatch } from './batch.js';
import { withCostModel } from './costModel.js';
import { registeredReward, registeredRewards } from './registry.js';

/** Settings of a planning run; defaults as the command line's. The phase and bindings are settled when the model is analysed. */
export interface ProblemOptions {
  readonly devices: number;
  /** Preset name or YAML file; default `h100-sxm`. */
  readonly cluster?: string | undefined;
  /** Sequences per optimizer step; default about 4M tokens. */
  readonly batch?: number | undefined;
  /** Length bound to the sequence dimension. */
  readonly seq?: number | undefined;
  /** Values of symbolic dimensions. */
  readonly bind?: Readonly<Record<string, number>> | undefined;
  readonly phase?: Phase | undefined;
  /** Stack profile: name or YAML file; default `megatron`. */
  readonly stack?: string | undefined;
  /** Whether activations between tensor-parallel blocks are split along the sequence; default: what is faster. */
  readonly sequenceParallel?: SequenceParallel | undefined;
  /** YAML file of measured numbers that take the place of the presets'. */
  readonly calibration?: string | undefined;
  /** Default `bf16`. */
  readonly precision?: Precision | undefined;
  /** `time`, `energy`, `cost`, `utilisation`, a registered reward, or weights such as `time=0.7,energy=0.3`. */
  readonly objective?: string | undefined;
  /** Corrections of the cost tables by a plugin; default none. */
  readonly costModel?: string | undefined;
  /** Refuse operators that are not known. */
  readonly strict?: boolean | undefined;
}

/** A model ready to be planned: what it computes and how it may be cut. */
export interface AnalyzedModel {
  readonly where: string;
  readonly graph: Graph;
  readonly segmentation: Segmentation;
  readonly warnings: readonly string[];
}

/** The problem with everything it was made from. */
export interface Problem {
  readonly model: AnalyzedModel;
  readonly cluster: Cluster;
  readonly book: StrategyBook;
  readonly problem: PlanProblem;
  readonly calibration: Calibration | undefined;
  /** Name of the plugin's cost model, if any. */
  readonly costModel?: string | undefined;
  readonly warnings: readonly string[];
}

/** Names of the stack profiles that ship. */
export const STACKS: readonly string[] = listStacks();

export const PRECISIONS: readonly Precision[] = ['fp32', 'tf32', 'fp16', 'bf16', 'fp8', 'fp4'];

type ModelOptions = Pick<ProblemOptions, 'seq' | 'bind' | 'strict' | 'phase'>;

/** Reads, checks and analyses a model file. */
export function openModel(path: string, options: ModelOptions = {}): AnalyzedModel {
  return analyzeModel(readModel(path), path, options);
}

/** Checks and analyses a model in memory. */
export function analyzeModel(model: ModelProto, where: string, options: ModelOptions = {}): AnalyzedModel {
  const diagnostics = checkModel(model, where);
  const { graph, segmentation } = analyze(model, {
    where,
    ...(options.bind === undefined ? {} : { bind: options.bind }),
    ...(options.seq === undefined ? {} : { seq: options.seq }),
    ...(options.strict === undefined ? {} : { strict: options.strict }),
    ...(options.phase === undefined ? {} : { phase: options.phase }),
  });
  refuseTrainingWithCache(graph, options.phase, where);
  return {
    where,
    graph,
    segmentation,
    warnings: [...new Set([...diagnostics.map((d) => d.message), ...graph.warnings])],
  };
}

/** A graph that takes cached keys and values generates tokens; it holds no whole sequence to learn from. */
function refuseTrainingWithCache(graph: Graph, phase: Phase | undefined, where: string): void {
  if (!graph.hasCache || phase !== 'train') return;
  throw new PartitionError(
    'usage',
    '--phase train: the graph takes cached keys and values, so it generates tokens and cannot be trained',
    where,
    'export the model without a cache, or plan with --phase inference',
  );
}

/** The problem of planning a model file on a cluster. */
export function createProblem(path: string, options: ProblemOptions): Problem {
  const cluster = clusterOf(options);
  return problemOf(openModel(path, options), cluster, options);
}

/** The cluster that the options name, `devices` of it, calibrated. */
export function clusterOf(
  options: Pick<ProblemOptions, 'cluster' | 'calibration'> & { readonly devices?: number },
): Cluster {
  return loadCluster(options.cluster ?? 'h100-sxm', options.devices, calibrationOf(options));
}

function calibrationOf({ calibration }: Pick<ProblemOptions, 'calibration'>): Calibration | undefined {
  return calibration === undefined ? undefined : loadCalibration(calibration);
}

/** The problem of planning an analysed model on a loaded cluster, which the options' calibration has been laid over. */
export function problemOf(
  model: AnalyzedModel,
  cluster: Cluster,
  options: ProblemOptions & {
    /** Takes the place of `stack`. */
    readonly stackProfile?: StackProfile;
  },
): Problem {
  const { graph, segmentation } = model;
  const { phase } = graph;
  const precision = options.precision ?? 'bf16';
  const calibration = calibrationOf(options);
  const profile = options.stackProfile ?? loadStack(options.stack, [], calibration);
  const stack = stackOn(profile, cluster.groups[0].device);
  const book = new StrategyBook(graph, segmentation, cluster, {
    phase,
    precision,
    stack,
    sequenceParallel: options.sequenceParallel,
  });
  const devices = cluster.deviceCount;
  const globalBatch = options.batch ?? defaultGlobalBatch(devices, graph.sequenceLength, phase);
  const problem: PlanProblem = {
    segmentation,
    cluster,
    devices,
    phase,
    precision,
    stack,
    globalBatch,
    sequenceLength: graph.sequenceLength,
    objective: parseObjective(options.objective ?? 'time'),
    costs:
      options.costModel === undefined ? book : withCostModel(options.costModel, book, { cluster, stack }),
    ...modelFacts(book),
    tpChoices: book.tpChoices(devices),
  };
  const unused = calibration === undefined ? [] : unusedCalibration(calibration, cluster, stack.name);
  const corrected =
    options.costModel === undefined ? [] : [`priced with cost model ${options.costModel} of a plugin`];
  const warnings = [...model.warnings, ...cluster.notes, ...unused, ...corrected];
  return { model, cluster, book, problem, calibration, costModel: options.costModel, warnings };
}

/** A calibration that says nothing of what is planned for was probably meant for something else. */
function unusedCalibration(calibration: Calibration, cluster: Cluster, stack: string): string[] {
  const { devices, networks, stacks } = calibration;
  const used =
    stacks.has(stack) ||
    cluster.groups.some(({ device }) => devices.has(device.name)) ||
    networks.has(cluster.name);
  // A cluster file may build on presets of other names.
  if (used || (networks.size > 0 && !cluster.scalable)) return [];
  const known = [...devices.keys(), ...networks.keys(), ...stacks.keys()];
  return [
    `calibration ${calibration.name} holds nothing for cluster ${cluster.name} and stack ${stack}, only for ${[...new Set(known)].join(', ') || 'nothing'}`,
  ];
}

/** Terms that every objective may have. */
const TERMS = ['time', 'energy', 'cost', 'utilisation'] as const;

/**
 * `time`, or weights that add up to 1 after scaling. A term is a name of `TERMS` or of a registered reward.
 *
 * @throws PartitionError usage naming the term that is not understood
 */
export function parseObjective(text: string): Objective {
  const weights = new Map<string, number>();
  for (const term of text.split(',')) {
    const [name = '', value = '1', ...rest] = term.split('=').map((s) => s.trim());
    const weight = Number(value);
    const known = (TERMS as readonly string[]).includes(name) || registeredReward(name) !== undefined;
    if (!known || rest.length > 0 || !Number.isFinite(weight) || weight < 0 || value === '') {
      const others = registeredRewards().map((r) => `, ${r}`);
      throw new PartitionError(
        'usage',
        `expected time, energy, cost, utilisation${others.join('')} or weights such as time=0.7,energy=0.3, found ${term.trim() || 'nothing'}`,
        '--objective',
      );
    }
    weights.set(name, (weights.get(name) ?? 0) + weight);
  }
  let sum = 0;
  for (const weight of weights.values()) sum += weight;
  if (sum <= 0) throw new PartitionError('usage', 'expected at least one weight above 0', '--objective');
  const share = (name: string): number => (weights.get(name) ?? 0) / sum;
  const rewards = registeredRewards()
    .filter((name) => share(name) > 0)
    .map((name) => ({ name, weight: share(name), value: registeredReward(name)! }));
  return {
    time: share('time'),
    energy: share('energy'),
    cost: share('cost'),
    ...(share('utilisation') > 0 ? { utilisation: share('utilisation') } : {}),
    ...(rewards.length > 0 ? { rewards } : {}),
  };
}
