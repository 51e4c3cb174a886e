/**
 * Methods side by side on one problem: every method with every seed, under one budget, each run with cost tables of its
 * own; medians and quartiles over seeds, and runs of equal seed paired. Random search, greedy and `auto` with its agents
 * switched off are always among them: an agent that does not beat these is of no use.
 */
import { UNGUIDED, unguidedSolver } from '../agent/guidedSolver.js';
import { annealSolver } from '../search/anneal.js';
import { lowerBoundSec } from '../search/bound.js';
import { isTimeOnly, objectiveBoundOf } from '../search/objective.js';
import { CLASSICAL_SOLVERS, EXTERNAL_SOLVERS } from '../search/registry.js';
import type { Budget, Clock, Solver } from '../search/types.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import type { PlanProblem, Simulator } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';
import { Random } from '../util/random.js';
import { quantile } from '../util/stats.js';
import { portfolio } from './auto.js';
import { AUTO_MEMBERS, SOLVERS, solverByName } from './registry.js';

/** Work on tables and tell little of it in evaluations: runs by evaluations end after this many seconds too. */
const TABLE_METHODS: readonly string[] = ['ilp'];
const TABLE_CAP_SEC = 10;

/** `auto` with annealing in the place of its agents. */
export const AGENT_OFF = 'auto-no-agent';

/** In every comparison, asked for or not. */
export const ALWAYS_COMPARED: readonly string[] = ['random', 'greedy', AGENT_OFF];

const agentOff: Solver = portfolio(
  AGENT_OFF,
  AUTO_MEMBERS.map((m) => (isClassical(m.solver.name) ? m : { ...m, solver: annealSolver })),
);

function isClassical(name: string): boolean {
  return [...CLASSICAL_SOLVERS, ...EXTERNAL_SOLVERS].some((s) => s.name === name);
}

/** Solvers that are there to be compared with, not to be chosen. */
const CONTROLS: readonly Solver[] = [agentOff, unguidedSolver];

/** Every method that can be compared. */
export const COMPARED_METHODS: readonly string[] = [...SOLVERS, ...CONTROLS].map((s) => s.name);

/** Whether a method learns, or has members that do. */
export function isAgent(method: string): boolean {
  return SOLVERS.some((s) => s.name === method) && !isClassical(method);
}

/** The methods asked for and those that every comparison has, each once; beside the agent, the same search without its policy. */
export function withAlwaysCompared(methods: readonly string[]): string[] {
  const off = methods.includes('agent') ? [UNGUIDED] : [];
  return [...new Set([...methods, ...ALWAYS_COMPARED, ...off])];
}

/** What a comparison holds equal: evaluations, or seconds of wall time. */
export type CompareBy = 'evaluations' | 'seconds';

export interface CompareJob {
  readonly method: string;
  readonly seed: number;
  readonly by: CompareBy;
  /** Evaluations, or seconds. */
  readonly amount: number;
  /** Seconds after which a run by evaluations is ended as well; default none. */
  readonly capSec?: number;
}

/** A better plan was known after so many evaluations and seconds. */
export interface CurvePoint {
  readonly evaluations: number;
  readonly wallSec: number;
  readonly value: number;
}

export interface CompareRun extends CompareJob {
  /** Objective value of the plan found; null when none fits. */
  readonly value: number | null;
  /** Step time of that plan, seconds. */
  readonly stepTimeSec: number | null;
  readonly evaluations: number;
  readonly wallSec: number;
  /** The method saw the whole space: its plan is the best. */
  readonly exhaustive: boolean;
  readonly foundBy: string;
  readonly curve: readonly CurvePoint[];
  /** Why the method could not run (a program that it needs is not installed); null when it did. */
  readonly failure: string | null;
}

/**
 * Runs one method once. The problem must be new, or tables that an earlier run built make this one look fast.
 *
 * @param clock seconds, monotone
 * @param simulator gives the prices of the problem; default: nominal ones
 */
export async function compareRun(
  problem: PlanProblem,
  job: CompareJob,
  clock: Clock,
  simulator: Simulator = createSimulator(problem),
): Promise<CompareRun> {
  const solver = CONTROLS.find((s) => s.name === job.method) ?? solverByName(job.method);
  const budget: Budget =
    job.by === 'evaluations'
      ? { maxEvaluations: job.amount, maxSec: capOf(job) }
      : { maxEvaluations: Infinity, maxSec: job.amount };
  const curve: CurvePoint[] = [];
  const startSec = clock();
  const context = {
    problem,
    simulator,
    budget,
    clock,
    random: new Random(job.seed),
    onImprovement: ({ evaluations, value }: { evaluations: number; value: number }) => {
      curve.push({ evaluations, wallSec: clock() - startSec, value });
    },
  };
  try {
    const { best, value, evaluations, exhaustive, foundBy } = await solver.solve(context);
    const wallSec = clock() - startSec;
    // As the problem prices it, whatever was minimised.
    const stepTimeSec =
      best === null ? null : createSimulator(problem).estimate(best, createEstimate()).stepTimeSec;
    const found = { value: best === null ? null : value, stepTimeSec };
    return { ...job, ...found, evaluations, wallSec, exhaustive, foundBy, curve, failure: null };
  } catch (e) {
    if (!(e instanceof PartitionError) || e.code !== 'usage') throw e;
    const nothing = {
      value: null,
      stepTimeSec: null,
      evaluations: 0,
      wallSec: 0,
      exhaustive: false,
      foundBy: job.method,
    };
    return { ...job, ...nothing, curve: [], failure: e.line() };
  }
}

