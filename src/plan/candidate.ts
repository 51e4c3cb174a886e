/** Questions asked of a `Candidate`: is it legal, is it the same as another, where do its stages start. */
import type { CostProvider, Phase, ShardKey } from '../cost/types.js';
import {
  dataParallel,
  DEGREE_NAMES,
  degreesFault,
  expertFault,
  expertDataParallel,
  microbatchCount,
} from '../parallel/degrees.js';
import { CONTEXT_EXCHANGES, contextFault } from '../parallel/context.js';
import { scheduleFault, SCHEDULES } from '../parallel/schedule.js';
import type { AxisOrder, Candidate } from './types.js';

/** What a candidate is checked against; a `PlanProblem` fits. */
export interface CandidateLimits {
  readonly devices: number;
  readonly phase: Phase;
  readonly globalBatch: number;
  readonly maxCp: number;
  /** 1 = the model has no experts. */
  readonly experts: number;
  readonly tpChoices: readonly number[];
  /** Attention heads that an all-to-all context exchange may deal out; 1 = none. */
  readonly contextHeads: number;
  readonly segmentation: { readonly segmentCount: number; readonly classCount: number };
  /** Absent: any `leanness` will do. */
  readonly costs?: Pick<CostProvider, 'leannesses'>;
}

export const AXIS_ORDERS: readonly AxisOrder[] = ['tp-cp-dp-pp', 'tp-cp-pp-dp'];

export { dataParallel, devicesPerStage, expertDataParallel } from '../parallel/degrees.js';
export { SCHEDULES } from '../parallel/schedule.js';

/** Which of its mesh's shardings a plan takes. */
export function leannessOf({ leanness }: Pick<Candidate, 'leanness'>): number {
  return leanness ?? 0;
}

/** What of a plan its cost tables depend on. */
export function shardKeyOf(c: Omit<ShardKey, 'deviceGroup'>, deviceGroup: number): ShardKey {
  const { tp, cp, ep, etp, microbatch, contextExchange, leanness = 0 } = c;
  return { tp, cp, ep, etp, microbatch, deviceGroup, contextExchange, leanness };
}

/** Microbatches per step of one data-parallel replica (an integer for a legal candidate). */
export function microbatchesOf(c: Candidate, globalBatch: number): number {
  return microbatchCount(c, globalBatch, c.microbatch);
}

/** Expert replicas over which ZeRO shards: those that do not stand in different `dpReplicate` copies. */
export function expertShards(c: Candidate): number {
  const replicas = expertDataParallel(c);
  return replicas / greatestCommonDivisor(replicas, c.dpReplicate);
}

