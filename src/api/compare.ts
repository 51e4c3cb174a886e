/** Comparing methods on one model and cluster: what runs in a thread, and what is made of the runs. */
import type { CompareBy, CompareJob, CompareRun, MethodSummary } from '../portfolio/compare.js';
import { compareRun, objectiveBound, summarizeRuns, withAlwaysCompared } from '../portfolio/compare.js';
import type { JobsFacts } from '../report/compareJobs.js';
import type { Clock } from '../search/types.js';
import { PartitionError } from '../util/errors.js';
import type { AnalyzedModel, Problem, ProblemOptions } from './problem.js';
import { clusterOf, openModel, problemOf } from './problem.js';
import type { RobustRequest } from './robust.js';
import { robustSimulator } from './robust.js';

export {
  AGENT_OFF,
  ALWAYS_COMPARED,
  COMPARED_METHODS,
  isAgent,
  summarizeRuns,
} from '../portfolio/compare.js';
export type { CompareBy, CompareJob, CompareRun, CurvePoint, MethodSummary } from '../portfolio/compare.js';

/** Tables that the lower bound may build. */
const BOUND_TABLES = 2048;

export interface CompareRequest extends ProblemOptions {
  readonly modelPath: string;
  /** Random search, greedy and `auto` without agents are added. */
  readonly methods: readonly string[];
  readonly seeds: readonly number[];
  /** Evaluations of a run, seconds of a run, or both: then every method runs twice for each seed. */
  readonly maxEvaluations?: number | undefined;
  readonly maxSec?: number | undefined;
  /** Rank by a quantile of the step time over draws, the same for all runs; default: the nominal objective. */
  readonly robust?: RobustRequest | undefined;
}

/** Of the draws of a robust comparison: all methods and seeds are judged by the same. */
const DRAWS_SEED = 0;

type ComparisonOptions = ProblemOptions & Pick<CompareRequest, 'robust'>;

/** What a comparison is of. */
export interface CompareSetting {
  readonly model: string;
  readonly devices: number;
  readonly cluster: string;
  readonly objective: string;
  readonly globalBatch: number;
  readonly sequenceLength: number;
  /** Values are the quantile of the step time that this share of the draws exceeds; absent: nominal. */
  readonly robust?: { readonly slowerShare: number; readonly draws: number };
  /** No plan is below it; null where more than time counts. */
  readonly lowerBound: number | null;
  readonly warnings: readonly string[];
}

/** What `partition compare --json` prints. */
export interface Comparison extends CompareSetting {
  readonly seeds: readonly number[];
  readonly best: { readonly value: number; readonly method: string; readonly seed: number } | null;
  readonly comparisons: readonly {
    readonly by: CompareBy;
    /** Evaluations, or seconds, of one run. */
    readonly amount: number;
    readonly methods: readonly MethodSummary[];
  }[];
  /** With `--mtbf`: the best plan of every method as a job. */
  readonly goodput?: JobsFacts;
}

/** Runs jobs on one analysed model; every run has a problem, and so cost tables, of its own. */
export class ComparisonRunner {
  private readonly options: ComparisonOptions;

  constructor(
    private readonly model: AnalyzedModel,
    options: ComparisonOptions,
  ) {
    this.options = options;
  }

  static open(request: CompareRequest): ComparisonRunner {
    return new ComparisonRunner(openModel(request.modelPath, request), request);
  }

  run(job: CompareJob, clock: Clock): Promise<CompareRun> {
    const { problem, simulator } = this.searched();
    return compareRun(problem, job, clock, simulator);
  }

  setting(): CompareSetting {
    const { cluster, warnings } = this.problem();
    const { problem } = this.searched();
    const { robust } = this.options;
    return {
      model: this.model.where.split(/[\\/]/).pop()!,
      devices: problem.devices,
      cluster: cluster.name,
      objective: this.options.objective ?? 'time',
      globalBatch: problem.globalBatch,
      sequenceLength: problem.sequenceLength,
      ...(robust === undefined ? {} : { robust: { slowerShare: robust.share, draws: robust.draws } }),
      lowerBound: objectiveBound(problem, BOUND_TABLES),
      warnings,
    };
  }

  /** A problem of its own, with what prices it. */
  private searched(): ReturnType<typeof robustSimulator> {
    return robustSimulator(this.problem().problem, this.options.robust, DRAWS_SEED);
  }

  private problem(): Problem {
    return problemOf(this.model, clusterOf(this.options), this.options);
  }
}

/** Every run of a comparison: by measure, seed, method. */
export function compareJobs(request: CompareRequest): CompareJob[] {
  const methods = withAlwaysCompared(request.methods);
  return measures(request).flatMap(({ by, amount }) =>
    request.seeds.flatMap((seed) => methods.map((method) => ({ method, seed, by, amount }))),
  );
}

function measures({
  maxEvaluations,
  maxSec,
}: CompareRequest): { readonly by: CompareBy; readonly amount: number }[] {
  return [
    ...(maxEvaluations === undefined ? [] : [{ by: 'evaluations' as const, amount: maxEvaluations }]),
    ...(maxSec === undefined ? [] : [{ by: 'seconds' as const, amount: maxSec }]),
  ];
}

/**
 * What the runs say.
 *
 * @throws PartitionError infeasible when no run found a plan that fits
 */
export function comparisonOf(
  setting: CompareSetting,
  request: CompareRequest,
  runs: readonly CompareRun[],
): Comparison {
  const found = runs.filter((r) => r.value !== null);
  if (found.length === 0)
    throw new PartitionError(
      'infeasible',
      `no method found a plan that fits ${setting.devices} devices`,
      request.modelPath,
      'partition <model.onnx> --devices N says what is missing',
    );
  const first = found.reduce((a, b) => (b.value! < a.value! ? b : a));
  return {
    ...setting,
    seeds: request.seeds,
    best: { value: first.value!, method: first.method, seed: first.seed },
    comparisons: measures(request).map(({ by, amount }) => ({
      by,
      amount,
      methods: summarizeRuns(
        runs.filter((r) => r.by === by),
        setting.lowerBound,
        first.value!,
      ),
    })),
  };
}
