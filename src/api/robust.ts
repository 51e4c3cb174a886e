/** `--robust 10%`: plans that are good in most of the worlds that the cost model may stand for, not in its own alone. */
import { fileURLToPath } from 'node:url';
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import type { Candidate, PlanRobust } from '../plan/types.js';
import { lowerBoundSec } from '../search/index.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import { RobustSimulator } from '../simulate/robust.js';
import type { RobustNoise, RobustSpec } from '../simulate/robustDraws.js';
import type { PlanProblem, Simulator } from '../simulate/types.js';
import { isTimeOnly } from '../search/objective.js';
import type { Solver } from '../search/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { dataPath } from '../util/files.js';
import { formatPercent, formatSeconds, quantileName } from '../util/format.js';
import { quantile } from '../util/stats.js';

/** What `--robust` states, defaults filled in. Plain data: crosses threads. */
export type RobustRequest = Omit<RobustSpec, 'seed'>;

const TERMS = ['compute', 'memory', 'host', 'domain', 'network'] as const;
const DEFAULT_DRAWS = 64;
const FEWEST_DRAWS = 8;
const MOST_DRAWS = 4096;
/** Deviations above this are no noise: half of all times would be off by two thirds or more. */
const MOST_DEVIATION = 1;
/** Draws that nothing was chosen by, which a plan is judged on; and what tells their seed from the search's. */
const FRESH_DRAWS = 256;
const FRESH_SEED = 0x5eed;

let shipped: RobustNoise | null = null;

/** How uncertain times are where nothing is stated (src/data/measured/noise.yaml, with sources). */
export function defaultNoise(): RobustNoise {
  if (shipped !== null) return shipped;
  const path = fileURLToPath(dataPath('measured/noise.yaml'));
  const f = Fields.of(readYaml(path), path, '', []);
  const range = { min: 0, max: MOST_DEVIATION };
  const device = f.number('device', range);
  const [compute, memory, host, domain, network] = TERMS.map((term) => f.number(term, range));
  f.done();
  return (shipped = { device, compute, memory, host, domain, network });
}

/**
 * `10%[,draws=64][,speed=3%][,calibration=5%][,network=20%]`: the share of draws that may be slower; how many; deviations of
 * devices' speeds, of all cost terms, of one.
 *
 * @throws PartitionError usage naming the term
 */
export function parseRobust(text: string): RobustRequest {
  const [first = '', ...terms] = text.split(',').map((t) => t.trim());
  const share = percentOf(first, first, '');
  if (!(share > 0 && share < 1)) throw badTerm(first, 'a share of draws above 0 % and below 100 %');
  const noise = { ...defaultNoise() };
  let draws = DEFAULT_DRAWS;
  for (const term of terms) {
    const [name, value = ''] = term.split('=', 2).map((t) => t.trim());
    if (name === 'draws') {
      draws = Number(value);
      if (!/^\d+$/.test(value) || draws < FEWEST_DRAWS || draws > MOST_DRAWS)
        throw badTerm(term, `draws=${FEWEST_DRAWS} to ${MOST_DRAWS}`);
      continue;
    }
    const known = name === 'speed' || name === 'calibration' || (TERMS as readonly string[]).includes(name);
    if (!known) throw badTerm(term, `draws, speed, calibration, ${TERMS.slice(0, -1).join(', ')} or network`);
    const deviation = percentOf(value, term, `${name}=`);
    if (!(deviation >= 0 && deviation <= MOST_DEVIATION)) throw badTerm(term, `${name}=0% to 100%`);
    const changed: Partial<Record<keyof RobustNoise, number>> =
      name === 'speed'
        ? { device: deviation }
        : name === 'calibration'
          ? Object.fromEntries(TERMS.map((t) => [t, deviation]))
          : { [name]: deviation };
    Object.assign(noise, changed);
  }
  // The quantile must lie between draws, or it is the fate of a single one.
  if (draws * share < 1 || draws * (1 - share) < 1)
    throw badTerm(
      text,
      `at least one draw beyond the quantile: ${Math.ceil(1 / Math.min(share, 1 - share))} draws`,
    );
  return { share, draws, noise };
}

function percentOf(value: string, term: string, name: string): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(value);
  if (match === null) throw badTerm(term, `${name}a percentage such as ${name}${name === '' ? 10 : 3}%`);
  return Number(match[1]) / 100;
}

function badTerm(term: string, expected: string): PartitionError {
  return new PartitionError(
    'usage',
    `expected ${expected}, found ${oneLine(term, 60) || 'nothing'}`,
    '--robust',
    'for example --robust 10%,draws=64,speed=3%,calibration=5%',
  );
}

/** `--robust` of a command line, checked against its objective. */
export function robustOption(
  text: string | undefined,
  objective: string | undefined,
): RobustRequest | undefined {
  if (text === undefined) return undefined;
  const robust = parseRobust(text);
  if (objective !== undefined && objective !== 'time') throw notTime(objective);
  return robust;
}

function notTime(objective: string): PartitionError {
  return new PartitionError(
    'usage',
    `a quantile of the step time is minimised: expected --objective time, found ${oneLine(objective, 60)}`,
    '--robust',
  );
}

