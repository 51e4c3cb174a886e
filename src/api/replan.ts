/** A running job planned again: what was observed and lost, the best plan now, and what moving there costs. */
import { join } from 'node:path';
import type { Cluster } from '../cluster/index.js';
import { conditioned, countedSpec } from '../cluster/condition.js';
import type { Condition, CountedSpec, Slot } from '../cluster/condition.js';
import { describeCandidate } from '../plan/describe.js';
import { MIXED_ADAM, FP32_ADAM } from '../parallel/zero.js';
import { encodePlan } from '../plan/codec.js';
import { migrationOf } from '../plan/migration.js';
import type { Migration, MigrationSide } from '../plan/migration.js';
import { planLayouts } from '../plan/planLayouts.js';
import type { Candidate, Plan } from '../plan/types.js';
import { solverByName } from '../portfolio/index.js';
import { keptPlan, replanSolver, replanWith } from '../portfolio/replan.js';
import type { Standing } from '../portfolio/replan.js';
import type { ReplanFacts, ReplanSide } from '../report/replanTable.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import { dynamicSolver } from '../search/dynamic.js';
import type { Clock } from '../search/types.js';
import { PartitionError } from '../util/errors.js';
import { makeFolder, writeFileAtomic } from '../util/files.js';
import { Random } from '../util/random.js';
import { planOf } from './plan.js';
import { problemOf } from './problem.js';
import type { Problem, ProblemOptions } from './problem.js';
import { conditionOf, observedCondition } from './replanCondition.js';
import type { StatedCondition } from './replanCondition.js';
import { problemsUnder } from './replanProblems.js';
import { readRun } from './runFile.js';
import { openRunningJob } from './runningJob.js';

export interface ReplanRequest extends StatedCondition {
  readonly modelPath: string;
  readonly planPath: string;
  /** Where the job runs from now on; default: where the plan was made. Hosts keep their numbers. */
  readonly cluster?: string | undefined;
  /** Devices there from now on, failed ones included; default: as many as the plan has, or all of a cluster file. */
  readonly devices?: number | undefined;
  /** Log of the job, as `partition monitor` reads it. */
  readonly observed?: string | undefined;
  /** Default `agent`: warm from the running plan, dynamic programming as its scout. */
  readonly method?: string | undefined;
  /** Of the search, seconds; default 0.6. */
  readonly budgetSec?: number | undefined;
  readonly maxEvaluations?: number | undefined;
  readonly seed?: number | undefined;
  /** Steps left, for keep or change; default 10,000. */
  readonly steps?: number | undefined;
  /** From the decision until the job works again, moving aside; default 120. */
  readonly restartSec?: number | undefined;
  /** Folder; default: `replanned` beside the plan. */
  readonly out?: string | undefined;
}

