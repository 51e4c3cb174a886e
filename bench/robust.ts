/**
 * Robust objectives, measured.
 *
 *     npx tsx bench/robust.ts noise                        how uncertain each cost term is, from errors on measured runs
 *     npx tsx bench/robust.ts cost [instance ...]          what a robust price costs, in nominal ones
 *     npx tsx bench/robust.ts cases [terms] [instance ...] the robust plan against the nominal one, on fresh draws
 *
 * Instances of the suite; terms as of `--robust` (default 10%).
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeDegrees } from '../src/parallel/degrees.js';
import { copyCandidate, equalCandidates } from '../src/plan/candidate.js';
import type { Candidate } from '../src/plan/types.js';
import { SUITE_GRAPHS, loadSuite, suiteProblem } from '../src/api/suite.js';
import { defaultNoise, freshTimes, nominalFirst, parseRobust, robustSimulator } from '../src/api/robust.js';
import { solverByName } from '../src/portfolio/index.js';
import { createEstimate, createSimulator } from '../src/simulate/estimate.js';
import type { Estimate, PlanProblem, Simulator } from '../src/simulate/types.js';
import { Random } from '../src/util/random.js';
import { formatSeconds } from '../src/util/format.js';
import { RobustSimulator } from '../src/simulate/robust.js';
import type { RobustNoise } from '../src/simulate/robustDraws.js';
import { dataPath } from '../src/util/files.js';
import { readCsv } from '../src/validation/csv.js';
import { shippedResiduals } from '../src/validation/intervals.js';
import { outcomeOf } from '../src/validation/outcome.js';
import { Predictor } from '../src/validation/predict.js';
import type { Prepared } from '../src/validation/predict.js';
import { groupOf, readRows } from '../src/validation/row.js';

const COST_INSTANCES = ['gpt2-xl-64', 'gpt3-175b-1024', 'llama3-405b-16384'];
const CASE_INSTANCES = ['gpt2-xl-64', 'gpt3-175b-1024', 'megatron-1t-3072'];

const TERMS = ['compute', 'memory', 'host', 'domain', 'network'] as const;
const STILL: RobustNoise = { device: 0, compute: 0, memory: 0, host: 0, domain: 0, network: 0 };

/** d log(step) / d log(term), by a term 1 % slower. */
function elasticities(run: Prepared): number[] {
  return TERMS.map((term) => {
    const noise = { ...STILL, [term]: 0.01 };
    const simulator = new RobustSimulator(run.base, { share: 0.5, draws: 2, seed: 1, noise }, true);
    const { draws } = simulator.times(run.candidate, createEstimate());
    const d = simulator.draws;
    const factor = (w: number): number =>
      term === 'domain' || term === 'network'
        ? d.link[w * d.levels + (term === 'domain' ? 0 : Math.min(1, d.levels - 1))]
        : d[term][w];
    // Levels of the network draw apart; with one of them only its slope is meant.
    if (term === 'network' && d.levels === 1) return 0;
    return Math.log(draws[1] / draws[0]) / Math.log(factor(1) / factor(0));
  });
}

interface Row {
  readonly residual: number;
  readonly weight: number;
  readonly slopes: readonly number[];
}

/** As many sources as the prior of a term's variance counts for. */
const PRIOR_SOURCES = 4;

/**
 * Variances of the terms' logarithms: residual i is normal with variance sum of slope^2 variance. A term that takes
 * little of every step is hardly seen, so every variance is drawn towards that which all terms would share (inverse gamma
 * prior). The multiplicative update keeps them above 0 and never lowers the posterior (Lange 2010, MM algorithms).
 */
function varianceComponents(rows: readonly Row[]): number[] {
  let shared = 0;
  let weights = 0;
  for (const { residual, weight, slopes } of rows) {
    shared += (weight * residual * residual) / slopes.reduce((sum, e) => sum + e * e, 0);
    weights += weight;
  }
  shared /= weights;
  let variance = TERMS.map(() => shared);
  for (let i = 0; i < 3000; i++) {
    const above = variance.map((v) => (PRIOR_SOURCES * shared) / (v * v));
    const below = variance.map((v) => PRIOR_SOURCES / v);
    for (const { residual, weight, slopes } of rows) {
      const v = slopes.reduce((sum, e, k) => sum + e * e * variance[k], 1e-8);
      slopes.forEach((e, k) => {
        above[k] += (weight * e * e * residual * residual) / (v * v);
        below[k] += (weight * e * e) / v;
      });
    }
    variance = variance.map((v, k) => v * Math.sqrt(above[k] / below[k]));
  }
  return variance;
}

