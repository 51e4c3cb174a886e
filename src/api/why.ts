/** Why a plan is as it is: the same step under other decisions, term by term. */
import { existsSync } from 'node:fs';
import { atPowerCap, oversubscribed } from '../cluster/index.js';
import type { Cluster } from '../cluster/index.js';
import { perTrillionTokens } from '../cost/energy.js';
import { CONTEXT_EXCHANGES } from '../parallel/context.js';
import { RECOMPUTE_POLICIES } from '../parallel/recompute.js';
import { AXIS_ORDERS, SCHEDULES } from '../plan/candidate.js';
import { candidateOf } from '../plan/candidateOf.js';
import { describeCandidate } from '../plan/describe.js';
import { decodePlan } from '../plan/index.js';
import { planDegrees } from '../plan/build.js';
import type { Candidate, Plan } from '../plan/types.js';
import type { WhyFacts, WhySide } from '../report/whyTable.js';
import { planInstead } from '../search/instead.js';
import type { Changes } from '../search/instead.js';
import { explain } from '../simulate/explain.js';
import type { Explanation } from '../simulate/explain.js';
import { ENERGY_TERMS, MEMORY_TERMS, TIME_TERMS } from '../simulate/terms.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import { nearNames } from '../util/near.js';
import type { AnalyzedModel, ProblemOptions } from './problem.js';
import { plannedCluster } from './plannedCluster.js';
import { PRECISIONS, clusterOf, openModel, problemOf } from './problem.js';
import { findModel, readRun } from './runFile.js';
import type { RunFile } from './runFile.js';

export interface WhyOptions {
  /** `tp=8,pp=4`, or the path of another plan of the same model. */
  readonly instead: string;
  /** Default: the model that the plan was made from, as run.json beside it says, or one of its name near by. */
  readonly modelPath?: string | undefined;
  /** Where the plan was made; default: as run.json beside it says, else the preset of the plan's cluster name. */
  readonly cluster?: string | undefined;
  readonly seq?: number | undefined;
  readonly bind?: Readonly<Record<string, number>> | undefined;
  readonly strict?: boolean | undefined;
}

const FLAG = '--instead';

/** What `--instead` may change beside the decisions of a plan. */
interface Surroundings {
  readonly devices?: number;
  readonly batch?: number;
  readonly cluster?: string;
  /** Another cluster was asked for: nothing is wrong with it. */
  readonly isOther?: boolean;
  readonly calibration?: string;
  readonly stack?: string;
  readonly precision?: NonNullable<ProblemOptions['precision']>;
  readonly powerCap?: number;
  readonly oversubscription?: number;
}

/**
 * Prices a plan and the same plan changed.
 *
 * @throws PartitionError usage when the changes make no plan or the model is not found; input for files that are no plans
 */
export function explainDifference(planPath: string, options: WhyOptions): WhyFacts {
  const plan = decodePlan(readTextFile(planPath, 'a plan in JSON'), planPath);
  const run = readRun(planPath);
  const modelPath =
    options.modelPath ?? findModel(planPath, plan, run, 'why <plan.json> <model.onnx> --instead ...');
  const seq = options.seq ?? (plan.sequenceLength > 1 ? plan.sequenceLength : undefined);
  const bind = options.bind ?? run.bind;
  const model = openModel(modelPath, { seq, bind, strict: options.strict });
  const own = surroundingsOf(options.cluster === undefined ? run : { ...run, cluster: options.cluster });
  const before = priced(model, plan, own, (p) => ({
    candidate: candidateOf(p, model.graph, model.segmentation, planPath),
  }));
  const isFile = /\.json$/i.test(options.instead) || existsSync(options.instead);
  const after = isFile
    ? pricedFile(model, options.instead)
    : pricedChange(model, plan, own, before.candidate, parseChanges(options.instead));
  return facts(planPath, modelPath, options.instead, before, after);
}

interface Priced {
  readonly candidate: Candidate;
  readonly explanation: Explanation;
  readonly side: WhySide;
  readonly warnings: readonly string[];
}

