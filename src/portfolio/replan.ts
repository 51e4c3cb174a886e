/**
 * Planning again for a job that runs: which of the devices that are left to use is a decision too, because degrees must
 * divide. Counts are looked at from the largest down; each gets a short search, the best few the rest of the time.
 */
import { createGuidedSolver } from '../agent/guidedSolver.js';
import type { PolicySource } from '../agent/pretrained.js';
import { SHIPPED } from '../agent/pretrained.js';
import { checkCandidate, devicesPerStage, withNearestLeanness } from '../plan/candidate.js';
import { divisors } from '../parallel/degrees.js';
import type { Candidate } from '../plan/types.js';
import { annealSolver } from '../search/anneal.js';
import { Evaluator } from '../search/evaluator.js';
import { planInstead } from '../search/instead.js';
import { PlanSpace } from '../search/space.js';
import type { Budget, Clock, Solver } from '../search/types.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import type { PlanProblem, Simulator } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';
import { dynamicSolver } from '../search/dynamic.js';
import { solverByName } from './registry.js';
import type { Random } from '../util/random.js';

/** A method with its share of the time; each goes on from the best plan that is known by then. */
export interface ReplanMember {
  readonly solver: Solver;
  readonly share: number;
}

/** How a job is planned again: who looks at every count of devices, and who goes on with the best ones. */
export interface ReplanMethod {
  readonly scouts: readonly ReplanMember[];
  readonly members: readonly ReplanMember[];
}

/**
 * For decisions within a second. Dynamic programming and the agent's race over meshes look at every count; then the agent
 * walks from the best plan, with no race and as cool as a late cycle, and annealing does.
 */
function warmMethod(source: PolicySource): ReplanMethod {
  return {
    scouts: [
      { solver: dynamicSolver, share: 0.4 },
      { solver: createGuidedSolver({ raceShare: 0.6, hottest: 0.09 }, source), share: 0.6 },
    ],
    members: [
      { solver: createGuidedSolver({ raceShare: 0, hottest: 0.09 }, source), share: 0.35 },
      { solver: annealSolver, share: 0.65 },
    ],
  };
}

export const WARM_METHOD: ReplanMethod = warmMethod(SHIPPED);

/** The same with the policy switched off: it draws where the policy would choose. */
export const UNGUIDED_METHOD: ReplanMethod = warmMethod({ kind: 'none' });

/** A method by itself. */
export function alone(solver: Solver): ReplanMethod {
  const members = [{ solver, share: 1 }];
  return { scouts: members, members };
}

/** By `auto` everybody plans again, by any other name that method alone. */
export function replanMethod(name: string): ReplanMethod {
  return name === 'auto' ? WARM_METHOD : alone(solverByName(name));
}

/** A plan on some of the devices that are there. */
export interface Standing {
  readonly devices: number;
  readonly candidate: Candidate;
  /** Objective value (seconds a step when the objective is time). */
  readonly value: number;
  readonly stepTimeSec: number;
  readonly foundBy: string;
}

/** The problem on so many of the devices that are there; the same number gives the same object. */
export type ProblemsByCount = (devices: number) => PlanProblem;

/** What one method did in a search over counts. */
export interface ReplanFind {
  readonly method: string;
  readonly evaluations: number;
  /** Best objective value that it came to, from whatever plan it began; Infinity: none. */
  readonly value: number;
  /** Devices of that plan; 0: none. */
  readonly devices: number;
}

/** Counts looked at, and the least share of the devices that is worth a look. */
const MOST_COUNTS = 5;
const LEAST_SHARE = 0.5;
/** Share of the budget of the first look at all counts, and counts that get the rest, each half of what is left. */
const LOOK_SHARE = 0.6;
const FINALISTS = 2;
/** A count whose best plan is this much slower than the best of all gets no more time. */
const MOST_BEHIND = 1.1;
/** The look at a count that the rule of thumb puts 10 % behind gets a third of the time. */
const LOOK_POWER = 12;
/** A count is passed over when a rule of thumb puts its step so far above that of the best count. */
const MOST_SLOWER = 1.35;

/**
 * Counts of devices that the plan space has meshes for, the most promising first by a rule of thumb. Whole hosts are left
 * out, never parts of them, unless there are few.
 */
export function usableCounts(problem: PlanProblem, available: number): number[] {
  return promisingCounts(problem, available).map((f) => f.devices);
}

