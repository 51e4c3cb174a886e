/**
 * The simplest correct pipeline: every rank's list of tasks written out, ranks advanced one task at a time until all are
 * done. Slow and plain; the judge of the recurrences, and the baseline of their bench.
 */
import type { ScheduleKind } from '../../src/plan/types.js';

interface Task {
  readonly kind: 'forward' | 'backward' | 'weight';
  readonly stage: number;
  readonly microbatch: number;
}

/** Rank r's tasks in order (Megatron-Core's `schedules.py`; ZB-H1 of Qi et al. 2024). */
export function taskOrder(
  schedule: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
  r: number,
  train = true,
): Task[] {
  const forwards: Task[] = [];
  const backwards: Task[] = [];
  if (schedule === 'interleaved') {
    for (let first = 0; first < microbatches; first += pp)
      for (let chunk = 0; chunk < vpp; chunk++)
        for (let m = first; m < first + pp; m++) {
          forwards.push({ kind: 'forward', stage: chunk * pp + r, microbatch: m });
          backwards.push({ kind: 'backward', stage: (vpp - 1 - chunk) * pp + r, microbatch: m });
        }
  } else
    for (let m = 0; m < microbatches; m++) {
      forwards.push({ kind: 'forward', stage: r, microbatch: m });
      backwards.push({ kind: 'backward', stage: r, microbatch: m });
    }
  if (!train) return forwards;
  const warmUp = {
    gpipe: forwards.length,
    '1f1b': pp - 1 - r,
    'zb-h1': pp - 1 - r,
    interleaved: 2 * (pp - 1 - r) + (vpp - 1) * pp,
  }[schedule];
  const order = forwards.slice(0, warmUp);
  const rest = forwards.slice(warmUp);
  const weights: Task[] =
    schedule === 'zb-h1' ? backwards.map((backward) => ({ ...backward, kind: 'weight' })) : [];
  backwards.forEach((backward, i) => {
    order.push(...rest.slice(i, i + 1), backward);
    if (i >= r) order.push(...weights.splice(0, 1));
  });
  return [...order, ...weights];
}

/** Seconds of one microbatch per virtual stage, and when each rank may begin. */
export interface NaiveTimes {
  readonly forwardSec: ArrayLike<number>;
  /** All of the backward pass; under ZB-H1 `weightSec` of it come later. */
  readonly backwardSec: ArrayLike<number>;
  readonly weightSec: ArrayLike<number>;
  readonly transferSec: ArrayLike<number>;
  readonly gatherExposedSec: ArrayLike<number>;
}

/** When each rank ends its last task, and each virtual stage its last backward, seconds. */
export function naivePipeline(
  schedule: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
  times: NaiveTimes,
  train = true,
): { finishSec: number[]; chunkEndSec: number[] } {
  const orders = Array.from({ length: pp }, (_, r) => taskOrder(schedule, pp, vpp, microbatches, r, train));
  const next = new Array<number>(pp).fill(0);
  const free = Array.from({ length: pp }, (_, r) => times.gatherExposedSec[r]);
  const link = new Array<number>(pp).fill(0);
  const chunkEndSec = new Array<number>(pp * vpp).fill(0);
  const arrived = new Map<string, number>();
  const last = pp * vpp - 1;
  const deferred = (v: number): number => (schedule === 'zb-h1' ? times.weightSec[v] : 0);
  for (let progress = true; progress;) {
    progress = false;
    for (let r = 0; r < pp; r++) {
      const task = orders[r][next[r]];
      if (task === undefined) continue;
      const { kind, stage, microbatch } = task;
      const needsMessage = kind === 'forward' ? stage > 0 : kind === 'backward' && stage < last;
      const arrival = needsMessage ? arrived.get(`${kind} ${stage} ${microbatch}`) : 0;
      if (arrival === undefined) continue;
      const sec = {
        forward: times.forwardSec[stage],
        backward: times.backwardSec[stage] - deferred(stage),
        weight: deferred(stage),
      }[kind];
      const end = Math.max(free[r], arrival) + sec;
      free[r] = end;
      next[r]++;
      progress = true;
      if (kind !== 'forward') chunkEndSec[stage] = end;
      const target = kind === 'forward' ? stage + 1 : stage - 1;
      if (kind === 'weight' || target < 0 || target > last) continue;
      link[r] = Math.max(link[r], end) + times.transferSec[kind === 'forward' ? target : stage];
      arrived.set(`${kind} ${target} ${microbatch}`, link[r]);
    }
  }
  if (next.some((n, r) => n < orders[r].length)) throw new Error('internal: the schedule deadlocks');
  return { finishSec: free, chunkEndSec };
}
