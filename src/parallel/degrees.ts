/**
 * How many ways each kind of parallelism splits the job. The devices are
 * `dpReplicate * dpShard * cp * tp * pp`; experts reuse those ranks, so that `ep * etp` divides
 * `dpReplicate * dpShard * cp * tp` and leaves `expertDataParallel` replicas of each expert.
 */
export interface Degrees {
  /** Replicas of the (sharded) model: only gradients travel between them. */
  readonly dpReplicate: number;
  /** Data-parallel ranks over which ZeRO shards states. */
  readonly dpShard: number;
  readonly tp: number;
  readonly pp: number;
  /** Model chunks per pipeline rank (interleaving); 1 = none. */
  readonly vpp: number;
  readonly cp: number;
  readonly ep: number;
  /** Tensor parallelism inside an expert. */
  readonly etp: number;
}

export const DEGREE_NAMES = ['dpReplicate', 'dpShard', 'tp', 'pp', 'vpp', 'cp', 'ep', 'etp'] as const;

/** dp as it stands on screen. */
export function dataParallel(d: Degrees): number {
  return d.dpReplicate * d.dpShard;
}

export function deviceCount(d: Degrees): number {
  return d.dpReplicate * d.dpShard * d.cp * d.tp * d.pp;
}

/** Ranks that hold one pipeline stage. */
export function devicesPerStage(d: Degrees): number {
  return d.dpReplicate * d.dpShard * d.cp * d.tp;
}

/**
 * Ranks over which ZeRO shards what is not an expert's: those that hold the same parameters, context-parallel ranks included
 * (Megatron's distributed optimizer, FSDP meshes).
 */
export function denseShards(d: Pick<Degrees, 'dpShard' | 'cp'>): number {
  return d.dpShard * d.cp;
}

/** Replicas of one expert shard. */
export function expertDataParallel(d: Degrees): number {
  return devicesPerStage(d) / (d.ep * d.etp);
}

/** Microbatches of one step; not an integer when the batch does not divide. */
export function microbatchCount(d: Degrees, globalBatch: number, microbatch: number): number {
  return globalBatch / (dataParallel(d) * microbatch);
}

/** Why these degrees are illegal on so many devices, one sentence with both numbers; null when legal. */
export function degreesFault(d: Degrees, devices: number): string | null {
  for (const name of DEGREE_NAMES)
    if (!Number.isSafeInteger(d[name]) || d[name] < 1)
      return `${name} = ${d[name]} is not a positive integer`;
  const product = deviceCount(d);
  if (product !== devices)
    return `dpReplicate * dpShard * cp * tp * pp = ${product}, expected the device count ${devices}`;
  return null;
}

/** Why experts cannot be laid over the ranks of a stage; null when they can. */
export function expertFault(d: Degrees): string | null {
  if (devicesPerStage(d) % (d.ep * d.etp) === 0) return null;
  return `ep * etp = ${d.ep * d.etp} does not divide dp * cp * tp = ${devicesPerStage(d)}`;
}

/** Divisors of n, ascending. */
export function divisors(n: number): number[] {
  const low: number[] = [];
  const high: number[] = [];
  for (let i = 1; i * i <= n; i++) {
    if (n % i !== 0) continue;
    low.push(i);
    if (i * i !== n) high.push(n / i);
  }
  return low.concat(high.reverse());
}

/** `dp=64 (2x32) tp=8 pp=4`: the degrees that are not 1. */
export function describeDegrees(d: Degrees): string {
  const parts: string[] = [];
  const dp = dataParallel(d);
  if (dp > 1)
    parts.push(d.dpReplicate > 1 && d.dpShard > 1 ? `dp=${dp} (${d.dpReplicate}x${d.dpShard})` : `dp=${dp}`);
  for (const name of ['tp', 'pp', 'vpp', 'cp', 'ep', 'etp'] as const)
    if (d[name] > 1) parts.push(`${name}=${d[name]}`);
  return parts.length === 0 ? 'one device' : parts.join(' ');
}