export const REPLAN_DEFAULTS = { method: 'agent', budgetSec: 0.6, steps: 10_000, restartSec: 120 } as const;

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
  const { planPath } = request;
  hooks.onProgress?.(`reading ${request.modelPath}`);
  const {
    plan,
    run,
    spec: oldSpec,
    before,
    options,
    base,
    running,
  } = openRunningJob(planPath, request.modelPath);
  const nowSpec =
    request.cluster === undefined && request.devices === undefined
      ? oldSpec
      : countedSpec(
          request.cluster ?? run.cluster ?? plan.cluster.name,
          request.devices ?? plan.cluster.devices,
        );
  const stated = conditionOf(request, before.devices);
  const { condition, ratioToPlan, notes } = observedCondition(
    request.observed,
    plan,
    before,
    run.condition,
    stated,
  );
  const started = hooks.clock();
  const under = problemsUnder(base, nowSpec, condition);
  const method = request.method ?? REPLAN_DEFAULTS.method;
  hooks.onProgress?.(`searching ${under.available} devices with ${method}`);
  const timed = request.maxEvaluations === undefined;
  const search = await replanWith(
    method === 'agent' ? replanSolver : solverByName(method),
    under.problems,
    under.available,
    {
      budget: {
        maxSec: timed ? (request.budgetSec ?? REPLAN_DEFAULTS.budgetSec) : Infinity,
        maxEvaluations: request.maxEvaluations ?? Infinity,
      },
      clock: hooks.clock,
      random: new Random(request.seed ?? 0),
      ...(method === 'agent' ? { warmStart: running, scout: dynamicSolver } : {}),
    },
  );
  const kept = keptPlan(under.problems, under.available, running);
  const best = search.best ?? kept;
  if (best === null)
    throw new PartitionError(
      'infeasible',
      `nothing fits the ${under.available} devices that are left`,
      planPath,
      'partition <model.onnx> --devices N says what is missing',
    );
  const decisionSec = hooks.clock() - started;
  // What the running plan really takes under the condition corrects every prediction alike.
  const scale = correction(ratioToPlan, plan, kept);
  const sideOf = (s: Standing): { plan: Plan; migration: Migration; devices: readonly Slot[] } =>
    settled(s, {
      request,
      base,
      options,
      nowSpec,
      condition,
      plan,
      before,
      modelPath: request.modelPath,
      running,
    });
  const isWhole =
    kept !== null &&
    kept.devices === plan.cluster.devices &&
    !touched(condition, before.devices, run.condition);
  // A job that just goes on keeps its ranks where they are.
  const stays = { migration: NOTHING, devices: before.devices };
  const keptSide = kept === null ? null : { ...sideOf(kept), ...(isWhole ? stays : {}) };
  const same = kept !== null && samePlan(best, kept);
  const changedSide = same ? keptSide! : sideOf(best);
  const restartSec = request.restartSec ?? REPLAN_DEFAULTS.restartSec;
  const keepCost = keptSide === null ? null : isWhole ? 0 : restartSec + keptSide.migration.load.moveSec;
  const changeCost = same ? keepCost! : restartSec + changedSide.migration.load.moveSec;
  const steps = request.steps ?? REPLAN_DEFAULTS.steps;
  const gainSec = kept === null ? Infinity : (kept.stepTimeSec - best.stepTimeSec) * scale;
  const breakEven =
    kept === null || same || gainSec <= 0 ? null : Math.max(0, Math.ceil((changeCost - keepCost!) / gainSec));
  const changes = kept === null || (!same && gainSec > 0 && breakEven! <= steps);
  const taken = changes ? changedSide : keptSide!;
  const side = (s: Standing, m: Migration, costSec: number): ReplanSide => ({
    plan: describeCandidate(s.candidate),
    devices: s.devices,
    foundBy: s.foundBy,
    predictedStepTimeSec: s.stepTimeSec,
    stepTimeSec: s.stepTimeSec * scale,
    standstillSec: costSec,
    remainingSec: costSec + steps * s.stepTimeSec * scale,
    migration: { ...m.load, levelBytes: levelsOf(m, under.on(s.devices).cluster) },
  });
  const facts: ReplanFacts = {
    plan: planPath,
    model: request.modelPath,
    decision: changes ? 'change' : 'keep',
    available: under.available,
    correction: scale,
    steps,
    breakEvenSteps: changes || breakEven !== null ? breakEven : null,
    method,
    evaluations: search.evaluations,
    counts: search.counts,
    decisionSec,
    kept: kept === null ? null : side(kept, keptSide!.migration, keepCost!),
    best: side(best, changedSide.migration, changeCost),
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
    notes,
    planPath: join(request.out ?? '', 'plan.json'),
    manifestPath: join(request.out ?? '', 'migration.json'),
  };
  const manifest: MigrationManifest = {
    schemaVersion: 1,
    fromPlan: plan.cluster.digest,
    toPlan: taken.plan.cluster.digest,
    oldRanks: oldRanks(before.devices, condition, nowSpec).map((d, rank) =>
      d < 0 ? null : before.devices[rank],
    ),
    newRanks: taken.devices,
    groups: taken.migration.groups,
  };
  return { facts, plan: taken.plan, migration: taken.migration, manifest, condition };
}

/** Writes plan.json, migration.json and run.json. */
export function writeReplanFiles(
  reply: ReplanReply,
  request: ReplanRequest,
  folder: string,
  command?: string,
): ReplanFacts {
  makeFolder(folder);
  const planPath = join(folder, 'plan.json');
  const manifestPath = join(folder, 'migration.json');
  const run = readRun(request.planPath);
  writeFileAtomic(planPath, encodePlan(reply.plan));
  writeFileAtomic(manifestPath, `${JSON.stringify(reply.manifest)}\n`);
  writeFileAtomic(
    join(folder, 'run.json'),
    `${JSON.stringify(
      {
        ...(command === undefined ? {} : { command }),
        model: request.modelPath,
        condition: reply.condition,
        devices: reply.manifest.oldRanks.length,
        request: {
          cluster: request.cluster ?? run.cluster ?? reply.plan.cluster.name,
          ...(run.calibration === undefined ? {} : { calibration: run.calibration }),
          ...(run.bind === undefined ? {} : { bind: run.bind }),
        },
      },
      null,
      2,
    )}\n`,
  );
  return { ...reply.facts, planPath, manifestPath };
}

/** Nothing moves. */
const NOTHING: Migration = {
  groups: [],
  load: { movedBytes: 0, checkpointBytes: 0, keptBytes: 0, levelBytes: [], receivers: 0, moveSec: 0 },
};