function greatestCommonDivisor(a: number, b: number): number {
  let x = a;
  let y = b;
  while (y !== 0) {
    const rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}

/** Why the candidate is no plan of this problem, one sentence with both numbers; `null` when it is one. */
export function checkCandidate(limits: CandidateLimits, c: Candidate): string | null {
  return (
    degreeFault(limits, c) ??
    leannessFault(limits, c) ??
    batchFault(limits, c) ??
    orderFault(limits, c) ??
    cutFault(limits, c)
  );
}

const DECISIONS = [...DEGREE_NAMES, 'microbatch'] as const;

function degreeFault(limits: CandidateLimits, c: Candidate): string | null {
  const fault = degreesFault(c, limits.devices);
  if (fault !== null) return fault;
  if (!limits.tpChoices.includes(c.tp))
    return `tp = ${c.tp} is not one of the degrees that split this model (${limits.tpChoices.join(', ')})`;
  if (limits.maxCp % c.cp !== 0) return `cp = ${c.cp} does not divide the sequence limit ${limits.maxCp}`;
  if (limits.experts <= 1 && c.ep * c.etp > 1)
    return `ep * etp = ${c.ep * c.etp} but the model has no experts`;
  if (limits.experts % c.ep !== 0) return `ep = ${c.ep} does not divide the ${limits.experts} experts`;
  if (c.etp !== 1 && !limits.tpChoices.includes(c.etp)) return `etp = ${c.etp} does not split this model`;
  return expertFault(c) ?? contextFault(c.contextExchange, c.tp, c.cp, limits.contextHeads);
}

function leannessFault({ costs }: CandidateLimits, c: Candidate): string | null {
  const leanness = leannessOf(c);
  if (leanness === 0) return null;
  if (!Number.isSafeInteger(leanness)) return `leanness = ${leanness} is not an integer`;
  if (costs === undefined) return null;
  const choices = costs.leannesses?.(c) ?? [0];
  return choices.includes(leanness)
    ? null
    : `leanness = ${leanness} is none of the shardings at these degrees (${choices.join(', ')})`;
}

/** Of shardings numbered without gaps, the one nearest to the wish. */
export function nearestLeanness(choices: readonly number[], wish: number): number {
  return Math.max(choices[0], Math.min(wish, choices[choices.length - 1]));
}

/** The plan where shardings have other prices, and so maybe fewer that are worth having: it takes the nearest one. */
export function withNearestLeanness(costs: Pick<CostProvider, 'leannesses'>, c: Candidate): Candidate {
  if (leannessOf(c) === 0) return c;
  return { ...c, leanness: nearestLeanness(costs.leannesses?.(c) ?? [0], leannessOf(c)) };
}

function batchFault(limits: CandidateLimits, c: Candidate): string | null {
  const dp = dataParallel(c);
  if (limits.globalBatch % dp !== 0)
    return `dp = ${dp} does not divide the global batch ${limits.globalBatch}`;
  if (!Number.isSafeInteger(c.microbatch) || c.microbatch < 1)
    return `microbatch = ${c.microbatch} is not a positive integer`;
  const perReplica = limits.globalBatch / dp;
  if (perReplica % c.microbatch !== 0)
    return `microbatch = ${c.microbatch} does not divide the ${perReplica} sequences of a replica`;
  return null;
}

function orderFault(limits: CandidateLimits, c: Candidate): string | null {
  if (!SCHEDULES.includes(c.schedule))
    return `schedule ${String(c.schedule)} is not one of ${SCHEDULES.join(', ')}`;
  if (!AXIS_ORDERS.includes(c.axisOrder))
    return `axis order ${String(c.axisOrder)} is not one of ${AXIS_ORDERS.join(', ')}`;
  if ((c.schedule === 'interleaved' || c.schedule === 'zb-h1') && limits.phase === 'inference')
    return `${c.schedule} has no use in inference, which runs no backward pass`;
  const fault = scheduleFault(c.schedule, c.pp, c.vpp, microbatchesOf(c, limits.globalBatch));
  if (fault !== null) return fault;
  if (!(c.zeroStage === 0 || c.zeroStage === 1 || c.zeroStage === 2 || c.zeroStage === 3))
    return `zeroStage = ${String(c.zeroStage)} is not 0, 1, 2 or 3`;
  return null;
}

function cutFault(limits: CandidateLimits, c: Candidate): string | null {
  const { segmentCount, classCount } = limits.segmentation;
  if (c.recompute.length !== classCount)
    return `recompute names ${c.recompute.length} classes, the model has ${classCount}`;
  for (let k = 0; k < classCount; k++)
    if (c.recompute[k] > 2) return `recompute policy ${c.recompute[k]} of class ${k} is not 0, 1 or 2`;
  const stages = c.pp * c.vpp;
  if (c.stageStart.length !== stages + 1)
    return `stageStart has ${c.stageStart.length} entries, expected pp * vpp + 1 = ${stages + 1}`;
  if (c.stageStart[0] !== 0) return `stageStart begins at ${c.stageStart[0]}, expected 0`;
  if (c.stageStart[stages] !== segmentCount)
    return `stageStart ends at ${c.stageStart[stages]}, expected the ${segmentCount} segments`;
  for (let v = 0; v < stages; v++)
    if (c.stageStart[v + 1] <= c.stageStart[v]) return `virtual stage ${v} of ${stages} holds no segment`;
  return null;
}

export function copyCandidate(c: Candidate): Candidate {
  return { ...c, recompute: c.recompute.slice(), stageStart: c.stageStart.slice() };
}

export function equalCandidates(a: Candidate, b: Candidate): boolean {
  for (const name of DECISIONS) if (a[name] !== b[name]) return false;
  if (a.zeroStage !== b.zeroStage || a.schedule !== b.schedule || a.axisOrder !== b.axisOrder) return false;
  if (a.contextExchange !== b.contextExchange || leannessOf(a) !== leannessOf(b)) return false;
  return equalArrays(a.recompute, b.recompute) && equalArrays(a.stageStart, b.stageStart);
}

function equalArrays(a: Uint8Array | Int32Array, b: Uint8Array | Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** 32-bit hash (FNV-1a over the decisions); equal candidates hash equal. */
export function hashCandidate(c: Candidate): number {
  let h = 0x811c9dc5;
  for (const name of DECISIONS) h = Math.imul(h ^ c[name], 0x01000193);
  h = Math.imul(h ^ c.zeroStage, 0x01000193);
  h = Math.imul(h ^ SCHEDULES.indexOf(c.schedule), 0x01000193);
  h = Math.imul(h ^ AXIS_ORDERS.indexOf(c.axisOrder), 0x01000193);
  h = Math.imul(h ^ CONTEXT_EXCHANGES.indexOf(c.contextExchange), 0x01000193);
  h = Math.imul(h ^ leannessOf(c), 0x01000193);
  for (let i = 0; i < c.recompute.length; i++) h = Math.imul(h ^ c.recompute[i], 0x01000193);
  for (let i = 0; i < c.stageStart.length; i++) h = Math.imul(h ^ c.stageStart[i], 0x01000193);
  return h >>> 0;
}

/**
 * Stage cuts that share a chain of weights evenly: stage v begins at the segment whose prefix weight is nearest to
 * v / stages of the whole, and every stage keeps at least one segment. Not optimal (see the cut solver of `search`),
 * but legal and close for chains of equal layers.
 *
 * @param weights non-negative weight per segment (e.g. forward plus backward seconds)
 * @param stages number of virtual stages, at most the number of segments
 * @returns stageStart of length stages + 1
 */
export function balancedCuts(weights: ArrayLike<number>, stages: number): Int32Array {
  const count = weights.length;
  const start = new Int32Array(stages + 1);
  let total = 0;
  for (let s = 0; s < count; s++) total += weights[s];
  let before = 0;
  let s = 0;
  for (let v = 1; v < stages; v++) {
    const target = (total * v) / stages;
    const first = start[v - 1] + 1;
    const last = count - (stages - v);
    while (s < last && (s < first || before + weights[s] / 2 < target)) before += weights[s++];
    start[v] = s;
  }
  start[stages] = count;
  return start;
}
