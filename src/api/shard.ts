/** Sharding instances in the contest's format: read in pieces, reduced, solved, and judged by brute force. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { ExchangeBuffers, NeighbourhoodChoice, ShardCore, ShardInstance } from '../shard/index.js';
import {
  BanditChoice,
  ContestReader,
  Exchange,
  NEIGHBOURHOODS,
  UniformChoice,
  assistCore,
  judgeShard,
  leastPeak,
  reduceInstance,
  solveCore,
} from '../shard/index.js';
import { PartitionError, invariant, oneLine } from '../util/errors.js';
import { unreadable } from '../util/files.js';
import { formatBytes } from '../util/format.js';
import { Random } from '../util/random.js';

/** How the next neighbourhood is chosen. */
export const SHARD_CHOICES = ['bandit', 'uniform'] as const;
export type ShardChoice = (typeof SHARD_CHOICES)[number];

export interface ShardRequest {
  /** JSON in the contest's format, possibly compressed by gzip. */
  readonly problemPath: string;
  /** Seconds of wall clock, reading included. */
  readonly timeoutSec: number;
  readonly threads: number;
  readonly seed: number;
  /** Default: bandit. */
  readonly choice?: ShardChoice | undefined;
}

/** What a thread beside the first needs. */
export interface ShardAssistance {
  readonly core: ShardCore;
  readonly buffers: ExchangeBuffers;
  readonly seed: number;
  readonly choice: ShardChoice;
  readonly leftSec: number;
}

export interface ShardNews {
  /** Cost of the best solution so far; null when there is none. */
  readonly cost: number | null;
  readonly lowerBound: number | null;
}

export interface ShardHooks {
  /** Seconds, monotone; Infinity once told to end. */
  readonly clock: () => number;
  readonly onNews?: (news: ShardNews) => void;
  /** Starts a thread that runs `assistShard`; it ends by itself. */
  readonly startThread?: (assistance: ShardAssistance) => void;
}

export interface ShardResult {
  readonly problem: string;
  readonly nodes: number;
  readonly edges: number;
  /** Null when nothing feasible was found. */
  readonly cost: number | null;
  /** No feasible solution costs less; null when it was proved that nothing is feasible. */
  readonly lowerBound: number | null;
  /** cost / lowerBound - 1; null when either is missing or the bound is 0. */
  readonly gap: number | null;
  /** Of the solution, or the least that any solution could have when there is none. */
  readonly peakUsage: number;
  /** Null when there is no limit. */
  readonly usageLimit: number | null;
  readonly feasible: boolean;
  /** Whether it was proved that nothing is better, or that nothing is feasible. */
  readonly proven: boolean;
  readonly wallSec: number;
  /** Strategy of each node; empty when nothing feasible was found. */
  readonly solution: readonly number[];
}

/** Left of the timeout for the answer: a share, and a limit of it in seconds. */
const SPARE_SHARE = 0.03;
const MOST_SPARE_SEC = 0.6;
/** What answering takes on top, as a share of what reading took. */
const ANSWER_SHARE = 0.1;
/** Share of what reading leaves of the time after which reductions end. */
const REDUCTION_SHARE = 0.4;
/** Sums of usages that are not whole may end a little off. */
const ROUNDING = 1e-9;
/** A gap that is rounding. */
const CLOSED = 1e-8;

/**
 * @param isOver whether time is up
 * @throws PartitionError input when the file cannot be read or is no instance, infeasible when time is up before its end
 */
export async function readShardInstance(path: string, isOver = (): boolean => false): Promise<ShardInstance> {
  const reader = new ContestReader(path);
  let read = 0;
  for await (const bytes of piecesOf(path)) {
    if (isOver())
      throw new PartitionError(
        'infeasible',
        `time was up when ${formatBytes(read)} of its text were read`,
        path,
        'a longer --timeout',
      );
    reader.push(bytes);
    read += bytes.length;
  }
  return reader.finish();
}

/**
 * @throws PartitionError input as `readShardInstance`
 */