/** Seconds after which a run by evaluations ends; Infinity for most. */
function capOf({ method, capSec = Infinity }: CompareJob): number {
  return Math.min(capSec, TABLE_METHODS.includes(method) ? TABLE_CAP_SEC : Infinity);
}

function isCapped(run: CompareRun): boolean {
  return run.by === 'evaluations' && run.evaluations < run.amount && run.wallSec >= capOf(run);
}

/** One method's row: over its seeds. */
export interface MethodSummary {
  readonly method: string;
  readonly isAgent: boolean;
  /** Per seed; null where no plan fits. */
  readonly values: readonly (number | null)[];
  /** Quartiles of the values; a seed without a plan counts as infinitely bad, and an infinite quartile is null. */
  readonly lowerQuartile: number | null;
  readonly median: number | null;
  readonly upperQuartile: number | null;
  /** Share of the seeds at which no method found better; ties count for all that share it. */
  readonly wonShare: number;
  /** Share of the seeds at which it is strictly better than random search with the same seed. */
  readonly beatsRandomShare: number;
  /** Medians over seeds. */
  readonly evaluations: number;
  readonly wallSec: number;
  /** Median over the lower bound, less 1; null where the objective has no bound. */
  readonly gapToBound: number | null;
  /** Median over the best value known, less 1. */
  readonly gapToBest: number | null;
  /** Seeds at which it proved its plan the best. */
  readonly proved: number;
  /** It ended of its own accord with evaluations left: compare it by time. */
  readonly endedEarly: boolean;
  /** A limit in seconds ended at least one of its runs by evaluations. */
  readonly capped: boolean;
  /** Why it did not run; null when it did. */
  readonly failure: string | null;
}

/** Values nearer than this are equal: different sums of the same parts. */
const EQUAL = 1e-9;
/** A method that leaves more than this share of its evaluations ended of its own accord. */
const UNSPENT = 0.02;

/**
 * Rows of one comparison, best median first.
 *
 * @param runs of one problem, all by the same measure and amount
 * @param bestKnown a value found elsewhere; the best of the runs counts as well
 */
export function summarizeRuns(
  runs: readonly CompareRun[],
  lowerBound: number | null,
  bestKnown = Infinity,
): MethodSummary[] {
  const methods = [...new Set(runs.map((r) => r.method))];
  const seeds = [...new Set(runs.map((r) => r.seed))];
  const valueOf = (method: string, seed: number): number =>
    runs.find((r) => r.method === method && r.seed === seed)?.value ?? Infinity;
  const bestAt = seeds.map((seed) => Math.min(...methods.map((m) => valueOf(m, seed))));
  const best = Math.min(bestKnown, ...bestAt);
  const rows = methods.map((method): MethodSummary => {
    const own = runs.filter((r) => r.method === method);
    const values = seeds.map((seed) => valueOf(method, seed));
    const at = (q: number): number | null => finite(sortedQuantile(values, q));
    const median = at(0.5);
    const share = (won: (value: number, i: number) => boolean): number =>
      values.filter((v, i) => v !== Infinity && won(v, i)).length / seeds.length;
    return {
      method,
      isAgent: isAgent(method),
      values: values.map(finite),
      lowerQuartile: at(0.25),
      median,
      upperQuartile: at(0.75),
      wonShare: share((v, i) => v <= bestAt[i] * (1 + EQUAL)),
      beatsRandomShare: share((v, i) => v < valueOf('random', seeds[i]) * (1 - EQUAL)),
      evaluations: quantile(
        own.map((r) => r.evaluations),
        0.5,
      ),
      wallSec: quantile(
        own.map((r) => r.wallSec),
        0.5,
      ),
      gapToBound: median === null || lowerBound === null ? null : median / lowerBound - 1,
      gapToBest: median === null ? null : median / best - 1,
      proved: own.filter((r) => r.exhaustive).length,
      endedEarly: own.every(
        (r) => r.by === 'evaluations' && r.evaluations < (1 - UNSPENT) * r.amount && !isCapped(r),
      ),
      capped: own.some(isCapped),
      failure: own.find((r) => r.failure !== null)?.failure ?? null,
    };
  });
  return rows.sort((a, b) => (a.median ?? Infinity) - (b.median ?? Infinity) || a.wallSec - b.wallSec);
}

/** Quantile of values among which some may be infinite: interpolation must not make NaN of them. */
function sortedQuantile(values: readonly number[], q: number): number {
  const found = quantile(values, q);
  return Number.isNaN(found) ? Infinity : found;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Bound on the objective of every plan of the space; null when more than time counts. */
export function objectiveBound(problem: PlanProblem, maxTables?: number): number | null {
  if (!isTimeOnly(problem.objective)) return null;
  return objectiveBoundOf(problem.objective, lowerBoundSec(problem, maxTables));
}