function pricedFile(model: AnalyzedModel, path: string): Priced {
  const other = decodePlan(readTextFile(path, 'a plan in JSON'), path);
  const run = readRun(path);
  const own = surroundingsOf(run);
  return priced(model, other, own, (p) => ({
    candidate: candidateOf(p, model.graph, model.segmentation, path),
  }));
}

function pricedChange(
  model: AnalyzedModel,
  plan: Plan,
  own: Surroundings,
  base: Candidate,
  { decisions, surroundings }: Stated,
): Priced {
  const isOther = surroundings.cluster !== undefined;
  return priced(model, plan, { ...own, ...surroundings, isOther }, (_, problem) => ({
    candidate: planInstead(problem, base, decisions, FLAG),
  }));
}

function priced(
  model: AnalyzedModel,
  plan: Plan,
  s: Surroundings,
  choose: (plan: Plan, problem: ReturnType<typeof problemOf>['problem']) => { candidate: Candidate },
): Priced {
  const devices = s.devices ?? plan.cluster.devices;
  const place = { cluster: s.cluster ?? plan.cluster.name, calibration: s.calibration, devices };
  const cluster = surroundedCluster(s.isOther === true ? clusterOf(place) : plannedCluster(plan, place), s);
  const { problem, warnings } = problemOf(model, cluster, {
    devices,
    batch: s.batch ?? plan.globalBatch,
    precision: s.precision ?? plan.precision,
    stack: s.stack ?? plan.stack,
    calibration: s.calibration,
    objective: plan.objective,
  });
  const { candidate } = choose(plan, problem);
  const explanation = explain(problem, candidate);
  const { estimate } = explanation;
  const tokens = problem.globalBatch * problem.sequenceLength;
  const hasPrice = cluster.groups.some((g) => g.pricePerDeviceHourUsd > 0);
  const costPerStep = hasPrice ? estimate.costPerStep : null;
  return {
    candidate,
    explanation,
    warnings,
    side: {
      plan: describeCandidate(candidate),
      degrees: planDegrees(candidate),
      cluster: cluster.name,
      devices,
      stack: problem.stack.name,
      precision: problem.precision,
      globalBatch: problem.globalBatch,
      stepTimeSec: estimate.stepTimeSec,
      tokensPerSec: estimate.tokensPerSec,
      mfu: estimate.mfu,
      fits: estimate.fits,
      overflowBytes: estimate.overflowBytes,
      worstRank: estimate.worstRank,
      peakMemoryBytes: estimate.peakMemoryBytes,
      memoryCapacityBytes: estimate.memoryCapacityBytes,
      criticalRank: explanation.criticalRank,
      energyJoulesPerStep: estimate.energyJoulesPerStep,
      costPerStep,
      perTrillionTokens:
        problem.sequenceLength > 1
          ? perTrillionTokens(estimate.energyJoulesPerStep, costPerStep, tokens, cluster.carbonKgPerKwh)
          : null,
    },
  };
}

function surroundedCluster(cluster: Cluster, { powerCap, oversubscription }: Surroundings): Cluster {
  const capped =
    powerCap === undefined
      ? cluster
      : { ...cluster, groups: cluster.groups.map((g) => ({ ...g, device: atPowerCap(g.device, powerCap) })) };
  return oversubscription === undefined ? capped : oversubscribed(capped, oversubscription).cluster;
}

function facts(plan: string, model: string, instead: string, before: Priced, after: Priced): WhyFacts {
  const first = before.explanation;
  const second = after.explanation;
  const sequences = before.side.globalBatch / after.side.globalBatch;
  const timeOf = ({ ranks, criticalRank }: Explanation) => ranks[criticalRank].time;
  const memoryOf = ({ estimate }: Explanation) => estimate.memory[estimate.worstRank];
  const difference = (a: number, b: number) => ({ before: a, after: b, difference: b - a });
  const sorted = <T extends { difference: number }>(rows: T[]): T[] =>
    rows.sort((a, b) => Math.abs(b.difference) - Math.abs(a.difference));
  return {
    plan,
    model,
    instead,
    before: before.side,
    after: after.side,
    // Work of another batch is compared per sequence.
    slowdown: (after.side.stepTimeSec * sequences) / before.side.stepTimeSec - 1,
    time: sorted(
      TIME_TERMS.map(({ key, label }) => {
        const a = timeOf(first)[key];
        const b = timeOf(second)[key];
        return {
          term: key,
          label,
          ...difference(a.exposedSec, b.exposedSec),
          hiddenBefore: a.hiddenSec,
          hiddenAfter: b.hiddenSec,
          share: (b.exposedSec - a.exposedSec) / before.side.stepTimeSec,
        };
      }),
    ),
    memory: sorted(
      MEMORY_TERMS.map(({ key, label }) => ({
        term: key,
        label,
        ...difference(memoryOf(first)[key], memoryOf(second)[key]),
      })),
    ),
    energy: sorted(
      ENERGY_TERMS.map(({ key, label }) => ({
        term: key,
        label,
        ...difference(first.energy[key], second.energy[key]),
      })),
    ),
    warnings: [...new Set([...before.warnings, ...after.warnings])],
  };
}

