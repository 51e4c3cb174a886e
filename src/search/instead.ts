/**
 * A plan with some decisions changed by hand. What was not stated follows: data parallelism takes the devices that are
 * left, the microbatch the nearest size that is legal, stages are cut anew.
 */
import { divisors } from '../parallel/degrees.js';
import { checkCandidate, leannessOf, nearestLeanness } from '../plan/candidate.js';
import type { Candidate, ScheduleKind } from '../plan/types.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import type { PlanProblem } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';
import { Cutter } from './cutRules.js';
import type { Decisions } from './space.js';

/** Decisions as a person states them. */
export interface Changes {
  readonly dp?: number;
  readonly tp?: number;
  readonly pp?: number;
  readonly vpp?: number;
  readonly cp?: number;
  readonly ep?: number;
  readonly etp?: number;
  readonly zeroStage?: 0 | 1 | 2 | 3;
  readonly microbatch?: number;
  readonly schedule?: ScheduleKind;
  readonly contextExchange?: Candidate['contextExchange'];
  /** Which sharding of the mesh's Pareto set of time against kept activations. */
  readonly leanness?: number;
  readonly axisOrder?: Candidate['axisOrder'];
  /** RECOMPUTE_*, for every layer class. */
  readonly recompute?: number;
}

/**
 * @param where named in messages, such as `--instead`
 * @throws PartitionError usage saying why there is no such plan
 */
export function planInstead(
  problem: PlanProblem,
  base: Candidate,
  changes: Changes,
  where: string,
): Candidate {
  const degrees = {
    tp: changes.tp ?? base.tp,
    pp: changes.pp ?? base.pp,
    cp: changes.cp ?? base.cp,
    ep: changes.ep ?? base.ep,
    etp: changes.etp ?? base.etp,
  };
  const dp = dataParallelOf(problem, degrees, changes.dp, where);
  const zeroStage = changes.zeroStage ?? base.zeroStage;
  const dpShard = shardsOf(base, dp, zeroStage);
  const order = scheduleOf(base, changes, degrees.pp);
  const without: Omit<Decisions, 'microbatch'> = {
    ...degrees,
    ...order,
    dpReplicate: dp / dpShard,
    dpShard,
    zeroStage,
    axisOrder: changes.axisOrder ?? base.axisOrder,
    contextExchange: changes.contextExchange ?? (degrees.cp === 1 ? 'ring' : base.contextExchange),
    leanness:
      changes.leanness ?? nearestLeanness(problem.costs.leannesses?.(degrees) ?? [0], leannessOf(base)),
    recompute:
      changes.recompute === undefined ? base.recompute.slice() : base.recompute.map(() => changes.recompute!),
  };
  const sizes =
    changes.microbatch === undefined ? nearestSizes(problem, dp, base.microbatch) : [changes.microbatch];
  let fault = `dp = ${dp} does not divide the global batch ${problem.globalBatch}`;
  for (const microbatch of sizes) {
    const decisions: Decisions = { ...without, microbatch };
    // Cuts are looked at last: any will do for the check of the rest.
    const found = checkCandidate(problem, { ...decisions, stageStart: evenCuts(problem, decisions) });
    if (found === null) return { ...decisions, stageStart: bestCuts(problem, decisions, base) };
    fault = found;
  }
  throw new PartitionError('usage', fault, where, 'state more of the decisions, or others');
}

function dataParallelOf(
  { devices }: PlanProblem,
  d: { readonly tp: number; readonly pp: number; readonly cp: number },
  stated: number | undefined,
  where: string,
): number {
  const inside = d.tp * d.pp * d.cp;
  const words = `tp * pp * cp = ${d.tp} * ${d.pp} * ${d.cp} = ${inside}`;
  if (stated !== undefined && stated * inside !== devices)
    throw new PartitionError(
      'usage',
      `dp = ${stated} with ${words} asks for ${stated * inside} devices, the plan has ${devices}`,
      where,
      'leave dp out and it takes what is left, or state devices',
    );
  if (devices % inside !== 0)
    throw new PartitionError('usage', `${words} does not divide the ${devices} devices`, where);
  return devices / inside;
}

/** Shards as many ranks as before, or all where nothing else is left; whole replicas stay whole. */
function shardsOf(base: Candidate, dp: number, zeroStage: number): number {
  if (zeroStage === 0) return 1;
  if (base.dpReplicate === 1 || base.dpShard === 1) return dp;
  return dp % base.dpShard === 0 ? base.dpShard : dp;
}

function scheduleOf(base: Candidate, changes: Changes, pp: number): { schedule: ScheduleKind; vpp: number } {
  if (changes.schedule !== undefined) {
    const interleaved = changes.schedule === 'interleaved';
    return { schedule: changes.schedule, vpp: changes.vpp ?? (interleaved ? Math.max(2, base.vpp) : 1) };
  }
  const vpp = changes.vpp ?? (pp === 1 ? 1 : base.vpp);
  if (vpp > 1) return { schedule: 'interleaved', vpp };
  return { schedule: base.schedule === 'interleaved' || pp === 1 ? '1f1b' : base.schedule, vpp: 1 };
}

/** Microbatch sizes that divide a replica's batch, the nearest (as a ratio) first, the smaller of two first. */
function nearestSizes({ globalBatch }: PlanProblem, dp: number, wanted: number): number[] {
  if (globalBatch % dp !== 0) return [];
  const distance = (size: number): number => Math.abs(Math.log(size / wanted));
  return divisors(globalBatch / dp).sort((a, b) => distance(a) - distance(b) || a - b);
}

function evenCuts({ segmentation }: PlanProblem, d: Decisions): Int32Array {
  const stages = d.pp * d.vpp;
  return Int32Array.from({ length: stages + 1 }, (_, v) =>
    Math.floor((v * segmentation.segmentCount) / stages),
  );
}

/** Balanced cuts, or the plan's own where those still suit and do better. */
function bestCuts(problem: PlanProblem, d: Decisions, base: Candidate): Int32Array {
  const balanced = new Cutter(problem).balanced(d);
  if (base.stageStart.length !== balanced.length) return balanced;
  const simulator = createSimulator(problem);
  const price = (stageStart: Int32Array): number => {
    const { fits, stepTimeSec } = simulator.estimate({ ...d, stageStart }, createEstimate());
    return fits ? stepTimeSec : Infinity;
  };
  return price(base.stageStart) <= price(balanced) ? base.stageStart.slice() : balanced;
}
