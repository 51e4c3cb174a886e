/** Solves instances given as objects. */
import type { CoreResult, ShardInstance } from '../../src/shard/index.js';
import { ContestReader, Exchange, reduceInstance, solveCore } from '../../src/shard/index.js';
import { Random } from '../../src/util/random.js';

export function readText(text: string, pieceBytes = 1 << 16): ShardInstance {
  const reader = new ContestReader('p.json');
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  return reader.finish();
}

export function readProblem(problem: unknown): ShardInstance {
  return readText(JSON.stringify(problem));
}

/** A clock that goes on by a step each time it is asked: work is limited, not time. */
export function countingClock(): () => number {
  let now = 0;
  return () => ++now;
}

/** @param ticks questions to the clock until the time is over */
export function solveInstance(
  instance: ShardInstance,
  ticks: number,
  seed = 0,
): (CoreResult & { readonly solution: Int32Array }) | null {
  const reduction = reduceInstance(instance);
  const { core } = reduction;
  if (core === null) return null;
  const clock = countingClock();
  const random = new Random(seed);
  const found = solveCore(core, { clock, deadline: ticks, random, exchange: Exchange.for(core) });
  return { ...found, solution: reduction.unroll(found.choice) };
}
