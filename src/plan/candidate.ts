/** Questions asked of a `Candidate`: is it legal, is it the same as another, where do its stages start. */
import type { Phase } from '../cost/types.js';
import type { AxisOrder, Candidate, ScheduleKind } from './types.js';

/** What a candidate is checked against; a `PlanProblem` fits. */
export interface CandidateLimits {
  readonly devices: number;
  readonly phase: Phase;
  readonly globalBatch: number;
  readonly maxCp: number;
  /** 1 = the model has no experts. */
  readonly experts: number;
  readonly tpChoices: readonly number[];
  readonly segmentation: { readonly segmentCount: number; readonly classCount: number };
}

export const SCHEDULES: readonly ScheduleKind[] = ['gpipe', '1f1b', 'interleaved'];
export const AXIS_ORDERS: readonly AxisOrder[] = ['tp-cp-dp-pp', 'tp-cp-pp-dp'];

export function dataParallelOf(c: Candidate): number {
  return c.dpReplicate * c.dpShard;
}

/** Devices that hold one pipeline rank. */
export function stageDevices(c: Candidate): number {
  return c.dpReplicate * c.dpShard * c.cp * c.tp;
}

/** Microbatches per step of one data-parallel replica (an integer for a legal candidate). */
export function microbatchesOf(c: Candidate, globalBatch: number): number {
  return globalBatch / (c.dpReplicate * c.dpShard * c.microbatch);
}

/** Replicas of one expert shard: the ranks of a stage that ep and etp leave over. */
export function expertReplicas(c: Candidate): number {
  return stageDevices(c) / (c.ep * c.etp);
}

/** Expert replicas over which ZeRO shards: those that do not stand in different `dpReplicate` copies. */
export function expertShards(c: Candidate): number {
  const replicas = expertReplicas(c);
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
  return degreeFault(limits, c) ?? batchFault(limits, c) ?? scheduleFault(limits, c) ?? cutFault(limits, c);
}

const DEGREES = ['dpReplicate', 'dpShard', 'tp', 'pp', 'vpp', 'cp', 'ep', 'etp', 'microbatch'] as const;

function degreeFault(limits: CandidateLimits, c: Candidate): string | null {
  for (const name of DEGREES)
    if (!Number.isSafeInteger(c[name]) || c[name] < 1)
      return `${name} = ${c[name]} is not a positive integer`;
  const product = stageDevices(c) * c.pp;
  if (product !== limits.devices)
    return `dpReplicate * dpShard * cp * tp * pp = ${product}, expected the device count ${limits.devices}`;
  if (!limits.tpChoices.includes(c.tp))
    return `tp = ${c.tp} is not one of the degrees that split this model (${limits.tpChoices.join(', ')})`;
  if (limits.maxCp % c.cp !== 0) return `cp = ${c.cp} does not divide the sequence limit ${limits.maxCp}`;
  if (limits.experts <= 1 && c.ep * c.etp > 1)
    return `ep * etp = ${c.ep * c.etp} but the model has no experts`;
  if (limits.experts % c.ep !== 0) return `ep = ${c.ep} does not divide the ${limits.experts} experts`;
  if (c.etp !== 1 && !limits.tpChoices.includes(c.etp)) return `etp = ${c.etp} does not split this model`;
  if (stageDevices(c) % (c.ep * c.etp) !== 0)
    return `ep * etp = ${c.ep * c.etp} does not divide dp * cp * tp = ${stageDevices(c)}`;
  return null;
}

function batchFault(limits: CandidateLimits, c: Candidate): string | null {
  const dp = dataParallelOf(c);
  if (limits.globalBatch % dp !== 0)
    return `dp = ${dp} does not divide the global batch ${limits.globalBatch}`;
  const perReplica = limits.globalBatch / dp;
  if (perReplica % c.microbatch !== 0)
    return `microbatch = ${c.microbatch} does not divide the ${perReplica} sequences of a replica`;
  return null;
}

function scheduleFault(limits: CandidateLimits, c: Candidate): string | null {
  const microbatches = microbatchesOf(c, limits.globalBatch);
  if (!SCHEDULES.includes(c.schedule))
    return `schedule ${String(c.schedule)} is not one of ${SCHEDULES.join(', ')}`;
  if (!AXIS_ORDERS.includes(c.axisOrder))
    return `axis order ${String(c.axisOrder)} is not one of ${AXIS_ORDERS.join(', ')}`;
  if (c.schedule === 'interleaved') {
    if (limits.phase === 'inference')
      return 'interleaving has no use in inference, which runs no backward pass';
    if (c.vpp < 2 || c.pp < 2)
      return `interleaved needs pp > 1 and vpp > 1, found pp = ${c.pp}, vpp = ${c.vpp}`;
    if (microbatches % c.pp !== 0)
      return `interleaved needs microbatches divisible by pp = ${c.pp}, found ${microbatches}`;
  } else if (c.vpp !== 1) return `${c.schedule} runs one chunk per rank, found vpp = ${c.vpp}`;
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
  for (const name of DEGREES) if (a[name] !== b[name]) return false;
  if (a.zeroStage !== b.zeroStage || a.schedule !== b.schedule || a.axisOrder !== b.axisOrder) return false;
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
  for (const name of DEGREES) h = Math.imul(h ^ c[name], 0x01000193);
  h = Math.imul(h ^ c.zeroStage, 0x01000193);
  h = Math.imul(h ^ SCHEDULES.indexOf(c.schedule), 0x01000193);
  h = Math.imul(h ^ AXIS_ORDERS.indexOf(c.axisOrder), 0x01000193);
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