/** Counts with what the rule of thumb says of them. */
function promisingCounts(problem: PlanProblem, available: number): { devices: number; roughly: number }[] {
  const perHost = problem.cluster.groups[0].devicesPerHost;
  const granule = available >= 4 * perHost ? perHost : 1;
  const found: { devices: number; roughly: number }[] = [];
  for (let n = available; n >= LEAST_SHARE * available; n--)
    if (n === available || n % granule === 0) found.push({ devices: n, roughly: roughStep(problem, n) });
  const legal = found.filter((f) => f.roughly < Infinity).sort((a, b) => a.roughly - b.roughly);
  return legal.filter((f) => f.roughly <= MOST_SLOWER * legal[0].roughly).slice(0, MOST_COUNTS);
}

/**
 * What the best mesh of so many devices comes to, in devices' shares of one step: one over the devices, times how uneven
 * the stages must be, times the pipeline's bubble. Infinity where there is no mesh.
 */
function roughStep(problem: PlanProblem, devices: number): number {
  const { segmentation, globalBatch } = problem;
  const segments = segmentation.segmentCount;
  let best = Infinity;
  for (const { pp, dp } of new PlanSpace(devices === problem.devices ? problem : { ...problem, devices })
    .meshes) {
    const uneven = (Math.ceil(segments / pp) * pp) / segments;
    const microbatches = globalBatch / dp;
    const value = (uneven * (microbatches + pp - 1)) / (microbatches * devices);
    if (value < best) best = value;
  }
  return best;
}

/**
 * The running decisions on what is left, nothing but the number of replicas changed: as many as there were, or the most
 * that the devices and the batch allow. Null when not one replica fits.
 *
 * @param mostReplicas replicas that may come back when devices do
 */
export function keptPlan(
  problems: ProblemsByCount,
  available: number,
  running: Candidate,
  mostReplicas = running.dpReplicate * running.dpShard,
): Standing | null {
  const replica = devicesPerReplica(running);
  const most = Math.min(mostReplicas, Math.floor(available / replica));
  for (let dp = most; dp >= 1; dp--) {
    const devices = dp * replica;
    const whole = problems(available);
    if (whole.globalBatch % dp !== 0) continue;
    const problem = problems(devices);
    const candidate = withReplicas(problem, running, dp);
    if (candidate === null) continue;
    const estimate = createSimulator(problem, true).estimate(candidate, createEstimate());
    if (!estimate.fits) continue;
    const { stepTimeSec } = estimate;
    return { devices, candidate, value: stepTimeSec, stepTimeSec, foundBy: 'keep' };
  }
  return null;
}

function devicesPerReplica(c: Candidate): number {
  return (devicesPerStage(c) * c.pp) / (c.dpReplicate * c.dpShard);
}

/** The same decisions with another number of replicas; the microbatch gives way where it no longer divides. */
function withReplicas(problem: PlanProblem, running: Candidate, dp: number): Candidate | null {
  const c = withNearestLeanness(problem.costs, running);
  if (dp === c.dpReplicate * c.dpShard) return checkCandidate(problem, c) === null ? c : null;
  const dpShard = c.dpShard === 1 ? 1 : dp % c.dpShard === 0 ? c.dpShard : dp;
  const sizes = divisors(problem.globalBatch / dp).filter((m) => m <= c.microbatch);
  for (const microbatch of sizes.reverse()) {
    const changed = { ...c, dpShard, dpReplicate: dp / dpShard, microbatch };
    if (checkCandidate(problem, changed) === null) return changed;
  }
  return null;
}

export interface ReplanSearch {
  /** Of the whole decision. */
  readonly budget: Budget;
  readonly clock: Clock;
  readonly random: Random;
  /** Decisions to start from, adapted to every count where they can be; none: from scratch. */
  readonly warmStart?: Candidate | undefined;
}

/** What a search over counts came to. */
export interface ReplanResult {
  readonly best: Standing | null;
  readonly evaluations: number;
  /** Counts looked at, in order. */
  readonly counts: readonly number[];
  /** Who found what, in the order in which they ran. */
  readonly finds: readonly ReplanFind[];
}

interface Look {
  readonly devices: number;
  readonly problem: PlanProblem;
  readonly simulator: Simulator;
  best: Candidate | null;
  value: number;
  foundBy: string;
}