export async function solveShard(request: ShardRequest, hooks: ShardHooks): Promise<ShardResult> {
  const { clock } = hooks;
  const started = clock();
  const spare = Math.min(MOST_SPARE_SEC, SPARE_SHARE * request.timeoutSec);
  const end = started + request.timeoutSec - spare;
  const instance = await readShardInstance(request.problemPath, () => clock() >= end);
  const read = clock();
  const deadline = end - ANSWER_SHARE * (read - started);
  const reduced = read + REDUCTION_SHARE * (deadline - read);
  const reduction =
    leastPeak(instance) <= instance.usageLimit * (1 + ROUNDING)
      ? reduceInstance(instance, () => clock() >= reduced)
      : null;
  const core = reduction?.core ?? null;
  if (reduction === null || core === null)
    return nothing(instance, request.problemPath, Infinity, true, clock() - started);
  const exchange = Exchange.for(core);
  const choice = request.choice ?? 'bandit';
  const seeds = new Random(request.seed);
  const random = seeds.fork();
  for (let t = 1; t < request.threads; t++)
    hooks.startThread?.({
      core,
      buffers: exchange.buffers,
      seed: seeds.uint32(),
      choice,
      leftSec: deadline - clock(),
    });
  const found = solveCore(core, {
    clock,
    deadline,
    random,
    exchange,
    choose: chooserOf(choice, random),
    onNews: ({ cost, bound }) => hooks.onNews?.({ cost: finite(cost), lowerBound: finite(bound) }),
  });
  exchange.stop();
  if (found.cost === Infinity)
    return nothing(instance, request.problemPath, found.bound, found.bound === Infinity, clock() - started);
  const solution = reduction.unroll(found.choice);
  const verdict = judgeShard(instance, solution);
  invariant(
    verdict.cost < Infinity && verdict.peakUsage <= instance.usageLimit * (1 + ROUNDING),
    `an infeasible solution was found: cost ${verdict.cost}, peak ${verdict.peakUsage}`,
  );
  const lowerBound = Math.min(found.bound, verdict.cost);
  const proven = lowerBound >= verdict.cost - CLOSED * Math.abs(verdict.cost);
  return {
    ...factsOf(instance, request.problemPath),
    cost: verdict.cost,
    lowerBound: proven ? verdict.cost : lowerBound,
    gap: proven ? 0 : lowerBound > 0 ? verdict.cost / lowerBound - 1 : null,
    peakUsage: verdict.peakUsage,
    feasible: true,
    proven,
    wallSec: clock() - started,
    solution: Array.from(solution),
  };
}

/** The work of a thread beside the first. */
export function assistShard(assistance: ShardAssistance, clock: () => number): void {
  const random = new Random(assistance.seed);
  assistCore(assistance.core, {
    clock,
    deadline: clock() + assistance.leftSec,
    random,
    exchange: new Exchange(assistance.buffers),
    choose: chooserOf(assistance.choice, random),
  });
}

function chooserOf(choice: ShardChoice, random: Random): NeighbourhoodChoice {
  return choice === 'uniform'
    ? new UniformChoice(NEIGHBOURHOODS.length, random.fork())
    : new BanditChoice(NEIGHBOURHOODS.length, random.fork());
}

function nothing(
  instance: ShardInstance,
  path: string,
  lowerBound: number,
  proven: boolean,
  wallSec: number,
): ShardResult {
  return {
    ...factsOf(instance, path),
    cost: null,
    lowerBound: finite(lowerBound),
    gap: null,
    peakUsage: leastPeak(instance),
    feasible: false,
    proven,
    wallSec,
    solution: [],
  };
}

function factsOf(
  instance: ShardInstance,
  problem: string,
): Pick<ShardResult, 'problem' | 'nodes' | 'edges' | 'usageLimit'> {
  return {
    problem,
    nodes: instance.nodeCount,
    edges: instance.edgeCount,
    usageLimit: finite(instance.usageLimit),
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** The file's bytes, unpacked when they are packed. */
async function* piecesOf(path: string): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  let unpacking: Readable | null = null;
  try {
    const first = await firstPiece(file);
    if (first === null) return;
    file.unshift(first);
    if (first.length >= 2 && first[0] === 0x1f && first[1] === 0x8b) {
      const gunzip = createGunzip({ chunkSize: 1 << 18 });
      file.on('error', (e) => gunzip.destroy(e));
      unpacking = file.pipe(gunzip);
    }
    for await (const bytes of unpacking ?? file) yield bytes as Uint8Array;
  } catch (e) {
    if (e instanceof PartitionError) throw e;
    const code = (e as NodeJS.ErrnoException).code ?? '';
    if (code.startsWith('Z_'))
      throw new PartitionError('input', `cannot unpack: ${oneLine((e as Error).message, 120)}`, path);
    throw unreadable(path, 'a sharding instance in JSON', e);
  } finally {
    file.destroy();
    unpacking?.destroy();
  }
}

function firstPiece(file: Readable): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => (): void => {
      file.off('readable', onReadable);
      file.off('end', onEnd);
      file.off('error', onError);
      act();
    };
    const onReadable = (): void => {
      const bytes = file.read() as Buffer | null;
      if (bytes !== null) settle(() => resolve(bytes))();
    };
    const onEnd = settle(() => resolve(null));
    const onError = (e: Error): void => settle(() => reject(e))();
    file.on('readable', onReadable);
    file.on('end', onEnd);
    file.on('error', onError);
  });
}