/** Half the distance between the quantiles that a normal distribution has one deviation from its middle. */
function deviation(pairs: readonly (readonly [value: number, weight: number])[]): number {
  const sorted = [...pairs].sort((x, y) => x[0] - y[0]);
  const total = sorted.reduce((s, [, w]) => s + w, 0);
  const at = (q: number): number => {
    let before = 0;
    for (const [value, weight] of sorted) if ((before += weight) >= q * total) return value;
    return sorted[sorted.length - 1][0];
  };
  return (at(0.8413) - at(0.1587)) / 2;
}

const rms = (pairs: readonly (readonly [value: number, weight: number])[]): number =>
  Math.sqrt(pairs.reduce((s, [v, w]) => s + w * v * v, 0) / pairs.reduce((s, [, w]) => s + w, 0));

function noise(): void {
  const path = fileURLToPath(dataPath('measured/measured.csv'));
  const { rows } = readRows(readCsv(readFileSync(path, 'utf8'), path), path);
  const predictor = new Predictor();
  const { prepared } = predictor.prepareAll(rows);
  const outcomes = predictor.predictAll(prepared).map(outcomeOf);
  const count = new Map<string, number>();
  for (const { row } of prepared) count.set(groupOf(row.id), (count.get(groupOf(row.id)) ?? 0) + 1);
  const table = prepared.map((run, i): Row => ({
    residual: Math.log(outcomes[i].measuredSec / outcomes[i].predictedSec),
    weight: 1 / count.get(groupOf(run.row.id))!,
    slopes: elasticities(run),
  }));
  const own = table.map((r) => [r.residual, r.weight] as const);
  const fitted = rms(own);
  const cells = shippedResiduals();
  const ofGroup = new Map<string, number>();
  for (const c of cells) ofGroup.set(c.group, (ofGroup.get(c.group) ?? 0) + c.residuals.length);
  const others = cells.flatMap((c) => c.residuals.map((r) => [r, 1 / ofGroup.get(c.group)!] as const));
  console.log(`${table.length} runs of ${count.size} sources, every source with the same say`);
  console.log(
    `log(measured / predicted): rms ${fitted.toFixed(3)}, half the middle 68 % ${deviation(own).toFixed(3)}; under profiles fitted without the source ${rms(others).toFixed(3)}, ${deviation(others).toFixed(3)}`,
  );
  // Outliers make the variances; the middle of the errors is narrower than a normal distribution of the same variance.
  const variances = varianceComponents(table);
  TERMS.forEach((term, k) => {
    const slope = table.reduce((s, r) => s + r.weight * r.slopes[k], 0) / count.size;
    const sigma = Math.sqrt(variances[k]) / fitted;
    console.log(
      `${term.padEnd(8)} ${(100 * slope).toFixed(1).padStart(5)} % of the step's slope, deviation ${(sigma * deviation(own)).toFixed(3)}; of software not fitted to ${(sigma * deviation(others)).toFixed(3)}`,
    );
  });
}

/** Simulator that notes what it is asked for. */
class Noted implements Simulator {
  readonly asked: Candidate[] = [];
  constructor(private readonly inner: Simulator) {}
  get problem(): PlanProblem {
    return this.inner.problem;
  }
  get evaluations(): number {
    return this.inner.evaluations;
  }
  estimate(c: Candidate, out: Estimate): Estimate {
    if (this.asked.length < MOST_NOTED) this.asked.push(copyCandidate(c));
    return this.inner.estimate(c, out);
  }
}
const MOST_NOTED = 400;

function problemNamed(name: string): PlanProblem {
  const instance = loadSuite().find((i) => i.name === name);
  if (instance === undefined) throw new Error(`no instance ${name}`);
  return suiteProblem(instance, SUITE_GRAPHS).problem;
}