/** The problem as it is searched: a simulator of the quantile where one is asked for, else of the nominal step. */
export function robustSimulator(
  problem: PlanProblem,
  robust: RobustRequest | undefined,
  seed: number,
  isFew = false,
): { readonly problem: PlanProblem; readonly simulator: Simulator } {
  if (robust === undefined) return { problem, simulator: createSimulator(problem, isFew) };
  if (!isTimeOnly(problem.objective)) throw notTime('another');
  const simulator = new RobustSimulator(problem, { ...robust, seed }, isFew);
  return { problem: simulator.problem, simulator };
}

/** Share of a robust search's budget that goes to the nominal step time first: prices there are ten times as cheap. */
const NOMINAL_SHARE = 0.25;

/**
 * The method for a robust search: it first looks for the nominal best, then goes on from there by the quantile. The plan
 * is never worse than that nominal one on the draws searched. Without `robust` the method itself.
 */
export function nominalFirst(
  solver: Solver,
  nominal: PlanProblem,
  robust: RobustRequest | undefined,
): Solver {
  if (robust === undefined) return solver;
  return {
    name: solver.name,
    async solve(context) {
      const { budget, simulator } = context;
      const { maxEvaluations, maxSec } = budget;
      const first = await solver.solve({
        ...context,
        problem: nominal,
        simulator: createSimulator(nominal),
        budget: {
          maxEvaluations: Math.max(1, Math.floor(NOMINAL_SHARE * maxEvaluations)),
          maxSec: NOMINAL_SHARE * maxSec,
        },
        onImprovement: () => undefined,
      });
      const found = await solver.solve({
        ...context,
        budget: {
          maxEvaluations: Math.max(1, maxEvaluations - first.evaluations - 1),
          maxSec: (1 - NOMINAL_SHARE) * maxSec,
        },
        ...(first.best === null ? {} : { start: first.best }),
      });
      const evaluations = first.evaluations + found.evaluations + 1;
      if (first.best === null) return { ...found, evaluations };
      const value = simulator.estimate(first.best, createEstimate()).stepTimeSec;
      return value < found.value
        ? { ...first, value, evaluations, exhaustive: false }
        : { ...found, evaluations };
    },
  };
}

/**
 * A plan's step times over draws that nothing was chosen by.
 *
 * @param spec what was searched for
 * @param isWhole whether the search saw the whole space
 */
export function robustFacts(
  problem: PlanProblem,
  best: Candidate,
  spec: RobustSpec,
  isWhole: boolean,
  boundTables: number,
): PlanRobust {
  const searched = new RobustSimulator(problem, spec, true);
  const { stepTimeSec, draws } = freshTimes(problem, best, spec, spec.seed);
  const times = [...draws];
  return {
    slowerShare: spec.share,
    draws: spec.draws,
    noise: { ...spec.noise },
    freshDraws: draws.length,
    stepTimeSec,
    searchedStepTimeSec: searched.estimate(best, createEstimate()).stepTimeSec,
    lowSec: quantile(times, Math.min(spec.share, 1 - spec.share)),
    medianSec: quantile(times, 0.5),
    slowestSec: Math.max(...times),
    searchedBoundSec: searched.boundShare * lowerBoundSec(problem, boundTables),
    optimalInDraws: isWhole,
  };
}

/** Step times over fresh draws: the quantile, and every draw. */
export function freshTimes(
  problem: PlanProblem,
  candidate: Candidate,
  robust: RobustRequest,
  seed: number,
  freshDraws = Math.max(FRESH_DRAWS, robust.draws),
): { readonly stepTimeSec: number; readonly nominalSec: number; readonly draws: Float64Array } {
  const spec = { ...robust, draws: freshDraws, seed: (seed ^ FRESH_SEED) >>> 0 };
  return new RobustSimulator(problem, spec, true).times(candidate, createEstimate());
}

/** Lines for people: what is robust about the plan. */
export function robustText(r: PlanRobust, nominalSec: number): string {
  const percent = (sigma: number): string => formatPercent(sigma);
  const { device, compute, memory, host, domain, network } = r.noise;
  const above = r.stepTimeSec / nominalSec - 1;
  return [
    `robust      ${quantileName(r.slowerShare)} ${formatSeconds(r.stepTimeSec)}, ${formatPercent(Math.abs(above))} ${above < 0 ? 'below' : 'above'} the nominal ${formatSeconds(nominalSec)}, on ${r.freshDraws} fresh draws (${formatSeconds(r.searchedStepTimeSec)} on the ${r.draws} searched)${r.optimalInDraws ? '; best of the whole space on those' : ''}`,
    `spread      ${formatSeconds(r.lowSec)} .. median ${formatSeconds(r.medianSec)} .. slowest ${formatSeconds(r.slowestSec)}; no plan is below ${formatSeconds(r.searchedBoundSec)} on the draws searched`,
    `deviations  devices ${percent(device)}, compute ${percent(compute)}, memory ${percent(memory)}, host ${percent(host)}, links inside a domain ${percent(domain)}, beyond ${percent(network)}`,
  ].join('\n');
}
