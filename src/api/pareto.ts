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
import type { FrequencyPoint } from '../simulate/frequency.js';
import { ClockLevels } from '../simulate/frequencyCurves.js';
import type { Estimate, Simulator } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';
import { writeFileAtomic } from '../util/files.js';
import { Random } from '../util/random.js';
import type { ClockSchedules } from './frequency.js';
import { clocksOf, schedulesBy, withFrequency } from './frequency.js';
import { infeasibleError } from './infeasible.js';
import type { PlanHooks, PlanRequest } from './plan.js';
import { DEFAULT_BUDGET, planOf } from './plan.js';
import { createProblem, parseObjective } from './problem.js';

/**
 * What is searched for in turn, with equal shares of the budget; the last for plans that do well when everything is slow,
 * which at full clock others may beat.
 */
const SEARCHES: readonly { readonly objective: string; readonly clock: number }[] = [
  { objective: 'time', clock: 1 },
  { objective: 'time=0.5,energy=0.5', clock: 1 },
  { objective: 'energy', clock: 1 },
  { objective: 'energy', clock: 0.7 },
];
/** Plans whose clocks are worked out: of the front at full clock, and pipelines near it, whose idle ranks may slow down. */
const MOST_PLANS = 6;
const MOST_RIVALS = 3;
/** Time multiplied by energy of a rival, over the least there is: beyond it, no clocks make up for it. */
const RIVAL_SHARE = 1.1;

/** Plans priced between two reports of progress. */
const REPORT_EVERY = 100;

interface Kept {
  readonly candidate: Candidate;
  readonly timeSec: number;
  readonly energyJoule: number;
}

export interface ParetoHooks extends PlanHooks {
  /** Asked often; true: end soon with what there is. */
  readonly stopped?: () => boolean;
}

export interface ParetoReply {
  readonly facts: ParetoFacts;
  /** By number, each with the clocks that cost no time. */
  readonly plans: readonly Plan[];
}

/**
 * Stopped early, it ends with the plans found by then; those whose clocks were not worked out stay at full clock.
 *
 * @throws PartitionError as `planModel`
 */
