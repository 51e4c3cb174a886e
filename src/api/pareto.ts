/**
 * The trade-off of time and energy over plans and clocks: searches for the fastest plan, for the least energy and between
 * them keep every plan that no other beats in both; each of those then gets its frontier of clocks by task.
 */
import { join } from 'node:path';
import { describeDegrees } from '../parallel/degrees.js';
import { copyCandidate } from '../plan/candidate.js';
import { encodePlan } from '../plan/codec.js';
import type { Candidate, Plan } from '../plan/types.js';
import { solverByName } from '../portfolio/index.js';
import { paretoChart } from '../report/paretoChart.js';
import type { ParetoFacts, ParetoPoint } from '../report/paretoTable.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import { frequencyFrontier } from '../simulate/frequency.js';
import type { FrequencySchedule, Frontier } from '../simulate/frequency.js';
import { ClockLevels } from '../simulate/frequencyCurves.js';
import type { Estimate, Simulator } from '../simulate/types.js';
import { writeFileAtomic } from '../util/files.js';
import { Random } from '../util/random.js';
import { clocksOf, withFrequency } from './frequency.js';
import { infeasibleError } from './infeasible.js';
import type { PlanHooks, PlanRequest } from './plan.js';
import { DEFAULT_BUDGET, planOf } from './plan.js';
import { createProblem, parseObjective } from './problem.js';

/** What is searched for in turn, with equal shares of the budget. */
const SEARCHES = ['time', 'time=0.5,energy=0.5', 'energy'];
/** Plans whose clocks are worked out. */
const MOST_PLANS = 6;

interface Kept {
  readonly candidate: Candidate;
  readonly timeSec: number;
  readonly energyJoule: number;
}

export interface ParetoReply {
  readonly facts: ParetoFacts;
  /** By number, each with the clocks that cost no time. */
  readonly plans: readonly Plan[];
}

/** @throws PartitionError as `planModel` */
export async function planPareto(request: PlanRequest, hooks: PlanHooks): Promise<ParetoReply> {
  const problem = createProblem(request.modelPath, { ...request, objective: 'time' });
  const budget = request.budget ?? DEFAULT_BUDGET;
  const seed = request.seed ?? 0;
  const method = request.method ?? 'auto';
  const archive = new Archive(createSimulator(problem.problem));
  let evaluations = 0;
  for (const text of SEARCHES) {
    hooks.onProgress?.(`searching with ${method} for ${text}`, null);
    const result = await solverByName(method, request.checkpoint).solve({
      problem: { ...problem.problem, objective: parseObjective(text) },
      simulator: archive,
      budget: {
        maxEvaluations: Math.ceil(budget.maxEvaluations / SEARCHES.length),
        maxSec: budget.maxSec / SEARCHES.length,
      },
      clock: hooks.clock,
      random: new Random(seed),
    });
    evaluations += result.evaluations;
    if (result.best === null) throw infeasibleError(problem, result.nearest, request);
    // Solvers may price with tables of their own: what they found is priced here once more.
    archive.estimate(result.best, createEstimate());
  }
  const levels = new ClockLevels(problem.problem);
  const chosen = spread(archive.kept, MOST_PLANS);
  const frontiers: Frontier[] = [];
  for (const [i, { candidate }] of chosen.entries()) {
    hooks.onProgress?.(`clocks of plan ${i + 1} of ${chosen.length}`, null);
    frontiers.push(frequencyFrontier(levels, candidate));
  }
  const plans = chosen.map(({ candidate }, i) =>
    withFrequency(
      planOf(problem, candidate, request.modelPath, {
        objective: 'time,energy',
        optimalInSpace: false,
        foundBy: { method, member: method, seed, evaluations },
      }),
      clocksOf(levels, candidate, frontiers[i], frontiers[i].schedules[0]),
    ),
  );
  return {
    facts: {
      model: request.modelPath,
      cluster: problem.cluster.name,
      devices: problem.problem.devices,
      evaluations,
      plans: frontiers.map(({ full, schedules }, i) => ({
        plan: i,
        degrees: describeDegrees(chosen[i].candidate),
        schedule: chosen[i].candidate.schedule,
        full,
        noSlowdown: { timeSec: schedules[0].timeSec, energyJoule: schedules[0].energyJoule },
      })),
      front: frontOf(frontiers.map((f) => f.schedules)),
    },
    plans,
  };
}

/** Writes plan-<number>.json for every plan, and the chart; the chart's path. */
export function writeParetoFiles({ facts, plans }: ParetoReply, folder: string): string {
  plans.forEach((plan, i) => writeFileAtomic(join(folder, `plan-${i}.json`), encodePlan(plan)));
  const chart = join(folder, 'pareto.svg');
  writeFileAtomic(chart, paretoChart(facts));
  return chart;
}

/** Prices, and keeps every plan that fits and that no other beats in time and energy. */
class Archive implements Simulator {
  /** Fastest first. */
  readonly kept: Kept[] = [];

  constructor(private readonly inner: Simulator) {}

  get problem(): Simulator['problem'] {
    return this.inner.problem;
  }

  get evaluations(): number {
    return this.inner.evaluations;
  }

  estimate(candidate: Candidate, out: Estimate): Estimate {
    this.inner.estimate(candidate, out);
    if (out.fits) this.keep(candidate, out.stepTimeSec, out.energyJoulesPerStep);
    return out;
  }

  private keep(candidate: Candidate, timeSec: number, energyJoule: number): void {
    const { kept } = this;
    let at = 0;
    while (at < kept.length && kept[at].timeSec <= timeSec) at++;
    if (at > 0 && kept[at - 1].energyJoule <= energyJoule) return;
    let beaten = at;
    while (beaten < kept.length && kept[beaten].energyJoule >= energyJoule) beaten++;
    kept.splice(at, beaten - at, { candidate: copyCandidate(candidate), timeSec, energyJoule });
  }
}

/** Some of a list, its ends among them, evenly spaced. */
function spread<T>(list: readonly T[], most: number): T[] {
  if (list.length <= most) return [...list];
  return Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / (most - 1))]);
}

/** Schedules that no other beats in both, fastest first. */
function frontOf(schedules: readonly (readonly FrequencySchedule[])[]): ParetoPoint[] {
  const all = schedules.flatMap((list, plan) =>
    list.map(({ timeSec, energyJoule }) => ({ plan, timeSec, energyJoule })),
  );
  all.sort((a, b) => a.timeSec - b.timeSec || a.energyJoule - b.energyJoule);
  const front: ParetoPoint[] = [];
  for (const p of all)
    if (front.length === 0 || p.energyJoule < front[front.length - 1].energyJoule) front.push(p);
  return front;
}
