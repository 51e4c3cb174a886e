/** A running job planned again: what was observed and lost, the best plan now, and what moving there costs. */
import { join } from 'node:path';
import { countedSpec, HEALTHY } from '../cluster/condition.js';
import type { Condition, Slot } from '../cluster/condition.js';
import { describeCandidate } from '../plan/describe.js';
import type { Migration } from '../plan/migration.js';
import type { Plan } from '../plan/types.js';
import { keptPlan, replanMethod, replanWith } from '../portfolio/replan.js';
import type { Standing } from '../portfolio/replan.js';
import type { ReplanFacts, ReplanSide } from '../report/replanTable.js';
import type { Clock } from '../search/types.js';
import { PartitionError } from '../util/errors.js';
import { Random } from '../util/random.js';
import { observedRates } from './observedRates.js';
import { conditionOf, observedCondition } from './replanCondition.js';
import type { StatedCondition } from './replanCondition.js';
import { problemsUnder } from './replanProblems.js';
import { levelsOf, nameOf, oldRanks, samePlan, settled, touched } from './replanSides.js';
import type { Setting } from './replanSides.js';
import type { RiskFlags } from './risk.js';
import { openRunningJob } from './runningJob.js';
import type { RunningJob } from './runningJob.js';

export interface ReplanRequest extends StatedCondition {
  readonly modelPath: string;
  readonly planPath: string;
  /** Where the job runs from now on; default: where the plan was made. Hosts keep their numbers. */
  readonly cluster?: string | undefined;
  /** Devices there from now on, failed ones included; default: as many as the plan has, or all of a cluster file. */
  readonly devices?: number | undefined;
  /** Log of the job, as `partition monitor` reads it. */
  readonly observed?: string | undefined;
  /** Default `auto`: agent and annealing from the running plan, after dynamic programming has looked at every count. */
  readonly method?: string | undefined;
  /** Of the search, seconds; default 0.4. */
  readonly budgetSec?: number | undefined;
  readonly maxEvaluations?: number | undefined;
  readonly seed?: number | undefined;
  /** Steps left, for keep or change; default 10,000. */
  readonly steps?: number | undefined;
  /** From the decision until the job works again, moving aside; default 120. */
  readonly restartSec?: number | undefined;
  /** Reading the last checkpoint and the work since, where some state is lost; default 900. */
  readonly rollbackSec?: number | undefined;
  /** What fails from now on, and by when the job should end: run.json keeps it. */
  readonly failures?: RiskFlags | undefined;
  /** Folder; default: `replanned` beside the plan. */
  readonly out?: string | undefined;
}

export const REPLAN_DEFAULTS = {
  method: 'auto',
  budgetSec: 0.4,
  steps: 10_000,
  restartSec: 120,
  rollbackSec: 900,
} as const;

export interface ReplanHooks {
  readonly clock: Clock;
  readonly onProgress?: (text: string) => void;
}

/** The answer with the plan and its manifest. Plain data. */
export interface ReplanReply {
  readonly facts: ReplanFacts;
  readonly plan: Plan;
  readonly migration: Migration;
  readonly manifest: MigrationManifest;
  readonly condition: Condition;
}

/** migration.json: who sends what to whom. */
export interface MigrationManifest {
  readonly schemaVersion: 1;
  readonly fromPlan: string;
  readonly toPlan: string;
  /** By rank of the old and of the new plan; null: the device is gone. */
  readonly oldRanks: readonly (Slot | null)[];
  readonly newRanks: readonly Slot[];
  readonly groups: Migration['groups'];
}

/**
 * Plans a running job again.
 *
 * @throws PartitionError input for files of another model, plan or cluster, usage for hosts and ranks that do not exist,
 * infeasible when nothing fits what is left
 */
export async function replan(request: ReplanRequest, hooks: ReplanHooks): Promise<ReplanReply> {
  hooks.onProgress?.(`reading ${request.modelPath}`);
  return replanJob(openRunningJob(request.planPath, request.modelPath), request, hooks);
}

