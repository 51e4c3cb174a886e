import { PartitionError } from '../util/errors.js';

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

/** What the model, the batch and the user allow. */
export interface DegreeLimits {
  readonly maxTp?: number;
  readonly maxPp?: number;
  readonly maxVpp?: number;
  readonly maxCp?: number;
  readonly maxEp?: number;
  /** Default in enumeration: tp. */
  readonly maxEtp?: number;
  /** tp must divide each of these (heads, hidden sizes); empty or absent = no limit. */
  readonly tpDivides?: readonly number[];
  /** 2 * cp must divide this sequence length when cp > 1 (balanced causal ring). */
  readonly sequenceLength?: number;
  /** ep must divide the number of experts; absent = dense, ep = etp = 1. */
  readonly experts?: number;
  /** Layers (or blocks): pp * vpp cannot exceed it. */
  readonly layers?: number;
  /** Sequences of the global batch: dp must divide it. */
  readonly globalBatch?: number;
  /** Splits of dp into replicas x shards: `all`, or only full sharding (dpReplicate = 1, the default). */
  readonly dpSplits?: 'shard' | 'all';
}

export const SINGLE_DEVICE: Degrees = {
  dpReplicate: 1,
  dpShard: 1,
  tp: 1,
  pp: 1,
  vpp: 1,
  cp: 1,
  ep: 1,
  etp: 1,
};

/** Degrees from the few that differ from 1. */
export function degreesOf(given: Partial<Degrees>): Degrees {
  return { ...SINGLE_DEVICE, ...given };
}

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

/** Replicas of one expert shard. */
export function expertDataParallel(d: Degrees): number {
  return devicesPerStage(d) / (d.ep * d.etp);
}

/** Microbatches of one step; not an integer when the batch does not divide. */
export function microbatchCount(d: Degrees, globalBatch: number, microbatch: number): number {
  return globalBatch / (dataParallel(d) * microbatch);
}

/** Why these degrees are illegal, one sentence with both numbers; null when legal. */
export function degreesFault(d: Degrees, devices: number, limits: DegreeLimits = {}): string | null {
  for (const [name, value] of Object.entries(d) as [keyof Degrees, number][])
    if (!Number.isSafeInteger(value) || value < 1) return `${name} = ${value} is not a positive integer`;
  const product = deviceCount(d);
  if (product !== devices)
    return `dpReplicate * dpShard * cp * tp * pp = ${product}, expected the device count ${devices}`;
  if (devicesPerStage(d) % (d.ep * d.etp) !== 0)
    return `ep * etp = ${d.ep * d.etp} does not divide dp * cp * tp = ${devicesPerStage(d)}`;
  if (d.vpp > 1 && d.pp === 1) return `vpp = ${d.vpp} needs pp > 1`;
  return limitFault(d, limits);
}

function limitFault(d: Degrees, limits: DegreeLimits): string | null {
  const caps: readonly [string, number, number | undefined][] = [
    ['tp', d.tp, limits.maxTp],
    ['pp', d.pp, limits.maxPp],
    ['vpp', d.vpp, limits.maxVpp],
    ['cp', d.cp, limits.maxCp],
    ['ep', d.ep, limits.maxEp],
    ['etp', d.etp, limits.maxEtp],
  ];
  for (const [name, value, cap] of caps)
    if (cap !== undefined && value > cap) return `${name} = ${value} is above its limit ${cap}`;
  for (const n of limits.tpDivides ?? [])
    if (n % d.tp !== 0) return `tp = ${d.tp} does not divide the model's dimension ${n}`;
  const length = limits.sequenceLength;
  if (d.cp > 1 && length !== undefined && length % (2 * d.cp) !== 0)
    return `2 * cp = ${2 * d.cp} does not divide the sequence length ${length}`;
  if (limits.experts === undefined) {
    if (d.ep * d.etp > 1) return `ep * etp = ${d.ep * d.etp} but the model has no experts`;
  } else if (limits.experts % d.ep !== 0) return `ep = ${d.ep} does not divide the ${limits.experts} experts`;
  if (limits.layers !== undefined && d.pp * d.vpp > limits.layers)
    return `pp * vpp = ${d.pp * d.vpp} stages for ${limits.layers} layers`;
  if (limits.globalBatch !== undefined && limits.globalBatch % dataParallel(d) !== 0)
    return `dp = ${dataParallel(d)} does not divide the global batch ${limits.globalBatch}`;
  return null;
}

/** Throws the user's error when the degrees are illegal. */
export function checkDegrees(
  d: Degrees,
  devices: number,
  limits: DegreeLimits = {},
  where = 'degrees',
): void {
  const fault = degreesFault(d, devices, limits);
  if (fault !== null) throw new PartitionError('usage', fault, where);
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

/** Prime factors with multiplicity, ascending. */
export function primeFactors(n: number): number[] {
  const factors: number[] = [];
  let rest = n;
  for (let p = 2; p * p <= rest; p++)
    while (rest % p === 0) {
      factors.push(p);
      rest /= p;
    }
  if (rest > 1) factors.push(rest);
  return factors;
}

/**
 * Every legal combination for this many devices, in a fixed order: tp, then pp, cp, ep, etp, vpp and the split of dp
 * ascending. Interleaving (`vpp`) runs over 1..maxVpp (default 1: none).
 */
export function* enumerateDegrees(devices: number, limits: DegreeLimits = {}): Generator<Degrees> {
  const dense = limits.experts === undefined;
  for (const tp of divisors(devices))
    for (const pp of divisors(devices / tp))
      for (const cp of divisors(devices / (tp * pp))) {
        const dp = devices / (tp * pp * cp);
        const probe = degreesOf({ dpShard: dp, tp, pp, cp });
        if (limitFault(probe, limits) !== null) continue;
        for (const ep of dense ? [1] : divisors(dp * cp * tp))
          for (const etp of dense
            ? [1]
            : divisors((dp * cp * tp) / ep).filter((n) => n <= (limits.maxEtp ?? tp)))
            for (let vpp = 1; vpp <= (pp > 1 ? (limits.maxVpp ?? 1) : 1); vpp++)
              for (const dpReplicate of limits.dpSplits === 'all' ? divisors(dp) : [1]) {
                const d: Degrees = { dpReplicate, dpShard: dp / dpReplicate, tp, pp, vpp, cp, ep, etp };
                if (limitFault(d, limits) === null) yield d;
              }
      }
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
