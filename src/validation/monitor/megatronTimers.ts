/**
 * Megatron-LM's timers (megatron/core/timers.py): a block of lines after an iteration's line, in one of three forms as
 * `--timing-log-option` says, with the timers that `--timing-log-level` asks for.
 *
 *     (min, max) time across ranks (ms):
 *         forward-backward ...............................: (4810.22, 4903.10)
 *     max time across ranks (ms):
 *         forward-backward ...............................: 4903.10
 *     times across ranks (ms):
 *       forward-compute:
 *          rank  0: 1510.22
 *
 * Computing is told by rank only where every rank is: the least and the greatest time are of nobody. Transfers between
 * pipeline ranks are left out: they wait for the pipeline to fill.
 */
import type { MonitorRecord } from './record.js';

const HEADER = /^\s*(?:\(min, max\) |max )?times? across ranks \(ms\):\s*$/;
const MIN_MAX = /^\s+([a-z][\w-]*) \.+: \(([\d.]+), ([\d.]+)\)\s*$/;
const MAX = /^\s+([a-z][\w-]*) \.+: ([\d.]+)\s*$/;
const NAME = /^\s+([a-z][\w-]*):\s*$/;
const RANK = /^\s+rank +(\d+): ([\d.]+)\s*$/;
/** Other lines may stand between those of a block, but not without end. */
const MOST_FOREIGN_LINES = 64;

const COMPUTE = new Set(['forward-compute', 'backward-compute']);
const COLLECTIVE = /all-reduce|reduce-scatter|all-gather|grads-sync/;

/** Plain JSON, so that a state can keep a block that is half read. */
export interface TimerBlock {
  step: number;
  open: boolean;
  foreign: number;
  /** Timer whose ranks follow. */
  timer: string;
  /** By rank: milliseconds of computing and of collectives. */
  compute: Record<string, number>;
  collective: Record<string, number>;
  /** Least time of any rank in collectives, added up; null: not told. */
  leastCollectiveMs: number | null;
}

export function newBlock(step: number): TimerBlock {
  const empty = { compute: {}, collective: {}, leastCollectiveMs: null };
  return { step, open: false, foreign: 0, timer: '', ...empty };
}

/** Takes a line after the iteration's; false when the block is over. */
export function takeTimerLine(block: TimerBlock, text: string): boolean {
  if (HEADER.test(text)) {
    const isSecond = block.open;
    block.open = true;
    return !isSecond;
  }
  if (block.open && takeTimer(block, text)) {
    block.foreign = 0;
    return true;
  }
  return ++block.foreign < MOST_FOREIGN_LINES;
}

function takeTimer(block: TimerBlock, text: string): boolean {
  const rank = RANK.exec(text);
  if (rank !== null) {
    const into = COMPUTE.has(block.timer)
      ? block.compute
      : COLLECTIVE.test(block.timer)
        ? block.collective
        : null;
    if (into !== null) into[rank[1]] = (into[rank[1]] ?? 0) + Number(rank[2]);
    return true;
  }
  const range = MIN_MAX.exec(text);
  if (range !== null) {
    if (COLLECTIVE.test(range[1]))
      block.leastCollectiveMs = (block.leastCollectiveMs ?? 0) + Number(range[2]);
    return true;
  }
  const name = NAME.exec(text);
  if (name !== null) block.timer = name[1];
  return name !== null || MAX.test(text);
}

/** What the block says of its step. */
export function recordsOf(block: TimerBlock): MonitorRecord[] {
  const { step, compute, collective, leastCollectiveMs } = block;
  const ranks = [...new Set([...Object.keys(compute), ...Object.keys(collective)])].map(Number);
  const records: MonitorRecord[] = ranks
    .sort((a, b) => a - b)
    .map((rank) => ({
      step,
      rank,
      ...seconds('computeSec', compute[rank]),
      ...seconds('communicationSec', collective[rank]),
    }))
    .filter((record) => Object.keys(record).length > 2);
  // Of the whole job, whose own report of the step was its iteration's line: the first rank says it instead.
  if (leastCollectiveMs !== null && leastCollectiveMs > 0)
    records.push({ step, rank: 0, communicationSec: leastCollectiveMs / 1000 });
  return records;
}

function seconds(name: 'computeSec' | 'communicationSec', ms: number | undefined): Partial<MonitorRecord> {
  return ms !== undefined && ms > 0 ? { [name]: ms / 1000 } : {};
}