export async function planPareto(request: PlanRequest, hooks: ParetoHooks): Promise<ParetoReply> {
  const problem = createProblem(request.modelPath, { ...request, objective: 'time' });
  const budget = request.budget ?? DEFAULT_BUDGET;
  const seed = request.seed ?? 0;
  const method = request.method ?? 'auto';
  const clocks = request.clocks ?? 'exact';
  const stopped = hooks.stopped ?? (() => false);
  const solver = solverByName(method, request.checkpoint);
  const levels = new ClockLevels(problem.problem);
  let evaluations = 0;
  let now = '';
  const archive = new Archive(createSimulator(problem.problem));
  const watched = (simulator: Simulator): Simulator =>
    new Watched(simulator, stopped, () => {
      if (++evaluations % REPORT_EVERY > 0) return;
      const [fastest] = archive.kept;
      hooks.onProgress?.(
        `${now}: ${evaluations} plans priced, ${archive.kept.length} on the front`,
        fastest === undefined
          ? null
          : { stepTimeSec: fastest.timeSec, text: describeDegrees(fastest.candidate) },
      );
    });
  for (const [i, { objective, clock }] of SEARCHES.entries()) {
    const at = clock < 1 ? ` at ${100 * clock} % of the clock` : '';
    now = `searching with ${method} for ${objective}${at} (${i + 1} of ${SEARCHES.length})`;
    hooks.onProgress?.(now, null);
    const slowed = clock < 1 ? levels.problems[nearestLevel(levels, clock)] : problem.problem;
    const search = async (): Promise<void> => {
      const result = await solver.solve({
        problem: { ...slowed, objective: parseObjective(objective) },
        simulator: watched(clock < 1 ? createSimulator(slowed) : archive),
        budget: {
          maxEvaluations: Math.ceil(budget.maxEvaluations / SEARCHES.length),
          maxSec: budget.maxSec / SEARCHES.length,
        },
        clock: hooks.clock,
        random: new Random(seed),
      });
      if (result.best === null) throw infeasibleError(problem, result.nearest, request);
      // Solvers may price with tables of their own: what they found is priced here once more.
      archive.add(result.best, clock < 1);
    };
    if (await wasStopped(search)) break;
  }
  const chosen = archive.chosen();
  if (chosen.length === 0)
    throw new PartitionError('infeasible', 'interrupted before a plan was found', request.modelPath);
  const all: { kept: Kept; frontier: ClockSchedules | null }[] = [];
  for (const [i, kept] of chosen.entries()) {
    hooks.onProgress?.(`clocks of plan ${i + 1} of ${chosen.length}`, null);
    all.push({
      kept,
      frontier: stopped() ? null : await schedulesBy(clocks, levels, kept.candidate, seed, true),
    });
  }
  const schedulesOf = (x: (typeof all)[number]): readonly FrequencyPoint[] =>
    x.frontier?.schedules ?? [x.kept];
  const onFront = new Set(frontOf(all.map(schedulesOf)).map((point) => point.plan));
  // A plan that gives no point of the front is of no use, whatever its clocks.
  const used = all.filter((_, i) => onFront.has(i));
  const plans = used.map(({ kept: { candidate }, frontier }) => {
    const plan = planOf(problem, candidate, request.modelPath, {
      objective: 'time,energy',
      optimalInSpace: false,
      foundBy: { method, member: method, seed, evaluations },
    });
    return frontier === null
      ? plan
      : withFrequency(plan, clocksOf(levels, candidate, frontier, frontier.schedules[0]));
  });
  return {
    facts: {
      model: request.modelPath,
      cluster: problem.cluster.name,
      devices: problem.problem.devices,
      evaluations,
      plans: used.map(({ kept: { candidate, timeSec, energyJoule }, frontier }, i) => ({
        plan: i,
        degrees: describeDegrees(candidate),
        schedule: candidate.schedule,
        full: frontier?.full ?? { timeSec, energyJoule },
        noSlowdown: noSlowdownOf(frontier),
      })),
      front: frontOf(used.map(schedulesOf)),
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

function noSlowdownOf(frontier: ClockSchedules | null): ParetoFacts['plans'][number]['noSlowdown'] {
  if (frontier === null) return null;
  const { timeSec, energyJoule, boundJoule } = frontier.schedules[0];
  return { timeSec, energyJoule, boundJoule };
}

/** Thrown out of a search that is to end now. */
class Stopped extends Error {}

/** Whether the search was stopped before its end. */
async function wasStopped(search: () => Promise<void>): Promise<boolean> {
  try {
    await search();
    return false;
  } catch (error) {
    if (error instanceof Stopped) return true;
    throw error;
  }
}

/** Prices as another does; throws `Stopped` when it is time, and tells of every price. */
class Watched implements Simulator {
  constructor(
    private readonly inner: Simulator,
    private readonly stopped: () => boolean,
    private readonly onPrice: () => void,
  ) {}

  get problem(): Simulator['problem'] {
    return this.inner.problem;
  }

  get evaluations(): number {
    return this.inner.evaluations;
  }

  estimate(candidate: Candidate, out: Estimate): Estimate {
    if (this.stopped()) throw new Stopped();
    this.onPrice();
    return this.inner.estimate(candidate, out);
  }
}

/** Prices, and keeps every plan that fits and that no other beats in time and energy, and the best of every pipeline. */
class Archive implements Simulator {
  /** Fastest first. */
  readonly kept: Kept[] = [];
  /** By degrees and schedule: the pipeline whose time multiplied by its energy is least. */
  private readonly rivals = new Map<string, Kept>();
  /** What other searches found: never left out. */
  private readonly guests: Kept[] = [];

  constructor(private readonly inner: Simulator) {}

  get problem(): Simulator['problem'] {
    return this.inner.problem;
  }

  get evaluations(): number {
    return this.inner.evaluations;
  }

  estimate(candidate: Candidate, out: Estimate): Estimate {
    this.inner.estimate(candidate, out);
    if (!out.fits) return out;
    this.keep(candidate, out.stepTimeSec, out.energyJoulesPerStep);
    if (candidate.pp > 1) this.rival(candidate, out.stepTimeSec, out.energyJoulesPerStep);
    return out;
  }

  add(candidate: Candidate, isGuest: boolean): void {
    const { stepTimeSec: timeSec, energyJoulesPerStep: energyJoule } = this.estimate(
      candidate,
      createEstimate(),
    );
    if (isGuest) this.guests.push({ candidate: copyCandidate(candidate), timeSec, energyJoule });
  }

  /** Plans that are worth their clocks, fastest first. */
  chosen(): Kept[] {
    const product = (k: Kept): number => k.timeSec * k.energyJoule;
    const front = spread(this.kept, MOST_PLANS);
    const least = Math.min(...front.map(product));
    const isNew = (k: Kept, among: readonly Kept[]): boolean =>
      !among.some((f) => f.timeSec === k.timeSec && f.energyJoule === k.energyJoule);
    const rivals = [...this.rivals.values()]
      .filter((k) => product(k) <= RIVAL_SHARE * least && isNew(k, front))
      .sort((a, b) => product(a) - product(b))
      .slice(0, MOST_RIVALS);
    const guests = this.guests.filter((k) => isNew(k, [...front, ...rivals]));
    return [...front, ...rivals, ...guests].sort((a, b) => a.timeSec - b.timeSec);
  }

  private rival(candidate: Candidate, timeSec: number, energyJoule: number): void {
    const { tp, pp, vpp, cp, ep, schedule } = candidate;
    const key = `${tp} ${pp} ${vpp} ${cp} ${ep} ${schedule}`;
    const best = this.rivals.get(key);
    if (best === undefined || timeSec * energyJoule < best.timeSec * best.energyJoule)
      this.rivals.set(key, { candidate: copyCandidate(candidate), timeSec, energyJoule });
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

/** The level whose clock is nearest. */
function nearestLevel({ clocks }: ClockLevels, clock: number): number {
  const distance = clocks.map((c) => Math.abs(c - clock));
  return distance.indexOf(Math.min(...distance));
}

/** Some of a list, its ends among them, evenly spaced. */
function spread<T>(list: readonly T[], most: number): T[] {
  if (list.length <= most) return [...list];
  return Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / (most - 1))]);
}

/** Schedules that no other beats in both, fastest first. */
export function frontOf(schedules: readonly (readonly FrequencyPoint[])[]): ParetoPoint[] {
  const all = schedules.flatMap((list, plan) =>
    list.map(({ timeSec, energyJoule }) => ({ plan, timeSec, energyJoule })),
  );
  all.sort((a, b) => a.timeSec - b.timeSec || a.energyJoule - b.energyJoule);
  const front: ParetoPoint[] = [];
  for (const p of all)
    if (front.length === 0 || p.energyJoule < front[front.length - 1].energyJoule) front.push(p);
  return front;
}