/** @param nominal of a robust search: what it looks at first, as `partition --robust` does */
async function search(
  simulator: Simulator,
  evaluations: number,
  method: string,
  nominal?: PlanProblem,
): Promise<Candidate> {
  const { problem } = simulator;
  const robust = nominal === undefined ? undefined : parseRobust('10%');
  const solver = nominalFirst(solverByName(method), nominal ?? problem, robust);
  const { best } = await solver.solve({
    problem,
    simulator,
    budget: { maxEvaluations: evaluations, maxSec: Infinity },
    clock: () => performance.now() / 1000,
    random: new Random(1),
  });
  if (best === null) throw new Error('nothing fits');
  return best;
}

/** Microseconds of a price, the least of a few rounds over the plans that a search asked for. */
function costUs(simulator: Simulator, plans: readonly Candidate[]): number {
  const out = createEstimate();
  let least = Infinity;
  for (let round = 0; round < 7; round++) {
    const start = performance.now();
    for (const c of plans) simulator.estimate(c, out);
    least = Math.min(least, (1000 * (performance.now() - start)) / plans.length);
  }
  return least;
}

async function cost(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const problem = problemNamed(name);
    const nominal = new Noted(createSimulator(problem));
    await search(nominal, MOST_NOTED, 'anneal');
    const own = costUs(createSimulator(problem), nominal.asked);
    const cells = [64, 256].map((draws) => {
      const simulator = new RobustSimulator(problem, { share: 0.1, draws, seed: 1, noise: defaultNoise() });
      const us = costUs(simulator, nominal.asked);
      return `${draws} draws ${us.toFixed(0)} us = ${(us / own).toFixed(1)} nominal (draws / 4 = ${draws / 4})`;
    });
    console.log(`${name}: nominal ${own.toFixed(1)} us; ${cells.join('; ')}`);
  }
}

const SEEDS = [1, 2, 3];

async function cases(terms: string, names: readonly string[]): Promise<void> {
  const robust = parseRobust(terms);
  const evaluations = Number(process.env['EVALUATIONS'] ?? 1500);
  const method = process.env['METHOD'] ?? 'exhaustive';
  for (const name of names) {
    const problem = problemNamed(name);
    const nominalBest = await search(createSimulator(problem), evaluations, method);
    const { simulator } = robustSimulator(problem, robust, 0);
    const robustBest = await search(simulator, evaluations, method, problem);
    const step = (c: Candidate): number =>
      createSimulator(problem, true).estimate(c, createEstimate()).stepTimeSec;
    console.log(`${name}: ${terms}, ${method}, ${evaluations} evaluations`);
    const fresh = SEEDS.map((seed) =>
      [nominalBest, robustBest].map((c) => freshTimes(problem, c, robust, seed, 1024).stepTimeSec),
    );
    for (const [k, label, c] of [
      [0, 'nominal', nominalBest],
      [1, 'robust', robustBest],
    ] as const)
      console.log(
        `  ${label.padEnd(8)} ${describeDegrees(c)} zero=${c.zeroStage} mb=${c.microbatch} ${c.schedule}: nominal ${formatSeconds(step(c))}, quantile on 3 x 1024 fresh draws ${fresh.map((f) => formatSeconds(f[k])).join(', ')}`,
      );
    const gains = fresh.map(([a, b]) => (100 * (1 - b / a)).toFixed(2));
    console.log(
      `  robust is better by ${gains.join(', ')} %; ${equalCandidates(nominalBest, robustBest) ? 'the same plan' : 'another plan'}`,
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const what = process.argv[2] ?? 'noise';
  const rest = process.argv.slice(3);
  if (what === 'noise') noise();
  else if (what === 'cost') await cost(rest.length > 0 ? rest : COST_INSTANCES);
  else if (what === 'cases') {
    const isTerms = rest[0]?.includes('%') === true;
    const names = isTerms ? rest.slice(1) : rest;
    await cases(isTerms ? rest[0] : '10%', names.length > 0 ? names : CASE_INSTANCES);
  } else throw new Error(`expected noise, cost or cases, found ${what}`);
}
