/**
 * Prices a recorded search again: as it was, to see whether the cost model still says the same, or elsewhere, to see
 * which plans would do better there.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { oversubscribed } from '../cluster/index.js';
import type { Cluster } from '../cluster/index.js';
import { listStacks } from '../cost/stack.js';
import { checkCandidate, withNearestLeanness } from '../plan/candidate.js';
import { describeCandidate } from '../plan/describe.js';
import { clusterDigest } from '../plan/index.js';
import type { Candidate, TimeBreakdown } from '../plan/types.js';
import type { ReplayFacts, ReplayedPlan, ReplayPlace } from '../report/replayTable.js';
import { objectiveValue } from '../search/objective.js';
import { PriceDifferences } from '../simulate/difference.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import { ranking } from '../simulate/ranking.js';
import type { RankedPlan } from '../simulate/ranking.js';
import { PRICE_COLUMNS, planText, priceRow } from '../simulate/record.js';
import type { RecordHeader } from '../simulate/record.js';
import { recordedPrices, verifyRecord } from '../simulate/replay.js';
import type { Objective, PlanProblem } from '../simulate/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { version } from '../util/version.js';
import type { Problem, ProblemOptions } from './problem.js';
import { clusterOf, openModel, problemOf } from './problem.js';

export interface ReplayOptions {
  /** Default: the file of the recorded name beside the record or in the current folder. */
  readonly modelPath?: string | undefined;
  /** Price on this cluster: preset name or YAML file. */
  readonly cluster?: string | undefined;
  readonly stack?: string | undefined;
  /** Measured numbers over the presets' own. */
  readonly calibration?: string | undefined;
  /** Of the outermost level between hosts: 2 = uplinks carry half. */
  readonly oversubscription?: number | undefined;
  readonly onProgress?: (status: string) => void;
}

/** What `partition replay --json` prints. */
export type ReplaySummary = ReplayFacts;

/** Prices of another release may differ in the last digits where sums are taken in another order. */
const TOLERANCE = 1e-9;
const TOP = 10;
const PROGRESS_EVERY = 5000;

/**
 * @throws PartitionError input when the file is no whole, unaltered record or the model is not the recorded one
 */
export function replayRecord(path: string, options: ReplayOptions = {}): ReplaySummary {
  options.onProgress?.(`checking ${path}`);
  const { header, evaluations } = verifyRecord(path);
  const modelPath = options.modelPath ?? findModel(path, header);
  const { problem, after, warnings } = recordedProblem(path, modelPath, header, options);
  const again = isAgain(options);
  const sameVersion = header.programVersion === version();
  const differences = new PriceDifferences(sameVersion ? 0 : TOLERANCE);
  const before: number[] = [];
  const now: number[] = [];
  const seen = new Set<string>();
  const lines: number[] = [];
  const simulator = createSimulator(problem.problem);
  const estimate = createEstimate();
  const row = new Float64Array(PRICE_COLUMNS.length);
  let priced = 0;
  for (const { line, candidate, price } of recordedPrices(path, header)) {
    const adapted = again ? candidate : withNearestLeanness(problem.problem.costs, candidate);
    refuseIllegal(problem.problem, adapted, path, line);
    priceRow(simulator.estimate(adapted, estimate), row);
    differences.compare(line, candidate, price, row);
    const key = createHash('sha256').update(planText(candidate)).digest('base64').slice(0, 22);
    if (!seen.has(key)) {
      seen.add(key);
      lines.push(line);
      before.push(valueOf(problem.problem.objective, price));
      now.push(valueOf(problem.problem.objective, row));
    }
    if (++priced % PROGRESS_EVERY === 0)
      options.onProgress?.(`${priced} of ${evaluations} plans priced again`);
  }
  const order = ranking(before, now, TOP);
  const ranked = [...order.top, ...(order.bestBefore === null ? [] : [order.bestBefore])];
  const words = planWords(path, header, new Set(ranked.map((r) => lines[r.plan])));
  const planOf = (r: RankedPlan): ReplayedPlan => {
    const { plan: index, ...ranks } = r;
    const line = lines[index];
    return { line, plan: words.get(line)!, ...finite(ranks), change: ratio(r.before, r.after) };
  };
  return {
    record: path,
    model: modelPath,
    recordedVersion: header.programVersion,
    version: version(),
    method: header.search.method,
    objective: (header.settings as Partial<ProblemOptions>).objective ?? 'time',
    evaluations,
    plans: order.plans,
    before: recordedPlace(header),
    after,
    again,
    tolerance: again ? (sameVersion ? 0 : TOLERANCE) : null,
    differences: { plans: differences.plans, largest: differences.largest, first: differences.first },
    fitBefore: order.fitBefore,
    fitAfter: order.fitAfter,
    rankCorrelation: order.rankCorrelation,
    bestBefore: order.bestBefore === null ? null : planOf(order.bestBefore),
    top: order.top.map(planOf),
    warnings,
  };
}

/** Whether nothing was asked to be other than it was. */
function isAgain({ cluster, stack, calibration, oversubscription }: ReplayOptions): boolean {
  return [cluster, stack, calibration, oversubscription].every((o) => o === undefined);
}

function findModel(record: string, { model }: RecordHeader): string {
  const name = basename(model.name);
  const found = [join(dirname(record), name), name].find((p) => existsSync(p));
  if (found !== undefined) return found;
  throw new PartitionError(
    'input',
    `its model ${oneLine(name, 200)} stands neither beside it nor in the current folder`,
    record,
    'partition replay <trace.jsonl> <model.onnx>',
  );
}