/** The best plan that a method finds on any usable number of devices. */
export async function replanWith(
  { scouts, members }: ReplanMethod,
  problems: ProblemsByCount,
  available: number,
  search: ReplanSearch,
): Promise<ReplanResult> {
  const { budget, clock } = search;
  const timed = budget.maxSec !== Infinity;
  const startSec = timed ? clock() : 0;
  const leftSec = (): number => (timed ? budget.maxSec - (clock() - startSec) : Infinity);
  let evaluations = 0;
  const counted = budget.maxEvaluations !== Infinity;
  const leftEvaluations = (): number => budget.maxEvaluations - evaluations;
  const tally = new Map<string, ReplanFind>();
  const count = (method: string, spent: number, value: number, devices: number): void => {
    evaluations += spent;
    const known = tally.get(method) ?? { method, evaluations: 0, value: Infinity, devices: 0 };
    const better = value < known.value ? { value, devices } : {};
    tally.set(method, { ...known, ...better, evaluations: known.evaluations + spent });
  };
  const counts = promisingCounts(problems(available), available);
  const weights = counts.map(({ roughly }) => (counts[0].roughly / roughly) ** LOOK_POWER);
  const allWeights = weights.reduce((a, b) => a + b, 0);
  const looks: Look[] = [];
  const run = async (by: Solver, look: Look, part: Budget): Promise<void> => {
    const start = search.warmStart === undefined ? null : look.best;
    const result = await by.solve({
      problem: look.problem,
      simulator: look.simulator,
      budget: part,
      clock,
      random: search.random.clone(),
      ...(start === null ? {} : { start }),
    });
    count(by.name, result.evaluations, result.best === null ? Infinity : result.value, look.devices);
    take(look, result.best, result.value, result.foundBy);
  };
  // Members share what is left, but for what those after them keep.
  const runAll = async (all: readonly ReplanMember[], look: Look, share: number): Promise<void> => {
    const keptSec = timed ? (1 - share) * leftSec() : 0;
    const keptEvaluations = counted ? Math.floor((1 - share) * leftEvaluations()) : 0;
    for (let m = 0; m < all.length; m++) {
      const part = all[m].share / all.slice(m).reduce((sum, { share: s }) => sum + s, 0);
      const maxSec = part * (leftSec() - keptSec);
      const maxEvaluations = Math.floor(part * (leftEvaluations() - keptEvaluations));
      if (maxSec > 0 && maxEvaluations >= 1) await run(all[m].solver, look, { maxSec, maxEvaluations });
    }
  };
  // The running decisions, adapted, are known before anybody looks.
  const warm = (look: Look): void => {
    const start = adapted(look.problem, search.warmStart);
    if (start === null) return;
    const budget = { maxEvaluations: 1, maxSec: Infinity };
    const { problem, simulator } = look;
    const evaluator = new Evaluator({ problem, simulator, budget, clock, random: search.random }, 'keep');
    const value = evaluator.evaluate(start);
    count('keep', 1, value, look.devices);
    take(look, start, value, 'keep');
  };
  const spent = (): number =>
    Math.max(timed ? 1 - leftSec() / budget.maxSec : 0, counted ? evaluations / budget.maxEvaluations : 0);
  let upTo = 0;
  for (let i = 0; i < counts.length; i++) {
    const { devices } = counts[i];
    if (i > 0 && spent() >= LOOK_SHARE) break;
    const problem = problems(devices);
    const simulator = createSimulator(problem);
    const look: Look = { devices, problem, simulator, best: null, value: Infinity, foundBy: 'none' };
    looks.push(look);
    warm(look);
    upTo += (LOOK_SHARE * weights[i]) / allWeights;
    const soFar = spent();
    await runAll(scouts, look, Math.max(0, upTo - soFar) / (1 - Math.min(soFar, 0.99)));
  }
  const ranked = [...looks].sort((a, b) => a.value - b.value || b.devices - a.devices);
  const finalists = ranked
    .slice(0, FINALISTS)
    .filter((l, i) => i === 0 || l.value <= MOST_BEHIND * ranked[0].value);
  for (let i = 0; i < finalists.length; i++)
    await runAll(members, finalists[i], i + 1 === finalists.length ? 1 : 1 - 1 / finalists.length);
  const first = looks.reduce<Look | null>((a, b) => (a === null || b.value < a.value ? b : a), null);
  return {
    best: first === null ? null : standing(first),
    evaluations,
    counts: looks.map((l) => l.devices),
    finds: [...tally.values()],
  };
}

function take(look: Look, plan: Candidate | null, value: number, foundBy: string): void {
  if (plan === null || value >= look.value) return;
  look.best = plan;
  look.value = value;
  look.foundBy = foundBy;
}

function standing({ devices, problem, best, value, foundBy }: Look): Standing | null {
  if (best === null) return null;
  const { stepTimeSec } = createSimulator(problem, true).estimate(best, createEstimate());
  return { devices, candidate: best, value, stepTimeSec, foundBy };
}

/** The decisions on this problem: data parallelism takes what is left, stages are cut anew. Null where there is no such plan. */
function adapted(problem: PlanProblem, running: Candidate | undefined): Candidate | null {
  if (running === undefined) return null;
  try {
    return planInstead(problem, running, {}, 'running plan');
  } catch (e) {
    if (e instanceof PartitionError) return null;
    throw e;
  }
}
