/**
 * The simplest correct pipeline: every rank's list of tasks written out, ranks advanced one task at a time until all are
 * done. Slow and plain; the judge of the recurrences, and the baseline of their bench.
 */
import type { ScheduleKind } from '../../src/plan/types.js';

interface Task {
  readonly forward: boolean;
  readonly stage: number;
  readonly microbatch: number;
}

/** Rank r's tasks in order (Megatron-Core's `schedules.py`). */
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
          forwards.push({ forward: true, stage: chunk * pp + r, microbatch: m });
          backwards.push({ forward: false, stage: (vpp - 1 - chunk) * pp + r, microbatch: m });
        }
  } else
    for (let m = 0; m < microbatches; m++) {
      forwards.push({ forward: true, stage: r, microbatch: m });
      backwards.push({ forward: false, stage: r, microbatch: m });
    }
  if (!train) return forwards;
  const warmUp = {
    gpipe: forwards.length,
    '1f1b': pp - 1 - r,
    interleaved: 2 * (pp - 1 - r) + (vpp - 1) * pp,
  }[schedule];
  const order = forwards.slice(0, warmUp);
  const rest = forwards.slice(warmUp);
  backwards.forEach((backward, i) => order.push(...rest.slice(i, i + 1), backward));
  return order;
}

/** When each rank ends its last task, seconds. */
export function naivePipeline(
  schedule: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
  forward: ArrayLike<number>,
  backward: ArrayLike<number>,
  transfer: ArrayLike<number>,
  train = true,
): number[] {
  const orders = Array.from({ length: pp }, (_, r) => taskOrder(schedule, pp, vpp, microbatches, r, train));
  const next = new Array<number>(pp).fill(0);
  const free = new Array<number>(pp).fill(0);
  const link = new Array<number>(pp).fill(0);
  const arrived = new Map<string, number>();
  const last = pp * vpp - 1;
  for (let progress = true; progress;) {
    progress = false;
    for (let r = 0; r < pp; r++) {
      const task = orders[r][next[r]];
      if (task === undefined) continue;
      const { forward: isForward, stage, microbatch } = task;
      const needsMessage = isForward ? stage > 0 : stage < last;
      const arrival = needsMessage ? arrived.get(`${isForward} ${stage} ${microbatch}`) : 0;
      if (arrival === undefined) continue;
      const end = Math.max(free[r], arrival) + (isForward ? forward[stage] : backward[stage]);
      free[r] = end;
      next[r]++;
      progress = true;
      const target = isForward ? stage + 1 : stage - 1;
      if (target < 0 || target > last) continue;
      link[r] = Math.max(link[r], end) + transfer[isForward ? target : stage];
      arrived.set(`${isForward} ${target} ${microbatch}`, link[r]);
    }
  }
  if (next.some((n, r) => n < orders[r].length)) throw new Error('internal: the schedule deadlocks');
  return free;
}