function recordedPlace({ cluster, stack, calibration }: RecordHeader): ReplayPlace {
  return {
    cluster: cluster.name,
    devices: cluster.devices,
    stack: stack.name,
    calibration: calibration?.name ?? null,
    oversubscription: null,
  };
}

/** The problem of the record, on the cluster and under the stack that are asked for. */
function recordedProblem(
  path: string,
  modelPath: string,
  header: RecordHeader,
  options: ReplayOptions,
): { problem: Problem; after: ReplayPlace; warnings: string[] } {
  const settings = header.settings as Partial<ProblemOptions>;
  const recorded = header.cluster.definition;
  if (clusterDigest(recorded) !== header.cluster.digest)
    throw new PartitionError('input', 'header: the cluster does not fit its own digest', path);
  const model = openModel(modelPath, settings);
  if (model.graph.digest !== header.model.digest)
    throw new PartitionError(
      'input',
      `the record is of ${oneLine(header.model.name, 80)} with digest ${header.model.digest.slice(0, 12)}, this model has ${model.graph.digest.slice(0, 12)}`,
      modelPath,
      'give the model that was planned',
    );
  let cluster = recorded;
  if (options.cluster !== undefined || options.calibration !== undefined)
    cluster = clusterOf({
      cluster: options.cluster ?? header.cluster.name,
      devices: header.cluster.devices,
      calibration: options.calibration,
    });
  let level: string | null = null;
  if (options.oversubscription !== undefined)
    ({ cluster, level } = oversubscribed(cluster, options.oversubscription));
  const problem = problemOf(model, cluster, {
    ...settings,
    devices: header.cluster.devices,
    batch: header.globalBatch,
    precision: header.precision as ProblemOptions['precision'],
    calibration: options.calibration,
    ...stackOptions(header, cluster, options),
  });
  const after: ReplayPlace = {
    cluster: cluster.name,
    devices: cluster.deviceCount,
    stack: problem.problem.stack.name,
    calibration:
      problem.calibration?.name ?? (cluster === recorded ? (header.calibration?.name ?? null) : null),
    oversubscription: level === null ? null : { level, ratio: options.oversubscription! },
  };
  return { problem, after, warnings: [...problem.warnings, ...versionWarning(header)] };
}

/**
 * The recorded profile as it was, unless another one is asked for or the cluster's devices call for other numbers of the
 * same one. A profile from a file that is not at hand stays as recorded.
 */
function stackOptions(
  { stack, cluster: before, calibration }: RecordHeader,
  cluster: Cluster,
  options: ReplayOptions,
): { stack?: string; stackProfile?: RecordHeader['stack']['definition'] } {
  if (options.stack !== undefined) return { stack: options.stack };
  const moved = cluster.groups[0].device.name !== before.definition.groups[0].device.name;
  const changed = options.calibration !== undefined || (moved && calibration === null);
  if (changed && listStacks().includes(stack.name)) return { stack: stack.name };
  return { stackProfile: stack.definition };
}

function versionWarning({ programVersion }: RecordHeader): string[] {
  if (programVersion === version()) return [];
  return [
    `recorded by version ${oneLine(programVersion, 40)}, this is ${version()}: prices are compared within ${TOLERANCE}`,
  ];
}

function refuseIllegal(problem: PlanProblem, candidate: Candidate, path: string, line: number): void {
  const fault = checkCandidate(problem, candidate);
  if (fault !== null)
    throw new PartitionError('input', `line ${line}: no plan of this model: ${fault}`, path);
}

const COLUMN = Object.fromEntries(PRICE_COLUMNS.map((name, i) => [name, i]));

/** The objective of a price row; Infinity where the plan does not fit. */
function valueOf(objective: Objective, row: Float64Array): number {
  if (row[COLUMN['fits']] === 0) return Infinity;
  return objectiveValue(objective, {
    stepTimeSec: row[COLUMN['stepTimeSec']],
    energyJoulesPerStep: row[COLUMN['energyJoulesPerStep']],
    costPerStep: row[COLUMN['costPerStep']],
    breakdown: breakdownOf(row),
  });
}

function breakdownOf(row: Float64Array): TimeBreakdown {
  const { breakdown } = createEstimate();
  for (const name of Object.keys(breakdown) as (keyof TimeBreakdown)[]) breakdown[name] = row[COLUMN[name]];
  return breakdown;
}

/** The plans of some lines, in words. */
function planWords(path: string, header: RecordHeader, wanted: ReadonlySet<number>): Map<number, string> {
  const found = new Map<number, string>();
  for (const { line, candidate } of recordedPrices(path, header)) {
    if (wanted.has(line)) found.set(line, describeCandidate(candidate));
    if (found.size === wanted.size) break;
  }
  return found;
}

function ratio(before: number, after: number): number | null {
  return before < Infinity && after < Infinity ? after / before : null;
}

/** Values of plans that do not fit are null. */
function finite({ before, after, rankBefore, rankAfter }: Omit<RankedPlan, 'plan'>): {
  before: number | null;
  after: number | null;
  rankBefore: number | null;
  rankAfter: number | null;
} {
  const orNull = (x: number): number | null => (x < Infinity ? x : null);
  return { before: orNull(before), after: orNull(after), rankBefore, rankAfter };
}