/** As `replan`, of a job that is open. */
export async function replanJob(
  job: RunningJob,
  request: ReplanRequest,
  hooks: ReplanHooks,
): Promise<ReplanReply> {
  const { planPath } = request;
  const { plan, run, before, base, running } = job;
  const spec =
    request.cluster === undefined && request.devices === undefined
      ? job.spec
      : countedSpec(
          request.cluster ?? run.cluster ?? plan.cluster.name,
          request.devices ?? plan.cluster.devices,
          base.calibration,
        );
  const stated = conditionOf(request, before.devices);
  const earlier = run.condition ?? HEALTHY;
  const seen = observedCondition(request.observed, plan, before, earlier, stated);
  const { log } = seen;
  const calibration = log === null ? null : observedRates(job, log.layout, log.observed, seen.during);
  const rates = calibration?.rates ?? seen.condition.rates;
  const condition: Condition = { ...seen.condition, ...(rates === undefined ? {} : { rates }) };
  const started = hooks.clock();
  const under = problemsUnder(base, spec, condition);
  const method = request.method ?? REPLAN_DEFAULTS.method;
  hooks.onProgress?.(`searching ${under.available} devices with ${method}`);
  const timed = request.maxEvaluations === undefined;
  const search = await replanWith(replanMethod(method), under.problems, under.available, {
    budget: {
      maxSec: timed ? (request.budgetSec ?? REPLAN_DEFAULTS.budgetSec) : (request.budgetSec ?? Infinity),
      maxEvaluations: request.maxEvaluations ?? Infinity,
    },
    clock: hooks.clock,
    random: new Random(request.seed ?? 0),
    warmStart: running,
  });
  const kept = keptPlan(under.problems, under.available, running);
  const best = search.best ?? kept;
  if (best === null)
    throw new PartitionError(
      'infeasible',
      `nothing fits the ${under.available} devices that are left`,
      planPath,
      'partition <model.onnx> --devices N says what is missing',
    );
  const setting: Setting = {
    under,
    spec,
    condition,
    plan,
    running,
    before,
    modelPath: request.modelPath,
    method,
    seed: request.seed ?? 0,
  };
  const isWhole =
    kept !== null && kept.devices === plan.cluster.devices && !touched(condition, before.devices, earlier);
  const same = kept !== null && samePlan(best, kept);
  const keptSide = kept === null ? null : settled(kept, setting, isWhole);
  const changedSide = same ? keptSide! : settled(best, setting, false);
  // What is still not explained is in every step alike.
  const scale = calibration?.residual ?? 1;
  const choice = decide(request, {
    keptSec: kept === null ? null : kept.stepTimeSec * scale,
    bestSec: best.stepTimeSec * scale,
    keptMoves: keptSide === null ? null : keptSide.migration.load,
    bestMoves: changedSide.migration.load,
    isWhole,
    same,
  });
  const decisionSec = hooks.clock() - started;
  const taken = choice.changes ? changedSide : keptSide!;
  const side = (s: Standing, m: Migration, costSec: number): ReplanSide => ({
    plan: describeCandidate(s.candidate),
    devices: s.devices,
    foundBy: s.foundBy,
    predictedStepTimeSec: s.stepTimeSec,
    stepTimeSec: s.stepTimeSec * scale,
    standstillSec: costSec,
    remainingSec: costSec + choice.steps * s.stepTimeSec * scale,
    migration: { ...m.load, levelBytes: levelsOf(m, under.on(s.devices).cluster) },
  });
  const facts: ReplanFacts = {
    plan: planPath,
    model: request.modelPath,
    decision: choice.changes ? 'change' : 'keep',
    available: under.available,
    calibration: rates ?? null,
    correction: scale,
    steps: choice.steps,
    breakEvenSteps: choice.breakEvenSteps,
    method,
    evaluations: search.evaluations,
    counts: search.counts,
    finds: search.finds.map(({ method: by, evaluations, value, devices }) => ({
      method: by,
      evaluations,
      devices,
      value: value === Infinity ? null : value,
    })),
    decisionSec,
    kept: kept === null ? null : side(kept, keptSide!.migration, choice.keepSec!),
    best: side(best, changedSide.migration, choice.changeSec),
    needsCheckpoint: taken.migration.load.checkpointBytes > 0,
    condition: {
      failed: condition.failed.map((f) => nameOf(f)),
      slow: condition.slow.map((s) => ({ device: nameOf(s), factor: s.factor })),
      degraded: condition.degraded.map((d) => ({
        level: d.level,
        host: d.host === null ? null : `host${d.host}`,
        factor: d.factor,
      })),
    },
    notes: seen.notes,
    planPath: join(request.out ?? '', 'plan.json'),
    manifestPath: join(request.out ?? '', 'migration.json'),
  };
  const manifest: MigrationManifest = {
    schemaVersion: 1,
    fromPlan: plan.cluster.digest,
    toPlan: taken.plan.cluster.digest,
    oldRanks: oldRanks(before.devices, condition, spec).map((d, rank) =>
      d < 0 ? null : before.devices[rank],
    ),
    newRanks: taken.devices,
    groups: taken.migration.groups,
  };
  return { facts, plan: taken.plan, migration: taken.migration, manifest, condition };
}

interface Ways {
  /** Corrected step times; null: the running plan cannot go on. */
  readonly keptSec: number | null;
  readonly bestSec: number;
  readonly keptMoves: Migration['load'] | null;
  readonly bestMoves: Migration['load'];
  /** The running plan goes on where it is, without a restart. */
  readonly isWhole: boolean;
  /** Both ways are one. */
  readonly same: boolean;
}

interface Choice {
  readonly steps: number;
  readonly changes: boolean;
  /** Standstills. */
  readonly keepSec: number | null;
  readonly changeSec: number;
  /** Null: the change never pays, or there is nothing to keep. */
  readonly breakEvenSteps: number | null;
}

/** Keep or change: a change is taken when it has paid before the last step. */
function decide(request: ReplanRequest, ways: Ways): Choice {
  const { keptSec, bestSec, keptMoves, bestMoves, isWhole, same } = ways;
  const steps = request.steps ?? REPLAN_DEFAULTS.steps;
  const restart = (m: Migration['load']): number =>
    (request.restartSec ?? REPLAN_DEFAULTS.restartSec) +
    m.moveSec +
    (m.checkpointBytes > 0 ? (request.rollbackSec ?? REPLAN_DEFAULTS.rollbackSec) : 0);
  const keepSec = keptMoves === null ? null : isWhole ? 0 : restart(keptMoves);
  const changeSec = same ? keepSec! : restart(bestMoves);
  if (keptSec === null) return { steps, changes: true, keepSec, changeSec, breakEvenSteps: null };
  const gainSec = keptSec - bestSec;
  if (same || gainSec <= 0) return { steps, changes: false, keepSec, changeSec, breakEvenSteps: null };
  const breakEvenSteps = Math.max(0, Math.ceil((changeSec - keepSec!) / gainSec));
  return { steps, changes: breakEvenSteps <= steps, keepSec, changeSec, breakEvenSteps };
}