interface Setting {
  readonly request: ReplanRequest;
  readonly base: Problem;
  readonly options: ProblemOptions;
  readonly nowSpec: CountedSpec;
  readonly condition: Condition;
  readonly plan: Plan;
  readonly before: { readonly cluster: Cluster; readonly devices: readonly Slot[] };
  readonly modelPath: string;
  readonly running: Candidate;
}

/** A standing plan written out, and the way there. */
function settled(
  s: Standing,
  { request, base, options, nowSpec, condition, plan, before, modelPath, running }: Setting,
): { plan: Plan; migration: Migration; devices: readonly Slot[] } {
  const now = conditioned(nowSpec, condition, s.devices);
  const problem = problemOf(base.model, now.cluster, { ...options, devices: s.devices });
  const after = planOf(problem, s.candidate, modelPath, {
    objective: plan.objective,
    optimalInSpace: false,
    foundBy: {
      method: request.method ?? REPLAN_DEFAULTS.method,
      member: s.foundBy,
      seed: request.seed ?? 0,
      evaluations: 0,
    },
  });
  const { graph } = base.model;
  const perHost = devicesPerHost(nowSpec);
  const from: MigrationSide = {
    order: running,
    zeroStage: plan.zeroStage,
    layouts: planLayouts(plan, graph),
    deviceOfRank: oldRanks(before.devices, condition, nowSpec),
  };
  const to: MigrationSide = {
    order: s.candidate,
    zeroStage: after.zeroStage,
    layouts: planLayouts(after, graph),
    deviceOfRank: now.devices.map(({ host, device }) => host * perHost + device),
  };
  const fp32 = plan.precision === 'fp32' || plan.precision === 'tf32';
  const bytes = fp32 ? FP32_ADAM : MIXED_ADAM;
  // In fp32 the parameter is its own master copy, and lies as the moments do.
  const optimizer = bytes.optimizer + (fp32 ? bytes.param : 0);
  const sizes =
    plan.phase === 'train' ? { parameter: 0, optimizer } : { parameter: bytes.param, optimizer: 0 };
  return { plan: after, migration: migrationOf(from, to, sizes, now.cluster.levels), devices: now.devices };
}

function devicesPerHost({ devicesOfHost }: CountedSpec): number {
  return devicesOfHost.reduce((a, b) => Math.max(a, b), 1);
}

/** Devices of the running ranks as numbers of the new cluster; -1 where they are gone. */
function oldRanks(devices: readonly Slot[], { failed }: Condition, spec: CountedSpec): number[] {
  const perHost = devicesPerHost(spec);
  const gone = new Set<string>();
  for (const f of [...failed, ...spec.missing]) gone.add(`${f.host}/${f.device ?? '*'}`);
  return devices.map(({ host, device }) =>
    host >= spec.devicesOfHost.length || gone.has(`${host}/*`) || gone.has(`${host}/${device}`)
      ? -1
      : host * perHost + device,
  );
}

/** Whether a device that the plan runs on is gone since. */
function touched({ failed }: Condition, devices: readonly Slot[], before: Condition | undefined): boolean {
  const known = new Set((before?.failed ?? []).map((f) => nameOf(f)));
  const lost = failed.filter((f) => !known.has(nameOf(f)));
  return devices.some((d) =>
    lost.some((f) => f.host === d.host && (f.device === null || f.device === d.device)),
  );
}

function correction(ratioToPlan: number | null, plan: Plan, kept: Standing | null): number {
  if (ratioToPlan === null) return 1;
  const observedSec = ratioToPlan * plan.prediction.stepTimeSec;
  // With devices gone the observed step is of another plan: the plan's own ratio is all that is known.
  if (kept === null || kept.devices !== plan.cluster.devices) return ratioToPlan;
  return observedSec / kept.stepTimeSec;
}

function samePlan(a: Standing, b: Standing): boolean {
  return a.devices === b.devices && describeCandidate(a.candidate) === describeCandidate(b.candidate);
}

function levelsOf({ load }: Migration, { levels }: Cluster): ReplanSide['migration']['levelBytes'] {
  return load.levelBytes.map((bytes, i) => ({ level: levels[i].name, bytes }));
}

/** `host7`, or `host7.3` for its device 3. */
export function nameOf({ host, device }: { readonly host: number; readonly device: number | null }): string {
  return device === null ? `host${host}` : `host${host}.${device}`;
}

/** Step time of a candidate on a problem, seconds. */
export function stepTimeOf(problem: Problem['problem'], c: Candidate): number {
  return createSimulator(problem, true).estimate(c, createEstimate()).stepTimeSec;
}
