/** Both ways on for a running job, keep and change: each a plan written out, with the state that moves to get there. */
import type { Condition, ConditionedCluster, CountedSpec, Slot } from '../cluster/condition.js';
import type { Cluster } from '../cluster/index.js';
import { FP32_ADAM, MIXED_ADAM } from '../parallel/zero.js';
import { equalCandidates } from '../plan/candidate.js';
import { migrationOf, reloadOf } from '../plan/migration.js';
import type { Migration, MigrationSide } from '../plan/migration.js';
import { planLayouts } from '../plan/planLayouts.js';
import type { Candidate, Plan } from '../plan/types.js';
import type { Standing } from '../portfolio/replan.js';
import { planOf } from './plan.js';
import type { ConditionedProblems } from './replanProblems.js';

/** Nothing moves. */
const NOTHING: Migration = {
  groups: [],
  load: { movedBytes: 0, checkpointBytes: 0, keptBytes: 0, levelBytes: [], receivers: 0, moveSec: 0 },
};

/** A plan with the way there. */
export interface Settled {
  readonly plan: Plan;
  readonly migration: Migration;
  /** Of its ranks. */
  readonly devices: readonly Slot[];
}

/** What both ways have in common. */
export interface Setting {
  /** The problems that were searched: a plan is written as it was priced. */
  readonly under: ConditionedProblems;
  /** The cluster from now on, and what is wrong with it. */
  readonly spec: CountedSpec;
  readonly condition: Condition;
  /** The running plan, its decisions and its devices. */
  readonly plan: Plan;
  readonly running: Candidate;
  readonly before: ConditionedCluster;
  readonly modelPath: string;
  readonly method: string;
  readonly seed: number;
}

/** A standing plan written out, and the way there; `stays`: the job goes on where it is, its ranks with it. */
export function settled(s: Standing, setting: Setting, stays: boolean): Settled {
  const { under, spec, condition, plan, before, modelPath, running } = setting;
  const now = under.on(s.devices);
  const problem = under.whole(s.devices);
  const written = planOf(problem, s.candidate, modelPath, {
    objective: plan.objective,
    optimalInSpace: false,
    foundBy: { method: setting.method, member: s.foundBy, seed: setting.seed, evaluations: 0 },
  });
  const all = spec.devicesOfHost.reduce((a, b) => a + b, 0);
  const isHealthy = faultCount(condition) === 0 && all === s.devices;
  const after: Plan = isHealthy
    ? written
    : { ...written, cluster: { ...written.cluster, condition: { devices: all, ...condition } } };
  if (stays) return { plan: after, migration: NOTHING, devices: before.devices };
  const { graph } = problem.model;
  const perHost = devicesPerHost(spec);
  const from: MigrationSide = {
    order: running,
    zeroStage: plan.zeroStage,
    layouts: planLayouts(plan, graph),
    deviceOfRank: oldRanks(before.devices, condition, spec),
  };
  const to: MigrationSide = {
    order: s.candidate,
    zeroStage: after.zeroStage,
    layouts: planLayouts(after, graph),
    deviceOfRank: now.devices.map(({ host, device }) => host * perHost + device),
  };
  const sizes = stateSizes(plan);
  const moved = migrationOf(from, to, sizes, now.cluster.levels);
  // What survives is of a later step than what a checkpoint has: where some comes from there, all does.
  const isLost = moved.load.checkpointBytes > 0;
  const migration = isLost ? reloadOf(to, sizes, now.cluster.levels) : moved;
  return { plan: after, migration, devices: now.devices };
}

function faultCount({ failed, slow, degraded, rates }: Condition): number {
  return failed.length + slow.length + degraded.length + (rates === undefined ? 0 : 1);
}

/** Bytes of one element of each kind of state that moves. */
function stateSizes({ precision, phase }: Plan): { parameter: number; optimizer: number } {
  const fp32 = precision === 'fp32' || precision === 'tf32';
  const bytes = fp32 ? FP32_ADAM : MIXED_ADAM;
  // In fp32 the parameter is its own master copy, and lies as the moments do.
  const optimizer = bytes.optimizer + (fp32 ? bytes.param : 0);
  return phase === 'train' ? { parameter: 0, optimizer } : { parameter: bytes.param, optimizer: 0 };
}

function devicesPerHost({ devicesOfHost }: CountedSpec): number {
  return devicesOfHost.reduce((a, b) => Math.max(a, b), 1);
}

/** Devices of the running ranks as numbers of the new cluster; -1 where they are gone. */
export function oldRanks(devices: readonly Slot[], { failed }: Condition, spec: CountedSpec): number[] {
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
export function touched({ failed }: Condition, devices: readonly Slot[], before: Condition): boolean {
  const known = new Set(before.failed.map((f) => nameOf(f)));
  const lost = failed.filter((f) => !known.has(nameOf(f)));
  return devices.some((d) =>
    lost.some((f) => f.host === d.host && (f.device === null || f.device === d.device)),
  );
}

export function samePlan(a: Standing, b: Standing): boolean {
  return a.devices === b.devices && equalCandidates(a.candidate, b.candidate);
}

export function levelsOf({ load }: Migration, { levels }: Cluster): { level: string; bytes: number }[] {
  return load.levelBytes.map((bytes, i) => ({ level: levels[i].name, bytes }));
}

/** `host7`, or `host7.3` for its device 3. */
export function nameOf({ host, device }: { readonly host: number; readonly device: number | null }): string {
  return device === null ? `host${host}` : `host${host}.${device}`;
}