interface Stated {
  readonly decisions: Changes;
  readonly surroundings: Surroundings;
}

/** How each key is read. */
const WHOLE = ['dp', 'tp', 'pp', 'vpp', 'cp', 'ep', 'etp', 'microbatch', 'devices', 'batch'] as const;
const WORDS: Readonly<Record<string, readonly string[]>> = {
  schedule: SCHEDULES,
  recompute: RECOMPUTE_POLICIES,
  contextExchange: CONTEXT_EXCHANGES,
  axisOrder: AXIS_ORDERS,
  precision: PRECISIONS,
};
const NUMBERS = ['powerCap', 'oversubscription'] as const;
const FREE = ['cluster', 'stack'] as const;
const KEYS = [...WHOLE, 'zero', 'leanness', ...Object.keys(WORDS), ...FREE, ...NUMBERS];

/** `tp=8,pp=4` as decisions. @throws PartitionError usage naming the term */
export function parseChanges(text: string): Stated {
  const decisions: Record<string, unknown> = {};
  const surroundings: Record<string, unknown> = {};
  for (const term of text.split(',')) {
    const [key = '', value = ''] = term.split('=').map((t) => t.trim());
    if (!KEYS.includes(key)) {
      const near = nearNames(key, KEYS);
      throw new PartitionError(
        'usage',
        `expected terms such as tp=8,pp=4 or another plan.json, found ${oneLine(term.trim(), 60) || 'nothing'}`,
        FLAG,
        near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known: ${KEYS.join(', ')}`,
      );
    }
    const target = ['devices', 'batch', 'precision', ...NUMBERS, ...FREE].includes(key)
      ? surroundings
      : decisions;
    const [name, read] = readTerm(key, value);
    target[name] = read;
  }
  return { decisions: decisions, surroundings: surroundings };
}

function readTerm(key: string, value: string): [string, unknown] {
  const fault = (expected: string): PartitionError =>
    new PartitionError(
      'usage',
      `${key}: expected ${expected}, found ${oneLine(value, 60) || 'nothing'}`,
      FLAG,
    );
  if ((FREE as readonly string[]).includes(key)) {
    if (value === '') throw fault('a name or a YAML file');
    return [key, value];
  }
  const words = WORDS[key];
  if (words !== undefined) {
    if (!words.includes(value)) throw fault(`one of ${words.join(', ')}`);
    return key === 'recompute' ? [key, words.indexOf(value)] : [key, value];
  }
  if (key === 'leanness') {
    if (!/^-?\d{1,3}$/.test(value)) throw fault('a whole number; 0 is the usual sharding');
    return [key, Number(value)];
  }
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN;
  if ((NUMBERS as readonly string[]).includes(key)) {
    if (!(number > 0)) throw fault(key === 'powerCap' ? 'watts' : 'a ratio such as 2');
    return [key, number];
  }
  if (key === 'zero') {
    if (![0, 1, 2, 3].includes(number)) throw fault('0, 1, 2 or 3');
    return ['zeroStage', number];
  }
  if (!Number.isSafeInteger(number) || number < 1) throw fault('a whole number of at least 1');
  return [key, number];
}

function surroundingsOf({ cluster, calibration }: RunFile): Surroundings {
  return {
    ...(cluster === undefined ? {} : { cluster }),
    ...(calibration === undefined ? {} : { calibration }),
  };
}
