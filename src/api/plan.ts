/** Planning: from a request to a plan, and the files and tables a plan is shown in. */
import { backendInUse } from '../agent/index.js';
import { statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { PlanSpace, lowerBoundSec } from '../search/index.js';
import { objectiveBoundOf } from '../search/objective.js';
import type { Budget, Clock, SearchContext } from '../search/types.js';
import { buildPlan } from '../plan/build.js';
import { describeDegrees } from '../parallel/degrees.js';
import { shardKeyOf } from '../plan/candidate.js';
import { encodePlan } from '../plan/codec.js';
import type { TrillionTokens } from '../cost/energy.js';
import type { Candidate, Plan, PlanDegrees, PlanRobust, TensorSharding } from '../plan/types.js';
import { validatePlan } from '../plan/validate.js';
import { SOLVERS, solverByName } from '../portfolio/index.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import { explain } from '../simulate/explain.js';
import { ClockLevels } from '../simulate/frequencyCurves.js';
import type { PlanProblem } from '../simulate/types.js';
import type { GoodputFacts } from '../report/goodputTable.js';
import type { RiskFacts } from '../report/riskTable.js';
import { explanationFacts } from '../report/explanationTable.js';
import { pictureFacts } from '../report/terminalPicture.js';
import type { PictureFacts } from '../report/terminalPicture.js';
import { describeStrategy, roleName, tensorLayouts } from '../strategy/index.js';
import { PartitionError } from '../util/errors.js';
import { unwritable, writeFileAtomic } from '../util/files.js';
import { Random } from '../util/random.js';
import { stepTimeInterval } from '../validation/intervals.js';
import type { ClockMethod } from './frequency.js';
import { clocksOf, schedulesBy, withFrequency } from './frequency.js';
import { infeasibleError } from './infeasible.js';
import type { Problem, ProblemOptions } from './problem.js';
import { createProblem } from './problem.js';
import { recordSearch } from './record.js';
import { metricsOf } from './registry.js';
import type { RobustRequest } from './robust.js';
import { nominalFirst, robustFacts, robustSimulator } from './robust.js';
import type { RiskFlags } from './risk.js';

export interface PlanRequest extends ProblemOptions {
  readonly modelPath: string;
  /** Default `auto`. */
  readonly method?: string;
  /** Policy of `partition train` to start from in place of the one that ships (methods agent, policy and ppo). */
  readonly checkpoint?: string | undefined;
  /** Default 10 s. */
  readonly budget?: Budget;
  /** Default 0. */
  readonly seed?: number;
  /** How clocks are worked out that cost no time; default: everything at full clock. */
  readonly clocks?: ClockMethod | undefined;
  /** Minimise a quantile of the step time over draws of what is uncertain; default: the nominal step time. */
  readonly robust?: RobustRequest | undefined;
  /** Keep every priced plan in this file. */
  readonly record?: string | undefined;
  /** What fails and by when the job should end: planning does not read it; run.json keeps it for the report. */
  readonly failures?: RiskFlags | undefined;
}

export interface PlanHooks {
  /** Seconds, monotone; used for the time budget only. */
  readonly clock: Clock;
  /** Told what is going on, and the best plan so far. */
  readonly onProgress?: (text: string, best: { stepTimeSec: number; text: string } | null) => void;
}

/** A plan and how it was found. Plain data: crosses threads. */
export interface PlanReply {
  readonly plan: Plan;
  /** What every stage does with the step and its memory. */
  readonly picture: PictureFacts;
  readonly evaluations: number;
  readonly wallSec: number;
}

/** What `partition <model> --json` prints. */
export interface PlanSummary {
  readonly planPath: string;
  /** The record of the search, if one was asked for. */
  readonly recordPath: string | null;
  readonly method: string;
  readonly foundBy: string;
  readonly evaluations: number;
  readonly wallSec: number;
  readonly devices: number;
  readonly degrees: PlanDegrees;
  readonly zeroStage: number;
  readonly schedule: string;
  readonly microbatch: number;
  readonly microbatches: number;
  readonly globalBatch: number;
  readonly sequenceLength: number;
  readonly stepTimeSec: number;
  /** Four of five runs are expected within; null for inference, of which no run was measured. */
  readonly stepTimeInterval: { readonly lowSec: number; readonly highSec: number } | null;
  readonly lowerBoundSec: number;
  readonly planBoundSec: number;
  readonly optimalInSpace: boolean;
  readonly tokensPerSec: number;
  readonly mfu: number;
  readonly hfu: number;
  readonly flopConvention: 'causal' | 'full';
  readonly peakMemoryBytes: number;
  readonly memoryCapacityBytes: number;
  readonly energyJoulesPerStep: number;
  /** What the plan's clocks by task save, by the engine; null: everything at full clock. */
  readonly clocks: {
    readonly stepTimeSec: number;
    readonly energyJoulesPerStep: number;
    readonly fullStepTimeSec: number;
    readonly fullEnergyJoulesPerStep: number;
  } | null;
  /** Absent: the nominal step time was minimised. */
  readonly robust?: PlanRobust;
  /** US dollars; null where the cluster has no price. */
  readonly costPerStep: number | null;
  /** Null where the model reads no tokens. */
  readonly perTrillionTokens: TrillionTokens | null;
  readonly warnings: readonly string[];
  /** What was registered with `registerMetric`; absent: nothing. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** Absent: nothing was said of failures, of a deadline or a cost. */
  readonly goodput?: GoodputFacts;
  readonly risk?: RiskFacts;
}

/** Search methods by name. */
export const METHODS: readonly string[] = SOLVERS.map((s) => s.name);

export const DEFAULT_BUDGET: Budget = { maxSec: 10, maxEvaluations: Infinity };

/** Cost tables that the lower bound may build; beyond them it falls back to peak rates, which still holds. */
const BOUND_TABLES = 2048;

/** A search may go on this long to prove that its plan is the best, seconds; then a plan this close to the bound will do. */
const PROOF_SEC = 2.5;
const SETTLED_GAP = 1e-3;

/** Share of a time budget kept for pricing, judging and writing the plan; reading the model counts against it too. */
const FINISHING_SHARE = 0.3;
/** A search gets at least this share, however long the model took to read. */
const LEAST_SEARCH_SHARE = 0.2;

/**
 * Plans a model.
 *
 * @throws PartitionError input or usage for what the user can mend; infeasible, saying what is missing, when no plan fits
 */
export async function planModel(request: PlanRequest, hooks: PlanHooks): Promise<PlanReply> {
  const started = hooks.clock();
  hooks.onProgress?.(`reading ${request.modelPath}`, null);
  const problem = createProblem(request.modelPath, request);
  if (problem.model.segmentation.segmentCount === 0) throw nothingToPlan(request);
  const method = request.method ?? 'auto';
  const seed = request.seed ?? 0;
  const { problem: searched, simulator } = robustSimulator(problem.problem, request.robust, seed);
  const solver = nominalFirst(solverByName(method, request.checkpoint), problem.problem, request.robust);
  hooks.onProgress?.(`searching with ${method}`, null);
  const budget = searchBudget(request.budget ?? DEFAULT_BUDGET, hooks.clock() - started);
  const settled = new Settled(searched, hooks.clock());
  const context: SearchContext = {
    problem: searched,
    simulator,
    budget,
    // A budget in evaluations alone must not depend on time.
    clock: budget.maxSec === Infinity ? hooks.clock : () => settled.time(hooks.clock()),
    random: new Random(seed),
    onImprovement: (r) => {
      if (r.best === null) return;
      const stepTimeSec = simulator.estimate(r.best, createEstimate()).stepTimeSec;
      settled.bestSec = stepTimeSec;
      const text = describeDegrees(r.best);
      const backend = backendInUse();
      const where = backend === null ? '' : `, networks on ${backend}`;
      hooks.onProgress?.(`searching with ${method}${where}: ${r.evaluations} plans priced, best ${text}`, {
        stepTimeSec,
        text,
      });
    },
  };
  const result = await (request.record === undefined
    ? solver.solve(context)
    : recordSearch(request.record, problem, request, (recording) =>
        solver.solve({ ...context, simulator: recording(simulator) }),
      ));
  if (result.best === null) throw infeasibleError(problem, result.nearest, request);
  if (simulator.estimate(result.best, createEstimate()).stepTimeSec === 0) throw nothingToPlan(request);
  const plan = planOf(problem, result.best, request.modelPath, {
    objective: request.objective ?? 'time',
    // A space seen whole for a quantile says nothing of the nominal best.
    optimalInSpace: result.exhaustive && request.robust === undefined,
    foundBy: { method, member: result.foundBy, seed, evaluations: result.evaluations },
  });
  const picture = pictureOf(problem.problem, result.best);
  const faults = validatePlan(plan, problem.model.graph, problem.cluster, problem.model.segmentation);
  if (faults.length > 0) throw new Error(`internal: the plan fails its own judge: ${faults[0]}`);
  const clocked =
    request.clocks === undefined ? plan : await withClocks(request.clocks, problem, result.best, plan, hooks);
  const robust = request.robust && { ...request.robust, seed };
  if (robust !== undefined)
    clocked.robust = robustFacts(problem.problem, result.best, robust, result.exhaustive, BOUND_TABLES);
  return { plan: clocked, evaluations: result.evaluations, wallSec: hooks.clock() - started, picture };
}

async function withClocks(
  method: ClockMethod,
  { problem }: Problem,
  best: Candidate,
  plan: Plan,
  hooks: PlanHooks,
): Promise<Plan> {
  hooks.onProgress?.(`clocks by task (${method})`, null);
  const levels = new ClockLevels(problem);
  const clocks = await schedulesBy(method, levels, best, plan.foundBy.seed, false);
  return withFrequency(plan, clocksOf(levels, best, clocks, clocks.schedules[0]));
}

function pictureOf(problem: PlanProblem, best: Candidate): PictureFacts {
  const explanation = explain(problem, best);
  const { ranks, estimate } = explanation;
  return pictureFacts(
    explanationFacts(explanation),
    estimate.stepTimeSec,
    ranks.map((r) => r.memory),
  );
}

/** Time runs out early for a search by the clock whose best plan is as good as any plan can be. */
class Settled {
  bestSec = Infinity;
  private boundSec: number | null = null;

  constructor(
    private readonly problem: PlanProblem,
    private readonly startSec: number,
  ) {}

  /** The clock's time, or the end of time. */
  time(nowSec: number): number {
    if (this.problem.objective.time < 1 || nowSec - this.startSec < PROOF_SEC) return nowSec;
    this.boundSec ??= objectiveBoundOf(this.problem.objective, lowerBoundSec(this.problem, BOUND_TABLES));
    return this.bestSec <= this.boundSec * (1 + SETTLED_GAP) ? Infinity : nowSec;
  }
}

function nothingToPlan({ modelPath }: PlanRequest): PartitionError {
  return new PartitionError('infeasible', 'nothing to plan: the graph does no work', modelPath);
}

/** What is left of the budget for the search once the model is read. */
function searchBudget(budget: Budget, spentSec: number): Budget {
  if (budget.maxSec === Infinity) return budget;
  const left = budget.maxSec * (1 - FINISHING_SHARE) - spentSec;
  return { ...budget, maxSec: Math.max(left, budget.maxSec * LEAST_SEARCH_SHARE) };
}

/** A candidate written out as a plan. */
export function planOf(
  { model, problem, book, calibration, costModel, warnings }: Problem,
  best: Candidate,
  modelPath: string,
  origin: { objective: string; optimalInSpace: boolean; foundBy: Plan['foundBy'] },
): Plan {
  const estimate = createSimulator(problem).estimate(best, createEstimate());
  const key = shardKeyOf(best, 0);
  const strategies = book.strategies(key);
  const boundSec = lowerBoundSec(problem, BOUND_TABLES);
  if (costModel !== undefined && estimate.stepTimeSec < boundSec)
    throw new PartitionError(
      'input',
      `prices a step of ${estimate.stepTimeSec} s, and devices at their peak take ${boundSec} s`,
      `cost model ${costModel}`,
      'its columns take devices for faster than they are',
    );
  return buildPlan(best, estimate, model.graph, problem, {
    modelName: modelPath.split(/[\\/]/).pop()!,
    objective: origin.objective,
    classStrategies: strategies.map(describeStrategy),
    sequenceParallel: strategies.some((s) => s.boundary === 'sequence'),
    shardings: shardingsOf(
      model.graph,
      tensorLayouts(model.graph, model.segmentation, strategies, key, best.dpReplicate * best.dpShard),
    ),
    flopConvention: model.segmentation.blocks.some((b) => b.causal) ? 'causal' : 'full',
    lowerBoundSec: boundSec,
    optimalInSpace: origin.optimalInSpace,
    space: new PlanSpace(problem).describe(),
    foundBy: origin.foundBy,
    calibration,
    warnings,
  });
}

function shardingsOf(
  graph: Problem['model']['graph'],
  layouts: ReturnType<typeof tensorLayouts>,
): TensorSharding[] {
  return layouts.map(({ tensor, dims, blocks, copies }) => ({
    tensor: graph.tensorName[tensor],
    role: roleName(graph, tensor),
    shape: Array.from(graph.shapeDim.subarray(graph.shapeStart[tensor], graph.shapeStart[tensor + 1])),
    dims,
    ...(blocks.some((b) => b > 1) ? { blocks } : {}),
    ...(copies.some((c) => c > 1) ? { copies } : {}),
  }));
}

/**
 * Writes plan.json (the plan, byte-stable) and run.json (when, where, how long) into the folder; the summary.
 *
 * @param command the command line that asked for it, kept in run.json
 */
export function writePlanFiles(
  reply: PlanReply,
  request: PlanRequest,
  folder: string,
  command?: string,
): PlanSummary {
  checkFolder(folder);
  const planPath = join(folder, 'plan.json');
  const summary = summarize(reply, planPath, request.record ?? null);
  writeFileAtomic(planPath, encodePlan(reply.plan));
  const run = {
    ...(command === undefined ? {} : { command }),
    model: request.modelPath,
    host: hostname(),
    date: new Date().toISOString(),
    wallSec: reply.wallSec,
    evaluations: reply.evaluations,
    request,
  };
  writeFileAtomic(join(folder, 'run.json'), `${JSON.stringify(run, null, 2)}\n`);
  return summary;
}

function checkFolder(folder: string): void {
  try {
    if (!statSync(folder).isDirectory()) throw unwritable(folder, { code: 'it is a file' });
  } catch (e) {
    if (e instanceof PartitionError) throw e;
  }
}

function clocksFacts({ frequency }: Plan): PlanSummary['clocks'] {
  if (frequency === undefined) return null;
  const { stepTimeSec, energyJoulesPerStep, fullStepTimeSec, fullEnergyJoulesPerStep } = frequency;
  return { stepTimeSec, energyJoulesPerStep, fullStepTimeSec, fullEnergyJoulesPerStep };
}

export function summarize(
  { plan, evaluations, wallSec }: PlanReply,
  planPath: string,
  recordPath: string | null = null,
): PlanSummary {
  const { prediction: p } = plan;
  const metrics = metricsOf(plan);
  return {
    planPath,
    recordPath,
    method: plan.foundBy.method,
    foundBy: plan.foundBy.member,
    evaluations,
    wallSec,
    devices: plan.cluster.devices,
    degrees: plan.degrees,
    zeroStage: plan.zeroStage,
    schedule: plan.schedule,
    microbatch: plan.microbatch,
    microbatches: plan.microbatches,
    globalBatch: plan.globalBatch,
    sequenceLength: plan.sequenceLength,
    stepTimeSec: p.stepTimeSec,
    stepTimeInterval: stepTimeInterval(p.stepTimeSec, {
      stack: plan.stack,
      cluster: plan.cluster.name,
      phase: plan.phase,
    }),
    lowerBoundSec: plan.lowerBoundSec,
    planBoundSec: plan.planBoundSec,
    optimalInSpace: plan.optimalInSpace,
    tokensPerSec: p.tokensPerSec,
    mfu: p.mfu,
    hfu: p.hfu,
    flopConvention: p.flopConvention,
    peakMemoryBytes: p.peakMemoryBytes,
    memoryCapacityBytes: p.memoryCapacityBytes,
    energyJoulesPerStep: p.energyJoulesPerStep,
    clocks: clocksFacts(plan),
    ...(plan.robust === undefined ? {} : { robust: plan.robust }),
    costPerStep: p.costPerStep,
    perTrillionTokens: p.perTrillionTokens ?? null,
    warnings: plan.warnings,
    ...(Object.keys(metrics).length > 0 ? { metrics } : {}),
  };
}
